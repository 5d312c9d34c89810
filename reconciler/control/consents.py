"""What has to be found out about the words of a pull request before the gate judges them: who signed what, what an
account might do when it was first heard, and for how long windows kept everything closed. Called by evidence.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from reconciler.approvals import statement
from reconciler.approvals.consent import person_of_word, role_of
from reconciler.approvals.staleness import TIME_TO_LIVE
from reconciler.approvals.words import commands_in, reviews_in
from reconciler.control import windows
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.model.approval import Evidence, FirstSeen, Form, Signed, Word
from reconciler.model.pull_request import PullRequestReading, ReviewState
from reconciler.model.target import EnvironmentName

HEARD = "word-heard"
MINUTE = timedelta(minutes=1)
LONGEST_LOOK_BACK = timedelta(days=90)


def signed(parts: Parts, found: Evidence) -> Iterator[Signed]:
    """The approving comments that carry a signature by a key of their author over a plan that we posted for the head
    of now; one whose signature fits nothing is left out.
    """
    pull = found.reading.pull_request
    shown = [plan for plan in found.posted if plan.head_sha == pull.head_sha]
    for word in commands_in(found):
        signature = statement.signature_in(word.body)
        keys = _keys_of(found, word)
        if signature is None or word.state is not ReviewState.APPROVED or not keys:
            continue
        for plan in reversed(shown):
            said = statement.statement(found.repository, pull.number, plan.head_sha, plan.base_ref, plan.digests)
            key = parts.signatures.signer_of(said, signature, statement.NAMESPACE, keys)
            if key is not None:
                yield Signed(word.id, key, plan.head_sha, plan.base_ref, plan.digests)
                break


def _keys_of(found: Evidence, word: Word) -> tuple[str, ...]:
    people = [person_of_word(rules.principals, word) for rules in found.rule_sets]
    return tuple(dict.fromkeys(key for person in people if person is not None for key in person.signing_keys))


def first_seen(parts: Parts, subject: str, found: Evidence) -> tuple[FirstSeen, ...]:
    """Every word of the pull request as it was when it was first heard; what is new is written down now."""
    heard = [_heard(entry.data) for entry in parts.ledger.find(HEARD, subject)]
    known = {(seen.form, seen.id) for seen in heard}
    for word in (*reviews_in(found), *commands_in(found)):
        if (word.form, word.id) in known or word.account is None:
            continue
        people = {person.name if (person := person_of_word(r.principals, word)) else None for r in found.rule_sets}
        seen = FirstSeen(
            form=word.form,
            id=word.id,
            account=word.account.id,
            login=word.account.login,
            state=word.state,
            at=word.submitted_at,
            role=role_of(found.reading, word.account),
            person=people.pop() if len(people) == 1 else None,
        )
        parts.ledger.append(HEARD, subject, _data(seen), parts.clock.now())
        heard.append(seen)
    return tuple(heard)


def _data(seen: FirstSeen) -> dict[str, Any]:
    return {
        "form": seen.form.value,
        "id": seen.id,
        "account": seen.account,
        "login": seen.login,
        "state": seen.state.value,
        "at": seen.at.isoformat() if seen.at is not None else None,
        "role": seen.role,
        "person": seen.person,
    }


def _heard(data: dict[str, Any]) -> FirstSeen:
    at = data["at"]
    return FirstSeen(
        form=Form(data["form"]),
        id=data["id"],
        account=data["account"],
        login=data["login"],
        state=ReviewState(data["state"]),
        at=datetime.fromisoformat(at) if at is not None else None,
        role=data["role"],
        person=data["person"],
    )


def closed_times(
    reading: PullRequestReading, origins: Iterable[Snapshot], names: Sequence[EnvironmentName], now: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    """When the windows of all environments concerned, by every version of the rules, kept everything closed since the
    oldest word that could be too old by now; empty where none is, which is nearly always.
    """
    times = [review.submitted_at for review in reading.reviews if review.submitted_at is not None]
    times += [comment.created_at for comment in reading.comments]
    since = min((at for at in times if now - at > TIME_TO_LIVE), default=None)
    specs = [at.state.environment(name) for at in origins for name in names]
    every = [spec.windows for spec in specs if spec is not None]
    if since is None or not every or not all(every):
        return ()
    return tuple(
        _spans(max(since, now - LONGEST_LOOK_BACK), now, lambda at: all(windows.closed(each, at) for each in every))
    )


def _spans(
    since: datetime, until: datetime, is_closed: Callable[[datetime], bool]
) -> Iterator[tuple[datetime, datetime]]:
    """Windows begin and end with a minute."""
    at, begin = since.replace(second=0, microsecond=0), None
    while at < until:
        if is_closed(at):
            begin = begin or at
        elif begin is not None:
            yield begin, at
            begin = None
        at += MINUTE
    if begin is not None:
        yield begin, until
