"""One SSH connection to one host: pinned key, jump hosts, exec, and channels to the engine's socket; called by host.

HostUnreachable        no connection, or it does not answer in time
└── Interrupted        it was there and ended; the same read may be tried once more on a new one
HostKeyMismatch        another key than the pinned one; nothing was sent, not even a user name
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
    load_ssh_public_key,
)

from reconciler.model.desired import HostSpec
from reconciler.model.errors import HostKeyMismatch, HostUnreachable, InvalidInput, Terminal
from reconciler.model.redaction import printable

# What goes wrong reaches the caller as an exception; paramiko would print it besides.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_KEEPALIVE = 15  # seconds
_WAKE = 5  # paramiko's reader otherwise wakes ten times a second, for nothing
_SESSIONS = 8  # sshd allows ten at once (MaxSessions); forwarded sockets do not count
_OUTPUT = 8 << 20
_CERTIFIED = "-cert-v01@openssh.com"
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_WEAK = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"],
    "keys": ["ssh-rsa", "ssh-dss"],
    "pubkeys": ["ssh-rsa", "ssh-dss"],
    "kex": [
        "diffie-hellman-group1-sha1",
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
    ],
}


class Interrupted(HostUnreachable):
    """The connection or a channel of it ended while it was used."""


@dataclass(frozen=True, slots=True)
class Executed:
    """How a command on the host ended; `exit_code` is -1 when a signal ended it."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class _Transport(paramiko.Transport):
    """paramiko's transport and the one channel kind that it has no call for."""

    def open_streamlocal(self, path: str, timeout: float) -> paramiko.Channel:
        """A channel to a Unix socket on the server (OpenSSH's PROTOCOL, section 2.4).

        The same steps as paramiko.Transport.open_channel, which writes no body for a kind that it does not know.
        """
        if not self.is_active():
            raise paramiko.SSHException("SSH session not active")
        self.lock.acquire()
        try:
            number = self._next_channel()  # type: ignore[attr-defined]
            message = paramiko.Message()
            message.add_byte(b"\x5a")  # SSH_MSG_CHANNEL_OPEN
            message.add_string("direct-streamlocal@openssh.com")
            message.add_int(number)
            message.add_int(self.default_window_size)
            message.add_int(self.default_max_packet_size)
            message.add_string(path)
            message.add_string("")
            message.add_int(0)
            channel = paramiko.Channel(number)
            self._channels.put(number, channel)  # type: ignore[attr-defined]
            self.channel_events[number] = event = threading.Event()
            self.channels_seen[number] = True
            channel._set_transport(self)  # type: ignore[attr-defined]
            channel._set_window(self.default_window_size, self.default_max_packet_size)  # type: ignore[attr-defined]
        finally:
            self.lock.release()
        self._send_user_message(message)  # type: ignore[attr-defined]
        deadline = time.monotonic() + timeout
        while not event.wait(0.1):
            if not self.is_active():
                raise self.get_exception() or paramiko.SSHException("the connection ended")
            if time.monotonic() > deadline:
                raise paramiko.SSHException("no answer to opening a channel")
        opened = self._channels.get(number)  # type: ignore[attr-defined]
        if opened is None:
            raise self.get_exception() or paramiko.SSHException("the channel was refused")
        assert isinstance(opened, paramiko.Channel)  # noqa: S101 - paramiko's own table
        return opened


