"""What of a change nobody sees in a diff: too many files, binary files, lines without end (gate 77). Called by control.

Invisible characters are refused when the repository is loaded; this is about what is legitimate, and easily missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.desired.visibility import GATE, LONGEST_LINE, as_text
from reconciler.model.revision import TreeFile
from reconciler.model.verdict import Finding, Severity

MOST_FILES = 3_000
"""A forge shows no more files of a pull request (https://docs.github.com/en/rest/pulls/pulls)."""

MOST_NAMED = 10


def unseen(changed: Sequence[str], files: Mapping[str, TreeFile]) -> Iterator[Finding]:
    """Findings about the files of a change as it leaves them; `files` is the whole tree, by path."""
    if len(changed) > MOST_FILES:
        text = f"this changes {len(changed)} files, and a forge shows {MOST_FILES} of them; split this pull request"
        yield Finding("too-many-files", Severity.DENY, text, gate=GATE)
    there = {path: as_text(files[path].content) for path in sorted(changed) if path in files}
    binary = [path for path, text in there.items() if text is None]
    if binary:
        yield shown("binary-files", binary, "of which a diff shows nothing; look at what they hold")
    endless = [path for path, text in there.items() if text is not None and longest(text) > LONGEST_LINE]
    if endless:
        yield shown("long-lines", endless, f"with lines of more than {LONGEST_LINE} characters, whose end a diff hides")


def longest(text: str) -> int:
    """The length of the longest line."""
    return max(len(line) for line in text.split("\n"))


def shown(check: str, paths: Sequence[str], says: str) -> Finding:
    """A note that counts files and names the first of them."""
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    count = "1 changed file" if len(paths) == 1 else f"{len(paths)} changed files"
    return Finding(check, Severity.NOTE, f"{count} {says}: {', '.join(paths[:MOST_NAMED])}{more}", gate=GATE)
