"""Many clients at once: merges land one after the other, nothing is lost, nobody waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from reconciler.localforge.forge import Forge
from reconciler.localforge.server import running
from tests.unit.localforge.forge_under_test import REPOSITORY, TOKENS, Api, seed

pytestmark = pytest.mark.integration

CHANGES = 6


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a\n")
    with running(tmp_path / "data", seed(tmp_path / "source")) as forge:
        yield forge


def _propose_and_merge(base_url: str, number: int) -> str:
    with httpx.Client(base_url=base_url, timeout=60) as client:
        author, reviewer = Api(client, TOKENS["author"]), Api(client, TOKENS["reviewer"])
        head = author.commit_file(f"change-{number}", f"{number}.txt", f"{number}\n")
        pull = author.open_pull(f"change-{number}")
        reviewer.approve(pull)
        author.get(f"{REPOSITORY}/pulls/{pull}")
        method = ("merge", "squash", "rebase")[number % 3]
        merged = reviewer.put(f"{REPOSITORY}/pulls/{pull}/merge", sha=head, merge_method=method)
        return str(merged["sha"])


def test_merges_at_once_land_one_after_the_other(forge: Forge) -> None:
    with ThreadPoolExecutor(max_workers=CHANGES) as threads:
        landed = list(threads.map(lambda number: _propose_and_merge(forge.base_url, number), range(CHANGES)))
    with httpx.Client(base_url=forge.base_url) as client:
        reader = Api(client, TOKENS["reader"])
        pulls = reader.get(f"{REPOSITORY}/pulls?state=all&per_page=100")
        assert sorted(pull["number"] for pull in pulls) == list(range(1, CHANGES + 1))
        assert {pull["merge_commit_sha"] for pull in pulls} == set(landed)
        tree = reader.get(f"{REPOSITORY}/git/trees/main")
        assert {entry["path"] for entry in tree["tree"]} == {"a.txt", *(f"{number}.txt" for number in range(CHANGES))}
    repository = forge.repository_named("acme/infra")
    assert repository is not None
    line = [
        str(one.id) for one in forge.git(repository).first_parents(str(forge.git(repository).branch("main")), "0" * 40)
    ]
    assert set(landed) <= set(line)
    assert len(line) == CHANGES + 1


def test_of_many_merges_of_one_pull_request_one_succeeds(forge: Forge) -> None:
    with httpx.Client(base_url=forge.base_url) as client:
        author = Api(client, TOKENS["author"])
        head = author.commit_file("change", "b.txt", "b\n")
        author.open_pull("change")

    def merge(_: int) -> int:
        with httpx.Client(base_url=forge.base_url, timeout=60) as client:
            reviewer = Api(client, TOKENS["reviewer"])
            return reviewer.call("PUT", f"{REPOSITORY}/pulls/1/merge", sha=head).status_code

    with ThreadPoolExecutor(max_workers=CHANGES) as threads:
        answers = sorted(threads.map(merge, range(CHANGES)))
    assert answers == [200, *([405] * (CHANGES - 1))]
