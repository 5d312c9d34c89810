"""Env files: the strict part of the dotenv syntax that every reader of it agrees on. Called by render_input and causes.

    # a comment
    KEY=value
    KEY='as it is'      KEY="with \\n, \\" and \\\\"

No `export`, no interpolation, no value over several lines: readers differ there, and a value that a reviewer reads
must be the one that runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.documents import read_text
from reconciler.model.location import Location, Problem

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable of an env file and the line that sets it."""

    name: str
    value: str
    line: int


def read_env_file(file: str, data: bytes) -> tuple[tuple[Entry, ...], list[Problem]]:
    """The entries of an env file in its order, and every line that cannot be read."""
    text, problems = read_text(file, data)
    entries: dict[str, Entry] = {}
    for number, raw in enumerate((text or "").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        place = Location(file, number)
        if not equals or not _KEY.match(name):
            problems.append(Problem(place, "is not of the form KEY=VALUE", "one variable in a line, no 'export'"))
            continue
        if name in entries:
            said = f"'{name}' is set twice (first in line {entries[name].line})"
            problems.append(Problem(place, said, "keep one of them"))
            continue
        value, wrong = _value(rest)
        if wrong:
            problems.append(Problem(place, f"'{name}' {wrong}"))
            continue
        entries[name] = Entry(name, value, number)
    return tuple(entries.values()), problems


def _value(text: str) -> tuple[str, str]:
    """The value behind the equals sign, or what is wrong with it."""
    text = text.strip()
    if text[:1] in ("'", '"'):
        return _quoted(text[0], text[1:])
    text = re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    if text.startswith("#"):
        return "", ""
    if re.search(r"[$'\"\\`]", text):
        return "", "has a quote, backslash or $ in a bare value (put it in single quotes)"
    return text, ""


def _quoted(quote: str, text: str) -> tuple[str, str]:
    value: list[str] = []
    index = 0
    while index < len(text) and text[index] != quote:
        character = text[index]
        if quote == '"' and character == "\\":
            index += 1
            escaped = text[index : index + 1]
            if escaped not in _ESCAPES:
                return "", f"has the unknown escape \\{escaped}"
            character = _ESCAPES[escaped]
        elif quote == '"' and character == "$":
            return "", "has a $ in double quotes, which some readers replace (use single quotes)"
        value.append(character)
        index += 1
    if index >= len(text):
        return "", "has a quote that does not end in its line"
    rest = text[index + 1 :].strip()
    if rest and not rest.startswith("#"):
        return "", "goes on after its closing quote"
    return "".join(value), ""
