"""What every Source must do, as control relies on it. Runs on the git mirror."""

from __future__ import annotations

from pathlib import Path

import pytest
from pygit2.enums import FileMode

from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotAllowed, NotFound, UntrustedHistory
from reconciler.model.revision import CleanMerge, FileKind, MergeConflict
from reconciler.ports import FileProposal, RevertProposal, Source
from reconciler.sources import GitMirror
from tests.git_remotes import Remote

LINES = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote.make(tmp_path / "remote.git")


def mirrored(remote: Remote) -> Source:
    """The Source under test, up to date with the remote."""
    source: Source = GitMirror(remote.path.parent / "mirror", str(remote.path), "main")
    source.fetch()
    return source


def revert_of(remote: Remote, base: str, end: str, onto: str, branch: str = "reconciler/revert-1") -> RevertProposal:
    return RevertProposal(base, end, onto, branch, "Revert it\n", "Proposer", "proposer@example.test", "token")


def test_a_tree_holds_every_file_with_its_kind_and_bytes(remote: Remote) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    sha = remote.commit(
        {
            "plain.txt": "hello\r\n",
            "deep/er/run.sh": (FileMode.BLOB_EXECUTABLE, b"#!/bin/sh\n"),
            "link": (FileMode.LINK, b"/etc/passwd"),
            "module": (FileMode.COMMIT, b"1" * 40),
            "big.bin": pointer,
        }
    )
    files = mirrored(remote).tree(sha).files
    assert {path: (file.kind, file.content) for path, file in files.items()} == {
        "plain.txt": (FileKind.FILE, b"hello\r\n"),
        "deep/er/run.sh": (FileKind.EXECUTABLE, b"#!/bin/sh\n"),
        "link": (FileKind.SYMLINK, b"/etc/passwd"),
        "module": (FileKind.SUBMODULE, b""),
        "big.bin": (FileKind.LFS_POINTER, pointer.encode()),
    }


def test_a_link_whose_target_looks_like_a_pointer_is_still_a_link(remote: Remote) -> None:
    sha = remote.commit({"link": (FileMode.LINK, b"version https://git-lfs.github.com/spec/v1")})
    assert mirrored(remote).tree(sha).files["link"].kind is FileKind.SYMLINK


def test_git_attributes_filter_nothing(remote: Remote) -> None:
    sha = remote.commit({".gitattributes": "* text eol=crlf ident\n", "a.txt": "$Id$\n"})
    assert mirrored(remote).tree(sha).files["a.txt"].content == b"$Id$\n"


def test_only_a_full_commit_id_is_found(remote: Remote) -> None:
    sha = remote.commit({"a": "1"})
    tag = remote.repository.create_tag("v1", sha, 1, remote.repository[sha].author, "tag")  # type: ignore[arg-type]
    remote.repository.references.create("refs/heads/tagged", str(remote.commit({"a": "2"}, sha, ref=None)))
    source = mirrored(remote)
    for name in (sha[:12], sha.upper(), "main", "HEAD", "refs/heads/main", "v1", str(tag), "0" * 40, "", "-x"):
        with pytest.raises(NotFound):
            source.commit(name)
    with pytest.raises(NotFound):
        source.commit(source.commit(sha).tree)
    with pytest.raises(NotFound):
        source.tree_at(sha)


def test_a_branch_named_like_a_commit_is_only_a_branch(remote: Remote) -> None:
    good = remote.commit({"a": "good"})
    evil = remote.commit({"a": "evil"}, good, ref=f"refs/heads/{good}")
    source = mirrored(remote)
    assert source.commit(good).sha == good
    assert source.branch_head(good) == evil
    with pytest.raises(NotFound):
        source.branch_head("refs/heads/main")


def test_a_commit_is_shown_as_git_has_it(remote: Remote) -> None:
    first = remote.commit({"a": "1"})
    second = remote.commit({"a": "2"}, first, message="Subject\n\nCo-authored-by: B <b@example.test>\n")
    info = mirrored(remote).commit(second)
    assert (info.sha, info.parents, info.author_email) == (second, (first,), "a@example.test")
    assert info.message.endswith("Co-authored-by: B <b@example.test>\n")
    assert info.committed_at.utcoffset() is not None
    assert info.committed_at.timestamp() == remote.seconds


