"""The log driver and its options; a live option's value may be a token, so it is shown only where git says the same."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.diff.pair import Difference, Pair, differ, shown
from reconciler.model.change import ABSENT, Value

_DEFAULT = "json-file"


def check(pair: Pair) -> Iterable[Difference]:
    live = pair.host.get("LogConfig") or {}
    wanted = pair.wanted.get("logging") or {}
    driver = wanted.get("driver")
    if driver:
        yield from differ("logging.driver", live.get("Type") or None, driver)
    elif pair.redefined and live.get("Type") != _DEFAULT:
        yield from differ("logging.driver", live.get("Type") or None, None)
    before = {str(name): str(value) for name, value in (live.get("Config") or {}).items()}
    after = {str(name): str(value) for name, value in (wanted.get("options") or {}).items()}
    for name in sorted(before.keys() | after.keys()):
        if name not in after and not pair.redefined:
            continue  # the engine may have default options of its own
        if before.get(name) != after.get(name):
            masked = ABSENT if name not in before else Value("another value", "another value")
            yield Difference(f"logging.options.{name}", masked, shown(after.get(name)))
