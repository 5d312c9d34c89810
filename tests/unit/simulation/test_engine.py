"""The simulated engine's rules, on a clock that the test moves."""

import asyncio
from typing import Any

import pytest

from reconciler.simulation.engine import Engine
from reconciler.simulation.errors import EngineRefusal
from reconciler.simulation.image import SimulatedImage
from reconciler.simulation.state import Container
from reconciler.simulation.views import inspected_container, listed_container
from tests.unit.simulation.surroundings import FakeTime, engine_of


def _run(engine: Engine, name: str = "web", **body: Any) -> Container:
    container = engine.create_container(name, {"Image": "web:1", **body})
    engine.start(container)
    return container


def _check(test: list[str], **more: Any) -> dict[str, Any]:
    return {"Test": test, "Interval": 2_000_000_000, **more}


def test_a_container_is_healthy_after_its_first_check() -> None:
    engine, time = engine_of()
    container = _run(engine, Healthcheck=_check(["CMD", "true"]))
    assert container.state.health is not None
    time.advance(1.9)
    assert container.state.health.status == "starting"
    time.advance(0.2)
    assert container.state.health.status == "healthy"
    assert listed_container(engine, container)["Status"] == "Up 2 seconds (healthy)"


def test_a_failing_check_makes_it_unhealthy_after_its_retries() -> None:
    engine, time = engine_of()
    container = _run(engine, Healthcheck=_check(["CMD", "false"], Retries=2))
    assert container.state.health is not None
    time.advance(2)
    assert container.state.health.status == "starting"
    time.advance(2)
    assert container.state.health.status == "unhealthy"
    actions = [event["Action"] for event in engine.events.since(0)]
    assert actions[-1] == "health_status: unhealthy"


def test_failures_in_the_start_period_do_not_count() -> None:
    engine, time = engine_of()
    container = _run(engine, Healthcheck=_check(["CMD", "false"], Retries=1, StartPeriod=5_000_000_000))
    assert container.state.health is not None
    time.advance(4)
    assert container.state.health.status == "starting"
    time.advance(2)
    assert container.state.health.status == "unhealthy"


def test_a_paused_container_is_not_checked() -> None:
    engine, time = engine_of()
    container = _run(engine, Healthcheck=_check(["CMD", "true"]))
    assert container.state.health is not None
    engine.pause(container)
    time.advance(10)
    assert container.state.health.status == "starting"
    engine.unpause(container)
    time.advance(2)
    assert container.state.health.status == "healthy"


def test_a_crash_loop_waits_longer_each_time() -> None:
    engine, time = engine_of()
    container = _run(engine, Cmd=["sh", "-c", "exit 1"], HostConfig={"RestartPolicy": {"Name": "always"}})
    time.advance(0.05)
    assert (container.state.status, container.restart_count) == ("restarting", 0)
    for count, pause in enumerate((0.1, 0.2, 0.4, 0.8), start=1):
        time.advance(pause - 0.06)
        assert container.restart_count == count - 1
        time.advance(0.06)
        assert container.restart_count == count


def test_a_long_run_starts_the_waiting_anew() -> None:
    engine, time = engine_of()
    container = _run(engine, Cmd=["sh", "-c", "sleep 20; exit 1"], HostConfig={"RestartPolicy": {"Name": "always"}})
    for count in (1, 2, 3):
        time.advance(20.1)
        assert container.restart_count == count
        assert container.state.status == "running"


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts", "status"),
    [
        ({"Name": "no"}, 1, 0, "exited"),
        ({"Name": "on-failure"}, 0, 0, "exited"),
        ({"Name": "on-failure", "MaximumRetryCount": 2}, 1, 2, "exited"),
        ({"Name": "unless-stopped"}, 0, 5, "restarting"),
    ],
)
def test_a_restart_policy_decides_what_an_end_means(
    policy: dict[str, Any], exit_code: int, restarts: int, status: str
) -> None:
    engine, time = engine_of()
    container = _run(engine, Cmd=["sh", "-c", f"exit {exit_code}"], HostConfig={"RestartPolicy": policy})
    time.advance(3.2)
    assert (container.restart_count, container.state.status) == (restarts, status)


def test_what_was_stopped_by_hand_stays_stopped() -> None:
    engine, time = engine_of()
    container = _run(engine, Cmd=["sh", "-c", "exit 1"], HostConfig={"RestartPolicy": {"Name": "always"}})
    time.advance(0.05)
    assert container.state.status == "restarting"
    asyncio.run(engine.stop(container, None))
    time.advance(60)
    assert (container.state.status, container.restart_count) == ("exited", 0)


