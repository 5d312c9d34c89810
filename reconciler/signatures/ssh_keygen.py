"""SSH signatures (PROTOCOL.sshsig) by OpenSSH's own program, for people's keys of every kind, in files, agents and
hardware; bootstrap makes both.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.errors import InvalidInput, Terminal

SECONDS = 30.0
LONGEST_SIGNATURE = 16_384  # characters; an RSA key of 16,384 bits signs in less than half of it


@dataclass(frozen=True, slots=True)
class PersonalKey:
    """Implements ports.Signer with a key of the person at the terminal: a private key, or the public half of one that
    their agent or a hardware token holds.
    """

    file: Path

    @property
    def public_key(self) -> str:
        """Type and base64 of the public half beside it. InvalidInput where there is none."""
        public = self.file if self.file.suffix == ".pub" else self.file.with_name(f"{self.file.name}.pub")
        try:
            words = public.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput("is no public key that can be read", where=str(public)) from error
        return " ".join(words[:2])

    def sign(self, payload: bytes, namespace: str) -> str:
        """The armored signature; whoever holds the key may be asked for a passphrase or a touch. Terminal where OpenSSH
        refuses.
        """
        command = ("ssh-keygen", "-Y", "sign", "-f", str(self.file), "-n", namespace)
        try:
            made = subprocess.run(command, input=payload, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise Terminal("there is no ssh-keygen", hint="install the OpenSSH client") from error
        if made.returncode != 0:
            raise Terminal(f"cannot sign: {_last(made.stderr)}", where=str(self.file))
        return made.stdout.decode("ascii")


@dataclass(frozen=True, slots=True)
class SshSignatures:
    """Implements ports.Signatures."""

    def signer_of(self, payload: bytes, signature: str, namespace: str, keys: Sequence[str]) -> str | None:
        """Which of the public keys made the signature over exactly these bytes in this namespace, None when none did.

        Whatever is wrong with the signature is None as well; it comes from outside.
        """
        if not keys or len(signature) > LONGEST_SIGNATURE or not signature.isascii():
            return None
        with tempfile.TemporaryDirectory() as directory:
            allowed, signed = Path(directory, "allowed"), Path(directory, "signature")
            allowed.write_text("".join(f"{index} {key}\n" for index, key in enumerate(keys)))
            signed.write_text(signature)
            for index, key in enumerate(keys):
                checked = _ssh_keygen(
                    "-Y", "verify", "-q", "-f", str(allowed), "-I", str(index), "-n", namespace, "-s", str(signed),
                    given=payload,
                )  # fmt: skip
                if checked.returncode == 0:
                    return key
        return None


def _ssh_keygen(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Without an agent and without a terminal: it answers by itself or not at all."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    command = ("ssh-keygen", *arguments)
    try:
        return subprocess.run(command, input=given, capture_output=True, timeout=SECONDS, env=environment, check=False)
    except FileNotFoundError as error:
        raise Terminal("there is no ssh-keygen", hint="install the OpenSSH client") from error
    except subprocess.TimeoutExpired as error:
        raise Terminal(f"ssh-keygen did not answer within {SECONDS:g} s") from error


def _last(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"
