"""Each family of conditions by itself: when a rule fits, when it does not, and when nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.policy import Effect, Need, Rule, TargetMatch, When, Who
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.target import Target
from reconciler.policy import PolicyRequest, TargetFacts
from reconciler.policy.facts import Facts
from reconciler.policy.rules import data, files, host_access, images, target, who

PRINCIPALS = Principals(
    people=(Person("anna", (1,), ("operators",)), Person("sven", (2,), ("sre", "operators"))),
    agents=(Agent("deployer", (3,), owner="anna"),),
)
ANNA, SVEN, AGENT, STRANGER = 1, 2, 3, 4


def rule(effect: Effect = Effect.DENY, need: int | None = None, **over: Any) -> Rule:
    return Rule("x", effect, ("deploy",), need=None if need is None else Need(need), **over)


def facts(*authors: int | None, model: Any = None, subject: bool = True, **over: Any) -> Facts:
    given: dict[str, Any] = {"tier": "production", "destroys_data": False} | over
    changed = given.pop("changed", ("a",))
    about = TargetFacts(Target("shop", "production", "web-1"), model=model, **given) if subject else None
    return Facts(PolicyRequest((), (about,) if about else (), authors, changed), about, PRINCIPALS)


# -- who -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "author", "answer"),
    [
        (Who(), STRANGER, True),
        (Who("person"), ANNA, True),
        (Who("person"), AGENT, False),
        (Who("person"), STRANGER, None),
        (Who("agent"), AGENT, True),
        (Who("agent"), ANNA, False),
        (Who("agent"), STRANGER, None),
        (Who("unknown"), STRANGER, True),
        (Who("unknown"), None, True),
        (Who("unknown"), ANNA, False),
        (Who("unknown", ("sre",)), STRANGER, None),
        (Who(groups=("sre",)), ANNA, False),
        (Who(groups=("sre",)), SVEN, True),
        (Who(groups=("nobody", "operators")), ANNA, True),
        (Who(groups=("sre",)), AGENT, False),
        (Who(groups=("sre",)), STRANGER, None),
        (Who("person", ("operators",)), ANNA, True),
        (Who("agent", ("operators",)), ANNA, False),
    ],
    ids=str,
)
def test_an_author_is_whom_a_rule_names(said: Who, author: int | None, answer: bool | None) -> None:
    assert who.holds(rule(who=said), facts(author)) is answer


@pytest.mark.parametrize(
    ("over", "of_everyone"),
    [
        ({"effect": Effect.DENY}, False),
        ({"effect": Effect.REQUIRE, "need": 1}, False),
        ({"effect": Effect.REQUIRE, "need": 2}, False),
        ({"effect": Effect.REQUIRE, "need": 0}, True),
        ({"effect": Effect.ALLOW}, True),
    ],
    ids=str,
)
def test_what_allows_or_frees_has_to_fit_every_author_and_what_forbids_or_asks_any(
    over: dict[str, Any], of_everyone: bool
) -> None:
    people = rule(**over, who=Who("person"))
    assert who.holds(people, facts(ANNA, AGENT)) is not of_everyone
    assert who.holds(people, facts(ANNA, SVEN)) is True
    assert who.holds(people, facts(AGENT)) is False
    assert who.holds(people, facts()) is None


# -- target, data, files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "answer"),
    [
        (TargetMatch(), True),
        (TargetMatch(tiers=("prod*",)), True),
        (TargetMatch(tiers=("staging",)), False),
        (TargetMatch(environments=("production",)), True),
        (TargetMatch(environments=("shop/production",)), True),
        (TargetMatch(environments=("shop/staging", "staging")), False),
        (TargetMatch(hosts=("web-*",)), True),
        (TargetMatch(hosts=("db-*",)), False),
        (TargetMatch(("production",), ("production",), ("db-*",)), False),
    ],
    ids=str,
)
def test_a_target_is_one_that_a_rule_names(named: TargetMatch, answer: bool) -> None:
    assert target.holds(rule(target=named), facts(ANNA)) is answer
    unknown = target.holds(rule(target=named), facts(ANNA, subject=False))
    assert unknown is (True if named == TargetMatch() else None)


def test_a_tier_that_nobody_knows_is_unknown() -> None:
    assert target.holds(rule(target=TargetMatch(tiers=("production",))), facts(ANNA, tier=None)) is None


@pytest.mark.parametrize(
    ("wanted", "destroys", "answer"),
    [(True, True, True), (True, False, False), (False, False, True), (True, None, None), (None, True, True)],
)
def test_data_goes_as_a_rule_says(wanted: bool | None, destroys: bool | None, answer: bool | None) -> None:
    assert data.holds(rule(when=When(destroys_data=wanted)), facts(ANNA, destroys_data=destroys)) is answer


def test_where_there_is_no_target_nobody_knows_whether_data_goes() -> None:
    assert data.holds(rule(when=When(destroys_data=True)), facts(ANNA, subject=False)) is None


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("*.yaml", "a/b.yaml", True),
        ("*.yaml", "b.yaml", True),
        ("hosts/**", "hosts/web-1.yaml", True),
        ("hosts/**", "x/hosts/web-1.yaml", False),
        ("hosts/*", "hosts/a/b", False),
    ],
)
def test_a_glob_with_a_slash_begins_at_the_root_and_one_without_fits_everywhere(
    glob: str, path: str, fits: bool
) -> None:
    assert files.holds(rule(when=When(files_any=(glob,))), facts(ANNA, changed=(path,))) is fits
    assert files.holds(rule(when=When(files_any=(glob,))), facts(ANNA, changed=None)) is None


# -- what the model reaches for, and where images come from --------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "reaches"),
    [
        ({"image": "x"}, False),
        ({"image": "x", "privileged": True}, True),
        ({"image": "x", "volumes": [{"type": "bind", "source": "/data", "target": "/x"}]}, False),  # only noted
        ({"image": "x", "provider": {"type": "vault"}}, False),  # denied by another number
    ],
    ids=str,
)
def test_only_what_is_denied_as_access_to_the_host_is_access_to_the_host(service: Any, reaches: bool) -> None:
    asked = facts(ANNA, model={"services": {"web": service}})
    assert host_access.holds(rule(when=When(privileged=True)), asked) is reaches
    assert host_access.holds(rule(when=When(privileged=False)), asked) is not reaches


def test_of_a_model_that_nobody_has_nothing_is_known() -> None:
    for asked in (facts(ANNA), facts(ANNA, subject=False)):
        assert host_access.holds(rule(when=When(privileged=True)), asked) is None
        assert images.holds(rule(when=When(image_unpinned=True)), asked) is None
        assert images.holds(rule(when=When(image_outside=("x",))), asked) is None


@pytest.mark.parametrize(
    ("image", "names"),
    [
        ("web", ("web", "web", "docker.io/library/web", "docker.io/library/web")),
        ("web:1", ("web:1", "web", "docker.io/library/web:1", "docker.io/library/web")),
        ("web.v1", ("web.v1", "web.v1", "docker.io/library/web.v1", "docker.io/library/web.v1")),
        ("localhost", ("localhost", "localhost", "docker.io/library/localhost", "docker.io/library/localhost")),
        ("acme/web:1", ("acme/web:1", "acme/web", "docker.io/acme/web:1", "docker.io/acme/web")),
        ("acme/web.x/y:1", ("acme/web.x/y:1", "acme/web.x/y", "docker.io/acme/web.x/y:1", "docker.io/acme/web.x/y")),
        ("localhost/web:1", ("localhost/web:1", "localhost/web")),
        ("registry:5000/web", ("registry:5000/web", "registry:5000/web")),
        ("r.test/a/web@sha256:ab", ("r.test/a/web@sha256:ab", "r.test/a/web")),
        ("r.test/a/web:1@sha256:ab", ("r.test/a/web:1@sha256:ab", "r.test/a/web")),
        ("r.test/a:1:2", ("r.test/a:1:2", "r.test/a")),
        ("a:1:2", ("a:1:2", "a", "docker.io/library/a:1:2", "docker.io/library/a")),
    ],
)
def test_an_image_has_these_names_and_no_other(image: str, names: tuple[str, ...]) -> None:
    assert images.names(image) == names


@pytest.mark.parametrize("service", [None, "web", {}, {"image": ""}, {"image": 7}, {"build": "."}])
def test_what_names_no_image_could_be_any(service: Any) -> None:
    assert list(images.images_in({"services": {"web": service}})) == [None]
    assert list(images.images_in({})) == []
