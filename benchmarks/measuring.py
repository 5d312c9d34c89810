"""Two sides timed in turns within one run, and what the times say; called by the cases and the report.

Pure but for calling the sides: what a side does, and with which clock, is its own matter.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Side = Callable[[], float]
"""Does the work once and gives the seconds it took; what it prepares before or checks after is not in them."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each run after the warm-up, in order; `peer` is empty where there is nothing to compare with."""

    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What the times of a case say. Milliseconds; `ratio` is the median of ours over the median of the peer's.

    `p95_ms` is what 95 of 100 of our runs stay under. `spread` is the noise: the distance between the quartiles as a
    share of the median, of the side where it is larger. `times_ms` and `peer_times_ms` are the runs themselves, in the
    order in which they were taken in turns.
    """

    median_ms: float
    p95_ms: float
    spread: float
    times_ms: tuple[float, ...]
    peer_median_ms: float | None = None
    peer_times_ms: tuple[float, ...] | None = None
    ratio: float | None = None


def in_turns(ours: Side, peer: Side | None, runs: int, warm_up: int) -> Times:
    """Ours, peer, ours, peer, …: what disturbs the machine for a while disturbs both alike."""
    mine, others = list[float](), list[float]()
    for number in range(warm_up + runs):
        for side, times in ((ours, mine), (peer, others)):
            if side is not None:
                seconds = side()
                if number >= warm_up:
                    times.append(seconds)
    return Times(tuple(mine), tuple(others))


def figures(times: Times) -> Figures:
    """Medians, ratio and noise."""
    median = statistics.median(times.ours)
    alone = Figures(
        median_ms=_ms(median),
        p95_ms=_ms(_p95(times.ours)),
        spread=round(_spread(times.ours), 3),
        times_ms=tuple(map(_ms, times.ours)),
    )
    if not times.peer:
        return alone
    peer_median = statistics.median(times.peer)
    return replace(
        alone,
        spread=round(max(_spread(times.ours), _spread(times.peer)), 3),
        peer_median_ms=_ms(peer_median),
        peer_times_ms=tuple(map(_ms, times.peer)),
        ratio=round(median / peer_median, 3),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _p95(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]


def _spread(times: Sequence[float]) -> float:
    if len(times) < 2:
        return 0.0
    lower, middle, upper = statistics.quantiles(times, n=4, method="inclusive")
    return (upper - lower) / middle
