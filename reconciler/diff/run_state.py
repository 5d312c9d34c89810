"""Whether a container is in the state that git wants: services run, finished jobs stay finished."""

from __future__ import annotations

from reconciler.diff.pair import Difference
from reconciler.model.change import Value
from reconciler.model.desired import DesiredService
from reconciler.model.observed import ObservedContainer

_RUNNING = Value("running", "running")
_FINISHED = Value("finished", "ended with exit code 0")
_UP = ("running", "restarting")  # a container that the engine restarts is a matter of health: nothing here mends it


def state_difference(service: DesiredService, container: ObservedContainer) -> Difference | None:
    """The one difference of state of a container, None where there is none."""
    state, name = container.state, container.name.lstrip("/")
    if state.status in _UP:
        return None
    if state.status == "paused":
        return Difference("state", Value("paused", "paused"), _RUNNING, f"{name} was paused")
    if state.status in ("dead", "removing"):
        return Difference("state", Value("dead", state.status), _RUNNING, f"{name} is {state.status}")
    if state.status == "created":
        after = _FINISHED if service.is_job else _RUNNING
        before = Value("created", "created, never started")
        return Difference("state", before, after, f"{name} was created and did not start{_because(state.error)}")
    ended = f"ended with exit code {state.exit_code}"
    if service.is_job:
        if state.exit_code == 0:
            return None
        return Difference("state", Value("failed", ended), _FINISHED, f"the job {name} {ended}")
    hint = "; if it is meant to end, name it under jobs: in environment.yaml" if state.exit_code == 0 else ""
    return Difference("state", Value("stopped", f"stopped ({ended})"), _RUNNING, f"{name} does not run{hint}")


def _because(error: str) -> str:
    return f": {error}" if error else ""
