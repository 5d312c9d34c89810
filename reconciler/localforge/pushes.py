"""What follows when a ref has moved: activity, heads of pull requests, force-push events, landings, webhooks.

git's smart HTTP, the refs API and merges all end here, inside `Forge.changing`, before their response is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.localforge import notices, timeline
from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import NO_COMMIT, GitData
from reconciler.localforge.records import Activity, Event, Pull, Repository, User

BRANCHES = "refs/heads/"
QUEUE = "gh-readonly-queue/"
MEMBER = re.compile(r"pr-(\d+)-([0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class Moved:
    """One ref before and after; `NO_COMMIT` stands for its absence."""

    ref: str
    before: str
    after: str


def differences(before: dict[str, str], after: dict[str, str]) -> list[Moved]:
    """The refs that differ between two listings, sorted by name."""
    return [
        Moved(ref, before.get(ref, NO_COMMIT), after.get(ref, NO_COMMIT))
        for ref in sorted(before.keys() | after.keys())
        if before.get(ref) != after.get(ref)
    ]


def follow(
    forge: Forge, repository: Repository, git: GitData, actor: User, moved: list[Moved], *, landing: Pull | None = None
) -> None:
    """Records the movements and brings the pull requests up to date.

    `landing` is the pull request that a merge through the API has just landed: it is closed by the merge itself.
    """
    database = forge.database
    with database.transaction():
        database.change(repository, pushed_at=forge.now(), updated_at=forge.now())
        for one in moved:
            forced = _is_forced(git, one)
            _record_activity(forge, repository, actor, one, forced, landed=landing is not None)
            if one.ref.startswith(BRANCHES):
                branch = one.ref.removeprefix(BRANCHES)
                if branch.startswith(QUEUE):
                    notices.merge_group(forge, repository, actor, git, one.ref, one.before, one.after)
                if one.after == NO_COMMIT:
                    _head_deleted(forge, repository, actor, branch)
                    _base_deleted(forge, repository, actor, branch)
                else:
                    _head_moved(forge, repository, git, actor, branch, one, forced)
                    _base_moved(forge, repository, git, actor, branch, one, landing)
            notices.push(forge, repository, actor, git, one.ref, one.before, one.after, forced)


def catch_up(forge: Forge, repository: Repository) -> None:
    """Follows what moved while nobody recorded it: the forge was killed in a push, or somebody used git on its data.

    Who it was is not known any more, so the owner stands for them. Called when the forge is opened.
    """
    owner = forge.user(repository.owner_id)
    if owner is None or not forge.git_path(repository).exists():
        return
    with forge.changing(repository) as git:
        recorded: dict[str, str] = {}
        for one in forge.database.all(Activity, repository_id=repository.id):
            recorded[one.ref] = one.after
        found = {ref: sha for ref, sha in git.refs().items() if ref.startswith((BRANCHES, "refs/tags/"))}
        # the branch that the seed made has no record until it moves for the first time
        known = {
            f"{BRANCHES}{repository.default_branch}": found.get(f"{BRANCHES}{repository.default_branch}"),
            **recorded,
        }
        before = {ref: sha for ref, sha in known.items() if sha is not None and sha != NO_COMMIT}
        moved = differences(before, found)
        if moved:
            follow(forge, repository, git, owner, moved)


def _is_forced(git: GitData, moved: Moved) -> bool:
    if NO_COMMIT in (moved.before, moved.after):
        return False
    if git.commit_or_none(moved.before) is None or git.commit_or_none(moved.after) is None:
        return True  # a tag that is no commit: moved is moved
    return not git.is_ancestor(moved.before, moved.after)


def _record_activity(
    forge: Forge, repository: Repository, actor: User, moved: Moved, forced: bool, landed: bool
) -> None:
    if moved.before == NO_COMMIT:
        kind = "branch_creation"
    elif moved.after == NO_COMMIT:
        kind = "branch_deletion"
    elif forced:
        kind = "force_push"
    else:
        kind = "pr_merge" if landed else "push"
    forge.database.add(
        Activity,
        repository_id=repository.id,
        ref=moved.ref,
        before=moved.before,
        after=moved.after,
        actor_id=actor.id,
        activity_type=kind,
        created_at=forge.now(),
    )


def _head_moved(
    forge: Forge, repository: Repository, git: GitData, actor: User, branch: str, moved: Moved, forced: bool
) -> None:
    for pull in forge.database.all(Pull, repository_id=repository.id, head_ref=branch, state="open"):
        if pull.head_sha == moved.after:
            continue
        base_tip = git.branch(pull.base_ref) or pull.base_sha
        now = forge.database.change(pull, head_sha=moved.after, base_sha=base_tip, updated_at=forge.now())
        git.set_own_ref(f"refs/pull/{pull.number}/head", moved.after)
        if forced:
            timeline.record(forge, now, actor, "head_ref_force_pushed", commit_id=moved.after)
        timeline.record_commits(forge, git, now, actor)
        notices.pull_request(forge, repository, actor, now, "synchronize", before=moved.before, after=moved.after)


def _base_moved(
    forge: Forge,
    repository: Repository,
    git: GitData,
    actor: User,
    branch: str,
    moved: Moved,
    landing: Pull | None,
) -> None:
    """A push that makes a head reachable from its base counts as its merge, as on GitHub. Where the branch moves to a
    group of its merge queue, each pull request of the group is merged as the queue made it, whichever the method.
    """
    if moved.before != NO_COMMIT:
        _queue_landed(forge, repository, git, actor, branch, moved)
    for pull in forge.database.all(Pull, repository_id=repository.id, base_ref=branch, state="open"):
        if landing is not None and pull.id == landing.id:
            continue
        if git.is_ancestor(pull.head_sha, moved.after) and (
            moved.before == NO_COMMIT or not git.is_ancestor(pull.head_sha, moved.before)
        ):
            # the oldest commit of the branch's own line that contains the head is where it landed
            line = git.first_parents(moved.after, moved.before)
            containing = [one for one in line if git.is_ancestor(pull.head_sha, str(one.id))]
            close_as_merged(
                forge, repository, actor, pull, merge_commit=str(containing[-1].id), base_before=moved.before
            )


def _queue_landed(forge: Forge, repository: Repository, git: GitData, actor: User, branch: str, moved: Moved) -> None:
    queue = f"{BRANCHES}{QUEUE}{branch}/"
    line = {str(commit.id) for commit in git.first_parents(moved.after, moved.before)}
    for ref, head in sorted(git.refs().items()):
        named = MEMBER.fullmatch(ref.removeprefix(queue)) if ref.startswith(queue) else None
        if named is None or head not in line:
            continue
        pull = forge.pull(repository, int(named[1]))
        if pull is not None and pull.state == "open" and pull.base_ref == branch:
            close_as_merged(forge, repository, actor, pull, merge_commit=head, base_before=named[2])


def close_as_merged(
    forge: Forge, repository: Repository, actor: User, pull: Pull, *, merge_commit: str, base_before: str
) -> Pull:
    """Marks a pull request as merged at this commit and tells everybody."""
    now = forge.now()
    merged = forge.database.change(
        pull,
        state="closed",
        merged_at=now,
        merged_by=actor.id,
        closed_at=now,
        updated_at=now,
        merge_commit_sha=merge_commit,
        base_sha=pull.base_sha if base_before == NO_COMMIT else base_before,
    )
    timeline.record(forge, merged, actor, "merged", commit_id=merge_commit)
    timeline.record(forge, merged, actor, "closed")
    notices.pull_request(forge, repository, actor, merged, "closed")
    return merged


def close(forge: Forge, repository: Repository, actor: User, pull: Pull) -> Pull:
    """Closes a pull request without merging it."""
    now = forge.now()
    closed = forge.database.change(pull, state="closed", closed_at=now, updated_at=now)
    timeline.record(forge, closed, actor, "closed")
    notices.pull_request(forge, repository, actor, closed, "closed")
    return closed


def _head_deleted(forge: Forge, repository: Repository, actor: User, branch: str) -> None:
    for pull in forge.database.all(Pull, repository_id=repository.id, head_ref=branch):
        told = forge.database.find(Event, pull_id=pull.id, kind="head_ref_deleted") is not None
        if pull.state == "open" or (pull.merged and not told):
            timeline.record(forge, pull, actor, "head_ref_deleted")
        if pull.state == "open":
            close(forge, repository, actor, pull)


def _base_deleted(forge: Forge, repository: Repository, actor: User, branch: str) -> None:
    """Pull requests onto a branch that was itself merged move to where it went; others are closed."""
    database = forge.database
    landed = [pull for pull in database.all(Pull, repository_id=repository.id, head_ref=branch) if pull.merged]
    for pull in database.all(Pull, repository_id=repository.id, base_ref=branch, state="open"):
        if landed and landed[-1].base_ref != branch:
            retarget(forge, repository, actor, pull, landed[-1].base_ref, automatic=True)
        else:
            close(forge, repository, actor, pull)


def retarget(
    forge: Forge, repository: Repository, actor: User, pull: Pull, base_ref: str, *, automatic: bool = False
) -> Pull:
    """Points a pull request at another base branch; the head and its reviews stay."""
    git = forge.git(repository)
    tip = git.branch(base_ref) or pull.base_sha
    changed = forge.database.change(pull, base_ref=base_ref, base_sha=tip, updated_at=forge.now())
    if automatic:
        timeline.record(forge, changed, actor, "automatic_base_change_succeeded")
    timeline.record(forge, changed, actor, "base_ref_changed")
    before = {"ref": {"from": pull.base_ref}, "sha": {"from": pull.base_sha}}
    notices.pull_request(forge, repository, actor, changed, "edited", changes={"base": before})
    return changed