class Connection:
    """An authenticated connection. Safe to use from several threads; close it once."""

    def __init__(self, spec: HostSpec, transport: _Transport, below: Connection | None, timeout: float) -> None:
        self.spec = spec
        self.where = where(spec)
        self._transport = transport
        self._below = below
        self._timeout = timeout
        self._sessions = threading.BoundedSemaphore(_SESSIONS)
        self._dial_stdio = False

    @property
    def alive(self) -> bool:
        return self._transport.is_active() and (self._below is None or self._below.alive)

    def close(self) -> None:
        """End it and everything that runs over it."""
        sock = self._transport.sock
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # or the reader would notice only at its next wake
        self._transport.close()
        if self._below is not None:
            self._below.close()

    def execute(self, command: Sequence[str], stdin: bytes = b"", timeout: float | None = None) -> Executed:
        """Run a command to its end. `timeout` seconds in all; the connection's own where None."""
        deadline = time.monotonic() + (timeout or self._timeout)
        with self.session(command, deadline) as channel:
            writer = threading.Thread(target=_write_all, args=(channel, stdin), daemon=True)
            writer.start()
            out = self._read_all(channel, channel.recv, deadline)
            err = self._read_all(channel, channel.recv_stderr, deadline)
            if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                raise self._lost(channel, "the command's end was not reported")
            writer.join(max(0.0, deadline - time.monotonic()))
            code = channel.exit_status
            if code == -1 and not self.alive:
                raise Interrupted("the connection ended while a command ran", where=self.where)
            return Executed(code, out, err)

    @contextlib.contextmanager
    def session(self, command: Sequence[str], deadline: float) -> Iterator[paramiko.Channel]:
        """A running command as a channel; ended when the block is left."""
        if not self._sessions.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise HostUnreachable(f"{_SESSIONS} commands run there already, and none ended in time", where=self.where)
        try:
            channel = self._open_session(command, deadline)
            try:
                yield channel
            finally:
                channel.close()
        finally:
            self._sessions.release()

    def open_engine(self) -> paramiko.Channel:
        """A channel to the engine's socket: forwarded where sshd allows it, else through `docker system dial-stdio`."""
        if not self._dial_stdio:
            try:
                return self._transport.open_streamlocal(self.spec.socket, self._timeout)
            except paramiko.ChannelException as error:
                refused = str(error)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise self._failure("open a channel to the engine", error) from error
            self._try_dial_stdio(refused)
        return self._open_dial_stdio()

    @property
    def engine_way(self) -> str:
        """How the engine is reached: direct-streamlocal or dial-stdio."""
        return "dial-stdio" if self._dial_stdio else "direct-streamlocal"

    def open_tcp(self, address: str, port: int) -> paramiko.Channel:
        """A TCP connection from the host onwards, for the next hop."""
        try:
            return self._transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=self._timeout
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._failure(f"reach {address}:{port} from there", error) from error

    def _try_dial_stdio(self, refused: str) -> None:
        """Ask the engine for a sign of life once; afterwards dial-stdio is the way."""
        probe = self.execute(
            (*self._docker(), "version", "--format", "{{.Server.APIVersion}}"), timeout=max(self._timeout, 10)
        )
        if probe.exit_code != 0:
            said = printable(probe.stderr.decode("utf-8", "replace")).strip().splitlines()
            raise HostUnreachable(
                f"the engine at {self.spec.socket} cannot be reached: forwarding refused ({refused}); "
                f"docker there says: {said[-1][:300] if said else 'nothing'}",
                where=self.where,
                hint="is the engine running, may the SSH user open its socket, does sshd allow forwarding?",
            )
        self._dial_stdio = True

    def _open_dial_stdio(self) -> paramiko.Channel:
        return self._open_session((*self._docker(), "system", "dial-stdio"), time.monotonic() + self._timeout)

    def _docker(self) -> tuple[str, ...]:
        return ("docker", "--host", f"unix://{self.spec.socket}")

    def _open_session(self, command: Sequence[str], deadline: float) -> paramiko.Channel:
        while True:
            try:
                channel = self._transport.open_session(timeout=max(0.1, deadline - time.monotonic()))
                channel.settimeout(max(0.1, deadline - time.monotonic()))
                channel.exec_command(shlex.join(command))
            except paramiko.ChannelException as error:
                # MaxSessions: another one of ours has to end first.
                if time.monotonic() + 0.2 > deadline:
                    raise self._failure("open a session", error) from error
                time.sleep(0.1)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise self._failure("run a command", error) from error
            else:
                return channel

    def _read_all(self, channel: paramiko.Channel, receive: Callable[[int], bytes], deadline: float) -> bytes:
        kept = bytearray()
        while True:
            channel.settimeout(max(0.05, deadline - time.monotonic()))
            try:
                data = receive(65536)
            except (OSError, EOFError) as error:
                raise self._lost(channel, "a command did not end in time") from error
            if not data:
                return bytes(kept)
            kept += data
            if len(kept) > _OUTPUT:
                raise Terminal(f"a command wrote more than {_OUTPUT} bytes", where=self.where)

    def _lost(self, channel: paramiko.Channel, text: str) -> HostUnreachable:
        if not self.alive or channel.closed:
            return Interrupted("the connection ended while a command ran", where=self.where)
        return HostUnreachable(text, where=self.where)

    def _failure(self, doing: str, error: BaseException) -> HostUnreachable:
        text = f"could not {doing}: {reason(error)}"
        return HostUnreachable(text, where=self.where) if self.alive else Interrupted(text, where=self.where)


