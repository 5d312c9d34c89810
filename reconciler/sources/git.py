"""A bare mirror of the repository: `git` for the network and for merges, pygit2 for everything else.

Bootstrap makes one per repository; control reads revisions from it. Every name that comes in is a full commit or tree
id or a fully qualified ref, and is resolved to nothing else (gate 41). History is shown as it is and judged elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pygit2
from pygit2.enums import ConfigLevel, FileMode, RepositoryOpenFlag, SortMode

from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotAllowed, NotFound, Terminal, UntrustedHistory
from reconciler.model.location import Location, Problem
from reconciler.model.revision import CleanMerge, CommitInfo, MergeConflict, MergePreview, Tree
from reconciler.ports import FileProposal, RevertProposal
from reconciler.sources.command import Finished, merges_in_memory, run_git, scheme_of
from reconciler.sources.trees import TreeLimits, differing_paths, read_tree

FULL_ID = re.compile(r"[0-9a-f]{40}")
REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/pull/*/head:refs/pull/*/head")
LISTED = ("refs/heads/*", "refs/pull/*/head")
MOST_BY_THEMSELVES = 100  # refs that are fetched one by one in one go; the next fetch goes on
PROPOSAL_PREFIX = "reconciler/"
LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
KEPT_TREES = 8
KEPT_BYTES = 4 * 2**20  # of a tree that is kept
REFUSED = re.compile(
    r"authentication failed|could not read username|returned error: 40[13]|permission denied|access denied", re.I
)

# libgit2 reads no configuration of the machine or of the user, like the git command in command.py
for _level in (ConfigLevel.SYSTEM, ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.PROGRAMDATA):
    pygit2.settings.search_path[_level] = ""


class Secret(Protocol):
    """A value that is asked for at the moment of use."""

    def reveal(self) -> str: ...


class GitMirror:
    """Implements ports.Source over a bare repository of our own in `directory` (made when missing, mode 0700).

    `url` is https, http, ssh or (tests, one machine) an absolute path. `timeout` is in seconds, for each git command.
    Safe from several threads and processes: fetches take a lock on the directory, each read opens its own Repository.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        deploy_branch: str,
        token: str | Secret | None = None,
        timeout: float = 60,
        limits: TreeLimits | None = None,
    ) -> None:
        scheme_of(url)
        if not _is_branch(deploy_branch):
            raise InvalidInput(f"'{deploy_branch}' is not the name of a branch", where="deploy branch")
        self._directory = directory.absolute()
        self._url = url
        self._deploy_branch = deploy_branch
        self._token = token
        self._timeout = timeout
        self._limits = limits or TreeLimits()
        self._trees: OrderedDict[str, Tree] = OrderedDict()  # the last few small ones, by commit
        self._trees_lock = threading.Lock()
        self._refused: set[tuple[str, str]] = set()  # refs with objects that git refuses, and where they pointed
        self._prepare()

    def fetch(self) -> None:
        """Bring branches and pull-request heads up to date, rewinds too, each object checked (gate 45).

        A branch with objects that git's checks refuse is left as it was, and keeps no other from being fetched.
        ForgeUnavailable when the remote does not answer, UntrustedHistory when it is the deploy branch that has such
        objects, NotFound when there is no deploy branch.
        """
        with self._locked():
            finished = self._fetched("--prune", *REFSPECS)
            if finished.status != 0 and "fsck error" in finished.error:
                finished = self._fetched_one_by_one()
        if finished.status != 0:
            if "fsck error" in finished.error:
                raise UntrustedHistory(f"the repository holds an object that git refuses: {finished.error}")
            raise self._unavailable("cannot be fetched", finished)
        self.branch_head(self._deploy_branch)

    def branch_head(self, branch: str) -> str:
        """The commit at refs/heads/BRANCH as of the last fetch."""
        with self._repository() as repository:
            return self._head_of(repository, branch)

    def branches(self, prefix: str) -> Mapping[str, str]:
        """The heads of the branches whose names begin with `prefix`, as of the last fetch."""
        start = f"refs/heads/{prefix}"
        with self._repository() as repository:
            names = [name for name in repository.references if name.startswith(start)]
            heads = {name.removeprefix("refs/heads/"): repository.references[name].target for name in names}
        return {name: str(target) for name, target in heads.items() if isinstance(target, pygit2.Oid)}

    def tree(self, sha: str) -> Tree:
        with self._trees_lock:
            kept = self._trees.get(sha)
        if kept is not None:
            return kept
        with self._repository() as repository:
            tree = read_tree(repository, self._commit(repository, sha).tree, self._limits)
        if sum(len(file.content) for file in tree.files.values()) <= KEPT_BYTES:
            with self._trees_lock:
                self._trees[sha] = tree
                while len(self._trees) > KEPT_TREES:
                    self._trees.popitem(last=False)
        return tree

    def tree_at(self, oid: str) -> Tree:
        """The files of a tree id (a merge preview's)."""
        with self._repository() as repository:
            return read_tree(repository, self._tree(repository, oid), self._limits)

    def commit(self, sha: str) -> CommitInfo:
        with self._repository() as repository:
            return _info(self._commit(repository, sha))

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`; a commit contains itself."""
        with self._repository() as repository:
            one, other = self._commit(repository, older), self._commit(repository, newer)
            return one.id == other.id or repository.descendant_of(other.id, one.id)

    def on_a_branch(self, sha: str) -> bool:
        """Whether some refs/heads/* of the last fetch contains the commit; one that only a pull request's head or
        nothing at all leads to is on none (gate 42).
        """
        with self._repository() as repository:
            try:
                wanted = self._commit(repository, sha).id
            except NotFound:
                return False
            heads = {
                repository.references[name].target for name in repository.references if name.startswith("refs/heads/")
            }
            return wanted in heads or any(repository.descendant_of(head, wanted) for head in heads)

    def first_parents(self, older: str, newer: str) -> tuple[CommitInfo, ...]:
        """The first-parent commits after `older` up to and with `newer`, oldest first.

        UntrustedHistory when `older` is not on the first-parent line of `newer` (gate 39).
        """
        with self._repository() as repository:
            stop, commit = self._commit(repository, older), self._commit(repository, newer)
            line: list[CommitInfo] = []
            while commit.id != stop.id:
                line.append(_info(commit))
                if not commit.parent_ids:
                    raise UntrustedHistory(
                        f"{older} is not on the first-parent line of {newer}",
                        hint="the branch moved backwards, or was replaced; only forward history is deployed",
                    )
                commit = self._commit(repository, str(commit.parent_ids[0]))
            return tuple(reversed(line))

    def commits_between(self, base: str, head: str) -> tuple[CommitInfo, ...]:
        """Commits reachable from head and not from base, oldest first (merges too)."""
        with self._repository() as repository:
            walk = repository.walk(self._commit(repository, head).id, SortMode.TOPOLOGICAL | SortMode.REVERSE)
            walk.hide(self._commit(repository, base).id)
            return tuple(_info(commit) for commit in walk)

    def merge_preview(self, base: str, head: str) -> MergePreview:
        """What merging `head` into `base` gives; the tree of a clean merge is kept in the mirror for `tree_at`.

        Forges merge with git's `ort`, so that one makes the preview wherever git has it (2.38). An older git leaves it
        to libgit2: the same trees, but in about one of fifty merges of repetitive YAML it sees a conflict otherwise.
        """
        with self._repository() as repository:
            one, other = self._commit(repository, base), self._commit(repository, head)
            if repository.merge_base(one.id, other.id) is None:
                return MergeConflict(base, head, _top_names(one.tree, other.tree))
            if merges_in_memory():
                return self._merged_by_git(base, head)
            return _merged_by_library(repository, one, other)

    def changed_paths(self, older_tree: str, newer_tree: str) -> tuple[str, ...]:
        """Paths that differ between two tree ids, sorted; a rename is both its names."""
        with self._repository() as repository:
            older, newer = self._tree(repository, older_tree), self._tree(repository, newer_tree)
            return tuple(sorted(set(differing_paths(older, newer, self._limits))))

    def is_clean_update(self, sha: str) -> bool:
        """Whether a commit only merges the deploy branch in ("Update branch"): two parents, the second one on that
        branch, and exactly the tree of the clean merge. False where it cannot be shown.
        """
        with self._repository() as repository:
            try:
                commit = self._commit(repository, sha)
                tip = self._head_of(repository, self._deploy_branch)
            except NotFound:
                return False
            tree, parents = str(commit.tree_id), [str(parent) for parent in commit.parent_ids]
        if len(parents) != 2 or not self.is_ancestor(parents[1], tip):
            return False
        preview = self.merge_preview(parents[0], parents[1])
        return isinstance(preview, CleanMerge) and preview.tree == tree

    def propose_revert(self, proposal: RevertProposal) -> str:
        """Commit the inverse of one landing onto a new branch and push it with the proposer's token.

        InvalidInput when later commits are in the way (the paths as problems) or nothing is left to revert;
        NotAllowed when the remote refuses the push. A branch that holds this very proposal already counts as pushed.
        """
        with self._repository() as repository:
            tree = self._reverted(repository, proposal, self._commit(repository, proposal.onto))
        return self._proposed(proposal, str(tree))

    def propose_file(self, proposal: FileProposal) -> str:
        """Commit one more file onto a new branch and push it with the proposer's token, as propose_revert does."""
        with self._repository() as repository:
            onto = self._commit(repository, proposal.onto)
            index = pygit2.Index()
            index.read_tree(onto.tree)
            blob = repository.create_blob(proposal.content)
            index.add(pygit2.IndexEntry(proposal.path, blob, FileMode.BLOB))
            tree = index.write_tree(repository)
            if tree == onto.tree_id:
                raise InvalidInput(f"{proposal.path} stands in {proposal.onto} already, with the same text")
        return self._proposed(proposal, str(tree))

    def _proposed(self, proposal: RevertProposal | FileProposal, tree: str) -> str:
        if not proposal.branch.startswith(PROPOSAL_PREFIX) or not _is_branch(proposal.branch):
            raise NotAllowed(
                f"'{proposal.branch}' is not a branch for proposals", hint=f"its name starts with {PROPOSAL_PREFIX}"
            )
        with self._repository() as repository:
            who = pygit2.Signature(proposal.author_name, proposal.author_email)
            onto = self._commit(repository, proposal.onto).id
            sha = str(repository.create_commit(None, who, who, proposal.message, tree, [onto]))
        ref = f"refs/heads/{proposal.branch}"
        # an expected value of nothing: the branch is created or the push fails, whatever is there is never moved
        finished = self._network(
            "push", "--quiet", "--porcelain", f"--force-with-lease={ref}:", self._url, f"{sha}:{ref}",
            token=proposal.token,
        )  # fmt: skip
        if finished.status == 0:
            return sha
        rejected = b"\n!\t" in b"\n" + finished.output
        if rejected and (same := self._same_proposal(ref, proposal.onto, tree)):
            return same
        if rejected or REFUSED.search(finished.error):
            said = finished.output.decode("utf-8", "replace").strip() if rejected else finished.error
            raise NotAllowed(f"the push of {proposal.branch} was refused: {said}", where=self._url)
        raise self._unavailable(f"did not take the push of {proposal.branch}", finished)

    def remote_heads(self, refs: Sequence[str]) -> Mapping[str, str]:
        """`git ls-remote` for full ref names; a ref that the remote does not have is left out (gate 62)."""
        for ref in refs:
            if not ref.startswith("refs/") or not pygit2.reference_is_valid_name(ref):
                raise InvalidInput(f"'{ref}' is not a full ref name")
        if not refs:
            return {}
        finished = self._network("ls-remote", "--quiet", self._url, *refs)
        if finished.status != 0:
            raise self._unavailable("does not say its heads", finished)
        found: dict[str, str] = {}
        for line in finished.output.decode("utf-8", "replace").splitlines():
            sha, _, ref = line.partition("\t")
            if ref in refs and FULL_ID.fullmatch(sha):  # ls-remote matches the ends of names, we want whole ones
                found[ref] = sha
        return found

    def _prepare(self) -> None:
        """Make the bare repository, or refuse one that could borrow or rewrite history."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory.chmod(0o700)
        with self._locked():
            if not (self._directory / "HEAD").exists():
                pygit2.init_repository(self._directory, bare=True, initial_head=self._deploy_branch)
        for name in ("objects/info/alternates", "info/grafts", "shallow", "refs/replace"):
            if (self._directory / name).exists():
                raise UntrustedHistory(
                    f"the mirror has {name}, which can show another history than the repository's",
                    where=str(self._directory),
                    hint="remove the directory; it is fetched again",
                )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer of refs at a time, among threads and processes; ends by itself when a process dies."""
        with (self._directory / "reconciler.lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _repository(self) -> Iterator[pygit2.Repository]:
        try:
            repository = pygit2.Repository(self._directory, RepositoryOpenFlag.NO_SEARCH)  # never one that lies above
            try:
                yield repository
            finally:
                repository.free()
        except (pygit2.GitError, KeyError) as error:  # KeyError: an object that others name is not there
            raise UntrustedHistory(
                f"the mirror lacks something of its own: {error}",
                where=str(self._directory),
                hint="remove the directory; it is fetched again",
            ) from error

    def _fetched(self, *what: str) -> Finished:
        command = ("fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head")
        options = tuple(word for word in what if word.startswith("--"))
        return self._network(*command, *options, self._url, *what[len(options) :])

    def _fetched_one_by_one(self) -> Finished:
        """The deploy branch, whose outcome this is, then each other ref that moved; what is refused once is not asked
        for again while it stays.
        """
        deploy = f"refs/heads/{self._deploy_branch}"
        finished = self._fetched(f"+{deploy}:{deploy}")
        listed = self._network("ls-remote", "--quiet", self._url, *LISTED)
        if finished.status != 0 or listed.status != 0:
            return finished if finished.status != 0 else listed
        pairs = (line.partition("\t") for line in listed.output.decode("utf-8", "replace").splitlines())
        there = {ref: sha for sha, _, ref in pairs if FULL_ID.fullmatch(sha) and ref != deploy}
        with self._repository() as repository:
            here = {name: str(repository.references[name].target) for name in repository.references}
            for gone in here.keys() - there.keys() - {deploy}:
                repository.references.delete(gone)
        moved = [ref for ref in sorted(there) if here.get(ref) != there[ref] and (ref, there[ref]) not in self._refused]
        for ref in moved[:MOST_BY_THEMSELVES]:
            one = self._fetched(f"+{ref}:{ref}")
            if one.status != 0 and "fsck error" in one.error:
                self._refused.add((ref, there[ref]))
        return finished

    def _network(self, *arguments: str, token: str | None = None) -> Finished:
        own = self._token if self._token is None or isinstance(self._token, str) else self._token.reveal()
        return run_git(self._directory, *arguments, url=self._url, token=token or own, timeout=self._timeout)

    def _unavailable(self, what: str, finished: Finished) -> ForgeUnavailable:
        hint = "check the credential and its scopes" if REFUSED.search(finished.error) else None
        return ForgeUnavailable(f"the repository {what}: {finished.error}", where=self._url, hint=hint)

    def _commit(self, repository: pygit2.Repository, sha: str) -> pygit2.Commit:
        found = self._object(repository, sha)
        if not isinstance(found, pygit2.Commit):
            raise NotFound(f"there is no commit {sha} in the mirror", hint="fetch, or check the id")
        return found

    def _tree(self, repository: pygit2.Repository, oid: str) -> pygit2.Tree:
        found = self._object(repository, oid)
        if not isinstance(found, pygit2.Tree):
            raise NotFound(f"there is no tree {oid} in the mirror", hint="fetch, or check the id")
        return found

    @staticmethod
    def _object(repository: pygit2.Repository, oid: str) -> object | None:
        """By full id only: an abbreviation or a ref name finds nothing (gate 41)."""
        try:
            return repository.get(pygit2.Oid(hex=oid)) if FULL_ID.fullmatch(oid) else None
        except pygit2.GitError as error:
            raise InvalidInput(f"git cannot read it: {error}", where=f"object {oid}") from error

    def _head_of(self, repository: pygit2.Repository, branch: str) -> str:
        name = f"refs/heads/{branch}"
        reference = repository.references.get(name) if _is_branch(branch) else None
        if reference is None or not isinstance(reference.target, pygit2.Oid):
            raise NotFound(f"the repository has no branch {branch}", where=self._url, hint="fetch, or check the name")
        return str(reference.target)

    def _merged_by_git(self, base: str, head: str) -> MergePreview:
        finished = run_git(
            self._directory, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base, head,
            timeout=self._timeout,
        )  # fmt: skip
        parts = [part.decode("utf-8", "backslashreplace") for part in finished.output.split(b"\0") if part]
        if finished.status == 0 and len(parts) == 1 and FULL_ID.fullmatch(parts[0]):
            return CleanMerge(base, head, parts[0])
        if finished.status == 1 and parts:
            return MergeConflict(base, head, tuple(sorted(set(parts[1:]))))
        raise Terminal(f"git could not merge {head} into {base}: {finished.error}", where=str(self._directory))

    def _reverted(self, repository: pygit2.Repository, proposal: RevertProposal, onto: pygit2.Commit) -> pygit2.Oid:
        """The tree of `onto` without the landing: a merge whose common ancestor is the landing's end."""
        end = self._commit(repository, proposal.landing_end)
        before = self._commit(repository, proposal.landing_base)
        index = repository.merge_trees(end.tree, onto.tree, before.tree)
        if index.conflicts is not None:
            problems = tuple(
                Problem(Location(path), "changed again after the deployment that is to be undone")
                for path in _conflicting(index)
            )
            raise InvalidInput(f"{proposal.landing_end} cannot be reverted by itself; revert by hand", problems)
        tree = index.write_tree(repository)
        if tree == onto.tree_id:
            raise InvalidInput(f"nothing of {proposal.landing_end} is left to revert on {proposal.onto}")
        return tree

    def _same_proposal(self, ref: str, onto: str, tree: str) -> str | None:
        """The commit that the remote has on the branch, when it is the same proposal (an earlier try went through)."""
        there = self.remote_heads((ref,)).get(ref)
        if there is None:
            return None
        self.fetch()
        with self._repository() as repository, contextlib.suppress(NotFound):
            commit = self._commit(repository, there)
            if str(commit.tree_id) == tree and [str(parent) for parent in commit.parent_ids] == [onto]:
                return there
        return None


def _merged_by_library(repository: pygit2.Repository, base: pygit2.Commit, head: pygit2.Commit) -> MergePreview:
    """The preview on a machine whose git is too old."""
    index = repository.merge_commits(base, head)
    if index.conflicts is not None:
        return MergeConflict(str(base.id), str(head.id), _conflicting(index))
    return CleanMerge(str(base.id), str(head.id), str(index.write_tree(repository)))


def _top_names(one: pygit2.Tree, other: pygit2.Tree) -> tuple[str, ...]:
    """The names at the top of two trees that have nothing to do with each other and differ."""
    before = {entry.raw_name: (entry.id, entry.filemode) for entry in one}
    after = {entry.raw_name: (entry.id, entry.filemode) for entry in other}
    differ = (name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return tuple(sorted((name or b"").decode("utf-8", "backslashreplace") for name in differ))


def _conflicting(index: pygit2.Index) -> tuple[str, ...]:
    sides = (side for conflict in index.conflicts or () for side in conflict if side is not None)
    return tuple(sorted({side.path for side in sides}))


def _is_branch(name: str) -> bool:
    return not name.startswith("-") and bool(pygit2.reference_is_valid_name(f"refs/heads/{name}"))


def _moment(seconds: int) -> datetime:
    """The time that a commit claims; it decides nothing, and one that no calendar has becomes the nearest that is."""
    return datetime.fromtimestamp(min(max(seconds, 0), LAST_SECOND), UTC)


def _info(commit: pygit2.Commit) -> CommitInfo:
    return CommitInfo(
        sha=str(commit.id),
        parents=tuple(str(parent) for parent in commit.parent_ids),
        tree=str(commit.tree_id),
        author_name=commit.author.raw_name.decode("utf-8", "replace"),
        author_email=commit.author.raw_email.decode("utf-8", "replace"),
        committer_name=commit.committer.raw_name.decode("utf-8", "replace"),
        committer_email=commit.committer.raw_email.decode("utf-8", "replace"),
        committed_at=_moment(commit.commit_time),
        message=commit.raw_message.decode("utf-8", "replace"),
    )
