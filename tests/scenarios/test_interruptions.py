"""The control plane dies, the connection is cut, two of them run: it converges, with one record, and nothing twice."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from reconciler.control import queries
from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import PRODUCTION, Stage

PATIENCE = 90.0
COMPOSE = "projects/app/compose.yaml"


@pytest.fixture
def production(make_stage: StageMaker) -> Stage:
    """One environment on one host, deployed and healthy."""
    return make_stage(**{"projects/app/spare/environment.yaml": None})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the journal: what was begun, and what became of it."""

    deployment: str
    index: int
    operation: str
    subject: str | None


def journal(stage: Stage) -> list[Row]:
    """The journal as it is on disk, behind the product's back."""
    query = "select deployment, operation_index, operation, result from journal order by deployment, operation_index"
    with closing(sqlite3.connect(stage.world.root / "state/reconciler.db", timeout=10)) as database:
        return [Row(d, i, o, json.loads(r)["subject"] if r else None) for d, i, o, r in database.execute(query)]


def lease_runs_out(stage: Stage) -> None:
    """The dead one's leases end now, as they would by themselves some seconds later."""
    with closing(sqlite3.connect(stage.world.root / "state/reconciler.db", timeout=10)) as database:
        database.execute("update leases set until = 0")
        database.commit()


def everything_changes(number: int) -> Callable[[Path], None]:
    """An edit after which files are shipped, the network is replaced and both services are recreated."""

    def edit(clone: Path) -> None:
        (clone / "projects/app/www/index.html").write_text(f"page {number}\n")
        file = clone / "projects/app/production/environment.yaml"
        file.write_text(re.sub(r'GREETING: "[^"]*"}', f'GREETING: "greeting {number}"}}', file.read_text()))
        compose = clone / COMPOSE
        text = re.sub(r'\[sleep, "\d+"\]', f'[sleep, "{100000 + number}"]', compose.read_text())
        compose.write_text(re.sub(r"  front:.*\Z", f'  front: {{labels: {{round: "{number}"}}}}\n', text, flags=re.S))

    return edit


def land(stage: Stage, number: int) -> str:
    """An approved change of everything, merged and not yet deployed; the merge commit."""
    opened = stage.deployer.propose(f"agent/round-{number}", f"Round {number}", everything_changes(number))
    stage.run()
    stage.approve(opened["number"])
    return stage.reviewer.merge(opened["number"])


