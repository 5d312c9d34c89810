"""What the policy is asked about: who wants to do what to which targets. Built by control, read by the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.policy import Action, Waiver
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a model must keep away from on its host: the Compose project that is its own, those of all other
    environments, and paths of the host that the engine or we work with (sockets and directories of hosts/*.yaml,
    before and after the change). `shared` are the absolute bind sources of all other environments on the host: path,
    whether it may be written to, and whose it is.
    """

    compose_project: str = ""
    neighbours: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()
    shared: tuple[tuple[str, bool, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is known of one target of the change.

    `model` is the rendered Compose model (`Rendered.model`), None where it could not be rendered; for a target that
    goes away `{}`. `destroys_data` says whether the plan removes a volume, None where there is no plan. `proposed` are
    the waivers as the change would leave them; they waive nothing yet.
    """

    target: Target
    tier: str | None
    model: Mapping[str, Any] | None
    destroys_data: bool | None
    around: Surroundings = Surroundings()
    proposed: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """What a change takes away, by git alone: how many services there are `before` and `after` it, each once for each
    host; `gone` names for each environment those that it loses.
    """

    before: int
    after: int
    gone: tuple[tuple[EnvironmentName, tuple[str, ...]], ...] = ()

    @property
    def count(self) -> int:
        """How many services go."""
        return sum(len(services) for _, services in self.gone)

    @property
    def percent(self) -> float:
        """Of all services that there were; all of them where more go than were counted."""
        return 100 * self.count / self.before if self.before else 100.0 * bool(self.count)


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """One change. `authors` are the account ids of everyone who shaped it (`approvals.consent.contributors_of`), None
    in it for somebody whom the forge does not know. `changed_files` are repository paths, None where they could not be
    listed. `findings` come from elsewhere (`approvals.rule_changes`) and are folded in. `removal` is None where nobody
    counted, which a rule with `removes_over` takes for a yes.
    """

    actions: tuple[Action, ...]
    targets: tuple[TargetFacts, ...]
    authors: tuple[int | None, ...]
    changed_files: tuple[str, ...] | None
    findings: tuple[Finding, ...] = ()
    removal: Removal | None = None
