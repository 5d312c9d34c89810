"""A plan for people: what is destroyed is never missing, and foreign text does no harm."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.change import ABSENT, Change, ChangeKind, Subject, SubjectKind, Value
from reconciler.model.plan import Obstacle, Plan, RecreateService, RemoveVolume
from reconciler.reports.plan import plan_markdown, plan_text
from tests.builders import TARGET, a_change

DIGEST = "ab" * 32


def a_plan(*changes: Change, obstacles: tuple[Obstacle, ...] = (), why: str = "git changed") -> Plan:
    operations = (RecreateService("web", 1, why),)
    return Plan(TARGET, "ENGINE", changes, operations, ((0,),), (), (), obstacles, DIGEST)


def a_removal(name: str = "shop_data") -> Change:
    before = Value({"driver": "local"}, "local volume with all its data")
    return Change(
        ChangeKind.REMOVE,
        Subject(SubjectKind.VOLUME, name),
        "",
        before,
        ABSENT,
        "remove_volumes names it",
        destroys=True,
    )


def a_value(text: str) -> Change:
    return a_change(before=Value("x", "old"), after=Value(text, text))


def fenced(markdown: str) -> tuple[str, str]:
    """The part inside the fence and the part outside of it."""
    match = re.search(r"^(`{3,})diff\n(.*?)\n\1$", markdown, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[2], markdown[: match.start()] + markdown[match.end() :]


def test_destructive_lines_come_first_and_are_marked() -> None:
    plan = a_plan(a_change(), a_removal())
    text, markdown = plan_text(plan), plan_markdown(plan)
    assert text.splitlines()[1].startswith("DESTROYS volume shop_data: local volume with all its data")
    assert markdown.index("**DESTROYS** `volume shop_data`") < markdown.index("<details>")


def test_obstacles_stand_before_the_changes() -> None:
    plan = a_plan(a_change(), obstacles=(Obstacle("the image is missing", "push it"),))
    assert plan_text(plan).index("the image is missing (push it)") < plan_text(plan).index("changes:")
    assert plan_markdown(plan).index("**cannot be applied:** the image is missing") < plan_markdown(plan).index(
        "<details>"
    )


def test_the_digest_stands_outside_of_the_fence() -> None:
    inside, outside = fenced(plan_markdown(a_plan(a_change())))
    assert DIGEST in outside
    assert DIGEST not in inside


HOSTILE = (
    "```\n# forged heading\n```",
    "`````````",
    "</details><img src=x onerror=alert(1)>",
    "@maintainers please approve",
    "\u202eesrever\u2066",
    "zero\u200bwidth\ufeff",
    "\x1b[2J\x1b[1;1Hcleared",
    "plan digest `" + "cd" * 32 + "`",
    "~~~\n",
    "a\rb\x00c\x85d\u2028e",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_cannot_leave_its_place(text: str) -> None:
    plan = a_plan(a_value(text), a_removal(text), obstacles=(Obstacle(text, text),), why=text)
    inside, outside = fenced(plan_markdown(plan))
    assert "forged heading" not in [line.strip("# ") for line in outside.splitlines()]
    prose = re.sub(r"(`+).*?\1", "", outside.replace("<details><summary>changes and operations</summary>", ""))
    prose = prose.replace("</details>", "", 1).replace("<!-- -->", "\N{NULL}")
    assert "<" not in prose
    assert "</details>" not in prose
    assert "@maintainers" not in prose
    assert outside.splitlines()[-1] == f"plan digest `{DIGEST}`"
    assert outside.count(f"`{DIGEST}`") == 1
    for place in (inside, outside, plan_text(plan)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", place)


@given(st.text(max_size=300))
@settings(max_examples=80, deadline=None)
def test_no_value_breaks_the_fence(value: str) -> None:
    inside, outside = fenced(plan_markdown(a_plan(a_value(value))))
    assert "changes and operations" in outside
    assert inside.count("~ service web") >= 1
    assert outside.splitlines()[-1] == f"plan digest `{DIGEST}`"


def test_a_long_value_is_shown_to_its_end() -> None:
    value = "x" * 5000 + " the end of it"
    assert "the end of it" in plan_markdown(a_plan(a_value(value)))
    assert max(len(line) for line in plan_text(a_plan(a_value(value))).splitlines()) <= 120


def test_details_are_left_out_to_keep_the_limit_and_destructive_lines_are_not() -> None:
    removals = [a_removal(f"shop_{number}") for number in range(20)]
    changes = [a_change(subject=Subject(SubjectKind.SERVICE, f"web-{number}")) for number in range(200)]
    markdown = plan_markdown(a_plan(*changes, *removals), limit=6_000)
    assert len(markdown) <= 6_000
    assert all(f"`volume shop_{number}`" in markdown for number in range(20))
    note = re.search(r"^\*\*Not shown: \d+ of \d+ lines\*\*", markdown, re.MULTILINE)
    assert note is not None
    assert note.start() < markdown.index("<details>"), "who does not open the fold is told too"
    assert markdown.count("```") == 2


def test_where_not_even_the_destructive_lines_fit_the_result_is_too_long_and_whole() -> None:
    removals = [a_removal(f"shop_{number}") for number in range(100)]
    markdown = plan_markdown(a_plan(*removals), limit=2_000)
    assert len(markdown) > 2_000
    assert all(f"`volume shop_{number}`" in markdown for number in range(100))
    assert DIGEST in markdown


@given(st.integers(500, 20_000), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_the_limit_holds_wherever_it_can(limit: int, count: int) -> None:
    changes = [a_change(subject=Subject(SubjectKind.SERVICE, f"web-{number}")) for number in range(count)]
    assert len(plan_markdown(a_plan(*changes), limit)) <= limit


def test_the_text_says_each_operation_and_why() -> None:
    plan = Plan(TARGET, "E", (a_removal(),), (RemoveVolume("shop_data", "named"),), ((0,),), (), (), (), DIGEST)
    assert "1. delete the volume shop_data and its data: named" in plan_text(plan)


def test_nothing_to_do_says_so() -> None:
    plan = Plan(TARGET, "E", (), (), (), (), (), (), DIGEST)
    assert plan_text(plan).startswith("shop/production@web-1: nothing to do\n")
    assert "<details>" not in plan_markdown(plan)
