"""What of a change a diff does not show is told, and what shows nothing at all is refused (gate 77)."""

from __future__ import annotations

import pytest

from reconciler.desired.visibility import LONGEST_LINE, as_text, hidden_in
from reconciler.model.revision import FileKind, TreeFile
from reconciler.policy import unseen
from reconciler.policy.unseen import MOST_FILES


def files(**content: bytes) -> dict[str, TreeFile]:
    return {name: TreeFile(FileKind.FILE, data) for name, data in content.items()}


def said(changed: list[str], **content: bytes) -> list[str]:
    return [f"{f.severity} {f.rule} [{f.gate}]: {f.text}" for f in unseen(changed, files(**content))]


def test_an_ordinary_change_is_not_talked_about() -> None:
    assert said(["a", "gone"], a=b"x" * LONGEST_LINE + b"\n" + b"y" * LONGEST_LINE, b=b"\0") == []


def test_binary_files_and_endless_lines_are_counted_and_named() -> None:
    assert said(["a", "b", "c"], a=b"\0", b=b"\xff", c=b"x" * (LONGEST_LINE + 1)) == [
        "note binary-files [77]: 2 changed files of which a diff shows nothing; look at what they hold: a, b",
        "note long-lines [77]: 1 changed file with lines of more than 2000 characters, whose end a diff hides: c",
    ]


def test_a_line_of_many_words_is_one_line() -> None:
    assert said(["a"], a=b"word " * (LONGEST_LINE // 5)) == []
    assert len(said(["a"], a=b"word " * (LONGEST_LINE // 5) + b"x")) == 1


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    (ten,) = said(
        [f"f{number}" for number in range(10)], **dict.fromkeys([f"f{number}" for number in range(10)], b"\0")
    )
    assert ten.endswith("f8, f9")
    names = [f"f{number:02}" for number in range(12)]
    (text,) = said(names, **dict.fromkeys(names, b"\0"))
    assert text.startswith("note binary-files [77]: 12 changed files")
    assert text.endswith("f08, f09 and 2 more")


def test_more_files_than_a_forge_shows_are_denied_and_as_many_are_not() -> None:
    assert said([str(number) for number in range(MOST_FILES)]) == []
    assert said([str(number) for number in range(MOST_FILES + 1)]) == [
        "deny too-many-files [77]: this changes 3001 files, and a forge shows 3000 of them; split this pull request"
    ]


@pytest.mark.parametrize(
    "number",
    [
        0x0,
        0x1B,
        0x7F,
        0x85,
        0xAD,
        0x200B,
        0x200D,
        0x200F,
        0x202A,
        0x202E,
        0x2060,
        0x2064,
        0x2066,
        0x2069,
        0x2028,
        0xFEFF,
        0x3164,
        0xE0001,
        0xE007F,
        0xE0100,
    ],
    ids=hex,
)
def test_a_character_that_does_not_show_is_found_with_its_line(number: int) -> None:
    character = chr(number)
    assert hidden_in(f"one\ntwo{character}three\n") == (2, f"U+{number:04X}")
    assert hidden_in(f"onë\ntwo{character}three\n") == (2, f"U+{number:04X}")


def test_a_lone_carriage_return_is_found_and_one_before_a_line_feed_is_not() -> None:
    assert hidden_in("a\rb") == (1, "U+000D")
    assert hidden_in("a\r\nb\tc") is None


def test_a_joiner_between_pictographs_shows_and_between_letters_does_not() -> None:
    assert hidden_in("\U0001f468\u200d\U0001f4bb \u2764\ufe0f\u200d\U0001f525") is None
    assert hidden_in("a\u200db") == (1, "U+200D")
    assert hidden_in("\U0001f468\u200db") == (1, "U+200D")


def test_what_is_text_for_a_forge() -> None:
    assert as_text(b"a\xc3\xa4") == "aä"
    assert as_text(b"a\0b") is as_text(b"\xff\xfe") is None
