"""Builds the payloads of webhook events and hands them to the deliveries. Actions call it after they have written."""

from __future__ import annotations

from typing import Any

from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import NO_COMMIT, GitData, person_of
from reconciler.localforge.mergeability import counts, mergeable_state
from reconciler.localforge.records import CheckRun, Comment, Hook, Pull, Repository, Review, Status, User
from reconciler.localforge.shapes.checks import check_run, status_shape
from reconciler.localforge.shapes.commits import commit_shape
from reconciler.localforge.shapes.hooks import hook_shape
from reconciler.localforge.shapes.people import simple_user
from reconciler.localforge.shapes.pulls import comment_shape, issue_shape, pull_shape, pull_simple, review_shape
from reconciler.localforge.shapes.repositories import html_url, repository_shape

JSON = dict[str, Any]


def send(forge: Forge, repository: Repository, sender: User, event: str, payload: JSON) -> None:
    """Queues the event for every active hook of the repository that asked for it."""
    hooks = forge.database.all(Hook, repository_id=repository.id, active=True)
    wanted = [hook for hook in hooks if event in hook.events or "*" in hook.events]
    if not wanted:
        return
    whole = {**payload, "repository": repository_shape(forge, repository), "sender": simple_user(forge, sender)}
    for hook in wanted:
        forge.deliveries.send(hook, event, whole)


def ping(forge: Forge, repository: Repository, sender: User, hook: Hook) -> None:
    """Sent to one hook only: when it is made and when somebody asks for it."""
    payload = {
        "zen": "Approachable is better than simple.",
        "hook_id": hook.id,
        "hook": hook_shape(forge, repository, hook),
        "repository": repository_shape(forge, repository),
        "sender": simple_user(forge, sender),
    }
    forge.deliveries.send(hook, "ping", payload)


def pull_request(forge: Forge, repository: Repository, sender: User, pull: Pull, action: str, **extra: Any) -> None:
    git = forge.git(repository)
    shape = pull_shape(forge, repository, pull, mergeable_state=mergeable_state(git, pull), counts=counts(git, pull))
    payload = {"action": action, "number": pull.number, "pull_request": shape, **extra}
    send(forge, repository, sender, "pull_request", payload)


def review(
    forge: Forge, repository: Repository, sender: User, pull: Pull, given: Review, action: str, **extra: Any
) -> None:
    shape = review_shape(forge, repository, pull, given)
    shape["state"] = given.state.lower()  # in webhooks, unlike in the API, the state is in small letters
    payload = {"action": action, "review": shape, "pull_request": pull_simple(forge, repository, pull), **extra}
    send(forge, repository, sender, "pull_request_review", payload)


def comment(
    forge: Forge, repository: Repository, sender: User, pull: Pull, written: Comment, action: str, **extra: Any
) -> None:
    payload = {
        "action": action,
        "issue": issue_shape(forge, repository, pull),
        "comment": comment_shape(forge, repository, pull, written),
        **extra,
    }
    send(forge, repository, sender, "issue_comment", payload)


def status(forge: Forge, repository: Repository, sender: User, posted: Status) -> None:
    commit = forge.git(repository).commit(posted.sha)
    payload = {
        **status_shape(forge, repository, posted),
        "sha": posted.sha,
        "name": repository.full_name,
        "commit": commit_shape(forge, repository, commit),
        "branches": [],
    }
    send(forge, repository, sender, "status", payload)


def check(forge: Forge, repository: Repository, sender: User, run: CheckRun, action: str) -> None:
    send(forge, repository, sender, "check_run", {"action": action, "check_run": check_run(forge, repository, run)})


def merge_group(
    forge: Forge, repository: Repository, sender: User, git: GitData, ref: str, before: str, after: str
) -> None:
    """A merge queue's branch was made or moved (its checks are requested) or is gone."""
    head = before if after == NO_COMMIT else after
    queue, _, named = ref.rpartition("/")
    commit = _pushed_commit(forge, repository, git, head)
    payload = {
        "action": "destroyed" if after == NO_COMMIT else "checks_requested",
        **({"reason": "merged"} if after == NO_COMMIT else {}),
        "merge_group": {
            "head_sha": head,
            "head_ref": ref,
            "base_sha": named.rpartition("-")[2],
            "base_ref": f"refs/heads/{queue.removeprefix('refs/heads/gh-readonly-queue/')}",
            "head_commit": {
                key: {part: commit[key][part] for part in ("name", "email")}
                if key in ("author", "committer")
                else value
                for key, value in commit.items()
                if key in ("id", "tree_id", "message", "timestamp", "author", "committer")
            },
        },
    }
    send(forge, repository, sender, "merge_group", payload)


def push(
    forge: Forge, repository: Repository, sender: User, git: GitData, ref: str, before: str, after: str, forced: bool
) -> None:
    commits = []
    if after != NO_COMMIT and ref.startswith("refs/heads/"):
        base = before if before != NO_COMMIT else git.branch(repository.default_branch)
        if base is not None and base != after:
            commits = [_pushed_commit(forge, repository, git, str(one.id)) for one in git.commits_between(base, after)]
        head: JSON | None = _pushed_commit(forge, repository, git, after)
    else:
        head = None
    payload = {
        "ref": ref,
        "before": before,
        "after": after,
        "base_ref": None,
        "created": before == NO_COMMIT,
        "deleted": after == NO_COMMIT,
        "forced": forced,
        "compare": f"{html_url(forge, repository)}/compare/{before[:12]}...{after[:12]}",
        "commits": commits[-2048:],
        "head_commit": head,
        "pusher": {"name": sender.login, "email": sender.email},
    }
    send(forge, repository, sender, "push", payload)


def _pushed_commit(forge: Forge, repository: Repository, git: GitData, sha: str) -> JSON:
    commit = git.commit(sha)
    changes = git.changes(str(commit.parent_ids[0]) if commit.parent_ids else None, sha)
    shape = commit_shape(forge, repository, commit)["commit"]

    def person(part: str, signature_email: str) -> JSON:
        user = forge.user_of_email(signature_email)
        named = {"name": shape[part]["name"], "email": shape[part]["email"]}
        return {**named, "username": user.login} if user is not None else named

    return {
        "id": sha,
        "tree_id": str(commit.tree_id),
        "distinct": True,
        "message": shape["message"],
        "timestamp": shape["committer"]["date"],
        "url": f"{html_url(forge, repository)}/commit/{sha}",
        "author": person("author", person_of(commit.author).email),
        "committer": person("committer", person_of(commit.committer).email),
        "added": [change.filename for change in changes if change.status == "added"],
        "removed": [change.filename for change in changes if change.status == "removed"],
        "modified": [change.filename for change in changes if change.status not in ("added", "removed")],
    }
