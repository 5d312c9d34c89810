"""plan: which operations, in which order, with which digest, and what stands in the way."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler import diff
from reconciler.model.desired import DesiredTarget
from reconciler.model.location import Location
from reconciler.model.observed import ImageResolution, MissingImage, ObservedState, ResolvedImage
from reconciler.model.plan import (
    CreateNetwork,
    CreateService,
    Operation,
    Plan,
    RecreateNetwork,
    RecreateService,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RunJob,
    ScaleService,
    StartService,
)
from tests.builders import (
    ENGINE,
    FINGERPRINTER,
    NOON,
    a_bundle,
    a_container,
    a_foreigner,
    a_network,
    a_service,
    a_target,
    a_volume,
    deployed,
    empty_host,
    hex_of,
    image_id,
    resolutions,
    with_container,
    without_containers,
)

HTTP = [{"target": 80, "published": "8080", "protocol": "tcp"}]
DATA = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}


def plan_of(
    target: DesiredTarget, observed: ObservedState, images: Mapping[str, ImageResolution] | None = None
) -> Plan:
    changes = diff.compare(target, observed, {}, FINGERPRINTER)
    return diff.plan(target, observed, changes, resolutions(target) if images is None else images)


def names(plan: Plan) -> list[str]:
    """The operations after shipping and pulling, one word for what and one for which."""
    return [_name(operation) for operation in plan.operations if _name(operation)]


def _name(operation: Operation) -> str:
    match operation:
        case CreateService() | RecreateService() | StartService() | ScaleService() | RunJob():
            return f"{type(operation).__name__} {operation.service}"
        case RemoveContainer():
            return f"RemoveContainer {operation.container}"
        case CreateNetwork() | RecreateNetwork():
            return f"{type(operation).__name__} {operation.network.name}"
        case RemoveNetwork() | RemoveVolume():
            return f"{type(operation).__name__} {operation.name}"
        case _:
            return ""


def texts(plan: Plan) -> str:
    return "\n".join(obstacle.text for obstacle in plan.obstacles)


def test_nothing_to_do_is_an_empty_plan() -> None:
    target = a_target({"web": {}})
    plan = plan_of(target, deployed(target))
    assert (plan.empty, plan.changes, plan.stages, plan.obstacles) == (True, (), (), ())


# What each service needs


def test_each_kind_of_difference_has_its_operation() -> None:
    services: dict[str, dict[str, Any]] = {
        "changed": {"user": "1"},
        "many": {"deploy": {"replicas": 2}},
        "new": {},
        "same": {},
        "still": {},
        "stopped": {},
    }
    target = a_target(services)
    observed = without_containers(deployed(target), "shop-new-1", "shop-many-2")
    observed = with_container(observed, "shop-changed-1", config={"User": ""})
    observed = with_container(observed, "shop-stopped-1", state={"status": "exited"})
    observed = with_container(observed, "shop-still-1", state={"status": "paused"})
    plan = plan_of(target, observed)
    assert names(plan) == [
        "RecreateService changed",
        "ScaleService many",
        "CreateService new",
        "StartService still",
        "StartService stopped",
    ]
    starts = {o.service: o.unpause for o in plan.operations if isinstance(o, StartService)}
    assert starts == {"still": ("shop-still-1",), "stopped": ()}


def test_a_container_that_is_dead_is_replaced_and_not_started() -> None:
    target = a_target({"web": {}})
    assert names(plan_of(target, with_container(deployed(target), "shop-web-1", state={"status": "dead"}))) == [
        "RecreateService web"
    ]


def test_a_paused_container_that_differs_is_replaced() -> None:
    target = a_target({"web": {"user": "1"}})
    observed = with_container(deployed(target), "shop-web-1", state={"status": "paused"}, config={"User": ""})
    assert names(plan_of(target, observed)) == ["RecreateService web"]


def test_a_job_runs_when_it_is_new_changed_or_failed_and_never_again_by_itself() -> None:
    job = a_service("migrate", {"user": "1"}, is_job=True)
    target = a_target((job, a_service("web", depends_on=("migrate",))))
    assert names(plan_of(target, deployed(target))) == []
    earlier = a_target((a_service("migrate", is_job=True), target.services[1]))
    assert names(plan_of(target, deployed(earlier))) == ["RunJob migrate"]
    failed = with_container(deployed(target), "shop-migrate-1", state={"exit_code": 1})
    assert names(plan_of(target, failed)) == ["RunJob migrate"]
    assert names(plan_of(target, without_containers(deployed(target), "shop-migrate-1"))) == ["RunJob migrate"]


def test_dependents_of_a_replaced_namespace_parent_are_replaced_after_it() -> None:
    shares = {"client": {"network_mode": "service:vpn"}, "deep": {"network_mode": "service:client"}}
    target = a_target({"vpn": {"user": "1"}, **shares})
    plan = plan_of(target, with_container(deployed(target), "shop-vpn-1", config={"User": ""}))
    assert names(plan) == ["RecreateService vpn", "RecreateService client", "RecreateService deep"]
    assert plan.stages[-3:] == ((1,), (2,), (3,))


def test_dependents_of_a_parent_that_starts_again_are_replaced_and_of_an_unpaused_one_are_not() -> None:
    target = a_target({"vpn": {}, "client": {"network_mode": "service:vpn"}})
    stopped = with_container(deployed(target), "shop-vpn-1", state={"status": "exited"})
    assert names(plan_of(target, stopped)) == ["StartService vpn", "RecreateService client"]
    paused = with_container(deployed(target), "shop-vpn-1", state={"status": "paused"})
    assert names(plan_of(target, paused)) == ["StartService vpn"]


def test_who_asks_to_be_restarted_with_a_dependency_is() -> None:
    depends = {"depends_on": {"db": {"condition": "service_started", "restart": True}}}
    target = a_target({"db": {"user": "1"}, "web": depends, "calm": {"depends_on": {"db": {}}}})
    plan = plan_of(target, with_container(deployed(target), "shop-db-1", config={"User": ""}))
    assert names(plan) == ["RecreateService db", "RecreateService web"]


def test_a_changed_network_is_replaced_and_the_services_on_it_after_it() -> None:
    target = a_target({"web": {}, "db": {}, "lone": {"networks": {"back": None}}})
    observed = with_container(deployed(target), "shop-db-1", state={"status": "exited"})
    changed = replace(target, networks=(a_network("back"), a_network(internal=True)))
    plan = plan_of(changed, observed)
    assert names(plan) == ["RecreateNetwork shop_default", "RecreateService db", "RecreateService web"]
    assert plan.obstacles == ()
    replaced = next(o for o in plan.operations if isinstance(o, RecreateNetwork))
    assert replaced.disconnects == ("shop-db-1", "shop-web-1")
    assert "stops shop-db-1, shop-web-1" in replaced.why


def test_a_finished_job_on_a_replaced_network_is_not_run_again() -> None:
    services = (a_service("migrate", is_job=True), a_service("web"))
    before, after = a_target(services), a_target(services, networks=(a_network(internal=True),))
    assert names(plan_of(after, deployed(before))) == ["RecreateNetwork shop_default", "RecreateService web"]
    disconnected = with_container(deployed(after), "shop-migrate-1", networks={"shop_default": None})
    assert plan_of(after, disconnected).empty


# Order


def test_services_come_after_what_they_depend_on_even_through_one_that_is_not_touched() -> None:
    target = a_target({"web": {"depends_on": {"api": {}}}, "api": {"depends_on": {"db": {}}}, "db": {}})
    assert names(plan_of(target, empty_host()))[1:] == ["CreateService db", "CreateService api", "CreateService web"]
    observed = without_containers(deployed(target), "shop-web-1", "shop-db-1")
    plan = plan_of(target, observed)
    assert names(plan) == ["CreateService db", "CreateService web"]
    assert len(plan.stages[-1]) == 1


def test_independent_services_share_a_stage() -> None:
    target = a_target({"one": {}, "two": {}, "three": {}})
    plan = plan_of(target, empty_host())
    assert [len(stage) for stage in plan.stages] == [1, 1, 3]
    assert sorted(index for stage in plan.stages for index in stage) == list(range(len(plan.operations)))


def test_before_jobs_run_one_by_one_ahead_of_all_but_what_they_need() -> None:
    services = (
        a_service("db"),
        a_service("migrate", is_job=True, depends_on=("db",)),
        a_service("seed", is_job=True),
        a_service("web"),
    )
    target = a_target(services, before=("migrate", "seed"))
    expected = ["CreateService db", "RunJob migrate", "RunJob seed", "CreateService web"]
    assert names(plan_of(target, empty_host()))[1:] == expected


def test_files_and_images_come_before_anything_stops_and_removals_of_the_rest_come_last() -> None:
    before = a_target({"web": DATA, "old": {"networks": {"back": None}}})
    web = a_service("web", {"image": "demo:2"}, bundles=(a_bundle(),))
    target = a_target((web,), remove_volumes=("data",))
    kinds = [type(operation).__name__ for operation in plan_of(target, deployed(before)).operations]
    assert kinds == ["ShipFiles", "PullImage", "RecreateService", "RemoveContainer", "RemoveNetwork", "RemoveVolume"]


def test_a_left_over_container_goes_first_when_it_holds_a_port_that_a_service_needs() -> None:
    before, after = a_target({"old": {"ports": HTTP}, "idle": {}}), a_target({"new": {"ports": HTTP}})
    plan = plan_of(after, deployed(before))
    assert names(plan) == ["RemoveContainer shop-old-1", "CreateService new", "RemoveContainer shop-idle-1"]


def test_a_service_that_takes_over_a_port_comes_after_the_one_that_gives_it_up() -> None:
    before = a_target({"a": {}, "z": {"ports": HTTP}})
    after = a_target({"a": {"ports": HTTP}, "z": {}})
    assert names(plan_of(after, deployed(before))) == ["RecreateService z", "RecreateService a"]


def test_a_missing_image_leaves_no_pull_and_an_obstacle() -> None:
    target = a_target({"web": {}}, images=())
    plan = plan_of(target, empty_host(), {"demo:1": MissingImage("demo:1", "manifest unknown")})
    assert [type(o).__name__ for o in plan.operations] == ["CreateNetwork", "CreateService"]
    assert texts(plan) == "the image demo:1 of web is missing: manifest unknown"
    assert "was not resolved" in texts(plan_of(target, empty_host(), {}))


# The digest


TWO: dict[str, dict[str, Any]] = {"web": {"user": "1", "environment": {"A": "1"}}, "other": {}}


def web_changed(target: DesiredTarget) -> ObservedState:
    return with_container(deployed(target), "shop-web-1", config={"User": ""})


def test_the_same_work_has_the_same_digest_whatever_is_around_it() -> None:
    target = a_target(TWO)
    digest = plan_of(target, web_changed(target)).digest
    later = replace(web_changed(target), observed_at=NOON.replace(year=2027), others=(a_foreigner(),))
    assert plan_of(target, later).digest == digest
    renamed = [(c, hex_of(c.name)) for c in later.containers]
    other_ids = replace(
        later,
        containers=tuple(replace(c, id=new, config={**c.config, "Hostname": new[:12]}) for c, new in renamed),
    )
    assert plan_of(target, other_ids).digest == digest
    moved_lines = replace(
        target,
        services=tuple(replace(s, location=Location("elsewhere.yaml", 99)) for s in target.services),
        networks=tuple(replace(n, location=Location("elsewhere.yaml", 98)) for n in target.networks),
    )
    assert plan_of(moved_lines, web_changed(moved_lines)).digest == digest


def test_another_services_change_leaves_the_digest_alone() -> None:
    target = a_target(TWO)
    digest = plan_of(target, web_changed(target)).digest
    untouched = a_target({**TWO, "other": {"environment": {"B": "2"}, "image": "demo:3"}, "third": {}})
    assert plan_of(untouched, web_changed(untouched)).digest == digest


def test_an_image_that_is_on_the_host_already_leaves_the_digest_alone() -> None:
    target = a_target({"web": {"image": "demo:2"}})
    observed = deployed(a_target({"web": {}}))
    absent = {"demo:2": ResolvedImage("demo:2", image_id("demo:2"), None, False)}
    plan = plan_of(target, observed, absent)
    pulled = replace(observed, images=(*observed.images, *deployed(target).images))
    assert plan_of(target, pulled).digest == plan.digest
    assert plan.images == (("demo:2", image_id("demo:2")),)


DIFFERENT: tuple[DesiredTarget, ...] = (
    a_target({**TWO, "web": {"user": "2", "environment": {"A": "1"}}}),
    a_target({**TWO, "web": {"user": "1", "environment": {"A": "2"}}}),
    a_target({**TWO, "web": {"user": "1", "environment": {"A": "1"}, "x-unseen": "by inspect"}}),
    a_target({**TWO, "web": {"user": "1", "environment": {"A": "1"}, "image": "demo:2"}}),
    a_target({**TWO, "web": {"user": "1", "environment": {"A": "1"}, "deploy": {"replicas": 2}}}),
    replace(a_target(TWO), target=replace(a_target(TWO).target, host="web-2")),
    a_target((a_service("other"), a_service("web", TWO["web"], bundles=(a_bundle(),)))),
)


@pytest.mark.parametrize("other", DIFFERENT, ids=range(len(DIFFERENT)))
def test_other_work_has_another_digest(other: DesiredTarget) -> None:
    target = a_target(TWO)
    assert plan_of(other, web_changed(target)).digest != plan_of(target, web_changed(target)).digest


def test_another_engine_has_another_digest() -> None:
    target = a_target(TWO)
    elsewhere = replace(web_changed(target), engine=replace(ENGINE, id="ENGINE-2"))
    assert plan_of(target, elsewhere).digest != plan_of(target, web_changed(target)).digest


def test_a_new_files_content_has_another_digest_for_its_user_only() -> None:
    def target(content: str) -> DesiredTarget:
        return a_target((a_service("web", bundles=(a_bundle(content=content),)), a_service("other")))

    assert plan_of(target("one"), empty_host()).digest != plan_of(target("two"), empty_host()).digest
    only_other = without_containers(deployed(target("one")), "shop-other-1")
    assert plan_of(target("one"), only_other).digest == plan_of(target("two"), only_other).digest


# Obstacles


def test_a_foreign_container_on_a_network_is_seen_by_its_name_or_by_its_id() -> None:
    target = a_target({"web": {}}, networks=(a_network(internal=True),))
    observed = deployed(a_target({"web": {}}))
    (network,) = observed.networks
    unknown = replace(observed, networks=(replace(network, containers=(*network.containers, "d" * 64)),))
    assert "somebody else are on it: dddddddddddd" in texts(plan_of(target, unknown))
    named = replace(unknown, others=(a_foreigner(id="d" * 64),))
    assert texts(plan_of(target, named)).endswith("somebody else are on it: theirs")


def test_a_network_name_that_two_networks_have_stops_the_plan() -> None:
    target = a_target({"web": {}})
    (network,) = deployed(target).networks
    twice = empty_host(networks=(network, replace(network, id="e" * 64)))
    assert texts(plan_of(target, twice)) == "web-1 has 2 networks with the name shop_default"


def test_a_network_of_another_project_is_not_replaced() -> None:
    target = a_target({"web": {}}, networks=(a_network(internal=True),))
    observed = deployed(a_target({"web": {}}))
    theirs = replace(observed.networks[0], labels={"com.docker.compose.project": "blog"})
    text = texts(plan_of(target, replace(observed, networks=(theirs,))))
    assert text == "the network shop_default belongs to the project blog"


def test_a_stack_of_somebody_else_under_our_project_name_stops_the_plan() -> None:
    target = a_target({"web": {}})
    theirs = replace(a_container(target, target.services[0]), labels={"com.docker.compose.service": "web"})
    plan = plan_of(target, empty_host(containers=(theirs,)))
    assert "containers that somebody else created: shop-web-1" in texts(plan)
    assert not any(isinstance(operation, RemoveContainer) for operation in plan.operations)


def test_a_name_that_somebody_else_has_stops_the_plan() -> None:
    target = a_target({"web": {}, "named": {"container_name": "front"}})
    taken = empty_host(others=(a_foreigner("shop-web-1"), a_foreigner("front", project="blog")))
    text = texts(plan_of(target, taken))
    assert "the name shop-web-1 that web needs is taken by a container without Compose labels" in text
    assert "the name front that named needs is taken by a container of the project blog" in text


CLASHES = (
    (("0.0.0.0:8080/tcp",), True),
    (("[::]:8080/tcp",), True),
    (("127.0.0.1:8080/tcp",), True),
    (("0.0.0.0:8080/udp",), False),
    (("0.0.0.0:8081/tcp",), False),
    (("0.0.0.0:8079-8081->80/tcp",), True),
)


@pytest.mark.parametrize(("ports", "clash"), CLASHES)
def test_a_port_that_somebody_else_publishes_stops_the_plan(ports: tuple[str, ...], clash: bool) -> None:
    target = a_target({"web": {"ports": HTTP}})
    plan = plan_of(target, empty_host(others=(a_foreigner(ports=ports),)))
    assert ("the port 8080/tcp that web publishes is taken by the container theirs" in texts(plan)) is clash


def test_all_ports_of_a_host_against_all_of_another_service_are_looked_up_and_not_compared_one_by_one() -> None:
    everything = {"ports": [{"target": port, "published": str(port), "protocol": "tcp"} for port in range(1, 30_001)]}
    last = {"ports": [{"target": 1, "published": "30000", "protocol": "tcp"}]}
    plan = plan_of(a_target({"a": everything, "b": last, "c": everything}), empty_host())
    found = texts(plan)
    assert "the port 30000/tcp that b publishes is taken by the service a" in found
    assert "the port 29999/tcp that a publishes is taken by the service c" in found


def test_two_services_or_replicas_cannot_publish_one_port() -> None:
    target = a_target({"a": {"ports": HTTP}, "b": {"ports": HTTP}})
    assert "the port 8080/tcp that a publishes is taken by the service b" in texts(plan_of(target, empty_host()))
    many = a_target({"a": {"ports": HTTP, "deploy": {"replicas": 2}}})
    assert "a has 2 replicas and publishes fixed ports" in texts(plan_of(many, empty_host()))


def test_what_is_external_has_to_be_there() -> None:
    shared = {"networks": (a_network(external=True),), "volumes": (a_volume(external=True),)}
    target = a_target({"web": DATA}, **shared)
    text = texts(plan_of(target, empty_host()))
    assert "the external network shop_default of web does not exist on web-1" in text
    assert "the external volume shop_data of web does not exist on web-1" in text
    there = without_containers(deployed(target), "shop-web-1")
    assert plan_of(target, there).obstacles == ()


def test_a_volume_of_somebody_else_is_not_taken_over() -> None:
    target = a_target({"web": DATA})
    (volume,) = deployed(target).volumes
    plan = plan_of(target, empty_host(volumes=(replace(volume, labels={}),)))
    assert texts(plan) == "the volume shop_data of web exists and belongs to somebody else"


def test_a_network_that_others_use_is_not_replaced() -> None:
    target = a_target({"web": {}}, networks=(a_network(internal=True),))
    observed = deployed(a_target({"web": {}}), others=(a_foreigner(networks=("shop_default",)),))
    assert "containers of somebody else are on it: theirs" in texts(plan_of(target, observed))


def test_a_volume_cannot_be_changed_in_place() -> None:
    target = a_target({"web": DATA}, volumes=(a_volume(driver="nfs"),))
    text = texts(plan_of(target, deployed(a_target({"web": DATA}))))
    assert "changing it would delete its data" in text


def test_a_rootless_engine_is_refused() -> None:
    target = a_target({"web": {}})
    assert "rootless" in texts(plan_of(target, empty_host(engine=replace(ENGINE, rootless=True))))


def test_an_obstacle_is_about_the_services_that_are_touched() -> None:
    target = a_target({"web": {"ports": HTTP}, "other": {}})
    taken = (a_foreigner(ports=("0.0.0.0:8080/tcp",)),)
    observed = replace(without_containers(deployed(target), "shop-other-1"), others=taken)
    assert plan_of(target, observed).obstacles == ()
    assert "8080" in texts(plan_of(target, empty_host(others=taken)))
