"""Ed25519 signatures checked in process: the same answers as ssh-keygen gives, for ours and for every spoilt one."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.signatures import Ed25519Signatures, InstallationKey, SshSignatures

PAYLOAD = b"reconciler/77\n3\n" + b"a" * 64 + b"\n"
NAMESPACE = "reconciler-checkpoint"


class Nobody:
    """Must not be asked."""

    def signer_of(self, *_: object) -> str | None:
        raise AssertionError("ssh-keygen was asked")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[InstallationKey, InstallationKey]:
    directory = tmp_path_factory.mktemp("keys")
    return InstallationKey(directory / "one"), InstallationKey(directory / "other")


def test_a_signature_by_openssh_is_its_keys_without_a_process(keys: tuple[InstallationKey, InstallationKey]) -> None:
    one, other = keys
    signature = one.sign(PAYLOAD, NAMESPACE)
    quick = Ed25519Signatures(Nobody())
    assert quick.signer_of(PAYLOAD, signature, NAMESPACE, [other.public_key, one.public_key]) == one.public_key
    assert quick.signer_of(PAYLOAD, signature, NAMESPACE, [f"{one.public_key} a comment"]) is not None


def test_another_key_payload_or_namespace_is_nobodys(keys: tuple[InstallationKey, InstallationKey]) -> None:
    one, other = keys
    signature = one.sign(PAYLOAD, NAMESPACE)
    quick = Ed25519Signatures(Nobody())
    assert quick.signer_of(PAYLOAD, signature, NAMESPACE, [other.public_key]) is None
    assert quick.signer_of(PAYLOAD, signature, NAMESPACE, []) is None
    assert quick.signer_of(PAYLOAD + b" ", signature, NAMESPACE, [one.public_key]) is None
    assert quick.signer_of(PAYLOAD, signature, "reconciler-consent", [one.public_key]) is None


def test_keys_of_other_kinds_are_left_to_openssh(keys: tuple[InstallationKey, InstallationKey]) -> None:
    class Told:
        def signer_of(self, payload: bytes, signature: str, namespace: str, keys: object) -> str | None:
            return f"asked about {keys}"

    rsa = "ssh-rsa AAAAB3NzaC1yc2E="
    assert Ed25519Signatures(Told()).signer_of(PAYLOAD, "", NAMESPACE, [keys[0].public_key, rsa]) == (
        f"asked about {[rsa]}"
    )


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_no_spoilt_signature_counts(keys: tuple[InstallationKey, InstallationKey], place: int, bit: int) -> None:
    """One bit anywhere in the blob: magic, version, key, namespace, reserved text, algorithm, signature."""
    one, _ = keys
    lines = _signature(one).splitlines()
    blob = bytearray(base64.b64decode("".join(lines[1:-1])))
    blob[place % len(blob)] ^= 1 << bit
    spoilt = "\n".join([lines[0], base64.b64encode(bytes(blob)).decode(), lines[-1], ""])
    found = Ed25519Signatures(Nobody()).signer_of(PAYLOAD, spoilt, NAMESPACE, [one.public_key])
    if found is not None:  # the reserved field may hold anything for a verifier of today, and is not empty here
        pytest.fail(f"bit {bit} of byte {place % len(blob)} was changed and it still counts")


@given(st.text() | st.binary().map(lambda b: f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(b).decode()}\n"
                                   "-----END SSH SIGNATURE-----\n"))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_nothing_that_is_no_signature_counts_or_crashes(text: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW"
    assert Ed25519Signatures(Nobody()).signer_of(PAYLOAD, text, NAMESPACE, [key, f"ssh-ed25519 {text}"]) is None


def test_both_verifiers_agree(keys: tuple[InstallationKey, InstallationKey], tmp_path: Path) -> None:
    one, other = keys
    signature = one.sign(PAYLOAD, NAMESPACE)
    broken = signature.replace("\n", "", 2)
    for candidate in (signature, other.sign(PAYLOAD, NAMESPACE), one.sign(PAYLOAD, "x"), broken, ""):
        answers = {
            verifier.signer_of(PAYLOAD, candidate, NAMESPACE, [one.public_key])
            for verifier in (Ed25519Signatures(Nobody()), SshSignatures())
        }
        assert len(answers) == 1


_signatures: dict[Path, str] = {}


def _signature(key: InstallationKey) -> str:
    if key.file not in _signatures:
        _signatures[key.file] = key.sign(PAYLOAD, NAMESPACE)
    return _signatures[key.file]
