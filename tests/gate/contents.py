"""The doors of the numbers 70 to 84, what a change contains: from files or a rendered model to an answer.

Each door is a function of what a case gives and of the numbers whose checks are switched off. What is not about the
contents is an honest pull request that a person approved (tests/unit/approvals/evidence.py), so that the contents alone
decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from reconciler import policy
from reconciler.approvals import decide
from reconciler.compose.redaction import redact
from reconciler.compose.rendering import SandboxRenderer
from reconciler.desired import image_references, load, render_input, target_model
from reconciler.model.approval import Gate, Open
from reconciler.model.desired import DesiredState, EnvironmentSpec, Rendered
from reconciler.model.errors import InvalidInput
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location, Problem
from reconciler.model.observed import ResolvedImage
from reconciler.model.policy import Action, Effect, Need, Policy, Rule, TargetMatch, Waiver, When
from reconciler.model.redaction import printable
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.model.target import EnvironmentName, Target
from reconciler.model.verdict import Finding, Verdict
from reconciler.policy import PolicyRequest, Removal, Surroundings, TargetFacts, Waivers
from reconciler.reports import escape
from tests.gate.answer import Answer, texts_of
from tests.unit.approvals.evidence import NOW, PRINCIPALS, evidence, time_of

TARGET = Target("shop", "production", "web-1")
IMAGE = "registry.example.test/shop/web:1"
IMAGE_ID = "sha256:" + "ab" * 32

DEFAULTS = {
    "reconciler.yaml": "format: 1\n",
    "principals.yaml": "people:\n  author: {github: 1001, groups: [operators]}\n"
    "  reviewer: {github: 2001, groups: [operators]}\n",
    "policy.yaml": "rules: []\n",
    "hosts/web-1.yaml": "address: web-1.example.test\nuser: reconciler\n"
    "host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDN4+PzX+rFd9xUUG0WjT33S6qCX7yzNv20URWFAPOOs\ntiers: [production]\n",
    "projects/shop/production/environment.yaml": "hosts: [web-1]\ntier: production\n",
    "projects/shop/production/compose.yaml": f"services: {{web: {{image: {IMAGE}}}}}\n",
}
"""A repository in which nothing is wrong; a case writes only what it is about."""

KINDS = {
    "symlink": FileKind.SYMLINK,
    "gitlink": FileKind.SUBMODULE,
    "lfs": FileKind.LFS_POINTER,
    "executable": FileKind.EXECUTABLE,
}

RENDERER = SandboxRenderer(None)
FINGERPRINTER = Fingerprinter("test", b"a key of the tests")


# -- a repository's files ------------------------------------------------------------------------------------------


def tree(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """`files` by path (text, or `{hex: …}`), `modes` that make one a symlink, gitlink, lfs or executable, `without`
    paths: loaded, rendered by the real Compose, and judged, as a pull request that brings them would be.
    """
    found = read(json.dumps(given, sort_keys=True))
    if found.errors:
        return worst(invalid(error, disabled) for error in found.errors)
    asked = request(found.facts, found.changed, found.unseen, Removal(len(found.facts), len(found.facts)))
    return judged(policy.evaluate(asked, found.rules, PRINCIPALS, found.waivers), found.facts, disabled)


@dataclass(frozen=True, slots=True)
class Read:
    """What a repository's files come to: `errors`, or else what is known of each target and what the rules are."""

    errors: tuple[InvalidInput, ...]
    facts: tuple[TargetFacts, ...] = ()
    changed: tuple[str, ...] = ()
    unseen: tuple[Finding, ...] = ()
    rules: Policy | None = None
    waivers: Waivers = field(default_factory=dict)


@lru_cache(maxsize=1000)
def read(written: str) -> Read:
    """A case's files, read once: each case is played for every number that is switched off."""
    given = json.loads(written)
    made = tree_of(given)
    try:
        state = load(made)
    except InvalidInput as error:
        return Read((error,))
    facts: list[TargetFacts] = []
    errors: list[InvalidInput] = []
    for each in state.environments:
        try:
            rendered = RENDERER.render(render_input(made, each))
            executable(made, state, each, rendered)
        except InvalidInput as error:
            errors.append(error)
            continue
        around = Surroundings(each.compose_project)
        facts += [
            TargetFacts(target, each.tier, rendered.model, False, around, each.waivers) for target in each.targets
        ]
    changed = tuple(sorted({*given.get("files", {}), *given.get("modes", {})}))
    return Read(
        errors=tuple(errors),
        facts=tuple(facts),
        changed=changed,
        unseen=tuple(policy.unseen(changed, made.files)),
        rules=state.policy,
        waivers={each.name: each.waivers for each in state.environments},
    )


def tree_of(given: Mapping[str, Any]) -> Tree:
    """The default repository with what a case writes."""
    files = {path: TreeFile(FileKind.FILE, text.encode()) for path, text in DEFAULTS.items()}
    for path, content in given.get("files", {}).items():
        data = bytes.fromhex(content["hex"]) if isinstance(content, Mapping) else content.encode()
        files[path] = TreeFile(FileKind.FILE, data)
    for path, mode in given.get("modes", {}).items():
        files[path] = TreeFile(KINDS[mode], files[path].content if path in files else b"../elsewhere")
    return Tree("", {path: each for path, each in files.items() if path not in given.get("without", ())})


def executable(made: Tree, state: DesiredState, environment: EnvironmentSpec, rendered: Rendered) -> None:
    """What Compose would be given to carry out; InvalidInput where that must not be."""
    host = state.host(environment.hosts[0])
    assert host is not None
    images = {each: ResolvedImage(each, IMAGE_ID, IMAGE_ID, True) for each in image_references(rendered)}
    target_model(
        environment=environment,
        target=environment.targets[0],
        host=host,
        rendered=rendered,
        tree=made,
        images=images,
        fingerprinter=FINGERPRINTER,
    )


