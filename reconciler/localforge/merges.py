"""Merging a pull request by merge commit, squash or rebase: made aside, then landed by compare-and-swap of the base."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pygit2

from reconciler.localforge import git_data, pushes
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError, conflict, forbidden
from reconciler.localforge.forge import Forge, has_role
from reconciler.localforge.git_data import NO_COMMIT, GitData, Person, message_of
from reconciler.localforge.mergeability import compare_base
from reconciler.localforge.pulls import person_of
from reconciler.localforge.records import Pull, Repository

METHODS = {"merge": "allow_merge_commit", "squash": "allow_squash_merge", "rebase": "allow_rebase_merge"}
CO_AUTHOR = re.compile(r"^co-authored-by:[ \t]*(.+?)[ \t]*<([^<>\n]+)>[ \t]*$\n?", re.IGNORECASE | re.MULTILINE)
NOT_MERGEABLE = "Pull Request is not mergeable"


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """How the caller wants it merged; `expected_head` is the `sha` that guards against a push in between."""

    method: str = "merge"
    title: str | None = None
    message: str | None = None
    expected_head: str | None = None


def merge_pull(forge: Forge, repository: Repository, caller: Caller, number: int, wanted: MergeRequest) -> Pull:
    """Lands a pull request. 405 when it cannot be merged, 409 when its head is not the expected one."""
    if not has_role(forge.role(repository, caller.user), "write") or not caller.granted("contents:write"):
        raise forbidden()
    setting = METHODS.get(wanted.method)
    if setting is None:
        raise ForgeError(422, f"{wanted.method} is not a merge method: merge, squash or rebase")
    if not repository.settings.get(setting, True):
        raise ForgeError(405, f"{wanted.method.capitalize()} merges are not allowed on this repository.")
    with forge.changing(repository) as git:
        pull = forge.pull(repository, number)
        if pull is None or pull.state == "closed":
            raise ForgeError(405, NOT_MERGEABLE)
        if pull.draft:
            raise ForgeError(405, "Pull Request is still a draft")
        if not caller.may_push(pull.base_ref):
            raise forbidden()
        if wanted.expected_head is not None and wanted.expected_head != pull.head_sha:
            raise conflict("Head branch was modified. Review and try the merge again.")
        base = git.branch(pull.base_ref)
        if base is None:
            raise ForgeError(405, NOT_MERGEABLE)
        landed = _make(forge, git, repository, caller, pull, base, wanted)
        if landed is None:
            raise ForgeError(405, NOT_MERGEABLE)
        ref = f"refs/heads/{pull.base_ref}"
        git.move(ref, landed, base)
        with forge.database.transaction():
            pushes.follow(forge, repository, git, caller.user, [pushes.Moved(ref, base, landed)], landing=pull)
            merged = pushes.close_as_merged(forge, repository, caller.user, pull, merge_commit=landed, base_before=base)
        if repository.settings.get("delete_branch_on_merge"):
            delete_head(forge, repository, git, caller, merged)
        return merged


def delete_head(forge: Forge, repository: Repository, git: GitData, caller: Caller, pull: Pull) -> None:
    """Removes the head branch unless somebody has pushed to it meanwhile, or it is the default branch."""
    if git.branch(pull.head_ref) != pull.head_sha or pull.head_ref == repository.default_branch:
        return
    ref = f"refs/heads/{pull.head_ref}"
    git.move(ref, NO_COMMIT, pull.head_sha)
    pushes.follow(forge, repository, git, caller.user, [pushes.Moved(ref, pull.head_sha, NO_COMMIT)])


def _make(
    forge: Forge, git: GitData, repository: Repository, caller: Caller, pull: Pull, base: str, wanted: MergeRequest
) -> str | None:
    """Creates the commits of the landing; None when there is a conflict."""
    tree = git.merged_tree(base, pull.head_sha)
    if tree is None:
        return None
    if wanted.method == "rebase":
        return git.rebased(base, pull.head_sha)
    if wanted.method == "squash":
        title, text = squash_message(forge, git, pull, wanted)
        author = forge.user(pull.user_id) or caller.user
        return git.create_commit(tree, [base], _joined(title, text), person_of(author))
    title = wanted.title or f"Merge pull request #{pull.number} from {repository.owner}/{pull.head_ref}"
    text = wanted.message if wanted.message is not None else pull.title
    return git.create_commit(tree, [base, pull.head_sha], _joined(title, text), person_of(caller.user))


def squash_message(forge: Forge, git: GitData, pull: Pull, wanted: MergeRequest) -> tuple[str, str]:
    """GitHub's squash message: the single commit's own, or a list of all, and a trailer for each other author."""
    commits = git.commits_between(compare_base(git, pull), pull.head_sha)
    messages = [CO_AUTHOR.sub("", message_of(commit)).strip() for commit in commits]
    if len(commits) == 1:
        subject, _, rest = messages[0].partition("\n")
        title, text = f"{subject} (#{pull.number})", rest.strip()
    else:
        title, text = f"{pull.title} (#{pull.number})", "\n\n".join(f"* {message}" for message in messages)
    text = wanted.message if wanted.message is not None else text
    trailers = "\n".join(
        f"Co-authored-by: {person.name} <{person.email}>"
        for person in _co_authors(forge, pull, commits)
        if person.email.lower() not in text.lower()
    )
    return wanted.title or title, "\n\n".join(part for part in (text, trailers) if part)


def _co_authors(forge: Forge, pull: Pull, commits: list[pygit2.Commit]) -> list[Person]:
    """Everybody but the opener who wrote a commit or is named in a trailer, each once, in order."""
    opener = forge.user(pull.user_id)
    found: dict[str, Person] = {}
    for commit in commits:
        named = [Person(name, email) for name, email in CO_AUTHOR.findall(message_of(commit))]
        for person in (git_data.person_of(commit.author), *named):
            owner = forge.user_of_email(person.email)
            is_opener = opener is not None and (
                (owner is not None and owner.id == opener.id) or person.email == person_of(opener).email
            )
            if not is_opener:
                found.setdefault(person.email.lower(), person)
    return list(found.values())


def _joined(title: str, text: str) -> str:
    return f"{title}\n\n{text}\n" if text else f"{title}\n"