def test_a_rewound_branch_is_fetched_and_shows_as_no_descendant(remote: Remote) -> None:
    first = remote.commit({"a": "1"})
    second = remote.commit({"a": "2"}, first)
    source = mirrored(remote)
    remote.repository.references.create("refs/heads/main", first, force=True)
    source.fetch()
    assert source.branch_head("main") == first
    assert not source.is_ancestor(second, first)
    assert source.is_ancestor(first, second)
    assert source.is_ancestor(second, second)


def test_first_parents_are_the_mainline_oldest_first(remote: Remote) -> None:
    first = remote.commit({"a": "1"})
    side = remote.commit({"b": "1"}, first, ref=None)
    merge = remote.commit({"b": "1"}, first, side)
    last = remote.commit({"a": "2"}, merge)
    source = mirrored(remote)
    assert [commit.sha for commit in source.first_parents(first, last)] == [merge, last]
    assert source.first_parents(last, last) == ()


def test_a_commit_beside_the_mainline_has_no_first_parent_line(remote: Remote) -> None:
    first = remote.commit({"a": "1"})
    side = remote.commit({"b": "1"}, first, ref=None)
    merge = remote.commit({"b": "1"}, first, side)
    source = mirrored(remote)
    for older, newer in ((side, merge), (merge, first)):
        with pytest.raises(UntrustedHistory, match="first-parent line"):
            source.first_parents(older, newer)


def test_commits_between_are_those_the_base_lacks_merges_too(remote: Remote) -> None:
    base = remote.commit({"a": "1"})
    one = remote.commit({"b": "1"}, base, ref=None)
    main = remote.commit({"a": "2"}, base)
    update = remote.commit({"a": "2"}, one, main, ref="refs/heads/topic")
    source = mirrored(remote)
    assert [commit.sha for commit in source.commits_between(main, update)] == [one, update]
    assert {commit.sha for commit in source.commits_between(base, update)} == {one, main, update}
    assert source.commits_between(update, base) == ()


def test_a_pull_request_head_is_there_after_a_fetch(remote: Remote) -> None:
    base = remote.commit({"a": "1"})
    source = mirrored(remote)
    head = remote.commit({"a": "2"}, base, ref="refs/pull/7/head")
    with pytest.raises(NotFound):
        source.commit(head)
    source.fetch()
    assert source.commit(head).parents == (base,)
    assert source.remote_heads(("refs/pull/7/head",)) == {"refs/pull/7/head": head}


def test_changed_paths_name_a_rename_twice_and_see_modes_and_kinds(remote: Remote) -> None:
    one = remote.commit(
        {"same": "1", "old/name": LINES, "mode": "1", "was_file": "1", "kind": "1", "gone/a": "1", "module": "1"}
    )
    two = remote.commit(
        {
            "old/name": None,
            "new/name": LINES,
            "mode": (FileMode.BLOB_EXECUTABLE, b"1"),
            "was_file": None,
            "was_file/now": "1",
            "kind": (FileMode.LINK, b"1"),
            "gone/a": None,
            "module": (FileMode.COMMIT, b"2" * 40),
            ".gitmodules": '[submodule "m"]\n\tpath = module\n\turl = https://example.test/m\n\tignore = all\n',
        },
        one,
    )
    source = mirrored(remote)
    older, newer = source.commit(one).tree, source.commit(two).tree
    expected = (
        ".gitmodules", "gone/a", "kind", "mode", "module", "new/name", "old/name", "was_file", "was_file/now"
    )  # fmt: skip
    assert source.changed_paths(older, newer) == expected
    assert source.changed_paths(newer, older) == expected
    assert source.changed_paths(older, older) == ()


def test_a_clean_merge_preview_has_a_readable_tree_with_both_sides(remote: Remote) -> None:
    base = remote.commit({"compose.yaml": LINES, "other": "1"})
    head = remote.commit({"compose.yaml": LINES.replace("line 19", "line nineteen")}, base, ref="refs/pull/1/head")
    main = remote.commit({"compose.yaml": LINES.replace("line 0", "line zero")}, base)
    source = mirrored(remote)
    preview = source.merge_preview(main, head)
    assert isinstance(preview, CleanMerge)
    assert (preview.base, preview.head) == (main, head)
    content = source.tree_at(preview.tree).files["compose.yaml"].content.decode()
    assert content == LINES.replace("line 19", "line nineteen").replace("line 0", "line zero")


