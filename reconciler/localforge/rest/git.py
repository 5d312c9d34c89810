"""Handlers for branches, refs, commits, trees, blobs and comparisons."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import pygit2
from pygit2.enums import FileMode

from reconciler.localforge import pushes
from reconciler.localforge.errors import ForgeError, forbidden, invalid, invalid_field, not_found
from reconciler.localforge.git_data import NO_COMMIT, GitData, Person, is_blob
from reconciler.localforge.mergeability import compare_base
from reconciler.localforge.pulls import person_of
from reconciler.localforge.records import Pull
from reconciler.localforge.rest.call import Answer, Call
from reconciler.localforge.shapes.commits import commit_shape, commit_with_files, diff_entry, git_commit
from reconciler.localforge.shapes.people import node_id
from reconciler.localforge.shapes.pulls import pull_simple
from reconciler.localforge.shapes.repositories import git_ref, html_url, short_branch

BRANCHES = "refs/heads/"
SHA = re.compile(r"[0-9a-f]{40}")
KIND_OF_MODE = {0o040000: "tree", 0o160000: "commit"}
MOST_FILES = 300  # files of a commit or comparison that one answer holds


def _git(call: Call) -> GitData:
    return call.forge.git(call.repository)


# branches and refs


def list_branches(call: Call) -> Answer:
    branches = _git(call).refs(BRANCHES)
    return call.listed(
        list(branches.items()),
        lambda one: short_branch(call.forge, call.repository, one[0].removeprefix(BRANCHES), one[1]),
    )


def branch(call: Call) -> Answer:
    git, name = _git(call), call.parameters["branch"]
    sha = git.branch(name)
    if sha is None:
        raise ForgeError(404, "Branch not found")
    url = f"{call.api}/branches/{name}"
    return Answer(
        {
            "name": name,
            "commit": commit_shape(call.forge, call.repository, git.commit(sha)),
            "_links": {"self": url, "html": f"{html_url(call.forge, call.repository)}/tree/{name}"},
            "protected": False,
            "protection": {
                "enabled": False,
                "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": f"{url}/protection",
        }
    )


def branch_protection(call: Call) -> Answer:
    """This forge protects no branch: the product must not need it to."""
    if _git(call).branch(call.parameters["branch"]) is None:
        raise ForgeError(404, "Branch not found")
    raise ForgeError(404, "Branch not protected")


def _ref_answer(call: Call, git: GitData, ref: str, sha: str, status: int = 200) -> Answer:
    found = git.repository.get(sha)
    kind = "tag" if isinstance(found, pygit2.Tag) else "commit"
    return Answer(git_ref(call.forge, call.repository, ref, sha, kind), status=status)


def ref(call: Call) -> Answer:
    git, name = _git(call), f"refs/{call.parameters['ref']}"
    sha = git.tip(name)
    if sha is None:
        raise not_found()
    return _ref_answer(call, git, name, sha)


def matching_refs(call: Call) -> Answer:
    prefix = f"refs/{call.parameters['ref']}"
    found = [(name, sha) for name, sha in _git(call).refs().items() if name.startswith(prefix)]
    return call.listed(found, lambda one: git_ref(call.forge, call.repository, *one))


def _check_writable(call: Call, name: str) -> None:
    """Refs of the forge itself are never written by callers, and a token may be limited to some branches."""
    if not re.fullmatch(r"refs/(heads|tags)/[^\s~^:?*\[\\]+", name) or ".." in name or name.endswith((".lock", "/")):
        raise invalid("Reference", "Reference name must start with 'refs/heads/' or 'refs/tags/' and be well-formed")
    if call.caller.token.branches is not None and not (
        name.startswith(BRANCHES) and call.caller.may_push(name.removeprefix(BRANCHES))
    ):
        raise forbidden()


def create_ref(call: Call) -> Answer:
    name, sha = call.required("ref", "Reference"), call.required("sha", "Reference")
    _check_writable(call, name)
    with call.forge.changing(call.repository) as git:
        if git.commit_or_none(sha) is None:
            raise ForgeError(422, "Object does not exist")
        if git.tip(name) is not None:
            raise ForgeError(422, "Reference already exists")
        git.move(name, sha, NO_COMMIT)
        moved = [pushes.Moved(name, NO_COMMIT, sha)]
        pushes.follow(call.forge, call.repository, git, call.caller.user, moved)
        return _ref_answer(call, git, name, sha, status=201)


def update_ref(call: Call) -> Answer:
    name, sha, force = f"refs/{call.parameters['ref']}", call.required("sha", "Reference"), call.flag("force")
    _check_writable(call, name)
    with call.forge.changing(call.repository) as git:
        before = git.tip(name)
        if before is None:
            raise ForgeError(422, "Reference does not exist")
        if git.commit_or_none(sha) is None:
            raise ForgeError(422, "Object does not exist")
        if not force and not git.is_ancestor(before, sha):
            raise ForgeError(422, "Update is not a fast forward")
        if before != sha:
            git.move(name, sha, before)
            moved = [pushes.Moved(name, before, sha)]
            pushes.follow(call.forge, call.repository, git, call.caller.user, moved)
        return _ref_answer(call, git, name, sha)


def delete_ref(call: Call) -> Answer:
    name = f"refs/{call.parameters['ref']}"
    _check_writable(call, name)
    with call.forge.changing(call.repository) as git:
        before = git.tip(name)
        if before is None:
            raise ForgeError(422, "Reference does not exist")
        if name == BRANCHES + call.repository.default_branch:
            raise ForgeError(422, "Cannot delete the default branch")
        git.move(name, NO_COMMIT, before)
        moved = [pushes.Moved(name, before, NO_COMMIT)]
        pushes.follow(call.forge, call.repository, git, call.caller.user, moved)
        return Answer(status=204)


# commits


def list_commits(call: Call) -> Answer:
    git = _git(call)
    start = git.resolve(call.query.get("sha") or call.repository.default_branch)
    path = call.query.get("path", "").strip("/")
    found = [one for one in git.history(str(start.id)) if not path or _touches(one, path)]
    return call.listed(found, lambda one: commit_shape(call.forge, call.repository, one))


def _entry_id(commit: pygit2.Commit | None, path: str) -> str | None:
    if commit is None:
        return None
    try:
        return str(commit.tree[path].id)
    except KeyError:
        return None


def _touches(commit: pygit2.Commit, path: str) -> bool:
    own = _entry_id(commit, path)
    return all(_entry_id(parent, path) != own for parent in (commit.parents or (None,)))


def commit(call: Call) -> Answer:
    git = _git(call)
    found = git.resolve(call.parameters["ref"])
    sha = str(found.id)
    if "diff" in call.accept:
        base = str(found.parent_ids[0]) if found.parent_ids else None
        return Answer(text=git.diff_text(base, sha), media_type="application/vnd.github.v3.diff; charset=utf-8")
    if call.accept.strip() in ("application/vnd.github.sha", "application/vnd.github.v3.sha"):
        return Answer(text=sha, media_type="application/vnd.github.v3.sha; charset=utf-8")
    return Answer(commit_with_files(call.forge, call.repository, git, found))


def commit_pulls(call: Call) -> Answer:
    """The pull requests that a commit belongs to: merged ones that brought it, and open ones that contain it."""
    git, sha = _git(call), call.parameters["sha"]
    if not SHA.fullmatch(sha) or git.commit_or_none(sha) is None:
        raise ForgeError(422, f"No commit found for SHA: {sha}")
    found = [
        pull
        for pull in call.forge.database.all(Pull, repository_id=call.repository.id)
        if (pull.merged and sha in _landed(git, pull)) or sha in _proposed(git, pull)
    ]
    return call.listed(found, lambda pull: pull_simple(call.forge, call.repository, pull))


def _proposed(git: GitData, pull: Pull) -> set[str]:
    return {str(one.id) for one in git.commits_between(compare_base(git, pull), pull.head_sha)}


def _landed(git: GitData, pull: Pull) -> set[str]:
    """The commits of the base branch's own line that the merge added."""
    if pull.merge_commit_sha is None:
        return set()
    return {str(one.id) for one in git.first_parents(pull.merge_commit_sha, pull.base_sha)}


