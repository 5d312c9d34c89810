"""What a pull request changes, before or after its landing: two trees, and the environments between them."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler import approvals
from reconciler.approvals import RuleChanges
from reconciler.control import planning
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.model.deployment import Deployment, DeploymentKind, DeploymentState
from reconciler.model.errors import InvalidInput
from reconciler.model.pull_request import PullRequestReading
from reconciler.model.revision import Tree
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import TrustRecord

ROLLBACK_BRANCH = "reconciler/rollback-"


@dataclass(frozen=True, slots=True)
class Change:
    """`environments` are those whose inputs differ; `rules` what happens to policy, principals and hosts."""

    before: Snapshot
    after: Snapshot
    files: tuple[str, ...]
    environments: tuple[EnvironmentName, ...]
    rules: RuleChanges

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target that the change is about, by git alone (gate 30)."""
        return tuple(
            target for name in self.environments for target in planning.targets_of(self.before, self.after, name)
        )


def between(parts: Parts, before: Snapshot, tree: Tree) -> Change:
    """The change from one tree to another. InvalidInput with every problem of the new one."""
    after = planning.snapshot(tree)
    if after.state.deploy_branch != parts.branch:
        raise InvalidInput(
            f"reconciler.yaml names the deploy branch {after.state.deploy_branch}, this control plane watches "
            f"{parts.branch}; the server's git.branch has to change with it"
        )
    files = parts.source.changed_paths(before.tree.oid, tree.oid)
    rules = approvals.rule_changes(before.state, after.state, files)
    return Change(before, after, files, planning.affected(parts, before, after), rules)


def base_at(parts: Parts, trust: TrustRecord, sha: str) -> Snapshot:
    """What a pull request changes: the tree of `sha`, or of the newest verified revision where `sha` cannot be read."""
    try:
        return planning.snapshot(parts.source.tree(sha))
    except InvalidInput:
        return _newest_verified(parts, trust)


def accepted_rules(parts: Parts, trust: TrustRecord, base: Snapshot) -> Snapshot:
    """The tree whose rules judge a pull request on `base`: where its rules are not those of the newest verified
    revision, nobody has accepted them yet, and they neither loosen nor block anything.
    """
    verified = _newest_verified(parts, trust)
    files = parts.source.changed_paths(verified.tree.oid, base.tree.oid)
    return verified if approvals.rule_changes(verified.state, base.state, files).rules_touched else base


def accepted_now(parts: Parts, trust: TrustRecord) -> Snapshot:
    """The rules that were accepted last, as of the deploy branch's tip."""
    return accepted_rules(parts, trust, base_at(parts, trust, parts.source.branch_head(parts.branch)))


def _newest_verified(parts: Parts, trust: TrustRecord) -> Snapshot:
    newest = trust.revision
    for record in parts.states.environments():
        if record.verified is not None and parts.source.is_ancestor(newest, record.verified):
            newest = record.verified
    return planning.snapshot(parts.source.tree(newest))


@dataclass(frozen=True, slots=True)
class Kind:
    """A change, or a rollback where trees prove it; then `reverts` is what it undoes, per environment."""

    kind: DeploymentKind
    reverts: Deployment | None = None


def kind_of(parts: Parts, reading: PullRequestReading, change: Change) -> Kind:
    """A branch name only claims a rollback; it is one when the inputs equal those of a state that was deployed.

    The branch `reconciler/rollback-<id>` names the deployment that is undone; the environment must become what it was
    before that one, or what any deployment before it made of it. What is adopted is a change, whatever adopts it.
    """
    pull = reading.pull_request
    claimed = parts.deployments.get(pull.head_ref.removeprefix(ROLLBACK_BRANCH))
    if not pull.head_ref.startswith(ROLLBACK_BRANCH) or claimed is None or len(change.environments) != 1:
        return Kind(DeploymentKind.CHANGE)
    if reading.adopted is not None:
        return Kind(DeploymentKind.CHANGE)
    name = EnvironmentName(claimed.project, claimed.environment)
    if change.environments != (name,):
        return Kind(DeploymentKind.CHANGE)
    now = planning.inputs(parts, change.after, name)
    history = parts.deployments.of_environment(name)
    earlier = history[history.index(claimed) + 1 :] if claimed in history else ()
    states = {
        parts.deployments.context(d.id).get("inputs")
        for d in earlier
        if d.outcome is DeploymentState.SUCCEEDED and d.kind is not DeploymentKind.BREAK_GLASS
    }  # what was deployed past the gate is no state to go back to
    if not approvals.goes_back(now, states):
        return Kind(DeploymentKind.CHANGE)
    return Kind(DeploymentKind.ROLLBACK, claimed)