def test_a_stop_waits_for_the_grace_period_and_then_kills() -> None:
    engine, time = engine_of()

    async def stop() -> tuple[Container, bool]:
        container = _run(engine, Cmd=["sleep", "3600"], StopTimeout=4)
        stopping = asyncio.ensure_future(engine.stop(container, None))
        await asyncio.sleep(0)
        time.advance(3.9)
        await asyncio.sleep(0)
        assert not stopping.done()
        assert container.state.status == "running"
        time.advance(0.2)
        return container, await stopping

    container, stopped = asyncio.run(stop())
    assert stopped
    assert (container.state.status, container.state.exit_code) == ("exited", 137)


def test_a_process_that_handles_the_signal_ends_at_once() -> None:
    engine, _ = engine_of()
    container = _run(engine)
    assert asyncio.run(engine.stop(container, 60))
    assert (container.state.status, container.state.exit_code) == ("exited", 0)
    assert not asyncio.run(engine.stop(container, 60))


def test_a_stopped_container_gives_its_port_and_address_back() -> None:
    engine, _ = engine_of()
    published = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
    first = _run(engine, "first", HostConfig=published)
    second = engine.create_container("second", {"Image": "web:1", "HostConfig": published})
    with pytest.raises(EngineRefusal, match="port is already allocated"):
        engine.start(second)
    assert (second.state.status, second.state.exit_code) == ("created", 128)
    asyncio.run(engine.stop(first, 0))
    assert engine.start(second)
    assert second.state.error == ""


def test_a_published_port_without_a_number_gets_a_free_one() -> None:
    engine, _ = engine_of()
    numbers = set()
    for name in ("first", "second"):
        container = _run(engine, name, HostConfig={"PortBindings": {"80/tcp": [{}]}})
        (number,) = {binding["HostPort"] for binding in container.ports["80/tcp"]}
        numbers.add(number)
    assert numbers == {"49153", "49154"}


def test_a_missing_bind_source_is_made_below_the_hosts_directory_only() -> None:
    engine, _ = engine_of(present=("/etc/there",))
    for source in ("/etc/there", "/host/new"):
        engine.create_container(source[-3:], {"Image": "web:1", "HostConfig": {"Binds": [f"{source}:/x"]}})
    with pytest.raises(EngineRefusal, match="permission denied"):
        engine.create_container("web", {"Image": "web:1", "HostConfig": {"Binds": ["/etc/new:/x"]}})


def test_a_refused_container_leaves_its_name_free() -> None:
    engine, _ = engine_of()
    mount = {"Type": "bind", "Source": "/nowhere", "Target": "/x"}
    with pytest.raises(EngineRefusal, match="bind source path does not exist: /nowhere"):
        engine.create_container("web", {"Image": "web:1", "HostConfig": {"Mounts": [mount]}})
    engine.create_container("web", {"Image": "web:1"})


def test_anonymous_volumes_go_with_their_container_where_asked() -> None:
    engine, _ = engine_of()
    for volumes, left in ((False, 1), (True, 1)):
        container = _run(engine, Volumes={"/data": {}}, HostConfig={"Binds": ["kept:/kept"]})
        engine.remove(container, force=True, volumes=volumes)
        assert len([name for name in engine.volumes if name != "kept"]) == left
    assert "kept" in engine.volumes


def test_a_container_asked_to_remove_itself_is_gone_at_its_end() -> None:
    engine, time = engine_of()
    container = _run(engine, Cmd=["sh", "-c", "sleep 1; exit 2"], HostConfig={"AutoRemove": True})
    time.advance(2)
    assert container.id not in engine.containers


def test_another_containers_network_needs_that_container_to_run() -> None:
    engine, _ = engine_of()
    parent = _run(engine, "parent")
    child = _run(engine, "child", HostConfig={"NetworkMode": "container:parent"})
    assert child.host_config["NetworkMode"] == f"container:{parent.id}"
    asyncio.run(engine.stop(parent, 0))
    other = engine.create_container(
        "other", {"Image": "web:1", "HostConfig": {"NetworkMode": f"container:{parent.id}"}}
    )
    with pytest.raises(EngineRefusal, match="non running container"):
        engine.start(other)


