"""Executing a deployment: wave by wave, target by target, stopping at the first failure; called by control.

A run that was cut off is run again with the same arguments: what is done already is seen on the host and not done
twice, and the record stays one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, assert_never

from reconciler import diff
from reconciler.apply.operations import Done, Failed, perform
from reconciler.diff.arrival import ArrivalFailed, Arrived, Wait, Watch, judge
from reconciler.model.deployment import Deployment, DeploymentState, OperationResult, TargetResult
from reconciler.model.desired import Bundle, DesiredService, DesiredTarget, HealthPolicy
from reconciler.model.errors import ReconcilerError, Retryable
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.health import Health, ServiceHealth
from reconciler.model.observed import ImageResolution, ObservedState
from reconciler.model.plan import (
    CreateDirectory,
    CreateNetwork,
    CreateService,
    CreateVolume,
    Operation,
    Plan,
    PullImage,
    RecreateNetwork,
    RecreateService,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RunJob,
    ScaleService,
    ShipFiles,
    StartService,
)
from reconciler.ports import Clock, Deployments, Host, ObservationRequest, Progress

SERVICE_OPERATIONS = (CreateService, RecreateService, StartService, ScaleService, RunJob)
SIDE_BY_SIDE = 4
POLL_SECONDS = 0.2
LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class PreparedTarget:
    """Everything that executing one target needs. `plan` is the approved one, and nothing beyond it is done."""

    desired: DesiredTarget
    plan: Plan
    host: Host
    request: ObservationRequest
    images: Mapping[str, ImageResolution]
    known: Mapping[str, str]
    contents: Callable[[Bundle], Mapping[str, bytes]]


def _nothing_against(_prepared: PreparedTarget) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Execution:
    """What an execution uses beside its targets. `still_allowed` is asked before each target: a text stops it there.

    Under a target's lock, `may_begin` is asked before anything is done, and a text stops it; `keep` is called when the
    target is verified, and its failure is the deployment's.
    """

    deployments: Deployments
    clock: Clock
    fingerprinter: Fingerprinter
    progress: Progress
    owner: str
    still_allowed: Callable[[], str | None]
    may_begin: Callable[[PreparedTarget], str | None] = _nothing_against
    keep: Callable[[PreparedTarget], object] = _nothing_against


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Why a target did not get to its end, and what that makes of the deployment."""

    outcome: DeploymentState
    reason: str


@dataclass(frozen=True, slots=True)
class Waves:
    """The targets wave by wave, the seconds between two waves, and how many may fail before the rest is left alone."""

    targets: tuple[tuple[PreparedTarget, ...], ...]
    pause_seconds: float = 0.0
    max_failed_hosts: int = 0


def execute(execution: Execution, deployment: Deployment, waves: Waves) -> Deployment:
    """Run a queued or cut-off deployment to its end and return the finished record (not yet stored as final).

    Retryable errors (the host went away, somebody else holds its lock) are raised and leave the deployment unfinished:
    executing it again goes on from what the host and the journal show.
    """
    finished: dict[str, TargetResult] = {str(result.target): result for result in deployment.targets}
    failures: list[_Stopped] = []
    for number, wave in enumerate(waves.targets):
        if len(failures) > waves.max_failed_hosts:
            break
        due = [target for target in wave if str(target.desired.target) not in finished]
        if not due:
            continue  # cut off after it; what is deployed already is neither waited for nor called off
        if number:
            time.sleep(waves.pause_seconds)
        refusal = execution.still_allowed()
        if refusal is not None:
            failures.append(_Stopped(DeploymentState.CANCELLED, refusal))
            break
        with ThreadPoolExecutor(max_workers=len(due)) as pool:
            ends = list(pool.map(partial(_execute_target, execution, deployment.id), due))
        for result, stopped in ends:
            if stopped is None:
                finished[str(result.target)] = result
            else:
                failures.append(stopped)
            deployment = replace(deployment, targets=_with(deployment.targets, result))
        # A target that failed is not stored before the end: after a crash it is looked at again, not taken for done.
        done = tuple(result for result in deployment.targets if str(result.target) in finished)
        execution.deployments.advance(replace(deployment, targets=done))
    outcome = failures[0] if failures else _Stopped(DeploymentState.SUCCEEDED, "healthy, and equal to git")
    return replace(deployment, outcome=outcome.outcome, reason=outcome.reason, finished_at=execution.clock.now())


