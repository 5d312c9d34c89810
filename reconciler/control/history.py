"""What happened on the deploy branch since an environment's last verified revision; called by the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler import approvals
from reconciler.approvals import numbers
from reconciler.control.parts import Parts
from reconciler.model.approval import Landing, Reason
from reconciler.model.errors import NotFound, UntrustedHistory
from reconciler.model.pull_request import PullRequest
from reconciler.model.revision import CleanMerge, CommitInfo


@dataclass(frozen=True, slots=True)
class Landed:
    """A pull request's landing, proven to be the merge of its head; only its end is deployable."""

    pull_request: int
    landing: Landing
    adopted: None = None

    @property
    def revision(self) -> str:
        return approvals.deployable(self.landing)

    @property
    def first_parent(self) -> str:
        return self.landing.first_parent


@dataclass(frozen=True, slots=True)
class Unapproved:
    """A commit that belongs to no landing of a merged pull request. Each one holds, and is undone or adopted, by
    itself.
    """

    revision: str
    first_parent: str
    reason: Reason


Step = Landed | Unapproved


def steps(parts: Parts, repository: int, verified: str, tip: str) -> tuple[Step, ...]:
    """Landings and unapproved commits after `verified`, oldest first.

    UntrustedHistory (gate 39) when the tip does not come after it.
    """
    if not _is_ancestor(parts, verified, tip):
        reason = approvals.rewound(verified, tip)
        raise UntrustedHistory(
            f"{reason.text} (gate {reason.rule})",
            hint="put the branch back, or undo by a revert pull request",
        )
    commits = parts.source.first_parents(verified, tip)
    if not commits:
        return ()
    branch = approvals.DeployBranch(repository, parts.branch)
    associations = {commit.sha: parts.forge.pull_requests_of(commit.sha) for commit in commits}
    pulls = {pull.number: pull for found in associations.values() for pull in found if pull.merged}
    heads = {number: _own_commits(parts, tip, pull) for number, pull in pulls.items()}
    pairs = approvals.candidates(branch, commits, associations, heads)
    expected = {(first_parent, head): _merged_tree(parts, first_parent, head) for first_parent, head in pairs}
    found = approvals.classify(branch, verified, commits, associations, heads, expected)
    before, result = verified, list[Step]()
    for part in found:
        match part:
            case approvals.PullRequestLanding(pull_request=number, landing=landing):
                result.append(Landed(number, landing))
                before = landing.commits[-1]
            case approvals.UnapprovedCommits(commits=shas, reason=reason):
                for sha in shas:
                    own = approvals.direct_push(sha) if len(shas) > 1 and reason.rule == numbers.DIRECT_PUSH else reason
                    result.append(Unapproved(sha, before, own))
                    before = sha
    return tuple(result)


def _is_ancestor(parts: Parts, older: str, newer: str) -> bool:
    try:
        return parts.source.is_ancestor(older, newer)
    except NotFound:
        return False


def _own_commits(parts: Parts, tip: str, pull: PullRequest) -> tuple[CommitInfo, ...]:
    """The commits of the pull request's head that the branch does not contain: what a rebase or a squash landed."""
    try:
        return parts.source.commits_between(tip, pull.head_sha)
    except NotFound:
        return ()


def _merged_tree(parts: Parts, first_parent: str, head: str) -> str | None:
    try:
        preview = parts.source.merge_preview(first_parent, head)
    except NotFound:
        return None
    return preview.tree if isinstance(preview, CleanMerge) else None
