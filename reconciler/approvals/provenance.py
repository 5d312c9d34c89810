"""How it landed: the conditions on a landing (called by gate.py), and the partition of the deploy branch into landings
(called by control, which does the reading between `candidates` and `classify`).

A landing is the run of first-parent commits that ends at a pull request's merge commit; its tree must equal the merge
of the approved head into the commit before the run. Everything else was not approved by anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.approvals import numbers
from reconciler.approvals.completeness import short
from reconciler.approvals.quorum import needs_nobody
from reconciler.model.approval import Evidence, Landing, Reason
from reconciler.model.pull_request import PullRequest
from reconciler.model.revision import CommitInfo

TRAILER = re.compile(r"^(?:Co-authored-by|Suggested-by):[ \t]*(.+)$", re.IGNORECASE | re.MULTILINE)

MERGE, SQUASH, REBASE = "merge", "squash", "rebase"


@dataclass(frozen=True, slots=True)
class PullRequestLanding:
    """A landing, proven, and the pull request whose evidence has to open the gate for it."""

    pull_request: int
    landing: Landing


@dataclass(frozen=True, slots=True)
class UnapprovedCommits:
    """First-parent commits, oldest first, that are no landing of a merged pull request, and why."""

    commits: tuple[str, ...]
    reason: Reason


@dataclass(frozen=True, slots=True)
class DeployBranch:
    """Where landings count: the pinned repository and its deploy branch."""

    repository: int
    name: str


Associations = Mapping[str, tuple[PullRequest, ...]]
"""Per first-parent commit the pull requests that the forge associates with it."""

Heads = Mapping[int, Sequence[CommitInfo]]
"""Per pull request the commits of its head that the deploy branch does not contain (`Source.commits_between`)."""


# -- conditions of the gate ----------------------------------------------------------------------------------------


def author_known(evidence: Evidence) -> Iterator[Reason]:
    """Somebody opened it; without a name nobody can be told apart from the author (13)."""
    if evidence.reading.pull_request.author is None:
        yield Reason(numbers.DELETED_ACCOUNT, "the account that opened the pull request is gone")


def landed_as_approved(evidence: Evidence) -> Iterator[Reason]:
    """Merged, by its own merge commit, with exactly the tree that merging the approved head gives (35, 36, 38)."""
    pull_request = evidence.reading.pull_request
    landing = evidence.landing
    if landing is None:
        if pull_request.merged:
            yield Reason(numbers.MERGED_WITHOUT_MERGE, "the pull request is merged, and no landing of it is proven")
        return
    if not pull_request.merged or pull_request.merge_commit is None:
        yield Reason(numbers.MERGED_WITHOUT_MERGE, "the forge does not say that the pull request is merged")
    elif not landing.commits or landing.commits[-1] != pull_request.merge_commit:
        end = landing.commits[-1] if landing.commits else None
        text = f"the landing ends at {short(end)}, the merge commit is {short(pull_request.merge_commit)}"
        yield Reason(numbers.MERGED_WITHOUT_MERGE, text)
    if landing.method not in (MERGE, SQUASH, REBASE):
        yield Reason(numbers.CONTENT_CHANGED_BY_LANDING, f"'{landing.method}' is no way to land that can be proven")
    elif landing.expected_tree is None or landing.end_tree != landing.expected_tree:
        yield not_as_approved(landing.method, landing.end_tree, landing.expected_tree)


def not_as_approved(method: str, tree: str, expected: str | None) -> Reason:
    """The refusal for a landing whose tree is not the merge of what was approved."""
    number = numbers.EVIL_MERGE if method == MERGE else numbers.CONTENT_CHANGED_BY_LANDING
    if expected is None:
        return Reason(number, f"the {method} was made over a conflict, so what landed was never shown to anybody")
    return Reason(number, f"the {method} landed tree {short(tree)}; merging what was approved gives {short(expected)}")


def merged_by_a_person(evidence: Evidence) -> Iterator[Reason]:
    """No agent merges anywhere, and whom the forge does not name may be one (64); where no approval is needed, the
    merger is a registered person (3).
    """
    if evidence.landing is None:
        return
    pull_request = evidence.reading.pull_request
    merger = pull_request.merged_by
    if merger is None and pull_request.merged:
        yield Reason(numbers.AGENT_MERGED, "the forge does not say who merged it, and agents never merge; adopt it")
    for rules in evidence.rule_sets:
        agent = rules.principals.agent_of(merger.id if merger else None)
        if merger is not None and agent is not None:
            yield Reason(numbers.AGENT_MERGED, f"{merger.login} is the agent {agent.name}; agents never merge")
        elif needs_nobody(evidence) and rules.principals.person_of(merger.id if merger else None) is None:
            who = merger.login if merger else "an account that is gone"
            yield Reason(
                numbers.NOT_A_PERSON,
                f"no approval is needed here, so a registered person has to merge; it was {who}",
            )


# -- the partition of the deploy branch ----------------------------------------------------------------------------


def rewound(verified: str, tip: str) -> Reason:
    """The deploy branch no longer contains the last verified revision; history only moves forward (39)."""
    text = f"the deploy branch at {short(tip)} does not contain {short(verified)}, the last verified revision"
    return Reason(numbers.REWIND, f"{text}; it was rewound or force-pushed, and nothing is deployed backwards")


def direct_push(sha: str) -> Reason:
    """A commit of the deploy branch that no merged pull request ends at (33)."""
    return Reason(numbers.DIRECT_PUSH, f"{short(sha)} came without a merged pull request")


def candidates(
    branch: DeployBranch,
    commits: Sequence[CommitInfo],
    associations: Associations,
    heads: Heads,
) -> tuple[tuple[str, str], ...]:
    """The (first parent, pull-request head) pairs whose merge tree `classify` will ask for, sorted, each once.

    `commits` are the first-parent commits after the last verified revision, oldest first. `heads` holds
    for each pull request that `ending_at` finds the commits of its head that the branch's tip does not contain.
    """
    pairs: set[tuple[str, str]] = set()
    for index, commit in enumerate(commits):
        for pull_request in ending_at(branch, commit, associations):
            for start, _ in shapes(branch, commits, index, pull_request, associations, heads):
                pairs.add((commits[start].parents[0], pull_request.head_sha))
    return tuple(sorted(pairs))


def classify(
    branch: DeployBranch,
    verified: str,
    commits: Sequence[CommitInfo],
    associations: Associations,
    heads: Heads,
    expected_tree: Mapping[tuple[str, str], str | None],
) -> tuple[PullRequestLanding | UnapprovedCommits, ...]:
    """Partition the first-parent commits after `verified` into proven landings and unapproved runs, oldest first.

    `expected_tree` holds, for the pairs of `candidates`, the tree of the clean merge, None where it conflicts; a pair
    that is missing proves nothing.
    """
    if not commits:
        return ()
    if broken := next(breaks(verified, commits), None):
        text = f"the commits after {short(verified)} are no unbroken line at {short(broken)}"
        return (UnapprovedCommits(tuple(c.sha for c in commits), Reason(numbers.REWIND, text)),)
    parts: list[PullRequestLanding | UnapprovedCommits] = []
    index = len(commits) - 1
    while index >= 0:  # from the newest back, because a landing is known by its end
        start, part = landing_ending_at(branch, commits, index, associations, heads, expected_tree)
        parts.append(part)
        index = start - 1
    return joined(reversed(parts))


def breaks(verified: str, commits: Sequence[CommitInfo]) -> Iterator[str]:
    """The commits whose first parent is not the commit before them."""
    before = verified
    for commit in commits:
        if commit.parents[:1] != (before,):
            yield commit.sha
        before = commit.sha


def landing_ending_at(
    branch: DeployBranch,
    commits: Sequence[CommitInfo],
    index: int,
    associations: Associations,
    heads: Heads,
    expected_tree: Mapping[tuple[str, str], str | None],
) -> tuple[int, PullRequestLanding | UnapprovedCommits]:
    """What ends at this commit, and the index of its first commit. One that several pull requests could have landed by
    is none: of a merge queue's group each one has an end of its own (37).
    """
    end = commits[index]
    claims = ending_at(branch, end, associations)
    if not claims:
        return index, UnapprovedCommits((end.sha,), direct_push(end.sha))
    proven: list[tuple[int, PullRequestLanding]] = []
    refusal = Reason(
        numbers.MERGED_WITHOUT_MERGE,
        f"{short(end.sha)} does not merge the head of pull request {claims[0].number}, which claims it",
    )
    for pull_request in claims:
        for start, method in shapes(branch, commits, index, pull_request, associations, heads):
            first_parent = commits[start].parents[0]
            expected = expected_tree.get((first_parent, pull_request.head_sha))
            if expected is None or expected != end.tree:
                refusal = not_as_approved(method, end.tree, expected)
                continue
            run = tuple(commits[start : index + 1])
            shas = tuple(commit.sha for commit in run)
            landing = Landing(shas, first_parent, end.tree, expected, method, co_authors(run))
            proven.append((start, PullRequestLanding(pull_request.number, landing)))
            break
    if len(proven) == 1:
        return proven[0]
    if proven:
        claimed = ", ".join(str(landing.pull_request) for _, landing in proven)
        text = f"{short(end.sha)} is claimed by pull requests {claimed}; one landing is one pull request's"
        refusal = Reason(numbers.GROUPED, text)
    return index, UnapprovedCommits((end.sha,), refusal)


def deployable(landing: Landing) -> str:
    """The one commit of a landing whose tree is deployed: its end, never one between (40)."""
    return landing.commits[-1]


def between_ends(parts: Sequence[PullRequestLanding | UnapprovedCommits], sha: str) -> Iterator[Reason]:
    """A commit that is no end of a landing is not deployed, whoever approved what it lies in (40)."""
    for part in parts:
        if isinstance(part, PullRequestLanding) and sha in part.landing.commits and sha != deployable(part.landing):
            text = f"{short(sha)} lies within the landing of pull request {part.pull_request} and is not its end"
            yield Reason(numbers.BETWEEN_ENDS, text)


def ending_at(branch: DeployBranch, commit: CommitInfo, associations: Associations) -> tuple[PullRequest, ...]:
    """The merged pull requests into this branch whose merge commit this is, by number."""
    claims = {
        p.number: p
        for p in associations.get(commit.sha, ())
        if p.merged
        and p.merge_commit == commit.sha
        and p.base_ref == branch.name
        and p.base_repository == branch.repository
        and p.repository == branch.repository
    }
    return tuple(claims[number] for number in sorted(claims))


def shapes(
    branch: DeployBranch,
    commits: Sequence[CommitInfo],
    index: int,
    pull_request: PullRequest,
    associations: Associations,
    heads: Heads,
) -> Iterator[tuple[int, str]]:
    """The ways in which a pull request may have landed at this commit: index of the first commit, and the method.

    A rebase comes before a squash: merging the head into the last commit but one of a rebase gives the same tree, and
    its other commits would then be nobody's.
    """
    end = commits[index]
    if len(end.parents) == 2 and end.parents[1] == pull_request.head_sha:
        yield index, MERGE
    if len(end.parents) != 1 or end.sha == pull_request.head_sha:
        return
    own = [commit for commit in heads.get(pull_request.number, ()) if len(commit.parents) < 2]
    start = index - len(own) + 1
    if 0 <= start < index and is_rebase_of(own, commits[start : index + 1]):
        before = commits[start:index]
        if all(len(c.parents) == 1 and not ending_at(branch, c, associations) for c in before):
            yield start, REBASE
    yield index, SQUASH


def is_rebase_of(own: Sequence[CommitInfo], run: Sequence[CommitInfo]) -> bool:
    """Whether the run says what the pull request's commits say: a rebase keeps authors and messages, and so does not
    swallow a direct push that happens to lie before a squash.
    """

    def told(commits: Sequence[CommitInfo]) -> list[tuple[str, str]]:
        return sorted((commit.author_email, commit.message.strip()) for commit in commits)

    return told(own) == told(run)


def co_authors(run: Sequence[CommitInfo]) -> tuple[tuple[str, int | None], ...]:
    """The co-authors and suggesters that the landed commits name; whose accounts they are is for consent.py."""
    found = (match.group(1).strip() for commit in run for match in TRAILER.finditer(commit.message))
    return tuple((text, None) for text in dict.fromkeys(found))


def joined(
    parts: Iterator[PullRequestLanding | UnapprovedCommits],
) -> tuple[PullRequestLanding | UnapprovedCommits, ...]:
    """Neighbouring direct pushes as one part; every other refusal stays by itself."""
    result: list[PullRequestLanding | UnapprovedCommits] = []
    for part in parts:
        last = result[-1] if result else None
        if (
            isinstance(part, UnapprovedCommits)
            and isinstance(last, UnapprovedCommits)
            and part.reason.rule == last.reason.rule == numbers.DIRECT_PUSH
        ):
            result[-1] = UnapprovedCommits(last.commits + part.commits, last.reason)
        else:
            result.append(part)
    return tuple(result)
