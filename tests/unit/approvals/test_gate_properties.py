"""Properties of the gate over many evidences: what only takes away never opens it, and the same gives the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.approvals import decide
from reconciler.model.approval import Evidence, Open
from reconciler.model.pull_request import ReviewState, TimelineEvent, TimelineKind
from reconciler.model.verdict import Finding, Severity
from reconciler.reports.gate import gate_text, refusal_json
from tests.unit.approvals.evidence import ACCOUNTS, NOW, commit, evidence, review, sha, time_of

NAMES = st.sampled_from(sorted(ACCOUNTS))

REVIEWS = st.lists(
    st.fixed_dictionaries(
        {
            "by": st.one_of(NAMES, st.none()),
            "state": st.sampled_from([state.value for state in ReviewState]),
            "commit": st.sampled_from(["head", "old"]),
            "at": st.sampled_from(["11:59", "12:00:10", "12:01", "12:05", "12:06"]),
        }
    ),
    max_size=6,
)

EVIDENCE = st.builds(
    lambda reviews, author, by, needs, merged, merged_by, owner_may: evidence(
        reviews=reviews,
        pull={"author": author} | ({"merged_by": merged_by} if merged else {}),
        commits=[{"by": by}],
        rules={"needs": [{"approvals": needs}], "owner_may": owner_may},
        merged=merged,
    ),
    REVIEWS,
    NAMES,
    st.one_of(NAMES, st.none()),
    st.integers(0, 2),
    st.booleans(),
    NAMES,
    st.booleans(),
)

noon = time_of(NOW)
assert noon is not None
DECIDED_AT = noon


def taken_away(whole: Evidence) -> list[Evidence]:
    """The evidence with one thing less, or one objection, contributor or event more."""
    reading = whole.reading
    others = [replace(reading, complete=False), replace(reading, raw_digests=()), replace(reading, remote_head=None)]
    others += [
        replace(reading, reviews=tuple(r for r in reading.reviews if r is not gone))
        for gone in reading.reviews
        if gone.state is ReviewState.APPROVED and gone is [r for r in reading.reviews if r.account == gone.account][-1]
    ]
    others += [
        replace(reading, permissions=tuple(p for p in reading.permissions if p is not gone))
        for gone in reading.permissions
    ]
    counts = replace(reading.pull_request, commit_count=len(reading.commits) + 1)
    for name in ("reviewer", "second", "agent", None):
        extra = commit("extra", by=name, email="extra@example.test")
        others.append(replace(reading, commits=(*reading.commits, extra), pull_request=counts, again=counts))
    for kind in (TimelineKind.HEAD_FORCE_PUSHED, TimelineKind.BASE_CHANGED, TimelineKind.REOPENED):
        others.append(replace(reading, timeline=(*reading.timeline, TimelineEvent(kind, None, None))))
    objection = review("operator", "CHANGES_REQUESTED", at="12:07", number=99)
    others.append(replace(reading, reviews=(*reading.reviews, objection)))
    return [replace(whole, reading=other) for other in others] + [
        replace(whole, posted=()),
        replace(whole, rule_sets=()),
        replace(whole, policy_readable=False),
        replace(whole, holds=("suspended",)),
    ]


@settings(max_examples=60, deadline=None)
@given(EVIDENCE)
def test_evidence_that_only_takes_approvers_away_never_opens_the_gate(whole: Evidence) -> None:
    if isinstance(decide(whole, DECIDED_AT), Open):
        return
    for less in taken_away(whole):
        assert not isinstance(decide(less, DECIDED_AT), Open)


@settings(max_examples=60, deadline=None)
@given(EVIDENCE)
def test_an_open_gate_names_only_persons_who_had_no_part_in_it(whole: Evidence) -> None:
    answer = decide(whole, DECIDED_AT)
    if isinstance(answer, Open):
        author = whole.reading.pull_request.author
        for approval in answer.approvals:
            assert approval.person in {"author", "reviewer", "second", "operator"}
            assert author is not None
            assert approval.account != author.id
            assert approval.head_sha == sha("head")
        assert answer.digests == tuple((plan.target, plan.digest) for plan in whole.plans)


@settings(max_examples=30, deadline=None)
@given(EVIDENCE)
def test_the_same_evidence_gives_the_same_answer(whole: Evidence) -> None:
    assert decide(whole, DECIDED_AT) == decide(whole, DECIDED_AT)


def test_the_attestation_covers_the_raw_answers() -> None:
    one = decide(evidence(), DECIDED_AT)
    other = decide(evidence(raw_digests=[("pull_request", "0" * 64)]), DECIDED_AT)
    assert isinstance(one, Open)
    assert isinstance(other, Open)
    assert one.attestation != other.attestation


def test_the_attestation_covers_what_was_waived() -> None:
    whole = evidence()
    finding = Finding("cap-add", Severity.NOTE, "waived: why", gate=78, digest="a" * 64, waived=True)
    for findings in ((finding,), (replace(finding, waived=False),)):
        rule_sets = tuple(
            replace(rules, verdict=replace(rules.verdict, findings=findings)) for rules in whole.rule_sets
        )
        one, other = (decide(found, DECIDED_AT) for found in (whole, replace(whole, rule_sets=rule_sets)))
        assert isinstance(one, Open)
        assert isinstance(other, Open)
        assert (one.attestation != other.attestation) is findings[0].waived


def test_waiting_names_who_may_still_approve() -> None:
    answer = decide(evidence(reviews=[]), DECIDED_AT)
    assert "by operator or reviewer or second" in gate_text(answer)


def test_waiting_says_the_way_out_when_nobody_is_left() -> None:
    rules = {"needs": [{"approvals": 1, "group": "developers"}]}
    answer = decide(evidence(reviews=[], commits=[{"by": "operator"}], rules=rules), DECIDED_AT)
    assert "a second person is added to principals.yaml" in gate_text(answer)


def test_a_refusal_names_the_numbers() -> None:
    moved = evidence(pull={"head": "new"}, commits=[{}, {"sha": "new"}])
    answer = refusal_json(decide(moved, DECIDED_AT))
    assert answer is not None
    assert answer["code"] == "GATE_REFUSED"
    assert answer["reasons"] == [
        {"rule": 16, "text": f"approved at {str(sha('head'))[:12]}…, head is now {str(sha('new'))[:12]}…"}
    ]


def test_time_alone_never_opens_the_gate() -> None:
    early = evidence(shown=[{"at": "12:04:50"}])
    for hours in (0, 1, 24, 72, 1000):
        assert not isinstance(decide(early, DECIDED_AT + timedelta(hours=hours)), Open)
