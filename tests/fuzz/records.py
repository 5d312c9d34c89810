"""The doors to what is kept: ledger exports, the database, checkpoints and the witness, statements that persons sign,
signatures, and the server's own configuration.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pygit2

from reconciler.apply.plan_record import decode_plan, encode_plan
from reconciler.approvals import emergency, trust_reset
from reconciler.control.verifying import Found, Outside, Verified, verify
from reconciler.documents import read_content
from reconciler.model import checkpoint, trust
from reconciler.model.chain import Holds, StoredEntry, walk
from reconciler.model.checkpoint import Checkpoint, Claim, SignedCheckpoint, read_anchor, read_checkpoint
from reconciler.model.errors import ReconcilerError
from reconciler.model.host_record import NAMESPACE as OF_HOSTS
from reconciler.model.ledger_entry import LedgerEntry
from reconciler.model.location import Problem
from reconciler.model.plan import Operation
from reconciler.model.target import EnvironmentName
from reconciler.model.trust import ResetStatement
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.settings import LONGEST, Settings
from reconciler.signatures import SshSignatures
from reconciler.sources.witness import GitWitness
from reconciler.storage import Database, open_database
from reconciler.storage.deployments import SqlDeployments
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.states import SqlStates
from reconciler.storage.stored import GUARDS, open_stored
from tests.builders import NOON, TARGET
from tests.fuzz.door import Door
from tests.fuzz.mutation import TEXTS, Mutator
from tests.fuzz.repository import SERVICES, plan_between, scratch, target_of, written
from tests.fuzz.signing import Key, armored, blob_of, signatures
from tests.unit.storage.records import SEAL, a_deployment, a_result

KEY, STOLEN = Key("this installation"), Key("somebody else's")
SHM = "/dev/shm" if Path("/dev/shm").is_dir() else None


@cache
def scratch_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=SHM)


# -- the ledger ----------------------------------------------------------------------------------------------------

AT = "2026-01-05T12:00:00Z"


@cache
def ledger() -> tuple[bytes, ...]:
    entries: list[bytes] = []
    previous = "0" * 64
    for sequence in range(1, 5):
        body = {"sequence": sequence, "previous": previous, "kind": "gate", "subject": "s", "at": AT, "data": {"n": 1}}
        entries.append(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
        previous = hashlib.sha256(entries[-1]).hexdigest()
    return tuple(entries)


def export(mutator: Mutator) -> None:
    """An export with an odd entry in it: never one that holds with another head than its own bytes give."""
    entries = list(ledger())
    place = mutator.chance.randrange(len(entries))
    odd = (
        mutator.json(json.loads(entries[place]))
        if mutator.chance.random() < 0.5
        else mutator.data(entries[place], entries)
    )
    entries[place] = odd
    found = walk(StoredEntry(entry) for entry in entries)
    if isinstance(found, Holds) and found.head != hashlib.sha256(entries[-1]).hexdigest():
        raise AssertionError("it holds, and its head is another")
    if isinstance(found, Holds) and tuple(entries[:-1]) != ledger()[:-1]:
        raise AssertionError("an entry that others follow was changed, and it holds")


# -- checkpoints and the witness -----------------------------------------------------------------------------------


def root(size: int) -> str:
    return hashlib.sha256(ledger()[size - 1]).hexdigest() if size else "0" * 64


@cache
def signed(size: int, key: Key = KEY, namespace: str = checkpoint.NAMESPACE) -> SignedCheckpoint:
    made = Checkpoint("reconciler/7", size, root(size))
    return SignedCheckpoint(made, key.sign(made.signed_bytes, namespace))


def checkpoints(mutator: Mutator) -> None:
    """Checkpoints beside an odd ledger, and an odd one beside a good ledger: it holds where what is signed says so."""
    chance = mutator.chance
    entries, text = list(ledger()), signed(3).text
    others = [signed(size, key).text.encode() for size in (0, 2, 4) for key in (KEY, STOLEN)]
    match chance.randrange(4):
        case 0:
            entries = [*entries[: chance.randrange(4)], mutator.data(chance.choice(entries), entries)]
        case 1:
            entries = chance.sample(entries, chance.randint(0, 4))
        case 2:
            text = chance.choice((signed(3, STOLEN), signed(3, KEY, OF_HOSTS), signed(3, KEY, "git"))).text
        case _:
            text = mutator.data(text.encode(), others).decode(errors="replace")
    number = text.split("\n")[1] if chance.random() < 0.9 and text.count("\n") else "3"
    claims = list[Claim]()
    with contextlib.suppress(ValueError):
        claims.append(read_anchor(mutator.data(f"3:{root(3)[:32]}".encode()).decode(errors="replace")))
    found = Found(map(StoredEntry, entries), ((number, text),))
    try:
        answer = verify(found, Outside(KEY.public_key, anchors=claims), signatures())
    except ReconcilerError:
        return
    if not isinstance(answer, Verified):
        return
    said = read_checkpoint(text).checkpoint
    if entries[: said.size] != list(ledger())[: said.size] or (said.size, said.root) != (said.size, root(said.size)):
        raise AssertionError(f"{text!r} is taken for ours over {len(entries)} entries")
    if said.signed_bytes not in {signed(size).checkpoint.signed_bytes for size in range(5)}:
        raise AssertionError(f"{text!r} was never signed, and it holds")
    if blob_of(text) not in {blob_of(signed(size).text) for size in range(5)} and "\0" not in text:
        kept = blob_of(text) or b""
        if kept[-64:] != (blob_of(signed(said.size).text) or b"")[-64:]:
            raise AssertionError(f"{text!r} has another signature, and it holds")


NAMES = (
    b"3",
    b"003",
    b"000000000000000003",
    "٣".encode(),
    b"9" * 5000,
    b"-3",
    b"3.json",
    b"",
    b"x",
    b"1e3",
    "²".encode(),
)


def witness(mutator: Mutator) -> None:
    """The files of a witness, whoever wrote them: checkpoints, or the answer that they are none."""
    repository, _, whole = scratch()
    chance = mutator.chance
    with written() as ids:

        def kept(kind: Any, content: bytes) -> bytes:
            oid = repository.odb.write(kind, content)
            ids.append(str(oid))
            return oid.raw

        tree = pygit2.enums.ObjectType.TREE
        text = signed(3).text.encode()
        blob = kept(pygit2.enums.ObjectType.BLOB, mutator.data(text) if chance.random() < 0.7 else text)
        name = chance.choice(NAMES)
        mode = chance.choice((b"100644", b"100644", b"120000", b"160000", b"40000"))
        below = kept(tree, b"%s %s\0%s" % (mode, name, whole.id.raw if mode == b"40000" else blob))
        numbered = kept(tree, b"40000 000000000000000\0" + below)
        top = kept(tree, b"40000 7\0" + numbered)
        first = kept(tree, b"40000 reconciler\0" + top)
        person = b"A <a@example.test> 1700000000 +0000"
        commit = b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (first.hex().encode(), person, person)
        oid = repository.odb.write(pygit2.enums.ObjectType.COMMIT, commit)
        ids.append(str(oid))
        repository.references.create("refs/heads/witness", oid, force=True)
        theirs = GitWitness(Path(repository.path), "/nowhere", branch="witness")
        try:
            found = theirs.newest("reconciler/7")
        except ReconcilerError:
            return
        finally:
            repository.references.delete("refs/heads/witness")
    if found is not None and found.checkpoint.size != 3:
        raise AssertionError(f"{name!r} is taken for a checkpoint of {found.checkpoint.size}")


# -- signatures ----------------------------------------------------------------------------------------------------

PAYLOAD = b"a payload\n"


@cache
def good_signature() -> str:
    return KEY.sign(PAYLOAD, "git")


def signature(mutator: Mutator) -> None:
    """An SSH signature with something odd in it: of the key where nothing that is signed is another thing."""
    chance, good = mutator.chance, good_signature()
    payload = mutator.data(PAYLOAD) if chance.random() < 0.2 else PAYLOAD
    namespace = chance.choice(("git", "git", "git", "file", "gi", "git\0"))
    blob = blob_of(good) or b""
    others = (blob, KEY.blob, STOLEN.blob, b"\0\0\0\x0bssh-ed25519", b"\xff\xff\xff\xff", b"sha256")
    armor = (
        armored(mutator.data(blob, others)) if chance.random() < 0.7 else mutator.data(good.encode()).decode("latin-1")
    )
    if chance.random() < 0.05:
        armor = good
    keys = [chance.choice((KEY, STOLEN)).public_key for _ in range(chance.randint(0, 2))]
    if chance.random() < 0.3:
        keys.append(mutator.data(KEY.public_key.encode()).decode("latin-1"))
    found = signatures().signer_of(payload, armor, namespace, keys)
    whole = (payload, namespace) == (PAYLOAD, "git")
    if found is not None and (not whole or found not in keys or (blob_of(armor) or b"")[-64:] != blob[-64:]):
        raise AssertionError(f"{armor!r} over {payload!r} for {namespace!r} is taken for one by {found}")
    if armor == good and whole and KEY.public_key in keys and found is None:
        raise AssertionError("the good signature is nobody's")
    ask_openssh = found is not None and (armor != good or chance.random() < 0.01) and KEY.public_key in keys
    if ask_openssh and SshSignatures().signer_of(payload, armor, namespace, [KEY.public_key]) is None:
        raise AssertionError(f"OpenSSH does not take {armor!r}, and we do")


# -- statements that persons sign ----------------------------------------------------------------------------------

ROOTS = (("anna", 1, (KEY.public_key,)), ("ben", 2, (STOLEN.public_key,)))
STATEMENT = ResetStatement(7, KEY.public_key, "a" * 64, "b" * 40, ROOTS, (), "the database was lost", NOON)
PINNED = trust_reset.Pinned(7, KEY.public_key, "a" * 64, ROOTS)


@cache
def statement() -> tuple[bytes, str, str]:
    """A trust reset and the signatures of both root persons over it."""
    text = trust.statement_text(STATEMENT).encode()
    return text, KEY.sign(text, trust.NAMESPACE), STOLEN.sign(text, trust.NAMESPACE)


def reset(mutator: Mutator) -> None:
    """A statement of a trust reset with something odd in it: what was signed, byte for byte, or nothing."""
    text, *made = statement()
    chance = mutator.chance
    odd = mutator.json(json.loads(text)) if chance.random() < 0.4 else mutator.data(text, (text,))
    if chance.random() < 0.3:
        odd = json.dumps(mutator.value(json.loads(text)), indent=2).encode(errors="replace") + b"\n"
    if chance.random() < 0.03:
        odd = text
    try:
        read = trust.read_statement(odd)
    except ReconcilerError:
        if odd == text:
            raise
        return
    keys = [key for _, _, pinned in ROOTS for key in pinned]
    by = [signatures().signer_of(odd, each, trust.NAMESPACE, keys) for each in made]
    answer = trust_reset.judge(read, PINNED, by, NOON + timedelta(minutes=1))
    if isinstance(answer, trust_reset.Accepted) != (odd == text):
        raise AssertionError(f"{odd!r} is judged {answer}")
    if trust.statement_text(read).encode() != odd:
        raise AssertionError("what is read is not what was signed")


GLASS = emergency.Statement(
    7, EnvironmentName("shop", "production"), "a" * 40, ((TARGET, "b" * 64),), "the shop is down", "OPS-1", NOON
)
SIGNER = "anna"


def glass(mutator: Mutator) -> None:
    """Two requests to break the glass that nothing is said against have two texts: no reason, ticket or plan can be
    written so that it reads as something else that was signed.
    """
    one, other = odd_glass(mutator), odd_glass(mutator)
    if one == other or not (plain_words(one) and plain_words(other)):
        return
    if emergency.statement_text(one) == emergency.statement_text(other):
        raise AssertionError(f"{one} and {other} are signed as the same text")


FORGED = ("x\nticket OPS-2", "x\ndespite suspension", "x\rticket y", "x\u2028ticket y", "x\x85ticket y", " ", "x ")


def odd_glass(mutator: Mutator) -> emergency.Statement:
    """The statement with other words in it; they come from a small set, so that two often nearly agree."""
    chance = mutator.chance
    words = (GLASS.reason, GLASS.ticket, f"{GLASS.reason}\nticket {GLASS.ticket}", *FORGED, *TEXTS[:8])
    return replace(
        GLASS,
        reason=chance.choice(words),
        ticket=chance.choice((*words, f"{GLASS.ticket}\nissued {GLASS.issued.isoformat()}")),
        despite_suspension=chance.random() < 0.5,
        issued=GLASS.issued + timedelta(seconds=chance.randrange(2)),
    )


def plain_words(said: emergency.Statement) -> bool:
    evidence = emergency.Emergency(said, (), None, (), (), ())
    return not list(emergency.says_why(evidence, NOON))


# -- the database --------------------------------------------------------------------------------------------------


@cache
def database() -> bytes:
    """A database in which there is some of everything, as one file."""
    file = Path(scratch_directory().name, "made.db")
    opened = open_database(f"sqlite:///{file}", SEAL)
    deployments, states, kept = SqlDeployments(opened), SqlStates(opened), SqlLedger(opened)
    target = target_of(SERVICES)
    assert target is not None
    plan = encode_plan(plan_between(target, replace(target, services=target.services[:1])))
    for number in range(1, 4):
        kept.append("word-heard", "pull-request/12", {"n": number}, NOON)
    deployments.begin(a_deployment(), {"plans": [plan]}, {"n": 1})
    deployments.journal_intent("d-1", TARGET, 0, "RecreateService", NOON)
    deployments.journal_outcome("d-1", TARGET, a_result())
    states.set_trust(TrustRecord(7, "a" * 40, ROOTS, NOON))
    name = EnvironmentName("shop", "production")
    states.change_environment(
        name, lambda _: EnvironmentRecord(name, "a" * 40, "d-1", None, "", None, "Synced", "Healthy", {"a": 1}, NOON)
    )
    opened.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return file.read_bytes()


def true_head() -> tuple[int, str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(database())
        rows = connection.execute("SELECT sequence, hash FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone()
    return int(rows[0]), str(rows[1])


COLUMNS = {
    "ledger": ("sequence", "previous", "hash", "at", "kind", "subject", "body"),
    "deployments": ("record", "context", "final", "number", "outcome"),
    "environments": ("record",),
    "trusted": ("record",),
    "journal": ("result", "intended_at"),
}


def spoilt(mutator: Mutator) -> bytes:
    """The database with odd bytes, or with a value of one column changed by somebody who knows SQL."""
    chance = mutator.chance
    if chance.random() < 0.5:
        return mutator.data(database(), (database(),))
    table = chance.choice(list(COLUMNS))
    column = chance.choice(COLUMNS[table])
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(database())
        for name in GUARDS:
            connection.execute(f"DROP TRIGGER {name}")
        before = connection.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()[0]  # noqa: S608
        with contextlib.suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
            connection.execute(f"UPDATE {table} SET {column} = ?", (odd_value(mutator, before),))  # noqa: S608
        for text in GUARDS.values():
            connection.execute(text)
        return connection.serialize()


def odd_value(mutator: Mutator, before: Any) -> Any:
    if isinstance(before, bytes | str) and mutator.chance.random() < 0.8:
        text = before.encode() if isinstance(before, str) else before
        try:
            odd = mutator.json(json.loads(text))
        except ValueError:
            odd = mutator.data(text)
        return odd if isinstance(before, bytes) else odd.decode(errors="replace")
    return mutator.chance.choice((None, 0, -1, 2**62, 1.5, "", "x", b"", b"\xff\xfe", "\x00"))


ASKED: tuple[Callable[[Database], object], ...] = (
    lambda db: SqlLedger(db).find("word-heard", "pull-request/12"),
    lambda db: SqlLedger(db).latest("word-heard", "pull-request/12"),
    lambda db: list(SqlLedger(db).entries()),
    lambda db: SqlStates(db).trust(),
    lambda db: SqlStates(db).trust_history(),
    lambda db: SqlStates(db).environments(),
    lambda db: SqlDeployments(db).unfinished(),
    lambda db: SqlDeployments(db).get("d-1"),
    lambda db: SqlDeployments(db).journal("d-1", TARGET),
    lambda db: SqlDeployments(db).begun("d-1", TARGET),
    lambda db: SqlDeployments(db).context("d-1"),
)


@cache
def true_answers() -> tuple[object, ...]:
    """What the loop reads of the database before anybody had it in their hands."""
    with opened_file(database()) as opened:
        return tuple(ask(opened) for ask in ASKED)


def believed(found: object, true: object) -> bool:
    """Whether what is read was written by us. That rows are gone no seal shows; the ledger's own copies do."""
    if found is None or found == true:
        return True
    if isinstance(found, tuple | list) and isinstance(true, tuple | list):
        return all(each in true for each in found)
    if isinstance(found, LedgerEntry):
        return found in SEALED[0]
    return isinstance(found, dict) and isinstance(true, dict) and found.items() <= true.items()


