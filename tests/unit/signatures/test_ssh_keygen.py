"""SSH signatures by OpenSSH: what verifies, and everything that does not."""

from __future__ import annotations

import base64
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.model.errors import InvalidInput
from reconciler.signatures import InstallationKey, PersonalKey, SshSignatures

SAID = b"reconciler\n1\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> InstallationKey:
    return InstallationKey(tmp_path_factory.mktemp("keys") / "signing.key")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> InstallationKey:
    return InstallationKey(tmp_path_factory.mktemp("keys") / "other.key")


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "signing.key"
    with ThreadPoolExecutor(4) as pool:
        shown = set(pool.map(lambda _: InstallationKey(file).public_key, range(4)))
    assert len(shown) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "signing.key"
    file.write_text("no key")
    file.chmod(0o600)
    with pytest.raises(InvalidInput, match=r"signing\.key: is no private key"):
        _ = InstallationKey(file).public_key


def test_a_signature_names_the_key_that_made_it(key: InstallationKey, other: InstallationKey) -> None:
    signature = key.sign(SAID, "reconciler-test")
    keys = (other.public_key, key.public_key)
    assert SshSignatures().signer_of(SAID, signature, "reconciler-test", keys) == key.public_key


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_the_other_kinds_of_keys_verify(tmp_path: Path, kind: str) -> None:
    file = tmp_path / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(file)], check=True)
    key = PersonalKey(file)
    signature = key.sign(SAID, "n")
    with pytest.raises(InvalidInput, match="it is not Ed25519"):
        InstallationKey(file).sign(SAID, "n")
    assert SshSignatures().signer_of(SAID, signature, "n", (key.public_key,)) == key.public_key


def test_nothing_else_verifies(key: InstallationKey, other: InstallationKey) -> None:
    verified = SshSignatures().signer_of
    signature = key.sign(SAID, "reconciler-test")
    mine = (key.public_key,)
    assert verified(SAID, signature, "reconciler-test", mine)
    assert verified(SAID + b" ", signature, "reconciler-test", mine) is None, "other bytes"
    assert verified(SAID, signature, "file", mine) is None, "another namespace"
    assert verified(SAID, signature, "reconciler-test", (other.public_key,)) is None, "another key"
    assert verified(SAID, signature, "reconciler-test", ()) is None, "no key at all"
    assert verified(SAID, "", "reconciler-test", mine) is None, "no signature"
    assert verified(SAID, "é" + signature, "reconciler-test", mine) is None
    assert verified(SAID, signature + "x" * 20_000, "reconciler-test", mine) is None
    lines = signature.splitlines()
    raw = bytearray(base64.b64decode("".join(lines[1:-1])))
    raw[-1] ^= 1
    flipped = "\n".join([lines[0], base64.b64encode(bytes(raw)).decode(), lines[-1], ""])
    assert verified(SAID, flipped, "reconciler-test", mine) is None, "one bit"


def test_a_key_that_carries_options_gives_no_more_leave(key: InstallationKey) -> None:
    signature = key.sign(SAID, "reconciler-test")
    weird = f'cert-authority,namespaces="*" {key.public_key}'
    assert SshSignatures().signer_of(SAID, signature, "reconciler-test", (weird,)) is None
