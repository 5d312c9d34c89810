"""What hosts and engines do to a deployment, on real engines over real SSH: each ends in a reason, nothing is lost."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import actions
from reconciler.demo.world import HostParts
from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import PRODUCTION, SPARE, Stage, greet, replace

COMPOSE = "projects/app/compose.yaml"
PRODUCTION_FILE = "projects/app/production/environment.yaml"
PROJECT = "app-production"
WORKER = '    command: [sleep, "100000"]\n'
ONLY_PRODUCTION = {"projects/app/spare/environment.yaml": None}
HELD_BACK = "app-production-worker-1"


@pytest.fixture
def production(make_stage: StageMaker) -> Stage:
    """One environment on one host, deployed and healthy; what a person brought by hand stays out of its way."""
    return make_stage(**ONLY_PRODUCTION)


def add(path: str, text: str) -> Callable[[Path], None]:
    """An edit: lines at the end of a file, which may be new."""

    def edit(clone: Path) -> None:
        file = clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text() if file.exists() else "") + textwrap.dedent(text))

    return edit


def both(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    """Several edits as one."""

    def edit(clone: Path) -> None:
        for each in edits:
            each(clone)

    return edit


def deploy(stage: Stage, edit: Callable[[Path], None], branch: str, method: str = "merge") -> dict[str, Any]:
    """Land an approved change and deploy it; its record."""
    merged = stage.land(edit, branch, method)
    report = stage.run()
    assert not report["failures"], report["failures"]
    record = stage.deployments()[0]
    assert (record["revision"], record["outcome"]) == (merged, "succeeded"), record["reason"]
    return record


def operations(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(o["operation"], o["subject"]) for o in record["operations"]]


def refused_plan(stage: Stage, edit: Callable[[Path], None], branch: str) -> tuple[int, str, str]:
    """Propose what cannot be carried out; the pull request, the text of its failed plan status, its comment."""
    opened = stage.deployer.propose(branch, f"Change by {branch}", edit)
    report = stage.run()
    assert not report["failures"], report["failures"]
    status = stage.author.statuses(opened["head"]["sha"])["reconciler/plan"]
    assert status["state"] == "failure", status
    (comment,) = stage.author.comments(opened["number"])
    return opened["number"], status["description"], comment["body"]


def networks(host: HostParts) -> dict[str, dict[str, Any]]:
    return {network["Name"]: network for network in host.ask("GET", "/networks")}


def volumes(host: HostParts) -> set[str]:
    return {volume["Name"] for volume in host.ask("GET", "/volumes")["Volumes"] or ()}


def inspect(stage: Stage, container: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.host().ask("GET", f"/containers/{container}/json")
    return found


def ledger_is_whole(stage: Stage) -> bool:
    return bool(stage.world.cli("ledger", "verify")["valid"])


# -- hosts ----------------------------------------------------------------------------------------------------------


def show_another_key(sshd: Any) -> bytes:
    """Somebody else answers at the host's address: the same server with a key of its own. The old key is returned."""
    file: Path = sshd.key_file.with_name("host_key")
    old = file.read_bytes()
    sshd.halt()
    file.unlink()
    file.with_suffix(".pub").unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)], check=True)
    sshd.resume()
    return old


def test_a_host_that_shows_another_key_is_sent_nothing(stage: Stage) -> None:
    sshd = stage.host().sshd
    assert sshd is not None
    before = stage.containers()
    merged = stage.land(both(greet("second"), greet("other", "spare")))
    old = show_another_key(sshd)
    answered = len(sshd.log)
    # Nothing is deployed to it, and the reason names the host and what to do; the other environment goes on.
    stage.run()
    held = stage.status()
    assert held["hold"] is not None, held
    assert "shows another host key" in held["reason"], held
    assert "127.0.0.1" in held["reason"]
    assert stage.containers() == before
    assert len(stage.deployments()) == 1
    assert stage.greeting(SPARE) == "other"
    since = sshd.log[answered:]
    assert "Connection" in since, since
    assert "Accepted" not in since, since
    assert "userauth" not in since, since
    # The right key is back: it converges by itself.
    sshd.key_file.with_name("host_key").write_bytes(old)
    sshd.halt()
    sshd.resume()
    stage.run()
    assert (stage.status()["sync"], stage.status()["revision"]) == ("Synced", merged)
    assert stage.greeting() == "second"
    assert len(stage.deployments()) == 2
    assert ledger_is_whole(stage)


