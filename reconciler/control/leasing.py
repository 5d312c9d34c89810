"""Holding a lease while work goes on, and noticing when it is lost; used by the controller and by actions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.model.errors import Retryable
from reconciler.ports import Clock, Leases

LEASE_SECONDS = 12.0
RENEW_SECONDS = 3.0


@dataclass(slots=True)
class Held:
    """A lease that is renewed in the background. `lost` says why the work must stop, None while all is well."""

    lost: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def lease(leases: Leases, clock: Clock, key: str, owner: str) -> Iterator[Held]:
    """Hold a lease for the length of a block. Retryable when somebody else holds it now."""
    generation = leases.acquire(key, owner, LEASE_SECONDS, clock.now())
    if generation is None:
        raise Retryable(f"{key} is being worked on by another process")
    held = Held()

    def renew() -> None:
        while not held._ended.wait(RENEW_SECONDS):
            try:
                if not leases.renew(key, owner, generation, LEASE_SECONDS, clock.now()):
                    held.lost = f"the lease on {key} was taken over"
                    return
            except Exception as error:  # noqa: BLE001 - without a renewal it runs out, whatever the reason
                held.lost = f"the lease on {key} could not be renewed: {error}"
                return

    thread = threading.Thread(target=renew, name=f"lease {key}", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        held._ended.set()
        thread.join()
        leases.release(key, owner, generation)