def test_a_preview_follows_a_renamed_file(remote: Remote) -> None:
    base = remote.commit({"old.yaml": LINES})
    head = remote.commit({"old.yaml": LINES.replace("line 3\n", "line three\n")}, base, ref="refs/pull/1/head")
    main = remote.commit({"old.yaml": None, "new.yaml": LINES}, base)
    source = mirrored(remote)
    preview = source.merge_preview(main, head)
    assert isinstance(preview, CleanMerge)
    files = source.tree_at(preview.tree).files
    assert {path: b"line three" in file.content for path, file in files.items()} == {"new.yaml": True}


def test_a_conflict_names_its_paths(remote: Remote) -> None:
    base = remote.commit({"a": "1\n", "b": "1\n", "c": "1\n"})
    head = remote.commit({"a": "2\n", "b": None, "c": "2\n"}, base, ref="refs/pull/1/head")
    main = remote.commit({"a": "3\n", "b": "3\n"}, base)
    assert mirrored(remote).merge_preview(main, head) == MergeConflict(main, head, ("a", "b"))


def test_histories_without_a_common_commit_conflict(remote: Remote) -> None:
    main = remote.commit({"a": "1\n", "same": "1"})
    head = remote.commit({"b": "1\n", "same": "1"}, ref="refs/pull/1/head")
    assert mirrored(remote).merge_preview(main, head) == MergeConflict(main, head, ("a", "b"))


def test_the_branch_cannot_choose_a_merge_driver(remote: Remote) -> None:
    base = remote.commit({".gitattributes": "* merge=union\n", "a": "1\n"})
    head = remote.commit({"a": "2\n"}, base, ref="refs/pull/1/head")
    main = remote.commit({"a": "3\n"}, base)
    assert mirrored(remote).merge_preview(main, head) == MergeConflict(main, head, ("a",))


def test_a_merge_commit_is_reverted_with_its_mainline(remote: Remote) -> None:
    first = remote.commit({"a": "1\n", "b": "1\n"})
    side = remote.commit({"a": "2\n"}, first, ref=None)
    merge = remote.commit({"a": "2\n"}, first, side)
    tip = remote.commit({"b": "2\n"}, merge)
    source = mirrored(remote)
    sha = source.propose_revert(revert_of(remote, first, merge, tip))
    assert remote.head("refs/heads/reconciler/revert-1") == sha
    assert remote.head("refs/heads/main") == tip
    source.fetch()
    info = source.commit(sha)
    assert (info.parents, info.author_name, info.committer_email, info.message) == (
        (tip,), "Proposer", "proposer@example.test", "Revert it\n"
    )  # fmt: skip
    assert {path: file.content for path, file in source.tree(sha).files.items()} == {"a": b"1\n", "b": b"2\n"}


