"""What came first, by clocks that count in whole seconds. Called wherever this package compares times of the forge."""

from __future__ import annotations

from datetime import datetime


def before(event: datetime | None, approval: datetime | None) -> bool:
    """Whether an event certainly happened before an approval; forges count in whole seconds, so equal is not."""
    return event is not None and approval is not None and event < approval