def test_an_unreachable_host_waits_and_a_healthy_one_beside_it_goes_on(stage: Stage) -> None:
    sshd = stage.host().sshd
    assert sshd is not None
    merged = stage.land(both(greet("second"), greet("other", "spare")), "agent/one")
    sshd.halt()
    report = stage.run()
    assert stage.greeting(SPARE) == "other"
    assert stage.greeting() == "first"
    assert stage.status()["hold"] == "Unreachable", report
    assert "host web-1" in stage.status()["reason"]
    assert stage.author.statuses(merged)["reconciler/deploy"]["state"] != "success"
    # A pull request that is reviewed meanwhile says that it waits for the host, and does not open.
    opened = stage.deployer.propose("agent/two", "Another greeting", greet("third"))
    stage.run()
    status = stage.author.statuses(opened["head"]["sha"])["reconciler/plan"]
    assert status["state"] == "pending", status
    assert "web-1" in status["description"], status
    stage.approve(opened["number"])
    stage.run()
    assert stage.gate(opened["number"]) != {"outcome": "open"}
    # The host is back: what was approved is deployed, once.
    sshd.resume()
    stage.run()
    assert (stage.status()["sync"], stage.status()["revision"]) == ("Synced", merged)
    assert stage.greeting() == "second"
    assert len(stage.deployments()) == 2
    assert stage.author.statuses(merged)["reconciler/deploy"]["state"] == "success"
    # And so is the plan that waited; the review that came before there was a plan consents to nothing.
    assert stage.author.statuses(opened["head"]["sha"])["reconciler/plan"]["state"] == "success"
    assert stage.gate(opened["number"]) != {"outcome": "open"}


# -- services -------------------------------------------------------------------------------------------------------


def test_a_service_that_crash_loops_parks_and_a_fix_brings_it_back(production: Stage) -> None:
    stage = production
    web = stage.containers()["app-production-web-1"]
    crash = '    command: [sh, -c, "echo no database here; exit 3"]\n    restart: always\n'
    broken = stage.land(replace(COMPOSE, WORKER, crash), "agent/broken")
    stage.run()
    (failed, *_) = stage.deployments()
    assert failed["revision"] == broken
    assert failed["outcome"] in ("failed", "not-converged")
    assert "no database here" in failed["reason"], failed["reason"]
    status = stage.status()
    assert (status["hold"], status["commit"]) == ("Parked", broken)
    assert "no database here" in status["reason"]
    assert stage.author.statuses(broken)["reconciler/deploy"]["state"] == "failure"
    assert stage.containers()["app-production-web-1"] == web
    # It is not tried again.
    records = len(stage.deployments())
    assert stage.run()["deployments"] == []
    assert len(stage.deployments()) == records
    assert stage.status()["hold"] == "Parked"
    # A fix by pull request is.
    record = deploy(stage, replace(COMPOSE, crash, WORKER), "agent/fix")
    assert record["health"] == "Healthy"
    assert (stage.status()["hold"], stage.status()["sync"]) == (None, "Synced")
    assert stage.containers()["app-production-web-1"] == web


def test_services_and_volumes_come_scale_and_go(production: Stage) -> None:
    stage = production
    host = stage.host()
    before = stage.containers()
    cache = """\
          cache:
            image: reconciler/sample:1.0
            command: [sleep, "100000"]
            stop_grace_period: 1s
            networks: [front]
            volumes: ["kept:/data"]
    """
    declared = "volumes:\n  kept: {}\n"
    service = textwrap.indent(textwrap.dedent(cache), "  ")
    front = "networks:\n  front: {}"
    record = deploy(stage, both(replace(COMPOSE, front, service + front), add(COMPOSE, declared)), "agent/add")
    assert ("CreateService", "cache") in operations(record)
    assert f"{PROJECT}_kept" in volumes(host)
    host.docker("exec", f"{PROJECT}-cache-1", "sh", "-c", "echo precious > /data/file")
    # Two more of it, and the first one stays; then one again.
    replicas = service.replace("    stop_grace_period", "    scale: 3\n    stop_grace_period")
    first = stage.containers()[f"{PROJECT}-cache-1"]
    record = deploy(stage, replace(COMPOSE, service, replicas), "agent/three")
    assert operations(record)[-1] == ("ScaleService", "cache")
    assert {name for name in stage.containers() if "cache" in name} == {f"{PROJECT}-cache-{n}" for n in (1, 2, 3)}
    record = deploy(stage, replace(COMPOSE, replicas, service), "agent/one")
    assert {name: i for name, i in stage.containers().items() if "cache" in name} == {f"{PROJECT}-cache-1": first}
    # The service and its volume leave git: the container goes and is named as destroyed, the data stays.
    opened = stage.deployer.propose(
        "agent/remove", "Remove the cache", both(replace(COMPOSE, service, ""), replace(COMPOSE, declared, ""))
    )
    stage.run()
    (comment,) = stage.author.comments(opened["number"])
    assert f"{PROJECT}-cache-1" in comment["body"], comment["body"]
    assert "DESTROY" in comment["body"].upper(), comment["body"]
    stage.approve(opened["number"])
    stage.run()
    stage.reviewer.merge(opened["number"])
    stage.run()
    assert stage.deployments()[0]["outcome"] == "succeeded", stage.deployments()[0]["reason"]
    assert stage.containers() == before
    assert f"{PROJECT}_kept" in volumes(host)
    assert stage.run()["deployments"] == []
    # Named in remove_volumes, the volume goes too.
    record = deploy(stage, add(PRODUCTION_FILE, f"remove_volumes: [{PROJECT}_kept]\n"), "agent/volume")
    assert operations(record) == [("RemoveVolume", f"{PROJECT}_kept")]
    assert f"{PROJECT}_kept" not in volumes(host)
    assert stage.containers() == before


