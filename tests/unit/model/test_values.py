"""The small values that everything else is made of: canonical bytes, fingerprints, health, places, names."""

from __future__ import annotations

import pytest

from reconciler.model.canonical import canonical, digest, digest_bytes
from reconciler.model.errors import InvalidInput, ReconcilerError, Retryable, Terminal
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.health import Health, worst
from reconciler.model.location import Location, Problem
from reconciler.model.target import EnvironmentName, Target

# -- canonical ------------------------------------------------------------------------------------------------------


def test_the_order_of_keys_changes_no_byte() -> None:
    assert canonical({"b": 1, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 1}) == b'{"a":[1,2],"b":1}'


def test_the_order_of_a_list_does() -> None:
    assert digest([1, 2]) != digest([2, 1])


def test_a_tuple_is_a_list_and_text_stays_utf_8() -> None:
    assert canonical({"ä": ("é",)}) == '{"ä":["é"]}'.encode()


def test_none_an_empty_text_and_a_missing_key_are_three_things() -> None:
    assert len({digest({"a": None}), digest({"a": ""}), digest({})}) == 3


def test_the_digest_is_sha_256_of_the_canonical_bytes() -> None:
    assert digest({"a": 1}) == digest_bytes(b'{"a":1}')
    assert digest_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: "a"}, object()])
def test_what_json_cannot_say_is_not_digested(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical(value)


# -- fingerprints ---------------------------------------------------------------------------------------------------

ONE = Fingerprinter("k1", b"a key")


def test_the_same_value_has_the_same_fingerprint_and_another_one_another() -> None:
    assert ONE.of("shop/production", "TOKEN", "x") == ONE.of("shop/production", "TOKEN", "x")
    assert ONE.of("shop/production", "TOKEN", "x") != ONE.of("shop/production", "TOKEN", "y")


def test_equal_values_do_not_show_as_equal_across_environments_names_and_installations() -> None:
    found = {
        ONE.of("shop/production", "TOKEN", "x"),
        ONE.of("shop/staging", "TOKEN", "x"),
        ONE.of("shop/production", "OTHER", "x"),
        Fingerprinter("k1", b"another key").of("shop/production", "TOKEN", "x"),
    }
    assert len(found) == 4


def test_a_fingerprint_is_keyed_and_says_nothing_of_the_length() -> None:
    short, long = ONE.of("s", "n", ""), ONE.of("s", "n", "x" * 10_000)
    assert short.startswith("hmac:k1:")
    assert len(short) == len(long) == len("hmac:k1:") + 16


def test_text_that_is_not_utf_8_has_a_fingerprint_too() -> None:
    assert ONE.of("s", "n", b"\xff".decode("utf-8", "surrogateescape")) != ONE.of("s", "n", "?")


def test_the_key_is_not_shown() -> None:
    assert "a key" not in repr(ONE)


# -- health ---------------------------------------------------------------------------------------------------------


def test_the_worst_health_wins_whatever_the_order() -> None:
    assert worst([Health.HEALTHY, Health.DEGRADED, Health.PROGRESSING]) is Health.DEGRADED
    assert worst([Health.MISSING, Health.PROGRESSING]) is Health.MISSING
    assert worst([Health.UNKNOWN, Health.DEGRADED]) is Health.UNKNOWN
    assert worst(reversed(list(Health))) is Health.UNKNOWN


def test_nothing_at_all_is_healthy() -> None:
    assert worst([]) is Health.HEALTHY


# -- places and problems --------------------------------------------------------------------------------------------


def test_a_place_is_read_as_file_and_line() -> None:
    assert str(Location("a.yaml", 3)) == "a.yaml:3"
    assert str(Location("a.yaml")) == "a.yaml"


def test_problems_are_sorted_by_file_then_line_and_the_whole_file_comes_first() -> None:
    places = [Location("b.yaml"), Location("a.yaml", 10), Location("a.yaml", 9), Location("a.yaml")]
    problems = sorted(Problem(place, "wrong") for place in places)
    assert [str(p.location) for p in problems] == ["a.yaml", "a.yaml:9", "a.yaml:10", "b.yaml"]


def test_invalid_input_says_every_problem_at_once() -> None:
    error = InvalidInput("not valid", (Problem(Location("a.yaml", 1), "one", "do this"), Problem(Location("b"), "two")))
    assert str(error) == "not valid\n  a.yaml:1: one (do this)\n  b: two"


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = Retryable("does not answer", where="web-1", hint="check sshd")
    assert str(error) == "web-1: does not answer (check sshd)"
    assert isinstance(error, ReconcilerError)
    assert not isinstance(error, Terminal)


# -- names ----------------------------------------------------------------------------------------------------------


def test_names_are_read_back_as_they_are_written() -> None:
    assert EnvironmentName.parse("shop/production") == EnvironmentName("shop", "production")
    assert Target.parse(str(Target("shop", "production", "web-1"))) == Target("shop", "production", "web-1")


@pytest.mark.parametrize("text", ["", "shop", "shop/", "/production", "a/b/c"])
def test_what_is_no_environment_is_refused_by_its_form(text: str) -> None:
    with pytest.raises(ValueError, match="PROJECT/ENVIRONMENT"):
        EnvironmentName.parse(text)


@pytest.mark.parametrize("text", ["shop/production", "shop/production@", "@web-1", "shop@web-1"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PROJECT/ENVIRONMENT"):
        Target.parse(text)
