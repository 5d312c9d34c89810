"""`make fuzz`: odd inputs at every door. ARGS="--inputs N --seed S", and `--door NAME` for one of them."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from math import ceil
from random import Random
from types import FrameType

from tests.fuzz.door import Door
from tests.fuzz.doors import DOORS
from tests.fuzz.mutation import Mutator

LONGEST = 5.0
"""Seconds of the processor for one input; more is a hang."""


class Hang(Exception):
    """One input took too long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Knock at all doors; 0 when nothing but refusals came out, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000, help="of all doors together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--door", choices=[door.name for door in DOORS])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(arguments)
    doors = [door for door in DOORS if given.door in (None, door.name)]
    shares = sum(door.share for door in doors)
    rows = []
    for door in doors:
        rows.append(knock(door, ceil(given.inputs * door.share / shares), given.seed))
        if not given.json:
            print(line(rows[-1]), flush=True)
    faults = sum(len(row["faults"]) for row in rows)  # type: ignore[misc, arg-type]
    ok = not faults
    if given.json:
        print(json.dumps({"ok": ok, "data": {"doors": rows}}))
    else:
        print(f"{sum(map(inputs_of, rows)):,} inputs at {len(rows)} doors: {faults} faults")
    return 0 if ok else 1


def knock(door: Door, inputs: int, seed: int) -> dict[str, object]:
    """Give a door its inputs, each from a seed of its own, so that one can be given again."""
    signal.signal(signal.SIGPROF, too_long)
    faults: dict[str, str] = {}
    began, slowest = time.monotonic(), 0.0
    for number in range(inputs):
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        try:
            door.knock(Mutator(Random(f"{door.name} {seed} {number}")))  # noqa: S311
        except Exception as error:  # noqa: BLE001
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__} in {place.filename.rpartition('/')[2]}:{place.lineno}"
            faults.setdefault(text, f"input {number} of seed {seed}: {str(error)[:200]}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, time.monotonic() - start)
    seconds = time.monotonic() - began
    return {
        "door": door.name,
        "inputs": inputs,
        "seconds": round(seconds, 1),
        "per_second": round(inputs / seconds) if seconds else 0,
        "slowest_ms": round(slowest * 1000, 1),
        "faults": faults,
    }


def inputs_of(row: dict[str, object]) -> int:
    return int(str(row["inputs"]))


def too_long(signal_number: int, frame: FrameType | None) -> None:
    raise Hang(f"one input takes more than {LONGEST} s")


def line(row: dict[str, object]) -> str:
    faults = "".join(f"\n    {where}: {text}" for where, text in row["faults"].items())  # type: ignore[attr-defined]
    return (
        f"{row['door']:<12} {row['inputs']:>9,} inputs, {row['per_second']:>6,} a second, "
        f"slowest {row['slowest_ms']} ms, {len(row['faults'])} faults{faults}"  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    sys.exit(main())
