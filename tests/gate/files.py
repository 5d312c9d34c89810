"""The door `files`: a repository before a change and after it, judged as control judges a pull request (46 to 48)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

from reconciler import approvals
from reconciler.approvals import rule_changes, stricter, strictest_consent
from reconciler.control import evidence as judging
from reconciler.control.changes import Change, Kind
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.desired import load
from reconciler.model.approval import GateRules
from reconciler.model.deployment import DeploymentKind
from reconciler.model.desired import Rendered, RenderInput
from reconciler.model.errors import InvalidInput
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.model.target import EnvironmentName
from tests.gate.answer import Answer
from tests.gate.deciding import answer_of, decided
from tests.unit.approvals.evidence import NOW, evidence, time_of

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"

REPOSITORY = {
    "reconciler.yaml": "format: 1\ndeploy_branch: main\n",
    "principals.yaml": """
people:
  author: {github: 1001, groups: [developers]}
  reviewer: {github: 2001, groups: [operators]}
  second: {github: 2002, groups: [operators]}
  operator: {github: 2003, groups: [developers]}
agents:
  deployer: {github: 3001, owner: operator}
""",
    "policy.yaml": """
rules:
  - id: one
    effect: require
    actions: [deploy, rollback, change_policy, change_host]
    need: {approvals: 1, from_group: operators}
""",
    "hosts/web-1.yaml": f"address: web-1.example.net\nuser: reconciler\nhost_key: {HOST_KEY}\ntiers: [production]\n",
    "projects/shop/production/environment.yaml": (
        "hosts: [web-1]\ntier: production\nconsent: review\nconsent_delay: 30s\n"
    ),
    "projects/shop/production/compose.yaml": "services: {web: {image: shop/web:1}}\n",
}
"""A small, honest one: what a case does not mention is as here."""


def files(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """`before` and `after` are changes by path: a whole text, `{find, put}`, `{append}`, or null for a file that goes;
    `evidence` and `now` are as at the gate. A repository that cannot be read is refused under 47.
    """
    before = changed(REPOSITORY, given.get("before") or {})
    after = changed(before, given.get("after") or {})
    try:
        states = [Snapshot(tree, load(tree)) for tree in (tree_of(before), tree_of(after))]
    except InvalidInput:
        return Answer("open" if 47 in disabled else "refused", () if 47 in disabled else (47,))
    paths = tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path)))
    old, new = states
    names = {spec.name for state in states for spec in state.state.environments}
    touched = tuple(sorted(name for name in names if inputs(before, name) != inputs(after, name)))
    change = Change(old, new, paths, touched, rule_changes(old.state, new.state, paths))
    told = {"expected": [str(target) for target in change.targets]} | dict(given.get("evidence") or {})
    told.setdefault("plans", {str(target): "plan" for target in change.targets})
    told.setdefault("shown", [{"digests": told["plans"]}])
    found = evidence(**told)
    believed = replace(old.state, policy=new.state.policy, principals=new.state.principals)
    rules = replace(old, state=believed) if 46 in disabled else old
    one, all_of = stricter, strictest_consent
    if 48 in disabled:
        one, all_of = only_after, lambda *_: strictest_consent(new.state)
    with patch.multiple(approvals, stricter=one, strictest_consent=all_of):
        judged = judging.judge(
            cast(Parts, NoHosts()), change, (), change.targets, Kind(DeploymentKind.CHANGE), found.reading, None,
            {"the base": rules},
        )  # fmt: skip
    whole = replace(
        found,
        rule_sets=judged,
        rules_touched=change.rules.rules_touched,
        others_touched=change.rules.others_touched,
    )
    now = time_of(given.get("now") or NOW)
    assert now is not None
    return answer_of(decided(whole, now, disabled))


def only_after(base: Any, head: Any, base_host: Any, head_host: Any, target: Any) -> GateRules:
    """As if a pull request's own files were believed."""
    return stricter(head or base, head or base, head_host or base_host, head_host or base_host, target)


class NoHosts:
    """Of all parts only a renderer is asked, and its models are empty: these cases are about rules."""

    def render(self, inputs: RenderInput) -> Rendered:
        return Rendered({"services": {}}, inputs.digest if hasattr(inputs, "digest") else "", "none")

    @property
    def renderer(self) -> NoHosts:
        return self


def changed(files_: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """Files with changes by path."""
    result = dict(files_)
    for path, change in changes.items():
        if change is None:
            del result[path]
        elif isinstance(change, str):
            result[path] = change
        elif "append" in change:
            result[path] += change["append"]
        else:
            assert change["find"] in result[path], (path, change)
            result[path] = result[path].replace(change["find"], change["put"])
    return result


def tree_of(files_: Mapping[str, str]) -> Tree:
    """A tree of ordinary files."""
    return Tree("", {path: TreeFile(FileKind.FILE, text.encode()) for path, text in files_.items()})


def inputs(files_: Mapping[str, str], name: EnvironmentName) -> Mapping[str, str]:
    """What an environment is made of, near enough for cases: everything below its project, and the hosts."""
    prefixes = (f"projects/{name.project}/", "hosts/")
    return {path: text for path, text in files_.items() if path.startswith(prefixes)}
