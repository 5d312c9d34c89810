"""Doors beside the gate itself: a rollback, a heal, a delivery, a forge that leads elsewhere, another engine."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import githubkit
import httpx
from pydantic import TypeAdapter

from reconciler import policy
from reconciler.approvals import goes_back, unapproved_image
from reconciler.diff import compare, plan
from reconciler.forges import webhooks
from reconciler.forges.connection import Connection
from reconciler.model.errors import ReconcilerError
from reconciler.model.policy import Action, Effect, Need, Policy, Rule, When
from reconciler.model.verdict import Verdict
from tests.builders import ENGINE, FINGERPRINTER, a_service, a_target, deployed, resolutions
from tests.gate.answer import Answer, texts_of
from tests.gate.deciding import answer_of, decided
from tests.unit.approvals.evidence import NOW, PRINCIPALS, evidence, time_of

SECRET = b"the webhook's secret"
OPEN = Answer("open")


def rollback(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A pull request that says that it goes back, in a repository whose policy asks nobody for a rollback and one
    person for a change. `inputs` is what the environment would be made of, `earlier` what it was made of before;
    `image` is what the state that comes back would run, `image_outside` what the policy denies by now.
    """
    back = 54 in disabled or goes_back(given["inputs"], given["earlier"])
    rules = (
        Rule("change", Effect.REQUIRE, ("deploy",), need=Need(1)),
        Rule("back", Effect.REQUIRE, ("rollback",), need=Need(given.get("needs", 0))),
        Rule("registries", Effect.DENY, ("*",), when=When(image_outside=tuple(given.get("image_outside", ["**"])))),
    )
    found = evidence(**(given.get("evidence") or {}))
    target = found.expected[0]
    model = {"services": {"web": {"image": given.get("image", "shop/web:1")}}}
    request = policy.PolicyRequest(
        actions=(Action.ROLLBACK if back else Action.DEPLOY,),
        targets=(policy.TargetFacts(target, "production", model, False),),
        authors=(1001,),
        changed_files=(),
    )
    verdict = policy.evaluate(request, Policy(rules, "digest"), PRINCIPALS)
    if 55 in disabled and back:
        verdict = Verdict((), verdict.requirements, verdict.policy_digest)
    whole = replace(found, rule_sets=tuple(replace(each, verdict=verdict) for each in found.rule_sets))
    now = time_of(NOW)
    assert now is not None
    return answer_of(decided(whole, now, disabled))


def heal(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A heal that would run `images` (reference to what it is now), making containers of `moving`; `approved` is what
    was approved for each.
    """
    images = tuple(sorted(given["images"].items()))
    reason = unapproved_image("shop/production@web-1", images, given.get("moving", ()), given.get("approved", {}))
    return OPEN if reason is None or reason.rule in disabled else Answer("refused", (reason.rule,), texts_of([reason]))


def delivery(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A webhook delivery with a `body`, signed over `signed_body` with `secret` by an `algorithm`, or with a `header`
    as it stands there.
    """
    body = given.get("body", "{}").encode()
    digest = hmac.new(
        given.get("secret", SECRET.decode()).encode(),
        given.get("signed_body", body.decode()).encode(),
        given.get("algorithm", "sha256"),
    ).hexdigest()
    header = given.get("header", f"{given.get('algorithm', 'sha256')}={digest}")
    forged = patch.object(hmac, "compare_digest", lambda *_: True) if 60 in disabled else nullcontext()
    loose = patch.object(webhooks, "SIGNATURE", AnyText()) if 60 in disabled else nullcontext()
    with forged, loose:
        genuine = webhooks.verify(given.get("ours", SECRET.decode()).encode(), body, header)
    return OPEN if genuine else Answer("refused", (60,))


class AnyText:
    """A pattern that everything fits."""

    def fullmatch(self, text: str) -> tuple[str, str]:
        return (text, text)


def forge(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """A forge whose answer leads to another address, by `redirect` or by the `link` to a next page; whoever is asked
    there says yes to everything.
    """
    asked: list[str] = []

    def answering(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "elsewhere.test" or len(asked) > 1:
            return httpx.Response(200, json=[])
        if "redirect" in given:
            return httpx.Response(given["redirect"], headers={"location": "https://elsewhere.test/api"})
        link = f'<https://elsewhere.test/api/page?page={given.get("link")}>; rel="next"'
        return httpx.Response(200, json=[], headers={"link": link} if "link" in given else {})

    made = githubkit.GitHub
    led = lambda *args, **named: made(*args, **named | {"follow_redirects": True})  # noqa: E731
    with patch.object(githubkit, "GitHub", led) if 65 in disabled else nullcontext():
        connection = Connection("https://forge.test", "token", 5, httpx.MockTransport(answering))
        try:
            shape = TypeAdapter(list[dict[str, Any]])
            list(connection.pages(shape, "list", lambda rest, page: rest.repos.list_commits("o", "r", page=page)))
        except ReconcilerError:
            return Answer("refused", (65,))
    return Answer("refused", (65,)) if set(asked) != {"forge.test"} and 65 not in disabled else OPEN


def engine(given: Mapping[str, Any], disabled: frozenset[int]) -> Answer:
    """The approved plan was made on ENGINE-1; what answers now is the engine `answers`."""
    target = a_target({"web": {"image": "shop/web:2"}})
    before = deployed(a_target((a_service("web", {"image": "shop/web:1"}),)))

    def digest_on(name: str) -> str:
        live = replace(before, engine=replace(ENGINE, id="ENGINE-1" if 66 in disabled else name))
        found = resolutions(target)
        return plan(target, live, compare(target, live, {}, FINGERPRINTER), found).digest

    return OPEN if digest_on("ENGINE-1") == digest_on(given["answers"]) else Answer("refused", (66,))
