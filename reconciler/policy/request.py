"""What the policy is asked about: who wants to do what to which targets. Built by control, read by the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.policy import Action
from reconciler.model.target import Target
from reconciler.model.verdict import Finding


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is known of one target of the change.

    `model` is the rendered Compose model (`Rendered.model`), None where it could not be rendered; for a target that
    goes away `{}`. `destroys_data` says whether the plan removes a volume, None where there is no plan.
    """

    target: Target
    tier: str | None
    model: Mapping[str, Any] | None
    destroys_data: bool | None


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """One change. `authors` are the account ids of everyone who shaped it (`approvals.consent.contributors_of`), None
    in it for somebody whom the forge does not know. `changed_files` are repository paths, None where they could not be
    listed. `findings` come from elsewhere (`approvals.rule_changes`) and are folded in.
    """

    actions: tuple[Action, ...]
    targets: tuple[TargetFacts, ...]
    authors: tuple[int | None, ...]
    changed_files: tuple[str, ...] | None
    findings: tuple[Finding, ...] = ()