def test_a_rebased_landing_is_reverted_as_a_whole(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    one = remote.commit({"a": "2\n", "new": "1\n"}, first)
    two = remote.commit({"a": "3\n"}, one)
    source = mirrored(remote)
    sha = source.propose_revert(revert_of(remote, first, two, two))
    source.fetch()
    assert source.commit(sha).tree == source.commit(first).tree


def test_a_revert_that_later_commits_stand_in_the_way_of_names_the_paths(remote: Remote) -> None:
    first = remote.commit({"a": "1\n", "b": "1\n"})
    landed = remote.commit({"a": "2\n", "b": "2\n"}, first)
    tip = remote.commit({"a": "3\n"}, landed)
    with pytest.raises(InvalidInput) as caught:
        mirrored(remote).propose_revert(revert_of(remote, first, landed, tip))
    assert [problem.location.file for problem in caught.value.problems] == ["a"]
    assert remote.head("refs/heads/reconciler/revert-1") is None


def test_what_is_undone_already_is_not_reverted_again(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    tip = remote.commit({"a": "1\n"}, landed)
    with pytest.raises(InvalidInput, match="nothing"):
        mirrored(remote).propose_revert(revert_of(remote, first, landed, tip))


def test_a_revert_goes_to_a_proposal_branch_only(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    source = mirrored(remote)
    for branch in ("main", "refs/heads/main", "reconciler", "reconciler/", "reconciler/../main", "-reconciler/x"):
        with pytest.raises(NotAllowed):
            source.propose_revert(revert_of(remote, first, landed, landed, branch))
    assert remote.head("refs/heads/main") == landed


def test_a_branch_that_somebody_else_pushed_is_never_moved(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    theirs = remote.commit({"a": "9\n"}, landed, ref="refs/heads/reconciler/revert-1")
    with pytest.raises(NotAllowed, match="refused"):
        mirrored(remote).propose_revert(revert_of(remote, first, landed, landed))
    assert remote.head("refs/heads/reconciler/revert-1") == theirs


def test_proposing_the_same_revert_again_gives_the_commit_that_is_there(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    source = mirrored(remote)
    once = source.propose_revert(revert_of(remote, first, landed, landed))
    other = RevertProposal(first, landed, landed, "reconciler/revert-1", "Other words\n", "P", "p@example.test", "t")
    assert source.propose_revert(other) == once
    assert remote.head("refs/heads/reconciler/revert-1") == once


def test_a_push_that_the_remote_rejects_raises(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    source = mirrored(remote)
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(NotAllowed, match="hook declined"):
        source.propose_revert(revert_of(remote, first, landed, landed))


def test_remote_heads_are_exact_and_read_from_the_remote(remote: Remote) -> None:
    first = remote.commit({"a": "1"})
    source = mirrored(remote)
    second = remote.commit({"a": "2"}, first)
    remote.repository.references.create("refs/heads/x/refs/heads/gone", first)
    assert source.remote_heads(("refs/heads/main", "refs/heads/gone")) == {"refs/heads/main": second}
    assert source.branch_head("main") == first
    assert source.remote_heads(()) == {}
    for ref in ("main", "refs/heads/*", "--upload-pack=x", "refs/heads/../x"):
        with pytest.raises(InvalidInput):
            source.remote_heads((ref,))


def test_a_remote_that_is_gone_is_retryable(remote: Remote) -> None:
    first = remote.commit({"a": "1\n"})
    landed = remote.commit({"a": "2\n"}, first)
    source = mirrored(remote)
    remote.path.rename(remote.path.with_name("moved.git"))
    for call in (
        source.fetch,
        lambda: source.remote_heads(("refs/heads/main",)),
        lambda: source.propose_revert(revert_of(remote, first, landed, landed)),
    ):
        with pytest.raises(ForgeUnavailable):
            call()
    assert source.branch_head("main") == landed


def test_a_repository_without_the_deploy_branch_says_so(remote: Remote) -> None:
    remote.commit({"a": "1"}, ref="refs/heads/master")
    with pytest.raises(NotFound, match="no branch main"):
        mirrored(remote)


# -- one more file, proposed ---------------------------------------------------------------------------------------


def file_on(onto: str, branch: str = "reconciler/adopt-1", content: bytes = b"why: x\n") -> FileProposal:
    return FileProposal(
        "operations/adopt-1.yaml", content, onto, branch, "Adopt\n", "Proposer", "proposer@example.test", "token"
    )


def test_a_file_is_proposed_on_a_branch_of_its_own_and_twice_is_once(remote: Remote) -> None:
    tip = remote.commit({"a": LINES, "deep/b": "1\n"})
    source = mirrored(remote)
    sha = source.propose_file(file_on(tip))
    assert remote.head("refs/heads/reconciler/adopt-1") == sha
    source.fetch()
    assert source.commit(sha).parents == (tip,)
    assert source.changed_paths(source.commit(tip).tree, source.commit(sha).tree) == ("operations/adopt-1.yaml",)
    assert source.tree(sha).files["operations/adopt-1.yaml"].content == b"why: x\n"
    assert source.propose_file(file_on(tip)) == sha
    assert source.branches("reconciler/") == {"reconciler/adopt-1": sha}


def test_another_proposal_moves_no_branch_and_one_outside_is_refused(remote: Remote) -> None:
    tip = remote.commit({"a": LINES})
    source = mirrored(remote)
    sha = source.propose_file(file_on(tip))
    with pytest.raises(NotAllowed):
        source.propose_file(file_on(tip, content=b"why: y\n"))
    for branch in ("main", "feature/x", "reconciler/../main"):
        with pytest.raises(NotAllowed):
            source.propose_file(file_on(tip, branch))
    assert remote.head("refs/heads/reconciler/adopt-1") == sha
    assert remote.head("refs/heads/main") == tip


def test_a_file_that_stands_there_already_is_nothing_to_propose(remote: Remote) -> None:
    tip = remote.commit({"operations/adopt-1.yaml": "why: x\n"})
    with pytest.raises(InvalidInput, match="already"):
        mirrored(remote).propose_file(file_on(tip))
