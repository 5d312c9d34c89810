"""From what git says and what a host says to changes, a plan and a state of health; all of it pure."""

from reconciler.diff.comparison import compare
from reconciler.diff.planning import plan
from reconciler.diff.resumption import Diverged, Remaining, remaining
from reconciler.diff.service_health import health, worst_health

__all__ = ["Diverged", "Remaining", "compare", "health", "plan", "remaining", "worst_health"]
