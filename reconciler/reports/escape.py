"""Foreign text made harmless for Markdown: names, reasons and values that somebody else wrote (gate 77, 83).

Used by every report that goes to a forge. A reader sees that something was hidden there, and never what it wanted.
"""

from __future__ import annotations

import re
import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that do not show, or that change how their neighbours show (bidi, zero width, tags)."""

FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f")
"""Letters and symbols that show as nothing."""

MARKDOWN = re.compile(r"([\\`*_{}\[\]|~])")

MEANING = re.compile(r"(@|#|:(?=//)|:(?=[a-z][\w+\\-]*:|[+-]1:|100:|1234:)|\bGH(?=-[0-9])|\bwww(?=\.))", re.IGNORECASE)
"""What a forge turns into a mention, a reference, a link or a symbol; an empty comment after it keeps it as it is."""


def visible(text: str) -> str:
    """One line in which every character shows: white space is a space, what hides is written as <U+202E>."""
    return "".join(shown(character) for character in text)


def shown(character: str) -> str:
    """One character, or its number where it would not show."""
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in HIDDEN or character in FILLERS or "\ufe00" <= character <= "\ufe0f":
        return f"<U+{ord(character):04X}>"
    return character


def inline(text: str, limit: int = 500) -> str:
    """A sentence with foreign parts as plain Markdown: no markup, no HTML, no formula, no mention, no reference, no
    link.
    """
    safe = visible(cut(text, limit)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = MARKDOWN.sub(r"\\\1", safe)
    return MEANING.sub(r"\1<!-- -->", safe).replace("$", "&#36;")


def code(text: str, limit: int = 200) -> str:
    """A name or a value as inline code; the fence is longer than any run of backticks in it."""
    safe = visible(cut(text, limit)).strip() or " "
    fence = "`" * (longest_run(safe) + 1)
    pad = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def cut(text: str, limit: int) -> str:
    """At most so many characters, with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