def test_a_changed_file_recreates_exactly_the_services_that_mount_it(production: Stage) -> None:
    stage = production
    before = stage.containers()
    record = deploy(stage, lambda clone: (clone / "projects/app/www/index.html").write_text("changed\n"), "agent/file")
    assert {kind for kind, _ in operations(record)} == {"ShipFiles", "PullImage", "RecreateService"}
    after = stage.containers()
    assert after["app-production-worker-1"] == before["app-production-worker-1"]
    assert after["app-production-web-1"] != before["app-production-web-1"]
    assert stage.host().docker("exec", "app-production-web-1", "cat", "/www/index.html").strip() == "changed"


def test_a_changed_network_is_replaced_by_us_and_the_services_come_back(production: Stage) -> None:
    stage = production
    old = networks(stage.host())["app-production_front"]["Id"]
    record = deploy(stage, replace(COMPOSE, "  front: {}\n", '  front:\n    labels: {team: "shop"}\n'), "agent/labels")
    assert ("RecreateNetwork", "app-production_front") in operations(record)
    live = networks(stage.host())["app-production_front"]
    assert live["Id"] != old
    assert live["Labels"]["team"] == "shop"
    record = deploy(
        stage,
        replace(
            COMPOSE, '    labels: {team: "shop"}\n', '    driver_opts: {"com.docker.network.driver.mtu": "1400"}\n'
        ),
        "agent/options",
    )
    live = networks(stage.host())["app-production_front"]
    assert live["Options"].get("com.docker.network.driver.mtu") == "1400"
    for service in ("web", "worker"):
        found = inspect(stage, f"app-production-{service}-1")
        attached = found["NetworkSettings"]["Networks"]["app-production_front"]
        assert found["State"]["Running"]
        assert attached["NetworkID"] == live["Id"]
        assert service in attached["Aliases"]
    answer = stage.host().docker("exec", "app-production-worker-1", "wget", "-q", "-O", "-", "http://web:8080/")
    assert answer.strip() == "hello"
    assert stage.run()["deployments"] == []


def test_an_environment_removed_from_git_goes_and_its_volumes_stay(make_stage: StageMaker) -> None:
    stage = make_stage(
        **{
            "projects/app/spare/compose.yaml": """\
                services:
                  worker:
                    volumes: ["data:/data"]
                volumes:
                  data: {}
                """,
            "projects/app/spare/environment.yaml": """\
                hosts: [web-2]
                tier: production
                compose: [../compose.yaml, compose.yaml]
                variables: {GREETING: "spare"}
                consent_delay: 0s
                """,
        }
    )
    host = stage.host("web-2")
    untouched = stage.containers()

    def remove(clone: Path) -> None:
        for file in (clone / "projects/app/spare").iterdir():
            file.unlink()

    opened = stage.deployer.propose("agent/remove", "Remove the spare", remove)
    stage.run()
    (comment,) = stage.author.comments(opened["number"])
    assert "app-spare-web-1" in comment["body"]
    assert "app-spare_front" in comment["body"]
    stage.approve(opened["number"])
    stage.run()
    merged = stage.reviewer.merge(opened["number"])
    stage.run()
    record = stage.deployments(SPARE)[0]
    assert (record["revision"], record["outcome"]) == (merged, "succeeded"), record["reason"]
    assert host.containers("app-spare") == {}
    assert "app-spare_front" not in networks(host)
    assert "app-spare_data" in volumes(host)
    assert stage.containers() == untouched
    assert stage.run()["deployments"] == []


# -- what cannot be carried out is seen while planning ---------------------------------------------------------------


