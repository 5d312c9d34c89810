"""How a program that runs until it is told to end is told so; used by `serve` and by the simulated host."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

ENDING = (signal.SIGTERM, signal.SIGINT)


def await_ending() -> Callable[[], None]:
    """From now on SIGTERM and SIGINT no longer kill; what is returned waits for the first of them. Main thread only.

    Python writes their numbers into a pipe, whichever thread gets them. A handler that sets a threading.Event would
    now and then wait for ever for the lock of that Event, which the waiting thread holds where it was interrupted.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in ENDING:
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        while os.read(told, 1)[0] not in ENDING:
            pass

    return wait