def compare(call: Call) -> Answer:
    git = _git(call)
    base_name, dots, head_name = call.parameters["basehead"].partition("...")
    if not dots or not base_name or not head_name:
        raise not_found()
    prefix = f"{call.repository.owner}:"
    try:
        base = git.resolve(base_name.removeprefix(prefix))
        head = git.resolve(head_name.removeprefix(prefix))
    except ForgeError:
        raise not_found() from None
    merge_base = git.merge_base(str(base.id), str(head.id))
    if merge_base is None:
        raise ForgeError(404, f"No common ancestor between {base_name} and {head_name}.")
    if "diff" in call.accept:
        text = git.diff_text(merge_base, str(head.id))
        return Answer(text=text, media_type="application/vnd.github.v3.diff; charset=utf-8")
    ahead = git.commits_between(str(base.id), str(head.id))
    behind = git.commits_between(str(head.id), str(base.id))
    statuses = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    url = f"{call.api}/compare/{call.parameters['basehead']}"
    html = f"{html_url(call.forge, call.repository)}/compare/{call.parameters['basehead']}"
    shown, headers = call.page(ahead)
    changes = git.changes(merge_base, str(head.id))[:MOST_FILES]
    return Answer(
        {
            "url": url,
            "html_url": html,
            "permalink_url": f"{html_url(call.forge, call.repository)}/compare/{base.id}...{head.id}",
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "base_commit": commit_shape(call.forge, call.repository, base),
            "merge_base_commit": commit_shape(call.forge, call.repository, git.commit(merge_base)),
            "status": statuses.get((bool(ahead), bool(behind)), "identical"),
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [commit_shape(call.forge, call.repository, one) for one in shown],
            "files": [diff_entry(call.forge, call.repository, str(head.id), change) for change in changes],
        },
        headers=headers,
    )


