"""A merge queue as far as one is needed here: its branches are announced, and landing one merges each pull request."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from reconciler.forges.webhooks import Due, hint
from tests.unit.localforge.conftest import As
from tests.unit.localforge.forge_under_test import DATA, REPOSITORY
from tests.unit.localforge.test_notices import Outbox, outbox

__all__ = ["outbox"]


def example(event: str) -> dict[str, Any]:
    """GitHub's own example of an event."""
    found = dict(json.loads(gzip.decompress((DATA / "webhooks-examples.json.gz").read_bytes())))[event]
    shown: dict[str, Any] = found[0]
    return shown


def queued(as_: As, *methods: str) -> tuple[str, list[str]]:
    """A pull request for each method, and the queue's branches that land them on each other; main's tip, the heads."""
    tip: str = as_("author").get(f"{REPOSITORY}/git/ref/heads/main")["object"]["sha"]
    base, heads, tree = tip, [], ""
    for index, method in enumerate(methods):
        for name in "abcd"[: index + 1]:
            as_("author").commit_file(f"change-{index}", f"{name}.txt", f"{name}\n")
        number = as_("author").open_pull(f"change-{index}")
        head = as_("author").get(f"{REPOSITORY}/git/ref/heads/change-{index}")["object"]["sha"]
        tree = as_("author").get(f"{REPOSITORY}/git/commits/{head}")["tree"]["sha"]
        parents = [base, head] if method == "merge" else [base]
        made = as_("admin").post(f"{REPOSITORY}/git/commits", message=f"#{number}", tree=tree, parents=parents)["sha"]
        as_("admin").post(
            f"{REPOSITORY}/git/refs", ref=f"refs/heads/gh-readonly-queue/main/pr-{number}-{base}", sha=made
        )
        heads.append(made)
        base = made
    return tip, heads


@pytest.mark.parametrize("methods", [("merge", "merge"), ("squash", "squash"), ("squash", "merge")], ids=" ".join)
def test_each_pull_request_of_a_group_is_merged_as_the_queue_landed_it(as_: As, methods: tuple[str, ...]) -> None:
    _, heads = queued(as_, *methods)
    as_("admin").patch(f"{REPOSITORY}/git/refs/heads/main", sha=heads[-1])
    pulls = [as_("author").get(f"{REPOSITORY}/pulls/{number}") for number in (1, 2)]
    assert [pull["merged"] for pull in pulls] == [True, True]
    assert [pull["merge_commit_sha"] for pull in pulls] == heads
    assert [pull["number"] for pull in as_("author").get(f"{REPOSITORY}/commits/{heads[0]}/pulls")][:1] == [1]


def test_a_group_that_lands_alone_leaves_the_next_one_open(as_: As) -> None:
    _, heads = queued(as_, "squash", "squash")
    as_("admin").patch(f"{REPOSITORY}/git/refs/heads/main", sha=heads[0])
    assert [as_("author").get(f"{REPOSITORY}/pulls/{number}")["merged"] for number in (1, 2)] == [True, False]


def test_a_branch_of_the_queue_asks_for_checks_and_says_when_it_is_gone(as_: As, outbox: Outbox) -> None:
    tip, (head,) = queued(as_, "merge")
    ref = f"gh-readonly-queue/main/pr-1-{tip}"
    as_("admin").delete(f"{REPOSITORY}/git/refs/heads/{ref}")
    told = [payload for event, payload in outbox.sent if event == "merge_group"]
    assert [payload["action"] for payload in told] == ["checks_requested", "destroyed"]
    for payload in told:
        group = payload["merge_group"]
        assert (group["head_sha"], group["base_sha"]) == (head, tip)
        assert (group["head_ref"], group["base_ref"]) == (f"refs/heads/{ref}", "refs/heads/main")
        shown = example("merge_group")
        assert group.keys() == shown["merge_group"].keys()
        assert group["head_commit"].keys() == shown["merge_group"]["head_commit"].keys()
        assert shown.keys() - {"installation", "organization"} <= payload.keys()
        due = hint("merge_group", json.dumps(payload).encode())
        assert due == Due(payload["repository"]["id"], (), (f"refs/heads/{ref}",))
