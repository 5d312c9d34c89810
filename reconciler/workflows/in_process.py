"""The first engine: runs a deployment in the caller's thread, over the journal in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.model.deployment import Deployment
from reconciler.model.errors import Terminal


def _unbound(deployment: str) -> Deployment:
    raise Terminal(f"deployment {deployment} cannot run: the engine was given no work")


@dataclass(slots=True)
class InProcessEngine:
    """Implements ports.Engine; bootstrap sets `work`."""

    work: Callable[[str], Deployment] = _unbound

    def execute(self, deployment: str) -> Deployment:
        """Run it to its end; calling again after a cut goes on where the journal and the host say."""
        return self.work(deployment)