# git objects


def get_git_commit(call: Call) -> Answer:
    return Answer(git_commit(call.forge, call.repository, _git(call).commit(call.parameters["sha"])))


def _person(call: Call, name: str) -> Person | None:
    given = call.body.get(name)
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(given.get(key), str) for key in ("name", "email")):
        raise invalid_field("Commit", name, "missing_field", f"{name} needs a name and an email")
    if any(character in given["name"] + given["email"] for character in "<>\n\0"):
        raise invalid_field("Commit", name, "invalid")
    return Person(given["name"], given["email"])


def create_git_commit(call: Call) -> Answer:
    git, own = _git(call), person_of(call.caller.user)
    tree, parents = call.required("tree", "Commit"), call.texts("parents", "Commit")
    if not isinstance(_object(git, tree), pygit2.Tree):
        raise ForgeError(422, "Tree SHA does not exist")
    if any(git.commit_or_none(parent) is None for parent in parents):
        raise ForgeError(422, "Parent SHA does not exist or is not a commit object")
    author = _person(call, "author") or own
    committer = _person(call, "committer") or author
    sha = git.create_commit(tree, parents, call.required("message", "Commit"), author, committer)
    return Answer(git_commit(call.forge, call.repository, git.commit(sha)), status=201)


def _object(git: GitData, sha: str) -> Any:
    return git.repository.get(sha) if SHA.fullmatch(sha) else None


