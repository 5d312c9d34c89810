"""What people said that decides something: reviews, and comments that are a command. For consent.py and quorum.py.

Reviews and comments are two lists of the forge, each with an order of its own; between them only the clock decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciler.approvals.order import before, latest
from reconciler.model.approval import Evidence, FirstSeen, Form, PostedPlan, Word
from reconciler.model.pull_request import Account, Comment, Review, ReviewState

DECISIVE = frozenset({ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED})

COMMAND = re.compile(r"/reconciler (approve|reject)((?: [0-9a-f]{12,64})*)(?: .*)?")
"""`/reconciler approve DIGEST…` or `/reconciler reject [DIGEST…] [WHY]`, the whole first line of a comment."""

OBJECTION = re.compile(r"\s*/reconciler\s+reject\b", re.IGNORECASE)
"""An objection is heard however it is spaced and written; an approval has to be exact."""

SAID = {"approve": ReviewState.APPROVED, "reject": ReviewState.CHANGES_REQUESTED}


def reviews_in(evidence: Evidence) -> tuple[Word, ...]:
    """The reviews that decide something, in the forge's order."""
    return tuple(_of_review(review) for review in evidence.reading.reviews if review.state in DECISIVE)


def commands_in(evidence: Evidence) -> tuple[Word, ...]:
    """The comments that are a command, in the forge's order."""
    found = ((comment, command_in(comment.body)) for comment in evidence.reading.comments)
    return tuple(_of_comment(evidence, comment, state) for comment, state in found if state is not None)


def command_in(body: str) -> ReviewState | None:
    """What a comment says yes or no to, None where it begins with no command."""
    match = _command(body)
    if match is not None:
        return SAID[match.group(1)]
    return ReviewState.CHANGES_REQUESTED if OBJECTION.match(body) else None


def quoted_in(word: Word) -> tuple[str, ...]:
    """The digests, or beginnings of digests, that a command names; every run of hexadecimal digits in a review."""
    if word.form is Form.REVIEW:
        return tuple(HEX_RUN.findall(word.body.lower()))
    match = _command(word.body)
    return tuple(match.group(2).split()) if match is not None else ()


HEX_RUN = re.compile(r"(?<![0-9a-f])[0-9a-f]{12,64}(?![0-9a-f])")


def approvals_in(evidence: Evidence) -> tuple[Word, ...]:
    """The last approval of each account in each form, signed or not, reviews first, each in the forge's order; whether
    it counts is for the conditions to say.
    """
    signed = {each.comment for each in evidence.signed}
    words = (*reviews_in(evidence), *commands_in(evidence))
    last: dict[tuple[int | None, Form, bool], Word] = {}
    for word in words:
        if word.state is ReviewState.APPROVED:
            by_signature = word.form is Form.COMMENT and word.id in signed
            last[word.account.id if word.account else None, word.form, by_signature] = word
    return tuple(sorted(last.values(), key=words.index))


def standing(evidence: Evidence, account: Account) -> tuple[Word, ...]:
    """The last words of an account, all of which have to be approvals for one of them to count.

    Of its reviews the last in the forge's order and the last by its clock: one and the same, unless the forge is
    inconsistent. Of its commands the last one, where it objects and no approving review came certainly later. A click
    is never taken back by a comment. What became an approval by an edit, which any writer can make, answers nothing.
    """
    reviews = [word for word in reviews_in(evidence) if is_by(word, account.id)]
    last = _last_of(reviews)
    commands = [word for word in commands_in(evidence) if is_by(word, account.id) and not turned_into_approval(word)]
    objection = commands[-1] if commands and commands[-1].state is not ReviewState.APPROVED else None
    if objection is None or any(_answers(word, objection) for word in last):
        return last
    return (*last, objection)


def turned_into_approval(word: Word) -> bool:
    """Whether a comment approves since it was edited, by whomever."""
    return word.edited and word.state is ReviewState.APPROVED


def vanished(evidence: Evidence, account: int) -> Iterator[FirstSeen]:
    """Objections that we saw and that are gone or say something else now: any writer can do that to a comment, and a
    forge that hides an account to its reviews. A later word of the same account that approves answers them.
    """
    said = {(word.form, word.id): word for word in (*reviews_in(evidence), *commands_in(evidence))}
    for seen in evidence.first_seen:
        if seen.account != account or seen.state is ReviewState.APPROVED:
            continue
        now = said.get((seen.form, seen.id))
        answered = any(
            word.state is ReviewState.APPROVED
            and is_by(word, account)
            and (word.form is Form.REVIEW or not word.edited)
            and (word.id > seen.id if word.form is seen.form else before(seen.at, word.submitted_at))
            for word in said.values()
        )
        if not answered and (now is None or now.state is ReviewState.APPROVED):
            yield seen


def is_by(word: Word, account: int) -> bool:
    """Whether this account said it."""
    return word.account is not None and word.account.id == account


def _command(body: str) -> re.Match[str] | None:
    lines = body.splitlines()
    return COMMAND.fullmatch(lines[0].rstrip()) if lines else None


def _answers(word: Word, objection: Word) -> bool:
    return word.state is ReviewState.APPROVED and before(objection.submitted_at, word.submitted_at)


def _last_of(words: Sequence[Word]) -> tuple[Word, ...]:
    if not words:
        return ()
    latest = words[0]
    for word in words[1:]:  # one without a time is not known to have come later
        if latest.submitted_at is None or (word.submitted_at is not None and word.submitted_at >= latest.submitted_at):
            latest = word
    return tuple(dict.fromkeys((words[-1], latest)))


def _of_review(review: Review) -> Word:
    return Word(
        Form.REVIEW,
        review.id,
        review.account,
        review.state,
        review.commit,
        review.submitted_at,
        review.body,
        edited=review.edited is not False,
    )


def _of_comment(evidence: Evidence, comment: Comment, state: ReviewState) -> Word:
    shown = shown_at(evidence, comment)
    signed = any(each.comment == comment.id for each in evidence.signed)  # then it is the signature that says so
    return Word(
        Form.COMMENT,
        comment.id,
        comment.account,
        state,
        shown.head_sha if shown is not None else None,
        comment.created_at,
        comment.body,
        edited=comment.updated_at != comment.created_at or not (signed or comment.edited is False),
    )


def shown_at(evidence: Evidence, comment: Comment) -> PostedPlan | None:
    """The plan that stood on the pull request when a comment was written."""
    return latest([plan for plan in evidence.posted if plan.updated_at <= comment.created_at])
