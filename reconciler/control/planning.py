"""From a tree and a live host to a plan: load, render, resolve, observe, compare; called by the pipeline."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from reconciler import desired as desiring
from reconciler import diff
from reconciler.apply import PreparedTarget
from reconciler.control.parts import Parts
from reconciler.model.desired import DesiredState, DesiredTarget, EnvironmentSpec, HostSpec, Rendered
from reconciler.model.errors import (
    HostKeyMismatch,
    HostUnreachable,
    InvalidInput,
    NotFound,
    NotUnderstood,
    ReconcilerError,
)
from reconciler.model.observed import ImageResolution, ObservedState
from reconciler.model.plan import Plan
from reconciler.model.revision import Tree
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import Host, ObservationRequest

_T = TypeVar("_T")
_ANY_TIME = datetime.min.replace(tzinfo=UTC)

HOSTS_AT_ONCE = 8
LOADED_TREES = 8
REMEMBERED_TARGETS = 500
LOADED_BYTES = 4 * 2**20  # of a tree that is kept loaded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One tree of the repository and what it says."""

    tree: Tree
    state: DesiredState


@dataclass(frozen=True, slots=True)
class Planned:
    """A target with its plan, and all that executing or showing it needs."""

    prepared: PreparedTarget
    observed: ObservedState
    environment: EnvironmentSpec

    @property
    def target(self) -> Target:
        return self.prepared.desired.target

    @property
    def plan(self) -> Plan:
        return self.prepared.plan


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A target that cannot be planned now: its host does not answer, or shows the wrong key."""

    target: Target
    environment: EnvironmentSpec
    error: ReconcilerError


TargetPlan = Planned | Unplanned


class _Loaded:
    """The last few small trees as they were loaded: one reconciliation alone asks for the same one four times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()

    def get(self, tree: Tree) -> Snapshot | None:
        with self._lock:
            kept = self._kept.get(tree.oid)
        return kept if kept is not None and kept.tree == tree else None

    def keep(self, made: Snapshot) -> None:
        if made.tree.oid and sum(len(file.content) for file in made.tree.files.values()) <= LOADED_BYTES:
            with self._lock:
                self._kept[made.tree.oid] = made
                while len(self._kept) > LOADED_TREES:
                    self._kept.popitem(last=False)


_loaded = _Loaded()


class _Last(Generic[_T]):
    """The last answer of a pure function for each target, given again while all that it was made from is equal.

    Most looks at a target find what the last one found, and only reading the host is then left to do.
    """

    def __init__(self) -> None:
        self._kept: dict[Target, tuple[tuple[object, ...], _T]] = {}

    def answer(self, target: Target, made_from: tuple[object, ...], make: Callable[[], _T]) -> _T:
        kept = self._kept.get(target)
        if kept is not None and kept[0] == made_from:
            return kept[1]
        made = make()
        if len(self._kept) >= REMEMBERED_TARGETS:
            self._kept.clear()
        self._kept[target] = (made_from, made)
        return made


_goals: _Last[DesiredTarget] = _Last()
_plans: _Last[Plan] = _Last()


def snapshot(tree: Tree) -> Snapshot:
    """Load a tree; InvalidInput with every problem of the repository."""
    kept = _loaded.get(tree)
    if kept is None:
        kept = Snapshot(tree, desiring.load(tree))
        _loaded.keep(kept)
    return kept


def readable(parts: Parts, revision: str) -> Snapshot | None:
    """What a commit says, None where its files cannot be read."""
    try:
        return snapshot(parts.source.tree(revision))
    except InvalidInput:
        return None


def render(parts: Parts, at: Snapshot, environment: EnvironmentSpec) -> Rendered:
    """The environment's Compose model at this tree (cached by its inputs)."""
    return parts.renderer.render(desiring.render_input(at.tree, environment))


def inputs(parts: Parts, at: Snapshot, name: EnvironmentName) -> str | None:
    """One digest of everything that the environment is made of at this tree, None where it does not exist."""
    environment = at.state.environment(name)
    if environment is None:
        return None
    return desiring.environment_digest(environment, render(parts, at, environment), at.state.hosts, at.tree)


def affected(parts: Parts, before: Snapshot | None, after: Snapshot) -> tuple[EnvironmentName, ...]:
    """The environments whose inputs differ between two trees, sorted: by rendered digest, not by file name."""
    names = {e.name for e in after.state.environments} | {e.name for e in (before.state.environments if before else ())}
    return tuple(
        name
        for name in sorted(names)
        if inputs(parts, after, name) != (inputs(parts, before, name) if before is not None else None)
    )


def targets_of(before: Snapshot | None, after: Snapshot, name: EnvironmentName) -> tuple[Target, ...]:
    """The targets that a change of this environment is about: those it has, and those it had."""
    now = after.state.environment(name)
    then = before.state.environment(name) if before is not None else None
    return tuple(sorted({*(now.targets if now else ()), *(then.targets if then else ())}))