def _tree_entries(call: Call, git: GitData, tree: pygit2.Tree, prefix: str, recursive: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in tree:
        kind = KIND_OF_MODE.get(int(entry.filemode), "blob")
        sha, path = str(entry.id), prefix + (entry.raw_name or b"").decode("utf-8", errors="replace")
        shape: dict[str, Any] = {"path": path, "mode": f"{int(entry.filemode):06o}", "type": kind, "sha": sha}
        if kind == "blob":
            shape["size"] = len(git.repository[sha].peel(pygit2.Blob).data)
        if kind != "commit":
            shape["url"] = f"{call.api}/git/{kind}s/{sha}"
        found.append(shape)
        if recursive and kind == "tree":
            found += _tree_entries(call, git, git.repository[sha].peel(pygit2.Tree), f"{path}/", recursive)
    return found


def get_tree(call: Call) -> Answer:
    git, name = _git(call), call.parameters["sha"]
    found = _object(git, name)
    if found is None:
        try:
            found = git.resolve(name)
        except ForgeError:
            raise not_found() from None
    tree = found.peel(pygit2.Tree)
    return _tree_answer(call, git, tree, recursive="recursive" in call.query)


def _tree_answer(call: Call, git: GitData, tree: pygit2.Tree, recursive: bool, status: int = 200) -> Answer:
    body = {
        "sha": str(tree.id),
        "url": f"{call.api}/git/trees/{tree.id}",
        "tree": _tree_entries(call, git, tree, "", recursive),
        "truncated": False,
    }
    return Answer(body, status=status)


def create_tree(call: Call) -> Answer:
    """Builds a tree from `base_tree` and entries with a path; `sha: null` removes one."""
    git, entries = _git(call), call.body.get("tree")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise invalid_field("Tree", "tree", "missing_field")
    index = pygit2.Index()
    base = call.text("base_tree", "Tree")
    if base is not None:
        found = _object(git, base)
        if found is None:
            raise ForgeError(422, "base_tree is not a valid tree")
        index.read_tree(found.peel(pygit2.Tree))
    for one in entries:
        _put_entry(git, index, one)
    try:
        written = index.write_tree(git.repository)
    except (pygit2.GitError, ValueError) as error:
        raise ForgeError(422, f"tree cannot be written: {error}") from None
    return _tree_answer(call, git, git.repository[written].peel(pygit2.Tree), recursive=False, status=201)


def _put_entry(git: GitData, index: pygit2.Index, entry: dict[str, Any]) -> None:
    path = entry.get("path")
    if not isinstance(path, str) or not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise ForgeError(422, "tree.path contains a malformed path component")
    if "sha" in entry and entry["sha"] is None:
        if path in index:
            index.remove(path)
        else:
            index.remove_all([f"{path}/*"])
        return
    modes = {"100644": FileMode.BLOB, "100755": FileMode.BLOB_EXECUTABLE, "120000": FileMode.LINK}
    mode = modes.get(str(entry.get("mode", "100644")))
    if mode is None:
        raise ForgeError(422, "tree.mode must be one of 100644, 100755, 120000")
    if isinstance(entry.get("content"), str):
        blob = git.repository.create_blob(entry["content"].encode())
    elif isinstance(_object(git, str(entry.get("sha"))), pygit2.Blob):
        blob = pygit2.Oid(hex=entry["sha"])
    else:
        raise ForgeError(422, "tree.sha is not a blob of this repository")
    index.add(pygit2.IndexEntry(path, blob, mode))


def get_blob(call: Call) -> Answer:
    found = _object(_git(call), call.parameters["sha"])
    if found is None or not is_blob(found.type):
        raise not_found()
    sha = str(found.id)
    return Answer(
        {
            "sha": sha,
            "node_id": node_id("Blob", sha),
            "size": len(found.data),
            "url": f"{call.api}/git/blobs/{sha}",
            "content": base64.encodebytes(found.data).decode(),
            "encoding": "base64",
        }
    )


def create_blob(call: Call) -> Answer:
    content, encoding = call.required("content", "Blob"), call.text("encoding", "Blob") or "utf-8"
    try:
        data = base64.b64decode(content) if encoding == "base64" else content.encode()
    except binascii.Error:
        raise invalid_field("Blob", "content", "invalid", "content is not valid Base64") from None
    sha = str(_git(call).repository.create_blob(data))
    return Answer({"sha": sha, "url": f"{call.api}/git/blobs/{sha}"}, status=201)
