"""The ledger's cases: verifying a hundred thousand entries against the how-to page's own commands, and appending."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.measuring import Side, Times, in_turns
from benchmarks.stage import Failed, program, timed
from reconciler import auditing
from reconciler.bootstrap import seal_of
from reconciler.control.verifying import Verified, verify
from reconciler.model.canonical import digest_bytes
from reconciler.model.checkpoint import NAMESPACE, Checkpoint, SignedCheckpoint
from reconciler.model.ledger_entry import GENESIS
from reconciler.signatures import InstallationKey
from reconciler.storage import Database, open_database
from reconciler.storage.checkpoints import SqlCheckpoints
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.schema import ledger as table
from reconciler.storage.sealing import Seal

ENTRIES = 100_000
APPENDS = 200  # of each process in one run
PAGE = Path(__file__).parents[1] / "docs/how-to/verify-the-ledger.md"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SEAL = Seal(b"of the benchmarks")
CONFIGURATION = """\
forge: {kind: github, api: "https://forge.invalid", repository: acme/infra, token_file: token}
git: {url: "https://forge.invalid/acme/infra.git"}
database: "sqlite:///state/reconciler.db"
ssh: {key_file: id_ed25519}
"""
APPENDING = """
import sys, time
from datetime import UTC, datetime
from reconciler.storage import open_database
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.sealing import Seal
ledger = SqlLedger(open_database(f"sqlite:///{sys.argv[1]}", Seal(b"of the benchmarks")))
ledger.head()
print("ready", flush=True)
sys.stdin.readline()
begin = time.perf_counter()
for number in range(int(sys.argv[2])):
    ledger.append("gate", "shop/production", {"number": number}, datetime.now(UTC))
print(time.perf_counter() - begin, flush=True)
"""


def facts(number: int) -> dict[str, Any]:
    """About as much as a decision says."""
    reasons = [{"rule": 1, "text": "nobody who counts has approved yet"}]
    decision = {"outcome": "waiting", "missing": ["one approval of operators"], "reasons": reasons}
    return {"facts": {"head": f"{number:040x}", "decision": decision}}


def rows() -> Iterator[dict[str, Any]]:
    """The entries as appending one by one would store them, made at once."""
    previous, at = GENESIS, NOW.isoformat()
    for number in range(1, ENTRIES + 1):
        said = {"sequence": number, "previous": previous, "at": at, "kind": "gate", "subject": f"pull-request/{number}"}
        body = json.dumps(said | {"data": facts(number)}, sort_keys=True, separators=(",", ":")).encode()
        yield said | {"hash": digest_bytes(body), "body": body}
        previous = digest_bytes(body)


class Installed:
    """An installation with a ledger of a hundred thousand entries and a checkpoint of all of them, and its export."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.audit = directory, directory / "audit"
        self.state = directory / "state"
        self.state.mkdir()
        self.config = directory / "server.yaml"
        self.config.write_text(CONFIGURATION)
        database = open_database(f"sqlite:///{self.state / 'reconciler.db'}", seal_of(self.state))
        try:
            self._fill(database)
        finally:
            database.close()
        self._run("ledger", "export", "--directory", str(self.audit))

    def _fill(self, database: Database) -> None:
        with database.writing() as connection:
            connection.execute(insert(table), [database.seal.sealed(table, row) for row in rows()])
        checkpoint = Checkpoint("reconciler/1", *SqlLedger(database).head())
        signature = InstallationKey(self.state / auditing.SIGNING_KEY).sign(checkpoint.signed_bytes, NAMESPACE)
        kept = SqlCheckpoints(database, self.state / auditing.CHECKPOINT_COPY)
        kept.add(SignedCheckpoint(checkpoint, signature), NOW)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [program(), *arguments, "--config", str(self.config)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"reconciler {' '.join(arguments)}: {done.stderr}")

    def verified(self) -> float:
        """In this process: the chain, the triggers, the checkpoint and its signature."""
        begin = time.perf_counter()
        with auditing.installation(self.config, offline=True) as (found, outside):
            answer = verify(found, outside, auditing.signatures())
        seconds = time.perf_counter() - begin
        if not isinstance(answer, Verified) or answer.covered != ENTRIES:
            raise Failed(f"{ENTRIES} signed entries were to be verified, not {answer}")
        return seconds

    def command(self) -> float:
        """The same by a process of its own, with Python to start."""
        return timed([program(), "ledger", "verify", "--config", str(self.config)])

    def page(self) -> float:
        """The page's commands for chain and checkpoint."""
        blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        return timed(["bash", "-c", "set -euo pipefail\n" + "\n".join(blocks[:2])], self.audit)


@cache
def installed_in(root: Path) -> Installed:
    """Made once for all cases of one run."""
    directory = root / "ledger"
    directory.mkdir()
    return Installed(directory)


def in_process(root: Path, runs: int, warm_up: int) -> Times:
    """`ledger verify` without the start of a process."""
    installed = installed_in(root)
    return in_turns(installed.verified, installed.page, runs, warm_up)


def command(root: Path, runs: int, warm_up: int) -> Times:
    """`ledger verify` as one runs it."""
    installed = installed_in(root)
    return in_turns(installed.command, installed.page, runs, warm_up)


def appends(directory: Path, runs: int, warm_up: int) -> Times:
    """One entry after the other, each on disk before the next; seconds of one append."""
    return in_turns(appending(directory, 1), None, runs, warm_up)


def appends_by_two(directory: Path, runs: int, warm_up: int) -> Times:
    """Two processes at one ledger; seconds of one append of the two together."""
    return in_turns(appending(directory, 2), None, runs, warm_up)


def appending(directory: Path, processes: int) -> Side:
    """Seconds per append while so many processes append to one ledger, and one chain comes out."""
    file = directory / f"appended-by-{processes}.db"
    open_database(f"sqlite:///{file}", SEAL).close()

    def side() -> float:
        database = open_database(f"sqlite:///{file}", SEAL)
        try:
            before, _ = SqlLedger(database).head()
            begin = time.perf_counter()
            with _writers(file, processes) as started:
                begin = time.perf_counter()
                for writer in started:
                    _tell(writer)
                for writer in started:
                    if writer.wait() != 0:
                        raise Failed("a writer did not get to its end")
            seconds = time.perf_counter() - begin
            after, _ = SqlLedger(database).head()
        finally:
            database.close()
        if after - before != APPENDS * processes:
            raise Failed(f"{APPENDS * processes} entries were to be appended, not {after - before}")
        return seconds / (after - before)

    return side


@contextmanager
def _writers(file: Path, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have opened the ledger and wait to be told."""
    command = [sys.executable, "-c", APPENDING, str(file), str(APPENDS)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for writer in started:
            if writer.stdout is None or writer.stdout.readline() != "ready\n":
                raise Failed("a writer could not open the ledger")
        yield started
    finally:
        for writer in started:
            writer.kill()
            writer.communicate()


def _tell(writer: subprocess.Popen[str]) -> None:
    if writer.stdin is not None:
        writer.stdin.write("go\n")
        writer.stdin.flush()