SEALED: list[tuple[LedgerEntry, ...]] = []


@contextlib.contextmanager
def opened_file(content: bytes) -> Iterator[Database]:
    file = placed(content)
    opened = open_database(f"sqlite:///{file}", SEAL)
    try:
        yield opened
    finally:
        opened.close()


def placed(content: bytes) -> Path:
    file = Path(scratch_directory().name, "odd.db")
    for beside in ("", "-wal", "-shm", "-journal"):
        file.with_name(f"odd.db{beside}").unlink(missing_ok=True)
    file.write_bytes(content)
    return file


def stored(mutator: Mutator) -> None:
    """A database that somebody had in their hands: its ledger holds as it was, or does not; and what the loop reads of
    it is what we wrote, or an error of ours.
    """
    true = true_answers()
    if not SEALED:
        SEALED.append(tuple(true[2]))  # type: ignore[arg-type]
    content = spoilt(mutator)
    if mutator.chance.random() < 0.5:
        return audited(placed(content))
    place = mutator.chance.randrange(len(ASKED))
    try:
        with opened_file(content) as opened:
            found = ASKED[place](opened)
    except ReconcilerError:
        return None
    if not believed(found, true[place]):
        raise AssertionError(f"{found} is read, and we wrote {true[place]}")
    return None


