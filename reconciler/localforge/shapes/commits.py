"""Commits, trees and file changes as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pygit2

from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import FileChange, GitData, message_of, person_of
from reconciler.localforge.records import Repository
from reconciler.localforge.shapes.people import node_id, simple_user
from reconciler.localforge.shapes.repositories import api_url, html_url

JSON = dict[str, Any]

UNSIGNED = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}


def _time(signature: pygit2.Signature) -> str:
    return datetime.fromtimestamp(signature.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git_user(signature: pygit2.Signature) -> JSON:
    person = person_of(signature)
    return {"name": person.name, "email": person.email, "date": _time(signature)}


def _account(forge: Forge, signature: pygit2.Signature) -> JSON | None:
    """The account whose address this is; None when nobody registered it, as on GitHub."""
    user = forge.user_of_email(person_of(signature).email)
    return simple_user(forge, user) if user is not None else None


def verification(commit: pygit2.Commit) -> JSON:
    """Signatures are not checked here; a signed commit says so and stays unverified."""
    signature, payload = commit.gpg_signature
    if not signature:
        return UNSIGNED
    return {
        "verified": False,
        "reason": "unknown_key",
        "signature": signature.decode(errors="replace"),
        "payload": (payload or b"").decode(errors="replace"),
        "verified_at": None,
    }


def commit_shape(forge: Forge, repository: Repository, commit: pygit2.Commit) -> JSON:
    api, html, sha = api_url(forge, repository), html_url(forge, repository), str(commit.id)
    tree = str(commit.tree_id)
    return {
        "sha": sha,
        "node_id": node_id("Commit", f"{repository.id}:{sha}"),
        "commit": {
            "author": _git_user(commit.author),
            "committer": _git_user(commit.committer),
            "message": message_of(commit).rstrip("\n"),
            "tree": {"sha": tree, "url": f"{api}/git/trees/{tree}"},
            "url": f"{api}/git/commits/{sha}",
            "comment_count": 0,
            "verification": verification(commit),
        },
        "url": f"{api}/commits/{sha}",
        "html_url": f"{html}/commit/{sha}",
        "comments_url": f"{api}/commits/{sha}/comments",
        "author": _account(forge, commit.author),
        "committer": _account(forge, commit.committer),
        "parents": [
            {"sha": parent, "url": f"{api}/commits/{parent}", "html_url": f"{html}/commit/{parent}"}
            for parent in map(str, commit.parent_ids)
        ],
    }


def commit_with_files(forge: Forge, repository: Repository, git: GitData, commit: pygit2.Commit) -> JSON:
    """A single commit with what it changed against its first parent."""
    sha = str(commit.id)
    changes = git.changes(str(commit.parent_ids[0]) if commit.parent_ids else None, sha)
    additions, deletions = sum(c.additions for c in changes), sum(c.deletions for c in changes)
    return {
        **commit_shape(forge, repository, commit),
        "stats": {"additions": additions, "deletions": deletions, "total": additions + deletions},
        "files": [diff_entry(forge, repository, sha, change) for change in changes],
    }


def git_commit(forge: Forge, repository: Repository, commit: pygit2.Commit) -> JSON:
    """The lower-level shape of /git/commits, which is also the timeline's `committed` event without its name."""
    api, html, sha = api_url(forge, repository), html_url(forge, repository), str(commit.id)
    tree = str(commit.tree_id)
    return {
        "sha": sha,
        "node_id": node_id("Commit", f"{repository.id}:{sha}"),
        "url": f"{api}/git/commits/{sha}",
        "html_url": f"{html}/commit/{sha}",
        "author": _git_user(commit.author),
        "committer": _git_user(commit.committer),
        "tree": {"sha": tree, "url": f"{api}/git/trees/{tree}"},
        "message": message_of(commit).rstrip("\n"),
        "parents": [
            {"sha": parent, "url": f"{api}/git/commits/{parent}", "html_url": f"{html}/commit/{parent}"}
            for parent in map(str, commit.parent_ids)
        ],
        "verification": verification(commit),
    }


def diff_entry(forge: Forge, repository: Repository, head: str, change: FileChange) -> JSON:
    path = quote(change.filename)
    html = html_url(forge, repository)
    shape: JSON = {
        "sha": change.sha,
        "filename": change.filename,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": f"{html}/blob/{head}/{path}",
        "raw_url": f"{html}/raw/{head}/{path}",
        "contents_url": f"{api_url(forge, repository)}/contents/{path}?ref={head}",
    }
    if change.patch is not None:
        shape["patch"] = change.patch
    if change.previous_filename is not None:
        shape["previous_filename"] = change.previous_filename
    return shape