def _with(results: tuple[TargetResult, ...], result: TargetResult) -> tuple[TargetResult, ...]:
    others = [other for other in results if other.target != result.target]
    return tuple(sorted([*others, result], key=lambda r: r.target))


def _execute_target(
    execution: Execution, deployment: str, prepared: PreparedTarget
) -> tuple[TargetResult, _Stopped | None]:
    """One target under its lock on the host."""
    run = _TargetRun(execution, deployment, prepared)
    with prepared.host.target_lock(prepared.desired.target, execution.owner):
        stopped = run.refused() or run.to_the_end() or run.kept()
        return run.result(stopped), stopped


class _TargetRun:
    """One target's way through its plan; lives as long as the lock on the host is held."""

    def __init__(self, execution: Execution, deployment: str, prepared: PreparedTarget) -> None:
        self.execution = execution
        self.deployment = deployment
        self.prepared = prepared
        target = prepared.desired.target
        self.begun = dict(execution.deployments.begun(deployment, target))
        self.results: list[OperationResult] = list(execution.deployments.journal(deployment, target))

    def refused(self) -> _Stopped | None:
        """What is known only on the host, and speaks against it before anything is done."""
        refusal = self.execution.may_begin(self.prepared)
        if refusal is None:
            return None
        outcome = DeploymentState.INTERRUPTED if self.begun else DeploymentState.CANCELLED
        return _Stopped(outcome, f"{self.prepared.desired.target}: {refusal}")

    def kept(self) -> _Stopped | None:
        """It is verified: what has to be kept of that is kept before anybody is told."""
        try:
            self.execution.keep(self.prepared)
        except Retryable:
            raise
        except ReconcilerError as error:
            return _Stopped(DeploymentState.FAILED, f"{self.prepared.desired.target}: {error}")
        return None

    def to_the_end(self) -> _Stopped | None:
        """Plan again on what is live now, do what is left of the approved plan, verify."""
        desired, approved = self.prepared.desired, self.prepared.plan
        observed = self.prepared.host.observe(self.prepared.request)
        if observed.engine.id != approved.engine_id:
            return _Stopped(
                DeploymentState.CANCELLED,
                f"{desired.target}: another engine answers ({observed.engine.id}) than the plan was made for",
            )
        fresh = diff.plan(desired, observed, self.changes(observed), self.prepared.images)
        if fresh.digest == approved.digest:
            due = fresh
        elif self.begun:
            match diff.remaining(approved, fresh):
                case diff.Remaining(plan=due):
                    pass
                case diff.Diverged(changes=changes):
                    what = "; ".join(sorted({f"{c.subject} {c.field}".strip() for c in changes})[:5])
                    return _Stopped(
                        DeploymentState.INTERRUPTED,
                        f"{desired.target}: after the interruption more differs than was approved: {what}",
                    )
        else:
            return _Stopped(
                DeploymentState.CANCELLED,
                f"{desired.target}: the live state moved, the plan is now {fresh.digest[:12]} and not "
                f"{approved.digest[:12]} (gate 29); new consent is needed",
            )
        if due.obstacles:
            return _Stopped(DeploymentState.FAILED, f"{desired.target}: {due.obstacles[0].text}")
        indexes = self.indexes(due)
        self.settle(self.open() - set(indexes))
        return self.carry_out(due, indexes, observed) or self.verify()

    def indexes(self, due: Plan) -> tuple[int, ...]:
        """The number of each operation that is due: that of the approved operation which it takes up."""
        approved = self.prepared.plan.operations
        done = {result.index for result in self.results}
        free = {index: operation for index, operation in enumerate(approved) if index not in done}
        further = count(max(len(approved), 1 + max(self.begun, default=0)))
        numbers = []
        for operation in due.operations:
            same = [index for index, other in free.items() if _thing(other) == _thing(operation)]
            exact = [index for index in same if type(free[index]) is type(operation)]
            number = next(iter(exact or same), None)
            if number is None:
                numbers.append(next(further))
            else:
                numbers.append(number)
                del free[number]
        return tuple(numbers)

    def open(self) -> set[int]:
        """Operations that were begun and of which no outcome is known: a run was cut off in them."""
        return set(self.begun) - {result.index for result in self.results}

    def settle(self, indexes: set[int]) -> None:
        """Note as done what a run was cut off in and what the host shows to need no more doing."""
        for index in sorted(indexes):
            result = self.cut_off(index, "already", "the host had it done when the work was taken up again")
            self.execution.deployments.journal_outcome(self.deployment, self.prepared.desired.target, result)
            self.results.append(result)

    def cut_off(self, index: int, outcome: str, detail: str) -> OperationResult:
        approved = self.prepared.plan.operations
        operation = approved[index] if index < len(approved) else None
        return OperationResult(
            index=index,
            operation=type(operation).__name__ if operation is not None else "",
            subject=subject_of(operation) if operation is not None else "",
            why=operation.why if operation is not None else "",
            outcome=outcome,
            detail=detail,
            started_at=self.begun[index],
            finished_at=self.execution.clock.now(),
        )

    def changes(self, observed: ObservedState) -> tuple[Any, ...]:
        return diff.compare(self.prepared.desired, observed, self.prepared.known, self.execution.fingerprinter)

    def carry_out(self, due: Plan, indexes: tuple[int, ...], before: ObservedState) -> _Stopped | None:
        for stage in due.stages:
            operations = [due.operations[place] for place in stage]
            self.announce(operations[0])
            began = self.execution.clock.now()
            with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
                results = list(pool.map(self.do, operations, [indexes[place] for place in stage]))
            self.results.extend(results)
            failed = next((result for result in results if result.outcome == "failed"), None)
            if failed is not None:
                return _Stopped(
                    DeploymentState.FAILED,
                    f"{self.prepared.desired.target}: {failed.operation} {failed.subject}: {failed.detail}",
                )
            services = [o.service for o in operations if isinstance(o, SERVICE_OPERATIONS)]
            stopped = self.wait_for(
                services, HealthPolicy(self.prepared.desired.health.timeout, _NO_TIME), before, began
            )
            if stopped is not None:
                return stopped
        return None

    def announce(self, first: Operation) -> None:
        state = {ShipFiles: DeploymentState.SHIPPING, PullImage: DeploymentState.PULLING}.get(
            type(first), DeploymentState.OPERATING
        )
        self.say(state)

    def say(self, state: DeploymentState) -> None:
        self.execution.progress(
            "deployment.state",
            {"deployment": self.deployment, "target": str(self.prepared.desired.target), "state": state.value},
        )

    def do(self, operation: Operation, index: int) -> OperationResult:
        """Intent, work, outcome; each on disk before the next."""
        execution, target = self.execution, self.prepared.desired.target
        kind, started = type(operation).__name__, execution.clock.now()
        execution.deployments.journal_intent(
            self.deployment, target, index, kind, started, subject_of(operation), operation.why
        )
        outcome: Done | Failed
        try:
            outcome = perform(operation, self.prepared.host, self.prepared.desired, self.prepared.contents)
        except Retryable:
            raise
        except ReconcilerError as error:
            outcome = Failed(str(error))
        result = OperationResult(
            index=index,
            operation=kind,
            subject=subject_of(operation),
            why=operation.why,
            outcome="done" if isinstance(outcome, Done) else "failed",
            detail=outcome.detail,
            started_at=started,
            finished_at=execution.clock.now(),
        )
        execution.deployments.journal_outcome(self.deployment, target, result)
        execution.progress(
            "operation.finished",
            {"deployment": self.deployment, "target": str(target), "operation": kind, "subject": result.subject,
             "outcome": result.outcome, "why": operation.why},
        )  # fmt: skip
        return result

    def wait_for(
        self, services: list[str], health: HealthPolicy, before: ObservedState, began: datetime
    ) -> _Stopped | None:
        """Until every one of the services has arrived, or the first has failed."""
        waiting = [service for service in self.prepared.desired.services if service.name in services]
        watch = Watch.begin(before)
        while waiting:
            observed = self.prepared.host.observe(self.prepared.request)
            elapsed = (self.execution.clock.now() - began).total_seconds()
            watch = watch.saw(observed, elapsed)
            still: list[DesiredService] = []
            for service in waiting:
                match judge(service, health, watch):
                    case Arrived():
                        pass
                    case Wait():
                        still.append(service)
                    case ArrivalFailed(reason=reason):
                        return _Stopped(
                            DeploymentState.NOT_CONVERGED,
                            f"{self.prepared.desired.target}: {service.name}: {reason}"
                            f"{self.last_words(service, observed)}",
                        )
            waiting = still
            if waiting:
                time.sleep(POLL_SECONDS)
        return None

    def last_words(self, service: DesiredService, observed: ObservedState) -> str:
        containers = [c for c in observed.containers if c.service == service.name and not c.one_off]
        if not containers:
            return ""
        try:
            lines = self.prepared.host.logs(containers[0].id, LOG_LINES).strip()
        except ReconcilerError:
            return ""
        return f"\nlast lines of {containers[0].name}:\n{lines}" if lines else ""

    def verify(self) -> _Stopped | None:
        """Observe again: everything has arrived and stays, and a fresh comparison is empty."""
        self.say(DeploymentState.VERIFYING)
        desired = self.prepared.desired
        began = self.execution.clock.now()
        observed = self.prepared.host.observe(self.prepared.request)
        touched = {result.subject for result in self.results if result.operation in _SERVICE_KINDS}
        stopped = self.wait_for(
            [s.name for s in desired.services if s.name in touched], desired.health, observed, began
        )
        if stopped is not None:
            return stopped
        left = self.changes(self.prepared.host.observe(self.prepared.request))
        if left:
            what = "; ".join(f"{change.subject} {change.field}".strip() for change in left[:5])
            return _Stopped(DeploymentState.NOT_CONVERGED, f"{desired.target}: still differs from git: {what}")
        return None

    def result(self, stopped: _Stopped | None) -> TargetResult:
        """The target's part of the record, from one last look at the host."""
        desired = self.prepared.desired
        try:
            observed = self.prepared.host.observe(self.prepared.request)
            services = diff.health(desired, observed)
            containers = tuple((c.name, c.id) for c in observed.containers if not c.one_off)
        except ReconcilerError as error:
            services, containers = (ServiceHealth("*", Health.UNKNOWN, str(error)),), ()
        lost = [self.cut_off(index, "unknown", "a run was cut off in it") for index in self.open()]
        whole = diff.worst_health(services)
        if stopped is not None and whole is Health.HEALTHY:
            whole = Health.DEGRADED
        return TargetResult(
            target=desired.target,
            plan_digest=self.prepared.plan.digest,
            engine_id=self.prepared.plan.engine_id,
            operations=tuple(sorted([*self.results, *lost], key=lambda r: r.index)),
            health=whole,
            services=services,
            containers=tuple(sorted(containers)),
        )


_NO_TIME = HealthPolicy().stable_for * 0
_SERVICE_KINDS = frozenset(kind.__name__ for kind in SERVICE_OPERATIONS)


def _thing(operation: Operation) -> tuple[str, str]:
    """What an operation is about, whichever of its kind it is: to recreate a service and to start it are about one."""
    match operation:
        case CreateService() | RecreateService() | StartService() | ScaleService():
            kind = "service"
        case CreateNetwork() | RecreateNetwork():
            kind = "network"
        case _:
            kind = type(operation).__name__
    return kind, subject_of(operation)


def subject_of(operation: Operation) -> str:
    """What an operation acts on, in one word for records: a service, a network, a path, an image."""
    match operation:
        case CreateService() | RecreateService() | StartService() | ScaleService() | RunJob():
            return operation.service
        case CreateNetwork() | RecreateNetwork():
            return operation.network.name
        case CreateVolume():
            return operation.volume.name
        case RemoveNetwork() | RemoveVolume():
            return operation.name
        case RemoveContainer():
            return operation.container
        case CreateDirectory():
            return operation.path
        case PullImage():
            return operation.reference
        case ShipFiles():
            return operation.bundle.source
        case _:
            assert_never(operation)