def audited(file: Path) -> None:
    try:
        with open_stored(file) as found:
            answer = verify(
                Found(found.rows(), found.checkpoints(), found.faults()), Outside(KEY.public_key), signatures()
            )
    except ReconcilerError:
        return
    if isinstance(answer, Verified) and (answer.size, answer.head) != true_head() and answer.size > 0:
        rows = sqlite3.connect(file).execute("SELECT body FROM ledger ORDER BY sequence").fetchall()
        if walk(StoredEntry(bytes(body)) for (body,) in rows) != Holds(answer.size, answer.head):
            raise AssertionError("the ledger is said to hold, and its bytes say something else")


KINDS = {kind.__name__ for kind in Operation.__args__}  # type: ignore[attr-defined]


@cache
def a_plan() -> dict[str, Any]:
    target = target_of(SERVICES)
    assert target is not None
    return encode_plan(plan_between(target, replace(target, services=target.services[:1])))


def plan_record(mutator: Mutator) -> None:
    """A stored plan with something odd in it: a plan of operations that we know, or none."""
    odd = mutator.value(a_plan())
    if not isinstance(odd, dict):
        return
    try:
        plan = decode_plan(odd)
    except ReconcilerError:
        return
    kinds = [type(operation).__name__ for operation in plan.operations]
    if not KINDS.issuperset(kinds) or kinds != [each["kind"] for each in odd["operations"]]:
        raise AssertionError(f"{kinds} are read where others are stored")