def test_a_tag_that_moves_on_leaves_the_container_with_the_image_it_had() -> None:
    old, new = SimulatedImage("web:1", {"Cmd": ["serve"]}), SimulatedImage("web:2", {"Cmd": ["serve"]})
    engine, _ = engine_of(old, new)
    container = _run(engine)
    assert listed_container(engine, container)["Image"] == "web:1"
    engine.tag(engine.image("web:2"), "web", "1")
    assert inspected_container(container)["Image"] == old.image_id
    assert listed_container(engine, container)["Image"] == old.image_id
    assert engine.image("web:1").id == new.image_id


def test_an_image_is_known_by_tag_digest_and_id() -> None:
    image = SimulatedImage("registry.test:5000/shop/web:1.4", {"Cmd": ["serve"]}, on_host=False, in_registry=True)
    engine, _ = engine_of(image)
    assert image.manifest_digest != image.image_id, "a registry's digest is never the image's id"
    name = "registry.test:5000/shop/web"
    for wanted in (f"{name}:1.4", f"{name}@{image.manifest_digest}", image.image_id):
        with pytest.raises(EngineRefusal, match="No such image"):
            engine.image(wanted)
    engine.pull(f"{name}@{image.manifest_digest}")
    assert engine.image(f"{name}@{image.manifest_digest}").tags == []
    engine.pull(f"{name}:1.4")
    for wanted in (f"{name}:1.4", f"{name}@{image.manifest_digest}", image.image_id, image.image_id[7:19]):
        assert engine.image(wanted).id == image.image_id
    with pytest.raises(EngineRefusal, match="manifest unknown") as refused:
        engine.pull(f"{name}:1.5")
    assert refused.value.status == 404


def test_an_image_goes_with_its_last_name() -> None:
    engine, _ = engine_of()
    stored = engine.image("web:1")
    engine.tag(stored, "keep", "one")
    assert engine.remove_image("web:1", force=False) == [{"Untagged": "web:1"}]
    assert engine.remove_image("keep:one", force=False) == [{"Untagged": "keep:one"}, {"Deleted": stored.id}]
    assert engine.images == {}


def test_subnets_and_addresses_do_not_collide() -> None:
    engine, _ = engine_of()
    first = engine.create_network({"Name": "first"})
    second = engine.create_network({"Name": "second"})
    assert first.subnet is not None
    assert second.subnet is not None
    assert not first.subnet.overlaps(second.subnet)
    with pytest.raises(EngineRefusal, match="Pool overlaps"):
        engine.create_network({"Name": "third", "IPAM": {"Config": [{"Subnet": str(first.subnet)}]}})
    containers = [_run(engine, f"web-{n}", HostConfig={"NetworkMode": "first"}) for n in range(3)]
    assert len({container.endpoints["first"].address for container in containers}) == 3


def test_nothing_happens_any_more_once_it_is_closed() -> None:
    engine, time = engine_of()
    container = _run(engine, Cmd=["sh", "-c", "sleep 1; exit 1"])
    engine.close()
    time.advance(5)
    assert container.state.status == "running"


def test_the_status_column_reads_as_docker_writes_it() -> None:
    engine, time = engine_of()
    container = engine.create_container("web", {"Image": "web:1"})
    seen = [listed_container(engine, container)["Status"]]
    engine.start(container)
    for seconds in (0, 1, 44, 30, 45 * 60, 10 * 3600, 3 * 86400, 20 * 86400, 90 * 86400):
        time.advance(seconds)
        seen.append(listed_container(engine, container)["Status"])
    engine.pause(container)
    seen.append(listed_container(engine, container)["Status"])
    engine.unpause(container)
    engine.kill(container, "KILL")
    seen.append(listed_container(engine, container)["Status"])
    assert seen == [
        "Created",
        "Up Less than a second",
        "Up 1 second",
        "Up 45 seconds",
        "Up About a minute",
        "Up 46 minutes",
        "Up 11 hours",
        "Up 3 days",
        "Up 3 weeks",
        "Up 3 months",
        "Up 3 months (Paused)",
        "Exited (137) Less than a second ago",
    ]


def test_the_clock_of_the_tests_runs_calls_in_their_order() -> None:
    time, seen = FakeTime(), list[str]()
    time.later(2, lambda: seen.append("second"))
    time.later(1, lambda: seen.append("first"))
    time.later(1, lambda: seen.append("cancelled")).cancel()
    time.advance(3)
    assert seen == ["first", "second"]
