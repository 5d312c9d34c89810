"""Whether a pull request can be merged, its test merge, and its size. The pull-request handlers and `merges` use it.

As on GitHub, the answer is not there at once: the first reader after a change of head or base sees `mergeable: null`.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import WEB_FLOW, GitData
from reconciler.localforge.records import Pull, Repository


def compare_base(git: GitData, pull: Pull) -> str:
    """Where the pull request's own commits begin: the merge base with the branch as it is, or was when it closed."""
    tip = git.branch(pull.base_ref) if pull.state == "open" else None
    base = tip or pull.base_sha
    return git.merge_base(base, pull.head_sha) or base


def counts(git: GitData, pull: Pull) -> dict[str, int]:
    base = compare_base(git, pull)
    changes = git.changes(base, pull.head_sha)
    return {
        "commits": len(git.commits_between(base, pull.head_sha)),
        "additions": sum(change.additions for change in changes),
        "deletions": sum(change.deletions for change in changes),
        "changed_files": len(changes),
    }


def test_merge_key(git: GitData, pull: Pull) -> str | None:
    """The pair of commits that a test merge is about; None when the base branch is gone."""
    tip = git.branch(pull.base_ref)
    return f"{pull.head_sha} {tip}" if tip is not None else None


def known(git: GitData, pull: Pull) -> Pull:
    """The pull request with what is known now: an outdated test merge counts as not computed."""
    if pull.state == "closed" or pull.test_merge_of == test_merge_key(git, pull):
        return pull
    return replace(pull, mergeable=None)


def compute(forge: Forge, repository: Repository, pull: Pull) -> Pull:
    """Makes the test merge unless it is up to date: refs/pull/N/merge and `merge_commit_sha` point at it."""
    with forge.changing(repository) as git:
        current = forge.pull(repository, pull.number)
        if current is None or current.state == "closed":
            return current or pull
        key = test_merge_key(git, current)
        if key is None or current.test_merge_of == key:
            return current
        base = key.split(" ")[1]
        tree = git.merged_tree(base, current.head_sha)
        if tree is None:
            return forge.database.change(current, mergeable=False, test_merge_of=key, merge_commit_sha=None)
        message = f"Merge {current.head_sha} into {base}"
        merge = git.create_commit(tree, [base, current.head_sha], message, WEB_FLOW)
        git.set_own_ref(f"refs/pull/{current.number}/merge", merge)
        return forge.database.change(current, mergeable=True, test_merge_of=key, merge_commit_sha=merge)


def mergeable_state(git: GitData, pull: Pull) -> str:
    """GitHub's one-word summary; informative only."""
    if pull.state == "closed" or pull.mergeable is None or pull.test_merge_of != test_merge_key(git, pull):
        return "unknown"
    if not pull.mergeable:
        return "dirty"
    return "draft" if pull.draft else "clean"