# -- the server's configuration ------------------------------------------------------------------------------------

SETTINGS: Mapping[str, Any] = {
    "forge": {"kind": "github", "api": "https://api.github.com", "repository": "acme/infra", "token_file": "token",
              "writes_per_minute": 60},
    "git": {"url": "https://github.com/acme/infra.git", "branch": "main"},
    "database": "sqlite:///state/reconciler.db",
    "ssh": {"key_file": "id_ed25519", "connect_timeout": "10s"},
    "ledger": {"witness": {"url": "ssh://git@example.test/w.git", "key_file": "k"}},
    "listen": "127.0.0.1:8080", "poll": "15s", "resync": "60s",
}  # fmt: skip


def settings(mutator: Mutator) -> None:
    """The configuration file with something odd in it: problems with their lines, or settings within their bounds."""
    chance, seed = mutator.chance, json.dumps(SETTINGS, indent=1).encode()
    odd = mutator.json(SETTINGS) if chance.random() < 0.6 else mutator.data(seed, (b"https://u:p4ssword@h/", seed))
    problems = list[Problem]()
    found = read_content("reconciler-server.yaml", odd, Settings, problems)
    if found is None or problems:
        if not problems:
            raise AssertionError(f"{odd!r} is refused, and nothing is said")
        return
    read = found.model
    if not all(timedelta(0) < each <= LONGEST for each in (read.poll, read.resync, read.ssh.connect_timeout)):
        raise AssertionError(f"{read.poll}, {read.resync}, {read.ssh.connect_timeout} are no times to wait")
    if any("p4ssword@" in str(value) and "//u:p4ssword@" in str(value) for value in read.recorded().values()):
        raise AssertionError("a password would stand in the ledger")


DOORS = (
    Door("ledger", 0.27, export),
    Door("checkpoints", 0.04, checkpoints),
    Door("witness", 0.01, witness),
    Door("signatures", 0.08, signature),
    Door("resets", 0.05, reset),
    Door("glass", 0.05, glass),
    Door("database", 0.01, stored),
    Door("plan records", 0.02, plan_record),
    Door("settings", 0.02, settings),
)
