"""A clock that tests move, for the simulated engine."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reconciler.simulation.engine import Engine, Surroundings
from reconciler.simulation.image import SimulatedImage


class Call:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeTime:
    """Delayed calls run when `advance` reaches them, in order."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._calls: list[tuple[datetime, int, Call]] = []
        self._order = itertools.count()

    def later(self, seconds: float, call: Callable[[], None]) -> Call:
        entry = Call(call)
        heapq.heappush(self._calls, (self.now + timedelta(seconds=seconds), next(self._order), entry))
        return entry

    def advance(self, seconds: float) -> None:
        end = self.now + timedelta(seconds=seconds)
        while self._calls and self._calls[0][0] <= end:
            self.now, _, entry = heapq.heappop(self._calls)
            if entry.call is not None:
                entry.call()
        self.now = end


def engine_of(*images: SimulatedImage, present: tuple[str, ...] = ()) -> tuple[Engine, FakeTime]:
    """An engine whose host has the paths `present`, and its clock."""
    time, ids = FakeTime(), itertools.count(1)
    created: list[str] = []

    def create(path: str) -> bool:
        created.append(path)
        return path.startswith("/host/")

    surroundings = Surroundings(
        lambda: time.now, time.later, lambda: f"{next(ids):064x}"[::-1], lambda path: path in present, create
    )
    return Engine("SIMULATED:TEST", images or (SimulatedImage("web:1", {"Cmd": ["serve"]}),), surroundings), time
