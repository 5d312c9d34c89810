"""compare: properties that always hold, and what is found beside the fields of a running container."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import diff
from reconciler.diff.definition import definition_digest
from reconciler.model.change import Change, ChangeKind, SubjectKind
from reconciler.model.desired import DesiredTarget
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location
from reconciler.model.observed import ObservedState
from tests.builders import (
    FINGERPRINTER,
    a_container,
    a_directory,
    a_network,
    a_service,
    a_target,
    deployed,
    empty_host,
    hex_of,
    with_container,
    without_containers,
)


def compare(target: DesiredTarget, observed: ObservedState) -> tuple[Change, ...]:
    return diff.compare(target, observed, {}, FINGERPRINTER)


def found(changes: tuple[Change, ...]) -> list[tuple[str, str, str]]:
    return [(change.kind.value, str(change.subject), change.field) for change in changes]


NAMES = st.sampled_from(["web", "api", "db", "queue"])
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="$"), min_size=1, max_size=8)
RENDERED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "command": st.lists(WORDS, min_size=1, max_size=3),
        "entrypoint": st.lists(WORDS, min_size=1, max_size=2),
        "environment": st.dictionaries(st.sampled_from(["A", "B", "PATH"]), WORDS, max_size=3),
        "ports": st.lists(
            st.builds(lambda p: {"target": p, "published": str(p + 8000), "protocol": "tcp"}, st.integers(1, 99)),
            max_size=2,
            unique_by=lambda port: port["target"],
        ),
        "labels": st.dictionaries(WORDS, WORDS, max_size=2),
        "restart": st.sampled_from(["no", "always", "unless-stopped", "on-failure:3"]),
        "mem_limit": st.sampled_from(["16m", "64m", "67108864"]),
        "cpus": st.sampled_from([0.25, 0.5, "1.5"]),
        "user": WORDS,
        "working_dir": st.sampled_from(["/", "/srv", "/srv/"]),
        "read_only": st.booleans(),
        "cap_add": st.lists(st.sampled_from(["NET_ADMIN", "SYS_TIME"]), unique=True),
        "volumes": st.just([{"type": "volume", "source": "data", "target": "/data"}]),
        "networks": st.sampled_from([{"default": None}, {"default": {"aliases": ["x"]}, "back": None}]),
        "deploy": st.builds(lambda n: {"replicas": n}, st.integers(0, 3)),
        "stop_grace_period": st.sampled_from(["1s", "1m30s", "1.5s"]),
    },
)
SERVICES = st.dictionaries(NAMES, RENDERED, min_size=1, max_size=4)


@given(SERVICES)
@settings(max_examples=60, deadline=None)
def test_a_host_that_runs_what_git_says_does_not_differ(services: dict[str, dict[str, Any]]) -> None:
    target = a_target(services)
    assert compare(target, deployed(target)) == ()


@given(SERVICES, SERVICES, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_what_was_read_does_not_matter(
    wanted: dict[str, dict[str, Any]], live: dict[str, dict[str, Any]], random: Any
) -> None:
    target, observed = a_target(wanted), deployed(a_target(live))
    shuffled = list(observed.containers)
    random.shuffle(shuffled)
    mixed = replace(
        observed,
        containers=tuple(shuffled),
        networks=observed.networks[::-1],
        volumes=observed.volumes[::-1],
        images=observed.images[::-1],
    )
    assert compare(target, mixed) == compare(target, observed)


def test_a_service_without_a_container_is_created_with_its_whole_definition() -> None:
    target = a_target({"web": {}})
    changes = compare(target, empty_host())
    assert found(changes) == [("create", "network shop_default", ""), ("create", "service web", "")]
    assert changes[1].after.digestable == {"definition": definition_digest(target.services[0])}
    assert changes[1].cause == Location("projects/shop/compose.yaml", 3)


def test_a_new_service_is_told_by_what_it_runs_publishes_mounts_and_may_do() -> None:
    rendered = {
        "ports": [{"target": 80, "published": "8080", "protocol": "tcp"}],
        "volumes": [{"type": "bind", "source": "/srv/$$x", "target": "/site"}],
        "environment": {"TOKEN": "s3cret"},
        "privileged": True,
        "deploy": {"replicas": 2},
    }
    created = compare(a_target({"web": rendered}), empty_host())[-1]
    text = "demo:1; privileged; 2 containers; publishes :8080->80/tcp; mounts /srv/$x at /site; variables TOKEN"
    assert created.after.text == text


def test_a_missing_replica_is_a_change_of_the_number_and_of_nothing_else() -> None:
    target = a_target({"web": {"deploy": {"replicas": 3}}})
    (change,) = compare(target, without_containers(deployed(target), "shop-web-2"))
    assert (change.field, change.before.text, change.after.text) == ("replicas", "2", "3")


def test_the_same_difference_of_two_replicas_is_one_change() -> None:
    target = a_target({"web": {"deploy": {"replicas": 2}, "user": "1000"}})
    observed = deployed(target)
    for name in ("shop-web-1", "shop-web-2"):
        observed = with_container(observed, name, config={"User": "root"})
    assert found(compare(target, observed)) == [("update", "service web", "user")]


def test_a_definition_that_inspect_does_not_show_is_found_by_composes_hash() -> None:
    target = a_target({"web": {}})
    (change,) = compare(
        target, with_container(deployed(target), "shop-web-1", labels={"com.docker.compose.config-hash": "0"})
    )
    assert (change.field, change.found_by) == ("definition", "config-hash")
    unknown = a_target((a_service("web", config_hash=None),))
    assert compare(unknown, deployed(target)) == ()


def test_a_hash_adds_nothing_where_a_field_says_it_already() -> None:
    target = a_target({"web": {"user": "1000"}})
    changes = {"labels": {"com.docker.compose.config-hash": "0"}, "config": {"User": ""}}
    (change,) = compare(target, with_container(deployed(target), "shop-web-1", **changes))
    assert (change.field, change.found_by) == ("user", "fields")


def test_a_key_that_left_git_is_told_from_an_engines_default_by_the_hash() -> None:
    target = a_target({"web": {}})
    driver = {"host_config": {"LogConfig": {"Type": "local", "Config": {}}}}
    assert compare(target, with_container(deployed(target), "shop-web-1", **driver)) == ()
    moved = {**driver, "labels": {"com.docker.compose.config-hash": "0"}}
    assert found(compare(target, with_container(deployed(target), "shop-web-1", **moved))) == [
        ("update", "service web", "logging.driver")
    ]


STATES = (
    ({"status": "exited", "exit_code": 137}, "stopped (ended with exit code 137)"),
    ({"status": "exited", "exit_code": 0}, "stopped (ended with exit code 0)"),
    ({"status": "paused"}, "paused"),
    ({"status": "dead"}, "dead"),
    ({"status": "created"}, "created, never started"),
)


@pytest.mark.parametrize(("state", "text"), STATES, ids=lambda value: str(value))
def test_a_service_that_does_not_run_is_a_change_of_state(state: dict[str, Any], text: str) -> None:
    target = a_target({"web": {}})
    (change,) = compare(target, with_container(deployed(target), "shop-web-1", state=state))
    assert (change.kind, change.field, change.before.text) == (ChangeKind.STATE, "state", text)


def test_a_container_that_the_engine_restarts_is_a_matter_of_health_and_no_change() -> None:
    target = a_target({"web": {"restart": "always"}})
    assert compare(target, with_container(deployed(target), "shop-web-1", state={"status": "restarting"})) == ()


def test_a_finished_job_is_no_change_and_a_failed_one_is() -> None:
    target = a_target((a_service("migrate", is_job=True),))
    assert compare(target, deployed(target)) == ()
    failed = with_container(deployed(target), "shop-migrate-1", state={"status": "exited", "exit_code": 3})
    (change,) = compare(target, failed)
    assert (change.before.text, change.after.text) == ("ended with exit code 3", "ended with exit code 0")


def test_a_finished_job_differs_by_what_git_changed_and_not_by_what_happened_on_the_host() -> None:
    target = a_target((a_service("migrate", {"mem_limit": "64m"}, is_job=True),))
    by_hand = {"networks": {"shop_default": None}, "host_config": {"Memory": 1}, "name": "renamed"}
    assert compare(target, with_container(deployed(target), "shop-migrate-1", **by_hand)) == ()
    changed = a_target((a_service("migrate", {"mem_limit": "32m"}, is_job=True),))
    assert found(compare(changed, deployed(target)))[0] == ("update", "service migrate", "memory")
    joined = a_target((a_service("migrate", {"mem_limit": "64m", "networks": {"back": None}}, is_job=True),))
    found_by = [change.found_by for change in compare(joined, deployed(target)) if change.subject.name == "migrate"]
    assert found_by == ["config-hash"]


def test_a_container_whose_service_left_git_is_removed_and_that_destroys() -> None:
    before, after = a_target({"web": {}, "old": {}}), a_target({"web": {}})
    (change,) = compare(after, deployed(before))
    assert (change.kind, str(change.subject), change.destroys) == (ChangeKind.REMOVE, "container shop-old-1", True)


def test_what_somebody_else_created_is_never_part_of_a_change() -> None:
    target = a_target({"web": {}})
    stranger = replace(a_container(target, a_service("theirs")), labels={"com.docker.compose.project": "shop"})
    observed = deployed(target)
    assert compare(target, replace(observed, containers=(*observed.containers, stranger))) == ()
    removed = a_target({}, removed=True)
    only = replace(empty_host(), containers=(stranger,), networks=observed.networks)
    assert compare(removed, only) == ()


def test_a_one_off_container_of_ours_is_left_over_and_one_of_somebody_else_is_not() -> None:
    target = a_target({"web": {}})
    run = replace(a_container(target, target.services[0]), name="shop-web-run-1", one_off=True, id=hex_of("run"))
    observed = deployed(target)
    with_run = replace(observed, containers=(*observed.containers, run))
    assert found(compare(target, with_run)) == [("remove", "container shop-web-run-1", "")]
    theirs = replace(observed, containers=(*observed.containers, replace(run, labels={})))
    assert compare(target, theirs) == ()


def test_the_rest_of_an_interrupted_recreate_is_not_a_replica() -> None:
    target = a_target({"web": {}})
    (web,) = deployed(target).containers
    temporary = replace(
        web,
        id=hex_of("temporary"),
        name="0123456789ab_shop-web-1",
        state=replace(web.state, status="created"),
        labels={**web.labels, "com.docker.compose.replace": "web-1"},
    )
    observed = deployed(target, containers=(web, temporary))
    assert found(compare(target, observed)) == [("remove", "container 0123456789ab_shop-web-1", "")]


NETWORKS = (
    ({"driver": "macvlan"}, "driver"),
    ({"options": {"mtu": "1400"}}, "driver_opts"),
    ({"internal": True}, "internal"),
    ({"attachable": True}, "attachable"),
    ({"ipv6": True}, "enable_ipv6"),
    ({"labels": {"com.docker.compose.project": "shop", "by": "hand"}}, "labels"),
    ({"labels": {}}, "project"),
)


@pytest.mark.parametrize(("drift", "field"), NETWORKS, ids=lambda value: str(value))
def test_each_setting_of_a_network_is_compared(drift: dict[str, Any], field: str) -> None:
    target = a_target({"web": {}})
    (network,) = deployed(target).networks
    (change,) = compare(target, deployed(target, networks=(replace(network, **drift),)))
    assert (change.kind, str(change.subject), change.field) == (ChangeKind.UPDATE, "network shop_default", field)
    assert "stops shop-web-1" in change.why


def test_what_an_engine_or_we_write_on_a_network_is_no_change() -> None:
    target = a_target({"web": {}})
    (network,) = deployed(target).networks
    noted = replace(
        network,
        options={"com.docker.network.enable_ipv4": "true"},
        labels={**network.labels, "dev.reconciler.owner": "reconciler"},
    )
    assert compare(target, deployed(target, networks=(noted,))) == ()


def test_a_subnet_is_compared_only_where_git_names_one() -> None:
    target = a_target({"web": {}}, networks=(a_network(subnets=(("10.1.0.0/24", ""),)),))
    assert compare(target, deployed(target)) == ()
    (network,) = deployed(target).networks
    other = replace(network, subnets=(("10.2.0.0/24", "10.2.0.1"),))
    assert [change.field for change in compare(target, deployed(target, networks=(other,)))] == ["subnets"]
    free = a_target({"web": {}})
    assert compare(free, deployed(target, containers=deployed(free).containers)) == ()


def test_a_network_that_was_replaced_under_a_stopped_container_has_to_be_joined_again() -> None:
    target = a_target({"web": {}})
    (network,) = deployed(target).networks
    (change,) = compare(target, deployed(target, networks=(replace(network, id="f" * 64),)))
    assert (change.field, change.before.text) == (
        "networks.shop_default",
        "attached to an earlier network of that name",
    )


def test_a_network_that_git_left_is_removed_unless_others_are_on_it() -> None:
    before = a_target({"web": {"networks": {"default": None, "back": None}}})
    after = a_target({"web": {}})
    observed = deployed(before, containers=deployed(after).containers)
    (change,) = compare(after, observed)
    assert (change.kind, str(change.subject)) == (ChangeKind.REMOVE, "network shop_back")
    back = next(n for n in observed.networks if n.name == "shop_back")
    used = replace(observed, networks=(replace(back, containers=(hex_of("theirs"),)), *observed.networks[1:]))
    assert compare(after, used) == ()


DATA = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}


def test_a_volume_is_created_never_changed_and_removed_only_when_named() -> None:
    target = a_target({"db": DATA})
    assert ("create", "volume shop_data", "") in found(compare(target, empty_host()))
    (volume,) = deployed(target).volumes
    (change,) = compare(target, deployed(target, volumes=(replace(volume, driver="nfs"),)))
    assert (change.kind, change.field, change.destroys) == (ChangeKind.UPDATE, "driver", True)
    gone = a_target({"db": {}})
    kept = replace(deployed(gone), volumes=(volume,))
    assert compare(gone, kept) == ()
    for name in ("data", "shop_data"):
        (removal,) = compare(replace(gone, remove_volumes=(name,)), kept)
        assert (removal.kind, removal.subject.kind, removal.destroys) == (ChangeKind.REMOVE, SubjectKind.VOLUME, True)


def test_a_volume_of_another_project_is_not_removed_however_it_is_named() -> None:
    target = a_target({"web": {}}, remove_volumes=("data", "shop_data"))
    (volume,) = deployed(a_target({"db": DATA})).volumes
    theirs = replace(volume, labels={"com.docker.compose.project": "other", "com.docker.compose.volume": "data"})
    assert compare(target, deployed(target, volumes=(theirs,))) == ()


def test_a_data_directory_is_created_for_a_service_that_does_not_mount_it_yet() -> None:
    directory = a_directory()
    mount = {"type": "bind", "source": directory.path, "target": "/uploads"}
    target = a_target({"web": {"volumes": [mount]}}, data_directories=(directory,))
    assert ("create", f"directory {directory.path}", "") in found(compare(target, empty_host()))
    assert compare(target, deployed(target)) == ()
    earlier = deployed(a_target({"web": {}}))
    assert ("create", f"directory {directory.path}", "") in found(compare(target, earlier))


def test_a_change_names_the_line_of_git_that_says_it() -> None:
    places = {
        "services.web.environment.A": Location("c.yaml", 7),
        "services.web.ports.80": Location("c.yaml", 9),
        "services.web.mem_limit": Location("c.yaml", 12),
        "services.web.networks.default": Location("c.yaml", 14),
    }
    ports = [{"target": 80, "published": "1", "protocol": "tcp"}]
    wide = {"environment": {"A": "1"}, "ports": ports, "mem_limit": "64m", "networks": {"default": {"aliases": ["x"]}}}
    target = a_target({"web": wide}, sources=places)
    live = deployed(a_target({"web": {"labels": {"old": "1"}}}))
    causes = {change.field: str(change.cause) for change in compare(target, live)}
    assert causes == {
        "environment.A": "c.yaml:7",
        "labels.old": "projects/shop/compose.yaml:3",
        "memory": "c.yaml:12",
        "networks.shop_default.aliases": "c.yaml:14",
        "ports.80/tcp": "c.yaml:9",
    }


def test_a_change_that_only_the_host_made_has_no_cause_in_git() -> None:
    target = a_target({"web": {}})
    (change,) = compare(target, with_container(deployed(target), "shop-web-1", labels={"added": "by hand"}))
    assert change.cause is None
    assert change.why == "changed on the host: git is as it was when shop-web-1 was created"


def test_fingerprints_of_another_key_are_refused_and_not_taken_for_changes() -> None:
    target = a_target({"web": {"environment": {"A": "1"}}})
    with pytest.raises(ValueError, match="another key"):
        diff.compare(target, deployed(target), {}, Fingerprinter("other", b"another key"))
