"""Prepares what the templates show: lines of a diff, entries of a conversation. Nothing hidden stays hidden."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pygit2

from reconciler.localforge import timeline
from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import Person, message_of, person_of
from reconciler.localforge.records import Pull, Repository

MOST_DIFF_LINES = 3000
# characters that reorder or hide text: bidirectional controls, zero-width ones, tags
INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
WORDS = {
    "merged": "merged this",
    "closed": "closed this",
    "reopened": "reopened this",
    "renamed": "changed the title",
    "head_ref_force_pushed": "force-pushed the branch",
    "head_ref_deleted": "deleted the branch",
    "base_ref_changed": "changed the base branch",
    "automatic_base_change_succeeded": "deleted the base branch, so that the base changed",
    "review_requested": "asked for a review",
    "review_request_removed": "withdrew a request for review",
    "review_dismissed": "dismissed a review",
    "convert_to_draft": "made this a draft",
    "ready_for_review": "marked this as ready for review",
    "comment_deleted": "deleted a comment",
    "labeled": "added a label",
    "unlabeled": "removed a label",
}


def visible(text: str) -> str:
    """The text with characters that would reorder or hide some of it written out, like ⟨U+202E⟩."""

    def name(found: re.Match[str]) -> str:
        return f"⟨U+{ord(found.group()):04X}⟩"

    return CONTROL.sub(name, INVISIBLE.sub(name, text.replace("\r\n", "\n")))


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff; `kind` is file, hunk, added, removed or same."""

    kind: str
    text: str


def diff_lines(text: str) -> tuple[list[DiffLine], bool]:
    """The lines to show, and whether some were left out."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    found = []
    in_header = False
    for line in lines[:MOST_DIFF_LINES]:
        if line.startswith("diff --git "):
            in_header = True
        elif line.startswith("@@"):
            in_header = False
        kind = "file" if in_header else {"@": "hunk", "+": "added", "-": "removed"}.get(line[:1], "same")
        found.append(DiffLine(kind, line))
    return found, len(lines) > MOST_DIFF_LINES


@dataclass(frozen=True, slots=True)
class ShownCommit:
    sha: str
    subject: str
    rest: str
    author: Person


def shown_commit(commit: pygit2.Commit) -> ShownCommit:
    subject, _, rest = message_of(commit).strip().partition("\n")
    return ShownCommit(str(commit.id), subject, rest.strip(), person_of(commit.author))


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: who, what in words, when, and a text where there is one."""

    kind: str
    who: str
    what: str
    when: str
    text: str
    edited: bool = False


def conversation(forge: Forge, repository: Repository, pull: Pull) -> list[Entry]:
    return [_entry(event) for event in timeline.timeline(forge, repository, pull)]


def _login(user: dict[str, Any] | None) -> str:
    return user["login"] if user is not None else "ghost"


def _entry(event: dict[str, Any]) -> Entry:
    kind = event["event"]
    if kind == "committed":
        text = event["message"].partition("\n")[0]
        return Entry(kind, event["author"]["name"], f"committed {event['sha'][:12]}", event["committer"]["date"], text)
    if kind == "commented":
        edited = event["created_at"] != event["updated_at"]
        return Entry(kind, _login(event["user"]), "commented", event["created_at"], event["body"], edited)
    if kind == "reviewed":
        verdict = {
            "approved": "approved",
            "changes_requested": "asked for changes",
            "dismissed": "reviewed (dismissed)",
        }
        what = f"{verdict.get(event['state'], 'reviewed')} at {event['commit_id'][:12]}"
        return Entry(event["state"], _login(event["user"]), what, event["submitted_at"], event["body"])
    detail = ""
    if kind == "review_dismissed":
        detail = event["dismissed_review"]["dismissal_message"] or ""
    elif kind == "renamed":
        detail = f"{event['rename']['from']} → {event['rename']['to']}"
    elif kind in ("labeled", "unlabeled"):
        detail = event["label"]["name"]
    what = WORDS.get(kind, kind.replace("_", " "))
    if event.get("commit_id"):
        what += f" ({event['commit_id'][:12]})"
    return Entry(kind, _login(event["actor"]), what, event["created_at"], detail)
