"""The one comment: what destroys comes first, foreign text stays text, and the plan part has its own digest."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.approval import Open, Reason, Refused, Stale, Waiting
from reconciler.model.canonical import digest
from reconciler.model.change import ABSENT, Change, ChangeKind, Subject, SubjectKind, Value
from reconciler.model.location import Location
from reconciler.model.plan import Obstacle, Plan, RecreateService, RemoveVolume
from reconciler.model.target import Target
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from reconciler.reports.comment import (
    LONGEST_COMMENT,
    comment_markdown,
    plan_section,
    read_marker,
    status_section,
)
from reconciler.reports.statuses import plan_status

HEAD = "3f2a" * 10
ALLOWED = Verdict((), (Requirement(1, "operators", "production-needs-one"),), "d")
WAITING = Waiting(("one approval is missing: by reviewer",), ())


def change(name: str = "web", destroys: bool = False, why: str = "git names another image", **over: Any) -> Change:
    subject = Subject(SubjectKind.VOLUME if destroys else SubjectKind.SERVICE, name)
    plain = Change(
        ChangeKind.REMOVE if destroys else ChangeKind.UPDATE,
        subject,
        "" if destroys else "image",
        Value("old", "old"),
        ABSENT if destroys else Value("new", "new"),
        why,
        Location("projects/shop/compose.yaml", 3),
        destroys=destroys,
    )
    return replace(plain, **over)


def plan(host: str = "web-1", *changes: Change, obstacles: tuple[Obstacle, ...] = ()) -> Plan:
    changes = changes or (change(),)
    operations = tuple(
        RemoveVolume(c.subject.name, c.why) if c.destroys else RecreateService(c.subject.name, 1, c.why)
        for c in changes
    )
    target = Target("shop", "production", host)
    return Plan(
        target=target,
        engine_id=f"engine-{host}",
        changes=changes,
        operations=operations,
        stages=tuple((index,) for index in range(len(operations))),
        images=(),
        files=(),
        obstacles=obstacles,
        digest=digest([str(target), len(changes)]),
    )


def test_the_comment_has_plan_policy_and_who_is_missing() -> None:
    body = comment_markdown(plan_section(HEAD, [plan()]), ALLOWED, WAITING, ["one person stands behind both"])
    for part in (
        "shop/production@web-1",
        "Policy",
        "needs one approval from operators",
        "by reviewer",
        "stands behind",
    ):
        assert part in body
    assert body.index("Plan for") < body.index("### Policy") < body.index("### Approval")


def test_the_marker_can_be_read_back() -> None:
    plans = [plan("web-2"), plan("web-1")]
    found = read_marker(comment_markdown(plan_section(HEAD, plans), ALLOWED, WAITING))
    assert found is not None
    assert found.head_sha == HEAD
    assert found.intact
    assert dict(found.digests) == {str(p.target): p.digest for p in plans}


def test_who_is_missing_does_not_change_the_plan_part() -> None:
    section = plan_section(HEAD, [plan()])
    waiting = read_marker(comment_markdown(section, ALLOWED, WAITING))
    opened = read_marker(comment_markdown(section, ALLOWED, Open((), (), HEAD, "a")))
    assert waiting == opened
    assert plan_section(HEAD, [plan()]) == section
    assert plan_section(HEAD, [plan("web-1", change("db"))]).digest != section.digest


def test_an_edited_plan_part_is_noticed() -> None:
    body = comment_markdown(plan_section(HEAD, [plan()]), ALLOWED, WAITING)
    edited = read_marker(body.replace("git names another image", "nothing to see here"))
    assert edited is not None
    assert not edited.intact
    through_the_web_page = read_marker(body.replace("\n", "\r\n"))
    assert through_the_web_page is not None
    assert through_the_web_page.intact


def test_a_marker_that_nests_without_end_is_none() -> None:
    body = comment_markdown(plan_section(HEAD, [plan()]), ALLOWED, WAITING)
    begin, end = body.index("targets=") + len("targets="), body.index(" -->")
    assert read_marker(body[:begin] + '{"a":' * 50_000 + "1" + "}" * 50_000 + body[end:]) is None


def test_a_comment_of_somebody_else_has_no_marker() -> None:
    body = comment_markdown(plan_section(HEAD, [plan()]), ALLOWED, WAITING)
    assert read_marker("looks good to me") is None
    assert read_marker(f"> quoted\n{body}") is None


def test_what_destroys_stands_before_everything_else_and_is_marked() -> None:
    plans = [plan("web-1"), plan("web-2", change(), change("data", destroys=True))]
    text = plan_section(HEAD, plans).text
    assert "**DESTROYS**" in text
    assert text.index("DESTROYS") < text.index("web-1`: ")


def test_the_same_plan_for_many_targets_is_shown_once() -> None:
    plans = [plan(f"web-{number:03}") for number in range(40)]
    text = plan_section(HEAD, plans).text
    assert text.count("git names another image") == plan_section(HEAD, plans[:1]).text.count("git names another image")
    assert "The same plan for 40 targets" in text
    assert all(p.digest in text for p in plans)


def test_a_big_plan_is_cut_and_still_fits() -> None:
    changes = [change(f"service-{number}", why="x" * 300) for number in range(1000)]
    section = plan_section(HEAD, [plan("web-1", *changes, change("data", destroys=True)), plan("web-2")])
    body = comment_markdown(section, ALLOWED, WAITING)
    assert section.fits
    assert len(body) <= LONGEST_COMMENT
    assert "data" in body.split("changes and operations")[0]


def test_destruction_that_does_not_fit_fails_and_says_to_split() -> None:
    section = plan_section(HEAD, [plan("web-1", *(change(f"data-{n}", True, "y" * 400) for n in range(200)))])
    assert not section.fits
    assert len(comment_markdown(section, ALLOWED, WAITING)) <= LONGEST_COMMENT
    assert "split this pull request" in section.text
    assert plan_status([plan()], fits=section.fits).state == "failure"
    found = read_marker(section.text)
    assert found is not None
    assert found.intact


def test_hundreds_of_different_plans_stay_within_the_limit() -> None:
    plans = [plan(f"web-{n}", change(f"s{n}")) for n in range(400)]
    section = plan_section(HEAD, plans)
    assert not section.fits
    assert len(comment_markdown(section, ALLOWED, WAITING)) <= LONGEST_COMMENT
    found = read_marker(section.text)
    assert found is not None
    assert found.digests == ()


def test_nothing_to_do_says_so() -> None:
    assert "Nothing on any host changes" in plan_section(HEAD, []).text


def test_a_host_that_is_down_is_noted() -> None:
    assert "web-9 did not answer" in plan_section(HEAD, [], ["web-9 did not answer"]).text


def test_an_obstacle_is_shown() -> None:
    assert "image is nowhere" in plan_section(HEAD, [plan(obstacles=(Obstacle("image is nowhere"),))]).text


def test_many_findings_and_reasons_stay_within_their_share() -> None:
    findings = tuple(Finding(f"rule-{n}", Severity.DENY, "z" * 2000) for n in range(300))
    reasons = tuple(Reason(16, "w" * 2000) for _ in range(300))
    body = comment_markdown(plan_section(HEAD, [plan()]), Verdict(findings, (), "d"), Refused(reasons), ["r" * 3000])
    assert len(body) <= LONGEST_COMMENT
    assert "### Approval" in body


@pytest.mark.parametrize("gate", [Stale((Reason(16, "approved at a, head is b"),)), Refused((Reason(35, "no"),))])
def test_every_reason_is_named_by_its_number(gate: Stale | Refused) -> None:
    assert f"**{gate.reasons[0].rule}**" in status_section(ALLOWED, gate)


EVIL = st.text(
    st.one_of(st.sampled_from(list("`@#<>[]()*_~|\\-:/\n\r\u202e\u2066\u200b\ufeff\x1b\x00www.")), st.characters()),
    max_size=60,
)


def without_our_own(body: str) -> str:
    """The body without the markers and folds that we write ourselves."""
    body = re.sub(r"<!-- reconciler:plan [^\n]*-->", "", body)
    return re.sub(r"</?(details|summary)>|<!-- -->", "", body)


@settings(max_examples=150, deadline=None)
@given(EVIL, EVIL)
def test_foreign_text_stays_text(name: str, why: str) -> None:
    destroyed = change(name or "x", destroys=True, why=why)
    plans = [plan("web-1", destroyed, change(why=why)), plan("web-2", change(why=why))]
    verdict = Verdict((Finding("rule", Severity.DENY, why),), (), "d")
    section = plan_section(HEAD, plans, [why])
    body = comment_markdown(section, verdict, Waiting((why,), (Reason(1, why),)), [why])
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u2060-\u2064\ufeff\x00-\x09\x0b-\x1f\x7f]", body)
    found = read_marker(body)
    assert found is not None
    assert found.intact
    prose = re.sub(r"(?ms)^(`{3,})diff\n.*?^\1$", "", without_our_own(body))
    prose = re.sub(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", prose)
    assert "<" not in prose
    assert ">" not in prose
