"""Foreign text in Markdown: nothing hides, nothing links, nobody is mentioned."""

import pytest

from reconciler.reports.escape import code, cut, inline, visible


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("ask @acme/ops", "ask @<!-- -->acme/ops"),
        ("see #12", "see #<!-- -->12"),
        ("https://evil.example", "https:<!-- -->//evil.example"),
        ("www.evil.example", "www<!-- -->.evil.example"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("[click](here)", "\\[click\\](here)"),
        ("`code` **bold** ~~gone~~", "\\`code\\` \\*\\*bold\\*\\* \\~\\~gone\\~\\~"),
        ("two\nlines", "two lines"),
        ("&lt;", "&amp;lt;"),
        ("see GH-12", "see GH<!-- -->-12"),
        (":tada: done", ":<!-- -->tada: done"),
        (":white_check_mark:", ":<!-- -->white\\_check\\_mark:"),
        ("a.yaml:3: first", "a.yaml:3: first"),
        (":+1: from me", ":<!-- -->+1: from me"),
        ("$x$", "&#36;x&#36;"),
        ("web: cap_add: x", "web: cap\\_add: x"),
    ],
)
def test_a_sentence_stays_a_sentence(text: str, safe: str) -> None:
    assert inline(text) == safe


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\u2060", "\ufeff", "\x1b", "\x00", "\U000e0041", "\u3164", "\ufe0f"]
)
def test_what_hides_is_spelled_out(hidden: str) -> None:
    assert visible(f"a{hidden}b") == f"a<U+{ord(hidden):04X}>b"


@pytest.mark.parametrize(
    ("text", "safe"),
    [("web", "`web`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("```", "```` ``` ````"), ("", "` `")],
)
def test_code_cannot_be_left(text: str, safe: str) -> None:
    assert code(text) == safe


def test_ordinary_names_stay_as_they_are() -> None:
    assert inline("one approval is missing from group sre-team: by anna or bob (see policy.yaml:3)") == (
        "one approval is missing from group sre-team: by anna or bob (see policy.yaml:3)"
    )


def test_a_cut_text_says_so() -> None:
    assert cut("abcdef", 4) == "abc…"