def test_what_cannot_work_fails_while_planning_and_stops_nothing(production: Stage) -> None:
    stage = production
    host = stage.host()
    before = stage.containers()
    # An image that nobody has: the plan fails and says so; merged all the same, it holds and nothing stops.
    number, status, comment = refused_plan(
        stage,
        replace(COMPOSE, f"reconciler/sample:1.0\n{WORKER}", f"reconciler/sample:9.9\n{WORKER}"),
        "agent/image",
    )
    assert "reconciler/sample:9.9" in status
    assert "reconciler/sample:9.9" in comment
    stage.approve(number)
    stage.run()
    assert stage.gate(number) != {"outcome": "open"}
    # A file that is no Compose file: file and line.
    _, status, comment = refused_plan(
        stage, replace(COMPOSE, "    networks: [front]\n", "    netwroks: [front]\n"), "agent/file"
    )
    assert "projects/app/compose.yaml" in comment, comment
    assert "netwroks" in comment, comment
    _, status, comment = refused_plan(stage, replace(COMPOSE, "  worker:\n", "  worker: [\n"), "agent/syntax")
    assert "projects/app/compose.yaml:" in status, status
    assert "projects/app/compose.yaml:" in comment, status
    # A port that somebody else's container publishes.
    host.docker("run", "-d", "--name", "theirs", "-p", "127.0.0.1:18443:80", "reconciler/sample:1.0", "sleep", "100000")
    _, status, comment = refused_plan(
        stage, replace(COMPOSE, WORKER, WORKER + '    ports: ["127.0.0.1:18443:80"]\n'), "agent/port"
    )
    assert "18443" in status, status
    assert "theirs" in comment, status
    # A name that a container without labels has.
    host.docker("run", "-d", "--name", "app-production-worker-2", "reconciler/sample:1.0", "sleep", "100000")
    _, status, comment = refused_plan(
        stage, replace(COMPOSE, WORKER, WORKER + "    deploy: {replicas: 2}\n"), "agent/name"
    )
    assert "app-production-worker-2" in status, status
    assert stage.containers() == before
    merged = stage.reviewer.merge(number)
    stage.run()
    status_now = stage.status()
    assert status_now["hold"] is not None, status_now
    assert "reconciler/sample:9.9" in status_now["reason"], status_now
    assert stage.author.statuses(merged)["reconciler/deploy"]["state"] == "failure"
    assert stage.containers() == before
    assert len(stage.deployments()) == 1


def test_what_somebody_else_runs_on_the_host_is_never_touched(production: Stage) -> None:
    stage = production
    host = stage.host()
    label = "com.docker.compose.project"
    host.docker("network", "create", "--label", f"{label}=theirs", "theirs_default")
    host.docker("volume", "create", "--label", f"{label}=theirs", "theirs_data")
    run = ("run", "-d", "--label", f"{label}=theirs", "--label", "com.docker.compose.service=db")
    host.docker(
        *run, "--network", "theirs_default", "--name", "theirs-db-1", "reconciler/sample:1.0", "sleep", "100000"
    )
    theirs = host.containers("theirs")
    # A stack of another project: we deploy beside it.
    deploy(stage, greet("second"), "agent/beside")
    assert host.containers("theirs") == theirs
    assert inspect(stage, "theirs-db-1")["State"]["Running"]
    # A container of our project's name that we did not create: an obstacle that names it.
    same = ("run", "-d", "--label", f"{label}={PROJECT}", "--label", "com.docker.compose.service=db")
    host.docker(*same, "--name", "stranger", "reconciler/sample:1.0", "sleep", "100000")
    stranger = inspect(stage, "stranger")["Id"]
    before = stage.containers()
    _, status, comment = refused_plan(stage, greet("third"), "agent/stranger")
    assert "stranger" in status + comment, comment
    assert "never touched" in comment, comment
    assert stage.containers() == before
    assert before["stranger"] == stranger
    assert {"theirs_default"} <= set(networks(host))
    assert "theirs_data" in volumes(host)
    assert host.containers("theirs") == theirs


# -- drift ----------------------------------------------------------------------------------------------------------


def drifts(stage: Stage) -> dict[str, dict[str, Any]]:
    """What is reported as drift, by subject and field."""
    drift = stage.status()["drift"] or {"changes": []}
    return {f"{change['subject']} {change['field']}".strip(): change for change in drift["changes"]}


