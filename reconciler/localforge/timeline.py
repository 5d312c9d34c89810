"""What happened to a pull request, in order. Actions record events here; the timeline endpoint reads them back."""

from __future__ import annotations

from typing import Any

from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import GitData
from reconciler.localforge.mergeability import compare_base
from reconciler.localforge.records import Comment, Event, Pull, Repository, Review, User
from reconciler.localforge.shapes.commits import git_commit
from reconciler.localforge.shapes.pulls import comment_shape, event_shape, review_shape

JSON = dict[str, Any]


def record(forge: Forge, pull: Pull, actor: User, kind: str, *, commit_id: str | None = None, **data: Any) -> Event:
    return forge.database.add(
        Event,
        pull_id=pull.id,
        kind=kind,
        actor_id=actor.id,
        commit_id=commit_id,
        data=data,
        created_at=forge.now(),
    )


def record_commits(forge: Forge, git: GitData, pull: Pull, actor: User) -> None:
    """Notes the commits that a push brought into the pull request, each once."""
    known = {event.commit_id for event in forge.database.all(Event, pull_id=pull.id, kind="committed")}
    for commit in git.commits_between(compare_base(git, pull), pull.head_sha):
        if str(commit.id) not in known:
            record(forge, pull, actor, "committed", commit_id=str(commit.id))


def timeline(forge: Forge, repository: Repository, pull: Pull) -> list[JSON]:
    """All of it, oldest first. Commits that a force-push removed are no longer told, as on GitHub."""
    git = forge.git(repository)
    database = forge.database
    present = {str(commit.id) for commit in git.commits_between(compare_base(git, pull), pull.head_sha)}
    found: list[tuple[str, int, JSON]] = []
    for event in database.all(Event, pull_id=pull.id):
        if event.kind != "committed":
            found.append((event.created_at, event.id, event_shape(forge, repository, event)))
        elif event.commit_id in present:
            shape = git_commit(forge, repository, git.commit(event.commit_id))
            found.append((event.created_at, event.id, {"event": "committed", **shape}))
    for review in database.all(Review, pull_id=pull.id):
        if review.submitted_at is not None:
            review_json = review_shape(forge, repository, pull, review)
            shape = {"event": "reviewed", **review_json, "state": review.state.lower()}
            found.append((review.submitted_at, review.id, shape))
    for comment in database.all(Comment, pull_id=pull.id):
        shape = comment_shape(forge, repository, pull, comment)
        found.append((comment.created_at, comment.id, {"event": "commented", "actor": shape["user"], **shape}))
    return [shape for _, _, shape in sorted(found, key=lambda one: one[:2])]
