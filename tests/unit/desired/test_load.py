"""How files become values: defaults, order, what counts more."""

from datetime import timedelta

import pytest

from reconciler.desired import load
from reconciler.model.desired import Consent, DriftMode, EnvironmentSpec
from reconciler.model.errors import InvalidInput
from reconciler.model.location import Location, Problem
from reconciler.model.policy import Effect, Need
from reconciler.model.revision import Tree
from reconciler.model.target import EnvironmentName
from tests.unit.desired.repositories import edited, one_environment, sample, with_files

STAGING = "projects/shop/staging/environment.yaml"


def environment(tree: Tree, name: str) -> EnvironmentSpec:
    found = load(tree).environment(EnvironmentName.parse(name))
    assert found is not None
    return found


def test_an_environment_says_more_than_the_defaults_and_the_defaults_more_than_the_format() -> None:
    production, staging = environment(sample(), "shop/production"), environment(sample(), "shop/staging")
    assert (production.drift, staging.drift) == (DriftMode.HEAL, DriftMode.REPORT)
    assert production.health.timeout == staging.health.timeout == timedelta(seconds=60)
    assert staging.consent is Consent.REVIEW
    assert staging.consent_delay == timedelta(0)


def test_an_environment_without_word_on_its_files_takes_the_usual_ones() -> None:
    tree = edited(sample(), [{"file": STAGING, "find": "compose: [../compose.yaml]\n", "put": ""}])
    assert environment(tree, "shop/staging").compose == ("projects/shop/compose.yaml",)
    own = with_files(tree, {"projects/shop/staging/compose.yaml": "services: {}\n"})
    assert environment(own, "shop/staging").compose == (
        "projects/shop/compose.yaml",
        "projects/shop/staging/compose.yaml",
    )


def test_hosts_selected_by_labels_are_named_and_sorted() -> None:
    tree = one_environment("services: {a: {image: a}}\n", "select: {role: web}\ntier: production\n")
    assert environment(tree, "demo/production").hosts == ("web-1", "web-2")
    narrower = one_environment("services: {a: {image: a}}\n", "select: {role: web, region: us}\ntier: production\n")
    assert environment(narrower, "demo/production").hosts == ("web-2",)


def test_a_compose_project_is_named_after_the_environment() -> None:
    assert environment(sample(), "shop/production").compose_project == "shop-production"


def test_accounts_are_one_number_or_several() -> None:
    tree = edited(sample(), [{"file": "principals.yaml", "find": "github: 1001", "put": "github: [2001, 1001]"}])
    person = load(tree).principals.person_of(2001)
    assert person is not None
    assert (person.name, person.accounts) == ("author", (1001, 2001))


def test_a_whole_number_is_text_where_text_is_meant() -> None:
    tree = edited(sample(), [{"file": STAGING, "find": '"18081"', "put": "18081"}])
    assert dict(environment(tree, "shop/staging").variables)["WEB_PORT"] == "18081"


def test_words_that_yaml_1_1_reads_as_booleans_are_words() -> None:
    tree = edited(sample(), [{"file": "hosts/web-1.yaml", "find": "region: eu", "put": "region: no"}])
    host = load(tree).host("web-1")
    assert host is not None
    assert dict(host.labels)["region"] == "no"


def test_a_host_has_its_key_without_the_comment_and_the_usual_places() -> None:
    host = load(edited(sample(), [{"file": "hosts/web-2.yaml", "find": "KKW+2", "put": "KKW+2 root@web-2"}])).host(
        "web-2"
    )
    assert host is not None
    assert host.host_key == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMf01CmQ+MT27YEJUQlQwZZLgyUUNcwQMyh9f0fKKW+2"
    assert (host.port, host.socket, host.directory) == (22, "/var/run/docker.sock", "/var/lib/reconciler")


def test_a_rule_has_its_line_and_its_need() -> None:
    rule = next(each for each in load(sample()).policy.rules if each.id == "production-needs-one")
    assert (rule.effect, rule.need) == (Effect.REQUIRE, Need(1, "operators"))
    lines = sample().files["policy.yaml"].content.decode().splitlines()
    assert rule.location == Location("policy.yaml", lines.index("  - id: production-needs-one") + 1)


def test_the_policy_digest_changes_with_a_comment() -> None:
    changed = edited(sample(), [{"file": "policy.yaml", "append": "# more\n"}])
    assert load(changed).policy.digest != load(sample()).policy.digest


def test_the_order_of_files_in_the_tree_does_not_matter() -> None:
    turned = Tree("", dict(reversed(sample().files.items())))
    assert load(turned) == load(sample())


def problems_of(tree: Tree) -> tuple[Problem, ...]:
    try:
        load(tree)
    except InvalidInput as refused:
        return refused.problems
    return ()


def test_a_damaged_file_is_a_problem_of_that_file_and_no_other_exception() -> None:
    found = 0
    for path in ("reconciler.yaml", "policy.yaml", "hosts/web-1.yaml", STAGING, "projects/shop/compose.yaml"):
        content = sample().files[path].content
        for end in range(0, len(content), 83):
            for damage in (b"", b"\x00", b"[", b": ", b"\xff", b"\n- "):
                rest = content[end:] if damage else b""
                found += len(problems_of(with_files(sample(), {path: content[:end] + damage + rest})))
    assert found > 200


def test_deep_nesting_is_a_problem_and_no_crash() -> None:
    for text in ("a: " + "[" * 5000, "a: " + "[" * 200 + "]" * 200):
        with pytest.raises(InvalidInput):
            load(with_files(sample(), {"projects/shop/project.yaml": text}))


def test_a_file_with_more_values_than_anybody_would_write_is_given_up_while_it_is_read() -> None:
    tree = with_files(sample(), {"hosts/web-1.yaml": "labels: [\n" + "x,\n" * 60_000 + "]\n"})
    with pytest.raises(InvalidInput) as refused:
        load(tree)
    assert [str(problem) for problem in refused.value.problems] == [
        "hosts/web-1.yaml: has more than 50000 values (split the file) (gate 76)"
    ]


def test_a_machine_under_a_second_name_is_the_same_machine() -> None:
    first = with_files(sample(), {}).files["hosts/web-1.yaml"].content.decode()
    for change in (("address: ", "address: also-"), ("host_key: ", "host_ca: ")):
        second = "\n".join(line.replace(*change) for line in first.splitlines())
        tree = with_files(
            sample(),
            {
                "hosts/alias.yaml": second,
                "projects/shop/taker/environment.yaml": "hosts: [alias]\ntier: production\ncompose: [../compose.yaml]\n"
                'compose_project: shop-production\nvariables: {TAG: "1", GREETING: x}\n',
            },
        )
        with pytest.raises(InvalidInput) as refused:
            load(tree)
        (problem,) = refused.value.problems
        assert "is shop/production's on host 'alias' (the same machine as 'web-1') already" in problem.text
