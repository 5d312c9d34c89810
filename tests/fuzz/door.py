"""What a door is: the modules beside this one make them, and doors.py lists them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.mutation import Mutator


@dataclass(frozen=True, slots=True)
class Door:
    """`knock` gives it one odd input, and raises for anything but a proper refusal; `share` is of all inputs."""

    name: str
    share: float
    knock: Callable[[Mutator], None]
