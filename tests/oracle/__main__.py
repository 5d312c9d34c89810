"""`make oracle`: what the gate decides from evidence is what the rule says of the history, for every short history."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Sequence

from tests.oracle.biting import ELSEWHERE, bites
from tests.oracle.exploration import SEARCHES, Disagreement, explore

ENOUGH = 100_000
"""Distinct states that a whole run has to have seen; one that saw fewer has shown too little."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the searches; 0 when both agree on enough states, 1 when they do not."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", metavar="NAME", help="one of the searches")
    parser.add_argument("--depth", type=int, help="no deeper than this")
    parser.add_argument("--bite", action="store_true", help="take the gate's conditions away, one by one, instead")
    given = parser.parse_args(arguments)
    gc.disable()  # millions of values, none of which refers back to itself
    if given.bite:
        return bite(given.processes, given.json)
    searches = [search for search in SEARCHES if given.only in (None, search.name)]
    if not searches:
        parser.error(f"there is no search {given.only!r}; there are {', '.join(s.name for s in SEARCHES)}")

    began = time.monotonic()
    rows, wrong = [], list[Disagreement]()
    for search in searches:
        if given.depth is not None:
            search = search.no_deeper(given.depth)
        start = time.monotonic()
        found = explore(search, given.processes)
        wrong += found.disagreements
        row = {
            "search": search.name,
            "events": len(search.alphabet),
            "depth": search.depth,
            "states": sum(found.states),
            "open": sum(found.opened),
            "states_by_depth": found.states,
            "open_by_depth": found.opened,
            "moves": found.moves,
            "seconds": round(time.monotonic() - start, 1),
        }
        rows.append(row)
        if not given.json:
            print(line(row), flush=True)
    states = sum(row["states"] for row in rows)
    whole = given.only is None and given.depth is None
    ok = not wrong and (states >= ENOUGH or not whole)
    total = {"states": states, "open": sum(row["open"] for row in rows), "seconds": round(time.monotonic() - began, 1)}
    if given.json:
        print(json.dumps({"ok": ok, "data": {**total, "searches": rows, "disagreements": [plain(w) for w in wrong]}}))
        return 0 if ok else 1
    for one in wrong:
        print(text(one))
    print(
        f"{total['states']:,} states, {total['open']:,} open, {total['seconds']} s: "
        + ("agreed" if ok else "NOT SHOWN")
    )
    return 0 if ok else 1


def bite(processes: int, as_json: bool) -> int:
    """Print which of the gate's conditions are missed when they are gone; 1 when a history should have shown one."""
    tried = []
    for one in bites(processes):
        tried.append(one)
        if not as_json:
            print(one.text, flush=True)
    ok = all(one.found or one.condition in ELSEWHERE for one in tried)
    if as_json:
        rows = [{"family": b.family, "condition": b.condition, "found": b.found} for b in tried]
        print(json.dumps({"ok": ok, "data": {"conditions": rows}}))
    return 0 if ok else 1


def line(row: dict[str, object]) -> str:
    by_depth = ", ".join(f"{n:,}" for n in row["states_by_depth"])  # type: ignore[attr-defined]
    return (
        f"{row['search']:<10} {row['events']:>2} events to depth {row['depth']}: {row['states']:>9,} states "
        f"({by_depth}), {row['open']:,} open, {row['moves']:,} moves, {row['seconds']} s"
    )


def plain(one: Disagreement) -> dict[str, object]:
    reasons = [{"rule": r.rule, "text": r.text} for r in getattr(one.gate, "reasons", ())]
    gate = {"outcome": type(one.gate).__name__.lower(), "reasons": reasons}
    return {"search": one.search, "events": one.events, "oracle": one.oracle or "open", "gate": gate}


def text(one: Disagreement) -> str:
    reasons = [f"      {r.rule}: {r.text}" for r in getattr(one.gate, "reasons", ())]
    lines = [f"they disagree ({one.search}):", *(f"  {event}" for event in one.events)]
    lines += [
        f"  the rule says: {one.oracle or 'open'}",
        f"  the gate says: {type(one.gate).__name__.lower()}",
        *reasons,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
