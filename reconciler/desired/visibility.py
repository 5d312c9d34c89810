"""Text that a reviewer cannot see, in files and in their names (gate 77). Called by loading.py, admission and policy.

What shows as nothing, or turns the text around it, is refused wherever something is deployed from. A file that is no
text at all, or whose lines nobody reads to their end, cannot be refused (pictures, minified scripts): it is named to
the reviewer instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.model.location import Location, Problem
from reconciler.model.revision import FileKind, Tree, TreeFile

GATE = 77

LONGEST_LINE = 2_000
"""Characters of a line that a forge still shows whole; in files that we or Compose read, a longer one is refused."""

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, but for tab and line feed; \\x85 is a line end for some readers
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # soft hyphen, Arabic mark, fillers
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, directions, line separators, BOM
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"  # musical controls; tags and variation selectors of plane 14
    "|\r(?!\n)"
)
"""What no file that is deployed from may hold. A carriage return is fine before a line feed."""

_ASCII = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_EMOJI = "[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]"
_JOINED = re.compile(f"(?<={_EMOJI})\u200d(?={_EMOJI})")
_READ = (".yaml", ".yml", ".env", ".json", ".toml", ".conf", ".sh")


def as_text(content: bytes) -> str | None:
    """The text of a file, None for one that a forge shows as binary (a NUL byte, or no UTF-8)."""
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def hidden_in(text: str) -> tuple[int, str] | None:
    """Line and `U+202E` of the first character that does not show; joiners between two pictographs do."""
    if text.isascii() and _ASCII.search(text) is None:
        return None  # most files, and it is much faster
    plain = _JOINED.sub("+", text)
    found = HIDDEN.search(plain)
    if found is None:
        return None
    return plain[: found.start()].count("\n") + 1, f"U+{ord(found[0][0]):04X}"


def hidden_problem(file: str, text: str) -> Problem | None:
    """The problem of the first invisible character of a file."""
    found = hidden_in(text)
    if found is None:
        return None
    line, which = found
    return Problem(Location(file, line), f"holds the invisible character {which}", "remove it, or escape it", GATE)


def visibility_problems(tree: Tree, below: Iterable[str], read: Iterable[str]) -> list[Problem]:
    """Names and texts at or below `below` that hide something; `read` are the files that we or Compose read, which are
    text and have lines that end.
    """
    places, ours = tuple(below), frozenset(read)
    problems = []
    for path, entry in sorted(tree.files.items()):
        if not any(path == place or path.startswith(f"{place}/") for place in places):
            continue
        if (named := hidden_in(path)) is not None or not path.isprintable():
            which = named[1] if named is not None else "a character that does not print"
            problems.append(Problem(Location(path), f"has {which} in its name", "rename it", GATE))
        if entry.kind in (FileKind.FILE, FileKind.EXECUTABLE):
            problems.extend(_of_file(path, entry, path in ours))
    return problems


def _of_file(path: str, entry: TreeFile, ours: bool) -> list[Problem]:
    text = as_text(entry.content)
    if text is None:
        if not ours and path.endswith(_READ):
            hint = "save it as UTF-8 without NUL bytes; as it is, a forge shows nothing of it"
            return [Problem(Location(path), "is named like a text and is none", hint, GATE)]
        return []  # in files that are read, the reader says more about it
    hidden = hidden_problem(path, text)
    if hidden is not None:
        # At the very start it is the byte order mark, and the reader of the file says so.
        return [] if ours and text.startswith("\ufeff") and hidden_in(text[1:]) is None else [hidden]
    if ours:
        for number, line in enumerate(text.split("\n"), start=1):
            if len(line) > LONGEST_LINE:
                said = f"has a line of {len(line)} characters, whose end nobody sees"
                return [Problem(Location(path, number), said, f"break it after at most {LONGEST_LINE}", GATE)]
    return []