def test_drift_is_reported_and_left_alone_where_the_environment_says_report(production: Stage) -> None:
    stage = production
    host = stage.host()
    before = stage.containers()
    host.docker("update", "--memory", "64m", "--memory-swap", "64m", "app-production-web-1")
    host.docker("pause", "app-production-worker-1")
    stage.run()
    status = stage.status()
    assert status["sync"] == "OutOfSync", status
    assert "not healed" in status["reason"], status
    found = drifts(stage)
    assert any("memory" in key for key in found), found
    assert any(change["kind"] == "state" and "paused" in change["before"] for change in found.values()), found
    host.docker("unpause", "app-production-worker-1")
    host.docker("rm", "-f", "app-production-worker-1")
    stage.run()
    assert "app-production-worker-1" not in stage.containers()
    assert stage.containers()["app-production-web-1"] == before["app-production-web-1"]
    assert stage.status()["health"] != "Healthy"
    assert len(stage.deployments()) == 1
    kinds = [entry.kind for entry in stage.parts.ledger.entries()]
    assert kinds.count("drift") == 2


def test_drift_is_healed_where_the_environment_says_heal_and_what_a_person_stopped_is_not(
    make_stage: StageMaker,
) -> None:
    heal = """\
        hosts: [web-1]
        tier: production
        compose: [../compose.yaml]
        variables: {GREETING: "first"}
        consent_delay: 0s
        drift: heal
        """
    stage = make_stage(**ONLY_PRODUCTION, **{PRODUCTION_FILE: heal})
    host = stage.host()
    before = stage.containers()
    # Stopped by hand: somebody meant it.
    host.docker("stop", "-t", "0", "app-production-worker-1")
    stage.run()
    stage.run()
    assert stage.status()["sync"] == "OutOfSync"
    assert "stopped by hand" in stage.status()["reason"], stage.status()
    assert len(stage.deployments()) == 1
    host.docker("start", "app-production-worker-1")
    stage.run()
    assert stage.status()["sync"] == "Synced"
    assert stage.containers() == before
    # Removed, and its memory bounded by hand: brought back after the short wait, by the consent that there is.
    host.docker("rm", "-f", "app-production-worker-1")
    host.docker("update", "--memory", "64m", "--memory-swap", "64m", "app-production-web-1")
    stage.run()
    assert "healed at" in stage.status()["reason"], stage.status()
    while not stage.run()["deployments"]:
        assert "healed at" in stage.status()["reason"], stage.status()
    (record, *_) = stage.deployments()
    assert (record["kind"], record["outcome"], record["authority"]) == ("heal", "succeeded", "heal"), record["reason"]
    assert stage.status()["sync"] == "Synced"
    assert set(stage.containers()) == set(before)
    assert inspect(stage, "app-production-web-1")["HostConfig"]["Memory"] == 0
    assert ledger_is_whole(stage)


def test_a_paused_container_is_started_again_by_the_next_approved_change(production: Stage) -> None:
    stage = production
    stage.host().docker("pause", "app-production-web-1")
    record = deploy(stage, greet("second"), "agent/paused")
    assert stage.greeting() == "second"
    assert inspect(stage, "app-production-web-1")["State"]["Status"] == "running"
    assert record["health"] == "Healthy"


# -- rollback -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_rollback_is_a_revert_that_needs_its_own_approval(production: Stage, method: str) -> None:
    stage = production
    number = stage.deployer.propose("agent/two", "Two commits", greet("second"))["number"]
    stage.deployer.push("agent/two", "The second of them", replace(COMPOSE, '"100000"', '"200000"'))
    stage.run()
    stage.approve(number)
    stage.run()
    merged = stage.reviewer.merge(number, method)
    stage.run()
    (second, first) = stage.deployments()
    assert (second["revision"], second["outcome"]) == (merged, "succeeded"), second["reason"]
    token = stage.world.accounts["proposer"].token
    rollback = actions.rollback(stage.parts, PRODUCTION, None, token)
    assert (rollback.undoes.id, rollback.back_to.id) == (second["id"], first["id"])
    stage.run()
    assert stage.gate(rollback.pull_request.number) != {"outcome": "open"}
    assert stage.greeting() == "second"
    stage.approve(rollback.pull_request.number)
    stage.run()
    assert stage.gate(rollback.pull_request.number) == {"outcome": "open"}
    back = stage.reviewer.merge(rollback.pull_request.number, method)
    stage.run()
    (record, undone, _) = stage.deployments()
    assert (record["revision"], record["kind"], record["outcome"]) == (back, "rollback", "succeeded"), record["reason"]
    assert (record["reverts"], undone["reverted_by"]) == (second["id"], record["id"])
    assert [a["person"] for a in record["approvals"]] == ["reviewer"]
    assert stage.greeting() == "first"
    assert inspect(stage, "app-production-worker-1")["Config"]["Cmd"] == ["sleep", "100000"]