def invalid(error: InvalidInput, disabled: frozenset[int]) -> Answer:
    """Files that cannot be read never open anything; what a switched-off number said is not heard."""
    problems = error.problems or (Problem(Location(error.where or ""), error.text, gate=error.gate),)
    left = [problem for problem in problems if problem.gate not in disabled]
    if not left:
        return Answer("open", ())
    assert all(problem.text for problem in left)
    return Answer("refused", tuple(sorted({p.gate or 0 for p in left})), tuple(str(p) for p in left))


def worst(answers: Iterable[Answer]) -> Answer:
    """Several answers as one."""
    found = [each for each in answers if each.outcome != "open"]
    rules = tuple(sorted({rule for each in found for rule in each.rules}))
    return Answer("refused" if found else "open", rules, tuple(text for each in found for text in each.texts))


# -- a rendered model ----------------------------------------------------------------------------------------------


def model(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """`model` as Compose renders it (null: it could not be), judged for shop/production on web-1. Beside it: `waivers`
    that the rules have, `proposed` ones, `rules` of the policy, `around` (compose_project, neighbours, host_paths),
    `removal` (before, after, gone by environment; null: nobody counted), `changed` (a number of files; null: they could
    not be listed).
    """
    proposed = tuple(Waiver(**each) for each in given.get("proposed", given.get("waivers", ())))
    around = {"compose_project": "shop-production"} | dict(given.get("around", {}))
    facts = TargetFacts(
        TARGET,
        "production",
        given.get("model", {"services": {"web": {"image": IMAGE}}}),
        False,
        Surroundings(**{key: tuple(v) if isinstance(v, list) else v for key, v in around.items()}),
        proposed,
    )
    waivers = {TARGET.environment_name: tuple(Waiver(**each) for each in given.get("waivers", ()))}
    number = given.get("changed", 1)
    changed = None if number is None else tuple(f"projects/shop/www/{each}" for each in range(number))
    asked = request((facts,), changed, policy.unseen(changed or (), {}), removal(given.get("removal", {})))
    rules = Policy(tuple(rule(each) for each in given.get("rules", ())), "digest")
    return judged(policy.evaluate(asked, rules, PRINCIPALS, waivers), (facts,), disabled)


def removal(given: Mapping[str, Any] | None) -> Removal | None:
    """What a case says of what goes, by default nothing."""
    if given is None:
        return None
    counted = {"before": 1, "after": 1} | dict(given)
    lost = tuple((EnvironmentName.parse(name), tuple(each)) for name, each in counted.pop("gone", {}).items())
    return Removal(**counted, gone=lost)


def request(
    facts: tuple[TargetFacts, ...],
    changed: tuple[str, ...] | None,
    findings: Iterable[Any],
    removal: Removal | None,
) -> PolicyRequest:
    """A deployment of these targets by the author of the honest pull request."""
    return PolicyRequest((Action.DEPLOY,), facts, (1001,), changed, tuple(findings), removal)


def rule(document: Mapping[str, Any]) -> Rule:
    """A rule as policy.yaml has it, with what the cases use."""
    when = {key: tuple(each) if isinstance(each, list) else each for key, each in document.get("when", {}).items()}
    target = TargetMatch(tuple(document.get("target", {}).get("tier", ())))
    need = Need(**document["need"]) if "need" in document else None
    actions = tuple(document.get("actions", ("deploy",)))
    return Rule(document["id"], Effect(document["effect"]), actions, target=target, when=When(**when), need=need)


def judged(verdict: Verdict, facts: tuple[TargetFacts, ...], disabled: frozenset[int]) -> Answer:
    """The gate's decision on an otherwise honest and approved pull request, with this verdict."""
    heard = tuple(finding for finding in verdict.findings if finding.gate not in disabled)
    names = [str(each.target) for each in facts]
    now = time_of(NOW)
    assert now is not None
    honest = evidence(plans=dict.fromkeys(names, "plan"), shown=[{"digests": dict.fromkeys(names, "plan")}])
    (rules,) = honest.rule_sets
    whole = replace(honest, rule_sets=(replace(rules, verdict=replace(verdict, findings=heard)),))
    return of_gate(decide(whole, now))


def of_gate(gate: Gate) -> Answer:
    """The gate's own answer."""
    reasons = () if isinstance(gate, Open) else gate.reasons
    rules = tuple(sorted({reason.rule for reason in reasons}))
    return Answer(type(gate).__name__.lower(), rules, texts_of(reasons))


# -- text that goes out --------------------------------------------------------------------------------------------


def text(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """`text` that somebody else wrote, shown `as` a sentence, code or a line of a terminal. Refused (83) where it would
    do something and was kept from it: `does` is what must not be left of it, `open` that it comes through as it is.
    """
    shown = {"sentence": escape.inline, "code": escape.code, "terminal": escape.visible}[given["as"]](given["text"])
    return kept_out(83, given["text"] if 83 in disabled else shown, given)


def said(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """What a program `said`, on its way to a log, a record or a comment; `model` holds what it knows. Refused (81)
    where `does`, the secret in whatever spelling, was taken out of it.
    """
    out = printable(redact(given["said"], given.get("model", {})))
    return kept_out(81, given["said"] if 81 in disabled else out, given)


def kept_out(number: int, shown: str, given: Mapping[str, Any]) -> Answer:
    """Whether what should not come through did."""
    if given["does"] in shown:
        return Answer("open", (), (shown,))
    return Answer("refused", (number,), (shown,))
