"""What came first, by clocks that count in whole seconds. Called wherever this package compares times of the forge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reconciler.model.approval import PostedPlan


def before(event: datetime | None, approval: datetime | None) -> bool:
    """Whether an event certainly happened before an approval; forges count in whole seconds, so equal is not."""
    return event is not None and approval is not None and event < approval


def latest(posted: Sequence[PostedPlan]) -> PostedPlan | None:
    """The plan that was posted last. `posted` is in the order of our record, which decides within one second."""
    found: PostedPlan | None = None
    for plan in posted:
        if found is None or plan.updated_at >= found.updated_at:
            found = plan
    return found