@contextmanager
def reconciling(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """`reconciler reconcile --once` as a process of its own."""
    command = [sys.executable, "-m", "reconciler", "reconcile", "--once", "--config", str(stage.world.config), "--json"]
    with (stage.world.root / "once.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that comes by itself; a bound against hanging, not a measurement."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)


def converge(stage: Stage) -> None:
    """Run until nothing is in the way any more: the host notices a cut connection in its own time."""
    deadline = time.monotonic() + PATIENCE
    while failures := stage.run()["failures"]:
        assert time.monotonic() < deadline, failures
        time.sleep(0.2)


def created(stage: Stage, since: float) -> Counter[str]:
    """How often the engine created a container of each service since then."""
    filters = quote(json.dumps({"type": ["container"], "event": ["create"]}))
    path = f"/events?since={since:.6f}&until={time.time():.6f}&filters={filters}"
    import httpx

    with httpx.Client(transport=httpx.HTTPTransport(uds=str(stage.host().local_socket)), timeout=30) as client:
        lines = client.get(f"http://engine{path}").text.splitlines()
    return Counter(json.loads(line)["Actor"]["Attributes"].get("com.docker.compose.service", "") for line in lines)


def of_services(stage: Stage) -> dict[str, str]:
    """Service to container id; the names must be the usual ones, without anything that was left behind."""
    found = stage.containers()
    assert set(found) == {"app-production-web-1", "app-production-worker-1"}, found
    return {name.split("-")[2]: identity for name, identity in found.items()}


def one_good_record(stage: Stage, merged: str, number: int) -> dict[str, Any]:
    """The landing has exactly one record, it succeeded, and everything else is as if nothing had happened."""
    records = [record for record in stage.deployments() if record["revision"] == merged]
    assert len(records) == 1, records
    (record,) = records
    assert record["outcome"] == "succeeded", record["reason"]
    assert stage.parts.deployments.unfinished() == ()
    rows = [row for row in journal(stage) if row.deployment == record["id"]]
    assert [row.index for row in rows] == list(range(len(rows)))
    assert all(row.subject is not None for row in rows), rows
    assert [o["index"] for o in record["operations"]] == [row.index for row in rows]
    entries = [json.loads(entry.body) for entry in stage.parts.ledger.entries()]
    for kind in ("deployment-started", "deployment-finished"):
        assert sum(e["kind"] == kind and e["subject"] == record["id"] for e in entries) == 1
    assert queries.verify_ledger(stage.parts)["valid"]
    assert (stage.status()["sync"], stage.status()["hold"]) == ("Synced", None), stage.status()
    assert stage.greeting() == f"greeting {number}"
    of_services(stage)
    return record


def test_killed_at_any_operation_it_goes_on_after_a_restart_with_one_record(production: Stage) -> None:
    """Killed when the k-th operation has begun, and when it has ended, for every k; and before the first."""
    stage = production

    def round_of(number: int, moment: Callable[[list[Row]], bool]) -> bool:
        """One landing, killed at a moment; whether the moment came before the deployment was over."""
        merged = land(stage, number)
        earlier = {row.deployment for row in journal(stage)}
        began = time.time()

        def now() -> list[Row]:
            return [row for row in journal(stage) if row.deployment not in earlier]

        with reconciling(stage) as process:
            wait_until(lambda: process.poll() is not None or moment(now()), "the moment")
            killed = process.poll() is None
            process.kill()
            process.wait()
        done = {r.subject for r in now() if r.subject is not None and r.operation == "RecreateService"}
        names = stage.containers()
        kept = {service: names[f"app-production-{service}-1"] for service in done}
        lease_runs_out(stage)
        converge(stage)
        record = one_good_record(stage, merged, number)
        after = of_services(stage)
        assert {service: after[service] for service in kept} == kept  # what was done is not done again
        made = created(stage, began)
        assert all(made[service] == 1 for service in kept), made
        assert all(count <= 2 for count in made.values()), made
        print(f"round {number}: {'killed' if killed else 'finished'}, done before {sorted(done)}, {dict(made)}")
        assert {o["outcome"] for o in record["operations"]} <= {"done", "already"}, record["operations"]
        return killed

    def begun(k: int) -> Callable[[list[Row]], bool]:
        return lambda rows: len(rows) > k

    def ended(k: int) -> Callable[[list[Row]], bool]:
        return lambda rows: sum(row.subject is not None for row in rows) > k

    operations = 5  # files, image, network, web, worker
    rounds = [moment(k) for k in range(operations) for moment in (begun, ended)]
    killed = [round_of(number, moment) for number, moment in enumerate(rounds, start=1)]
    assert all(killed[:-2]), killed
    assert len(stage.deployments()[0]["operations"]) >= operations


def test_a_server_that_is_killed_and_started_again_goes_on_by_itself(production: Stage) -> None:
    stage = production
    server = stage.world.start_server()
    merged = land(stage, 1)
    wait_until(lambda: any(r.operation == "RecreateService" for r in _of(stage, merged)), "a recreate")
    server.kill()
    stage.world.start_server()
    wait_until(lambda: _outcome(stage, merged) == "succeeded", "the end of the deployment")
    wait_until(lambda: stage.status()["sync"] == "Synced", "a synced environment")
    one_good_record(stage, merged, 1)


def test_a_connection_that_is_cut_while_compose_works_is_taken_up_again(production: Stage) -> None:
    stage = production
    sshd = stage.host().sshd
    assert sshd is not None
    merged = land(stage, 1)
    cut = threading.Event()

    def scissors() -> None:
        wait_until(lambda: any(r.operation == "RecreateService" for r in _of(stage, merged)), "a recreate")
        time.sleep(0.3)  # Compose is at work by now
        sshd.drop_connections()
        cut.set()

    thread = threading.Thread(target=scissors)
    thread.start()
    report = stage.run()
    thread.join()
    assert cut.is_set()
    assert report["failures"], report
    assert "web-1" in report["failures"][0]["error"]
    converge(stage)
    one_good_record(stage, merged, 1)


def test_two_control_planes_do_not_do_the_same_work_twice(production: Stage) -> None:
    stage = production
    stage.world.start_server()
    for number in (1, 2):
        began = time.time()
        merged = land(stage, number)
        with reconciling(stage) as one, reconciling(stage) as other:
            wait_until(lambda: one.poll() is not None and other.poll() is not None, "both ends")
        wait_until(lambda sha=merged: _outcome(stage, sha) == "succeeded", "the end of the deployment")
        wait_until(lambda: stage.status()["sync"] == "Synced", "a synced environment")
        one_good_record(stage, merged, number)
        assert created(stage, began) == {"web": 1, "worker": 1}


def _records(stage: Stage, merged: str) -> list[Any]:
    return [d for d in stage.parts.deployments.of_environment(PRODUCTION) if d.revision == merged]


def _of(stage: Stage, merged: str) -> list[Row]:
    identities = {d.id for d in _records(stage, merged)}
    return [row for row in journal(stage) if row.deployment in identities]


def _outcome(stage: Stage, merged: str) -> str | None:
    records = _records(stage, merged)
    return str(records[0].outcome.value) if records else None
