"""The door of cases about how things landed (33 to 40): a line of commits, what the forge says of them, and what
merging gives, through the partition of the deploy branch to an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reconciler.approvals import DeployBranch, UnapprovedCommits, between_ends, candidates, classify, rewound
from reconciler.model.approval import Reason
from reconciler.model.pull_request import PullRequest
from reconciler.model.revision import CommitInfo
from tests.gate.answer import Answer, texts_of
from tests.unit.approvals.evidence import REPOSITORY, pull_request

BRANCH = DeployBranch(REPOSITORY, "main")


def landings(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """Whether everything since the verified revision is the landing of somebody's pull request; refused where not.

    `line`: the first-parent commits after `verified` (base), oldest first, by name; each says its `tree` (else its
    own), its `parents` (else the one before it), its `message` and `by`. `pulls` by number: their `head` (head-N), what
    they were merged as (`merge`, none where they were not), their own `commits`, and fields of the pull request.
    `trees`: what merging a head into a commit gives (`base head-1: tree`, null for a conflict); what is not there
    proves nothing. `seen`: which pull requests the forge ties to a commit, else those merged as it. `contains`: whether
    the tip contains the verified revision. `deploys`: the commit that somebody wants to be deployed.
    """
    verified = given.get("verified", "base")
    line = list(_line(given.get("line", ()), verified))
    if not given.get("contains", True):
        tip = line[-1].sha if line else "elsewhere"
        return _answer([rewound(verified, tip)], disabled)
    pulls = {int(number): _pull(int(number), said or {}) for number, said in given.get("pulls", {}).items()}
    seen = given.get("seen", {})
    tied = {
        commit.sha: tuple(pulls[n] for n in seen[commit.sha])
        if commit.sha in seen
        else tuple(p for p in pulls.values() if p.merge_commit == commit.sha)
        for commit in line
    }
    heads = {number: _own(pull, given["pulls"][number] or {}) for number, pull in pulls.items()}
    wanted = candidates(BRANCH, line, tied, heads)
    merged = {tuple(pair.split()): tree for pair, tree in given.get("trees", {}).items()}
    trees = {pair: tree for pair, tree in merged.items() if pair in wanted}
    parts = classify(BRANCH, verified, line, tied, heads, trees)  # type: ignore[arg-type]
    reasons = [part.reason for part in parts if isinstance(part, UnapprovedCommits)]
    if "deploys" in given:
        reasons += between_ends(parts, given["deploys"])
    return _answer(reasons, disabled)


def _answer(reasons: Sequence[Reason], disabled: frozenset[int]) -> Answer:
    rules = tuple(sorted({reason.rule for reason in reasons} - disabled))
    return Answer("refused" if rules else "open", rules, texts_of(reasons))


def _line(said: Sequence[Mapping[str, Any]], before: str) -> Iterator[CommitInfo]:
    for each in said:
        yield _commit(each["id"], each, before)
        before = each["id"]


def _commit(name: str, said: Mapping[str, Any], before: str) -> CommitInfo:
    return CommitInfo(
        sha=name,
        parents=tuple(said.get("parents", (before,))),
        tree=said.get("tree", f"tree-of-{name}"),
        author_name="Author",
        author_email=f"{said.get('by', 'author')}@example.test",
        committer_name="GitHub",
        committer_email="noreply@github.com",
        committed_at=datetime(2026, 1, 5, tzinfo=UTC),
        message=said.get("message", name),
    )


def _pull(number: int, said: Mapping[str, Any]) -> PullRequest:
    end = said.get("merge")
    fields = {"merged": end is not None, "state": "closed" if end else "open"}
    fields |= {key: value for key, value in said.items() if key not in ("head", "merge", "commits")}
    return replace(pull_request(**fields), number=number, head_sha=said.get("head", f"head-{number}"), merge_commit=end)


def _own(pull: PullRequest, said: Mapping[str, Any]) -> tuple[CommitInfo, ...]:
    """The commits of the head that the branch does not contain; one, the head itself, where the case names none."""
    return tuple(_commit(each["id"], each, "base") for each in said.get("commits", ({"id": pull.head_sha},)))
