"""The engine's event stream: the last 256 kept, and everybody who listens. Called by the engine and its interface."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

Event = Mapping[str, Any]
_KEPT = 256  # as many as the real engine keeps


class EventLog:
    """What happened, oldest first, in the engine's own form."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._listeners: list[Callable[[Event], None]] = []

    def record(self, kind: str, action: str, actor: str, attributes: Mapping[str, str], at: datetime) -> None:
        """Keep an event and hand it to all listeners; `kind` is container, network, volume or image."""
        nanoseconds = int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
        event: dict[str, Any] = {"status": action, "id": actor} if kind in {"container", "image"} else {}
        if kind == "container":
            event["from"] = attributes.get("image", "")
        event |= {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": actor, "Attributes": dict(attributes)},
            "scope": "local",
            "time": nanoseconds // 1_000_000_000,
            "timeNano": nanoseconds,
        }
        self._events.append(event)
        for listener in tuple(self._listeners):
            listener(event)

    def since(self, nanoseconds: int) -> tuple[Event, ...]:
        return tuple(event for event in self._events if event["timeNano"] >= nanoseconds)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` for each new event until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


def event_matches(event: Event, filters: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether an event passes the filters of `GET /events`: all names must match, one value of each suffices."""
    attributes: Mapping[str, str] = event["Actor"]["Attributes"]
    actor, kind = event["Actor"]["ID"], event["Type"]

    def one(name: str, value: str) -> bool:
        match name:
            case "type":
                return bool(kind == value)
            case "event":
                return bool(event["Action"] == value or event["Action"].partition(":")[0] == value)
            case "label":
                key, equals, wanted = value.partition("=")
                return key in attributes and (not equals or attributes[key] == wanted)
            case "container" | "network" | "volume":
                return kind == name and (actor.startswith(value) or attributes.get("name") == value)
            case "image":
                return value in {attributes.get("image"), attributes.get("name"), actor}
            case "scope":
                return value == "local"
            case _:
                return False

    return all(any(one(name, value) for value in values) for name, values in filters.items())