def connect(spec: HostSpec, jumps: Sequence[HostSpec], key_file: Path, timeout: float) -> Connection:
    """Connect through `jumps` (the first is the one that is reached directly), each with its own pinned key.

    `timeout` seconds for each of: TCP, negotiation, authentication. Raises HostUnreachable, HostKeyMismatch, or
    Terminal where `key_file` cannot be used or the host refuses it.
    """
    key = _private_key(key_file)
    below: Connection | None = None
    try:
        for hop in (*jumps, spec):
            below = _connect(hop, below, key, timeout)
    except BaseException:
        if below is not None:
            below.close()
        raise
    if below is None:
        raise AssertionError("there is always the host itself")
    # sshd turns Nagle's algorithm off only once a session runs something; without it each forwarded read may stall.
    below.execute(("true",), timeout=timeout)
    return below


def where(spec: HostSpec) -> str:
    """How errors call a host."""
    return f"host {spec.name} ({spec.user}@{spec.address}:{spec.port})"


def reason(error: BaseException) -> str:
    """An exception as a short printable text; some of these have none of their own."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return printable(str(error)).strip()[:300] or type(error).__name__


def _connect(spec: HostSpec, below: Connection | None, key: paramiko.PKey, timeout: float) -> Connection:
    pinned = _pinned(spec)
    sock = _tcp(spec, timeout) if below is None else below.open_tcp(spec.address, spec.port)
    transport: _Transport | None = None
    try:
        transport = _Transport(sock, disabled_algorithms=_WEAK)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
        transport.get_security_options().key_types = pinned.algorithms
        try:
            transport.start_client(timeout=timeout)
            shown = transport.get_remote_server_key()
        except paramiko.ssh_exception.IncompatiblePeer as error:
            text = f"shows no key of the pinned kind, or only weak algorithms: {reason(error)}"
            raise HostKeyMismatch(text, where=where(spec)) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise HostUnreachable(f"no SSH connection: {reason(error)}", where=where(spec)) from error
        pinned.check(shown)
        try:
            transport.auth_publickey(spec.user, key)
        except paramiko.AuthenticationException as error:
            raise Terminal(
                f"refuses our key for user {spec.user}: {reason(error)}",
                where=where(spec),
                hint="put our public key into that user's authorized_keys",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise HostUnreachable(
                f"the connection ended while logging in: {reason(error)}", where=where(spec)
            ) from error
        transport.set_keepalive(_KEEPALIVE)
        transport.sock.settimeout(_WAKE)
        return Connection(spec, transport, below, timeout)
    except BaseException:
        if transport is not None:
            transport.close()
        sock.close()
        raise


def _tcp(spec: HostSpec, timeout: float) -> socket.socket:
    try:
        sock = socket.create_connection((spec.address, spec.port), timeout=timeout)
    except OSError as error:
        raise HostUnreachable(f"no connection: {reason(error)}", where=where(spec)) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # What we sent and nobody acknowledged for so long means that the host is gone, whatever the channel waits for.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return sock


@dataclass(frozen=True, slots=True)
class _Pinned:
    """What the repository says about a host's key: the key itself, or the authority that certifies it."""

    spec: HostSpec
    algorithms: tuple[str, ...]
    blob: bytes | None
    authority: bytes | None

    def check(self, shown: paramiko.PKey) -> None:
        """Raises HostKeyMismatch. Runs before anything is sent that the host could use."""
        if self.blob is not None:
            if shown.asbytes() != self.blob:
                raise HostKeyMismatch(
                    f"shows another host key ({shown.get_name()} SHA256:{_fingerprint(shown)}) than the pinned one",
                    where=where(self.spec),
                    hint="if the host was really set up anew, change host_key in its file by pull request",
                )
            return
        certificate = shown.public_blob
        if certificate is None or self.authority is None:
            raise HostKeyMismatch("shows a key without a certificate", where=where(self.spec))
        problem = _certificate_problem(certificate.key_type, certificate.key_blob, self.authority, self.spec.address)
        if problem is not None:
            raise HostKeyMismatch(f"its host certificate does not count: {problem}", where=where(self.spec))


