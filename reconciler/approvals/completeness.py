"""Is the evidence whole, and does it agree with itself? The first conditions of the gate, called by gate.py.

No answer, an error, an unknown or a missing page means no. Nothing here is about people.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from reconciler.approvals import numbers
from reconciler.model.approval import Evidence, Reason
from reconciler.model.pull_request import PullRequest


def every_page(evidence: Evidence) -> Iterator[Reason]:
    """All pages of all answers are there, with at least as many commits as the forge counts (61, 63).

    More are no fault: the mirror may know commits that the base contains by now, and they only name more contributors.
    """
    reading = evidence.reading
    if not reading.complete or reading.gaps:
        for gap in reading.gaps or ("the reading is marked as incomplete",):
            yield Reason(numbers.PAGES_MISSING, f"the evidence is incomplete: {gap}")
    if not reading.raw_digests:
        yield Reason(numbers.NO_ANSWER, "no answer of the forge is on record, so nothing is proven")
    if reading.pull_request.commit_count > len(reading.commits):
        yield Reason(
            numbers.PAGES_MISSING,
            f"the forge counts {reading.pull_request.commit_count} commits and {len(reading.commits)} were read",
        )
    lists: tuple[Sequence[Hashable], ...] = (
        [review.id for review in reading.reviews],
        [commit.sha for commit in reading.commits],
        [comment.id for comment in reading.comments],
    )
    if any(repeated(each) for each in lists):
        text = "the same review, commit or comment was read twice: pages moved while reading"
        yield Reason(numbers.PAGES_MISSING, text)


def two_readings_agree(evidence: Evidence) -> Iterator[Reason]:
    """The pull request read before and after everything else, and git's own answer, are the same (62)."""
    reading = evidence.reading
    before, after = reading.pull_request, reading.again
    now = identity(after)
    for name, was in identity(before).items():
        if now[name] != was:
            text = f"{name} changed while reading, from {was} to {now[name]}; read again"
            yield Reason(numbers.ANSWERS_DISAGREE, text)
    if before.merged and before.state == "open":
        yield Reason(numbers.ANSWERS_DISAGREE, "the forge says that the pull request is merged, and that it is open")
    if reading.remote_head != before.head_sha:
        yield Reason(
            numbers.ANSWERS_DISAGREE,
            f"the forge says that the head is {short(before.head_sha)}, git says {short(reading.remote_head)}",
        )
    if reading.remote_base is None:
        yield Reason(numbers.ANSWERS_DISAGREE, f"git does not know the base branch {before.base_ref}")
    if before.head_sha not in {commit.sha for commit in reading.commits}:
        yield Reason(numbers.ANSWERS_DISAGREE, f"the head {short(before.head_sha)} is not among the commits read")


def repeated(values: Sequence[Hashable]) -> bool:
    """Whether any value stands there twice."""
    return len(set(values)) != len(values)


def identity(pull_request: PullRequest) -> dict[str, object]:
    """What must not move while the evidence is read; `merge_commit` is a trial that forges make anew before a merge."""
    return {
        "the repository": pull_request.repository,
        "the number": pull_request.number,
        "who opened it": pull_request.author.id if pull_request.author is not None else None,
        "who merged it": pull_request.merged_by.id if pull_request.merged_by is not None else None,
        "how many commits there are": pull_request.commit_count,
        "the head": pull_request.head_sha,
        "the head branch": pull_request.head_ref,
        "the head's repository": pull_request.head_repository,
        "the base branch": pull_request.base_ref,
        "the base's repository": pull_request.base_repository,
        "the state": pull_request.state,
        "draft": pull_request.draft,
        "merged": pull_request.merged,
        "the merge commit": pull_request.merge_commit if pull_request.merged else None,
        "the time of the last update": pull_request.updated_at,
    }


def right_repository(evidence: Evidence) -> Iterator[Reason]:
    """The pinned repository, and a head that lives in it (42, 43)."""
    pull_request = evidence.reading.pull_request
    for repository in sorted({pull_request.repository, pull_request.base_repository} - {evidence.repository}):
        text = f"this is repository {repository}, trusted is {evidence.repository}"
        yield Reason(numbers.OTHER_REPOSITORY, text)
    if pull_request.head_repository is None:
        yield Reason(numbers.FORK, "the repository of the head is gone")
    elif pull_request.head_repository != pull_request.base_repository:
        yield Reason(numbers.FORK, "the head lies in a fork; push the branch to the repository itself")


def right_branch(evidence: Evidence) -> Iterator[Reason]:
    """Only the deploy branch deploys (26)."""
    base = evidence.reading.pull_request.base_ref
    if base != evidence.deploy_branch:
        yield Reason(numbers.RETARGETED, f"the base is {base}, deployed is {evidence.deploy_branch}")


def still_open(evidence: Evidence) -> Iterator[Reason]:
    """Before the merge the pull request is open; a closed one is not a proposal any more (27)."""
    pull_request = evidence.reading.pull_request
    if evidence.landing is None and not pull_request.merged and pull_request.state != "open":
        yield Reason(numbers.NOT_OPEN, f"the pull request is {pull_request.state}")


def every_plan(evidence: Evidence) -> Iterator[Reason]:
    """One plan, that can be carried out, for each target that git says is affected, and for no other (30, 31)."""
    planned = [plan.target for plan in evidence.plans]
    for target in sorted(set(evidence.expected) - set(planned)):
        yield Reason(numbers.PLAN_MISSING, f"there is no plan for {target}")
    for target in sorted(set(planned) - set(evidence.expected)):
        yield Reason(numbers.PLAN_NOT_ASKED_FOR, f"there is a plan for {target}, which this change does not touch")
    if repeated(planned):
        yield Reason(numbers.PLAN_MISSING, "there are two plans for one target")
    for plan in evidence.plans:
        for obstacle in plan.obstacles:
            yield Reason(numbers.PLAN_MISSING, f"the plan for {plan.target} cannot be carried out: {obstacle}")


def short(sha: str | None) -> str:
    """A commit or a digest as people read it."""
    return f"{sha[:12]}…" if sha else "nothing"