def plan_change(
    parts: Parts, before: Snapshot, after: Snapshot, names: Iterable[EnvironmentName]
) -> tuple[TargetPlan, ...]:
    """The plans of several environments, in their order."""
    return tuple(plan for name in names for plan in plan_environment(parts, before, after, name))


def plan_environment(
    parts: Parts, before: Snapshot | None, after: Snapshot, name: EnvironmentName
) -> tuple[TargetPlan, ...]:
    """A plan for every target of the environment, from `after` against the live hosts; hosts side by side.

    `before` is the tree that was deployed last: it names hosts that the environment has left, and tells which live
    values are known not to be secret.
    """
    targets = targets_of(before, after, name)
    if len(targets) == 1:  # most have one host, and a thread of its own would cost as much as the plan's comparison
        return (plan_target(parts, before, after, targets[0]),)
    with ThreadPoolExecutor(max_workers=HOSTS_AT_ONCE) as pool:
        return tuple(pool.map(lambda target: plan_target(parts, before, after, target), targets))


def plan_target(parts: Parts, before: Snapshot | None, after: Snapshot, target: Target) -> TargetPlan:
    """The plan of one target, or why there is none now."""
    now = after.state.environment(target.environment_name)
    then = before.state.environment(target.environment_name) if before is not None else None
    leaves = now is None or target not in now.targets
    environment = then if leaves else now
    state = before.state if leaves and before is not None else after.state
    if environment is None:
        raise NotFound(f"there is no environment {target.environment_name}")
    spec = state.host(target.host)
    if spec is None:
        raise NotFound(f"there is no host {target.host}")
    try:
        host = connect(parts, state, spec)
        if leaves:
            goal = desiring.removed_target(target, environment.compose_project, environment)
            images: Mapping[str, ImageResolution] = {}
        else:
            rendered = render(parts, after, environment)
            images = host.resolve_images(desiring.image_references(rendered))
            goal = _goals.answer(
                target,
                (environment, spec, rendered, after.tree, images, parts.fingerprinter),
                lambda: desiring.target_model(
                    environment=environment,
                    target=target,
                    host=spec,
                    rendered=rendered,
                    tree=after.tree,
                    images=images,
                    fingerprinter=parts.fingerprinter,
                ),
            )
        request = observation_request(goal, images)
        observed = host.observe(request)
    except (HostUnreachable, HostKeyMismatch, NotUnderstood) as error:  # one host's trouble is no other target's
        return Unplanned(target, environment, error)
    known = known_values(parts, target.environment_name, before, after)
    plan = _plans.answer(
        target,
        (goal, replace(observed, observed_at=_ANY_TIME), known, images, parts.fingerprinter),
        lambda: diff.plan(goal, observed, diff.compare(goal, observed, known, parts.fingerprinter), images),
    )
    tree = after.tree
    prepared = PreparedTarget(
        desired=goal,
        plan=plan,
        host=host,
        request=request,
        images=images,
        known=known,
        contents=lambda bundle: desiring.bundle_contents(tree, bundle),
    )
    return Planned(prepared, observed, environment)


def observation_request(goal: DesiredTarget, images: Mapping[str, ImageResolution]) -> ObservationRequest:
    """What has to be read of the host to compare this target."""
    return ObservationRequest(
        compose_project=goal.compose_project,
        scope=str(goal.target.environment_name),
        networks=tuple(sorted(network.name for network in goal.networks)),
        volumes=tuple(sorted({*(volume.name for volume in goal.volumes), *goal.remove_volumes})),
        images=tuple(sorted({deploy_as for _, deploy_as in goal.images} | set(images))),
    )


def known_values(parts: Parts, name: EnvironmentName, before: Snapshot | None, after: Snapshot) -> Mapping[str, str]:
    """Fingerprints of the environment's non-secret values in git, before and after, with their clear text."""
    known: dict[str, str] = {}
    for at in (after,) if before is after else (before, after):
        environment = at.state.environment(name) if at is not None else None
        if at is not None and environment is not None:
            known.update(desiring.known_values(render(parts, at, environment), str(name), parts.fingerprinter))
    return known


def connect(parts: Parts, state: DesiredState, spec: HostSpec) -> Host:
    """The warm connection of a host, through its jump hosts. NotFound when a jump host is not declared."""
    jumps: list[HostSpec] = []
    via = spec.via
    while via is not None:
        jump = state.host(via)
        if jump is None or jump in jumps:
            raise NotFound(f"host {spec.name} is reached via {via}, which is not a host of this repository")
        jumps.insert(0, jump)
        via = jump.via
    return parts.hosts.host(spec, tuple(jumps))


def planned(plans: Iterable[TargetPlan]) -> tuple[Planned, ...]:
    """Those that could be planned."""
    return tuple(plan for plan in plans if isinstance(plan, Planned))


def unplanned(plans: Iterable[TargetPlan]) -> tuple[Unplanned, ...]:
    """Those that could not."""
    return tuple(plan for plan in plans if isinstance(plan, Unplanned))