def _pinned(spec: HostSpec) -> _Pinned:
    if spec.host_key:
        kind, blob = _public_key(spec, "host_key", spec.host_key)
        return _Pinned(spec, _RSA if kind == "ssh-rsa" else (kind,), blob, None)
    if spec.host_ca:
        _, authority = _public_key(spec, "host_ca", spec.host_ca)
        kinds = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", *_RSA)
        return _Pinned(spec, tuple(kind + _CERTIFIED for kind in kinds), None, authority)
    raise InvalidInput(
        f"host {spec.name} has neither host_key nor host_ca; nothing is sent to it", where=str(spec.location)
    )


def _public_key(spec: HostSpec, what: str, text: str) -> tuple[str, bytes]:
    parts = text.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
        load_ssh_public_key(" ".join(parts[:2]).encode())
    except (IndexError, ValueError, binascii.Error, paramiko.SSHException) as error:
        raise InvalidInput(f"{what} of host {spec.name} is not 'type base64'", where=str(spec.location)) from error
    except Exception as error:  # cryptography's UnsupportedAlgorithm is no ValueError
        raise InvalidInput(f"{what} of host {spec.name} cannot be used: {error}", where=str(spec.location)) from error
    return parts[0], blob


def _certificate_problem(kind: str, blob: bytes, authority: bytes, address: str) -> str | None:
    """Why a host certificate is not acceptable, None when it is (OpenSSH's PROTOCOL.certkeys)."""
    try:
        certificate = load_ssh_public_identity(f"{kind} {base64.b64encode(blob).decode()}".encode())
        if not isinstance(certificate, SSHCertificate):
            return "it is a plain key"
        certificate.verify_cert_signature()
        signer = certificate.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except Exception as error:  # noqa: BLE001 - whatever the parser dislikes, the certificate does not count
        return f"it cannot be verified ({reason(error)})"
    if base64.b64decode(signer.split()[1]) != authority:
        return "another authority signed it"
    if certificate.type is not SSHCertificateType.HOST:
        return "it certifies a user, not a host"
    if not certificate.valid_after <= time.time() < certificate.valid_before:
        return "it is not valid at this time"
    if address.encode() not in certificate.valid_principals:
        return f"it is not for {address}"
    if certificate.critical_options:
        return "it has critical options that are not known"
    return None


def _fingerprint(key: paramiko.PKey) -> str:
    return key.fingerprint.removeprefix("SHA256:")


def _private_key(key_file: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(key_file)
    except (OSError, paramiko.SSHException, ValueError, TypeError) as error:
        raise Terminal(f"the SSH key cannot be read: {reason(error)}", where=str(key_file)) from error


def _write_all(channel: paramiko.Channel, data: bytes) -> None:
    with contextlib.suppress(OSError, EOFError):  # the command ended early; its exit code says the rest
        view = memoryview(data)
        while view:
            view = view[channel.send(bytes(view[:65536])) :]
        channel.shutdown_write()
