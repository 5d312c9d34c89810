"""How the process is attached and stopped: init, terminal, stop signal, grace period."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.pair import Difference, Pair, differ
from reconciler.diff.units import duration_in_nanoseconds


def check(pair: Pair) -> Iterable[Difference]:
    config, wanted = pair.container.config, pair.wanted
    yield from differ("init", bool(pair.host.get("Init")), bool(wanted.get("init")))
    yield from differ("tty", bool(config.get("Tty")), bool(wanted.get("tty")))
    yield from differ("stdin_open", bool(config.get("OpenStdin")), bool(wanted.get("stdin_open")))
    if wanted.get("stop_signal"):
        yield from differ("stop_signal", config.get("StopSignal") or None, wanted["stop_signal"])
    elif pair.inherited is not None:
        yield from differ("stop_signal", config.get("StopSignal") or None, pair.from_image("StopSignal") or None)
    period = wanted.get("stop_grace_period")
    seconds = None if period is None else duration_in_nanoseconds(period) // 1_000_000_000
    yield from differ("stop_grace_period", config.get("StopTimeout"), seconds)
