"""The parts a demo or a test run starts and stops: Docker engines, SSH servers, a registry, images.

Called by the demo and by the integration tests; nothing of the product's core knows it. An engine of our own runs in
network, process and mount namespaces of its own, as a small machine beside this one: two of them can publish the same
port, each has its own /run/docker.sock and /var/lib, and when its first process ends, all of it is gone: processes,
mounts, bridges. An SSH server given such an engine runs inside that machine, and is reached on this one's loopback.

    MachineError ── what was to be started, why it failed, and the end of its log
"""

import contextlib
import http.client
import json
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.demo.image import Healthcheck, ImageRecipe, image_archive

__all__ = [
    "Engine",
    "Healthcheck",
    "ImageRecipe",
    "MachineError",
    "MachineParts",
    "Registry",
    "Sshd",
    "build_image",
    "probe",
    "push_image",
    "start_engine",
    "start_registry",
    "start_sshd",
]

_GET = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
try:
    connection.request("GET", sys.argv[2])
    response = connection.getresponse()
    body = response.read().decode(errors="replace")
except (OSError, http.client.HTTPException) as error:
    sys.exit(str(error) or type(error).__name__)
if response.status >= 400:
    sys.exit(f"{response.status} {response.reason}")
sys.stdout.write(body)
"""

_DEFAULT_SOCKET = Path("/var/run/docker.sock")
_PROVISION = "PROVISION=1 installs it (as root on Debian)"
_LONGEST_ROOT = 107 - len("/engine-00000000/docker.sock")  # what fits into the kernel's address of a Unix socket
_START_TIMEOUT = 60.0  # seconds; a warm start takes half of one
_STOP_TIMEOUT = 20.0
_SEARCH_PATH = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"

# Runs a program for as long as our end of standard input is open, so that a killed run leaves no daemon behind.
_SUPERVISE = """
exec 3<&0
"$@" 3<&- </dev/null & program=$!
( cat <&3 >/dev/null; kill -TERM $program ) 2>/dev/null &
wait $program
"""

# Process 1 of a small machine. What the machine writes in /run and /var/lib stays in its own directory.
_INIT = """
set -e
root=$1; shift
for path in /run /var/lib; do
    own=$root/overlay$path
    mkdir -p "$own/upper" "$own/work"
    mount -t overlay overlay -o "lowerdir=$path,upperdir=$own/upper,workdir=$own/work" $path \
        || mount -t tmpfs tmpfs $path
done
rm -rf /run/docker.sock /run/docker.pid /run/docker /var/lib/reconciler
mkdir -p /run/sshd /run/docker
mount -t tmpfs tmpfs /run/docker
mkdir -p /etc/docker && mount -t tmpfs tmpfs /etc/docker  # where Docker 20.10 keeps the key that its id is made from
[ -d /var/run ] || ln -s /run /var/run
ip link set lo up
exec 3<&0
"$@" 3<&- </dev/null & program=$!
( cat <&3 >/dev/null; kill -KILL $program ) 2>/dev/null &
set +e
wait $program
"""


class MachineError(Exception):
    """A part of the machine could not be started or used; the text says which, why, and ends with its log."""


@dataclass(frozen=True, slots=True)
class MachineParts:
    """What this machine can run. `missing` maps each part that it cannot to the reason, with what to do."""

    missing: Mapping[str, str]
    own_engine: bool  # True: engines are started and stopped by us; False: a running one is used

    def why_not(self, *parts: str) -> str | None:
        """The reasons why one of these parts is missing, in one line; None when all are there."""
        reasons = [self.missing[part] for part in parts if part in self.missing]
        return "; ".join(dict.fromkeys(reasons)) or None


def probe(environment: Mapping[str, str] = os.environ) -> MachineParts:
    """Look for the parts `engine`, `second_engine`, `sshd`, `registry` and `image`; starts nothing that stays.

    `environment` is asked for DOCKER_HOST (an engine that the user wants used) and ENGINE=simulated (use none).
    """
    missing: dict[str, str] = {}
    own_engine = False
    if environment.get("ENGINE") == "simulated":
        missing["engine"] = missing["second_engine"] = "no Docker engine: ENGINE=simulated was asked for"
    else:
        running, why_not_running = _running_engine(environment)
        why_not_own = _why_no_own_engine()
        own_engine = why_not_own is None and not environment.get("DOCKER_HOST")
        if not own_engine and running is None:
            reasons = [why_not_running] if environment.get("DOCKER_HOST") else [why_not_running, why_not_own]
            missing["engine"] = f"no Docker engine: {' and '.join(reason for reason in reasons if reason)}"
        if not own_engine:
            missing["second_engine"] = missing.get(
                "engine", "no second Docker engine: the one that runs here is used, and there is only one of it"
            )
        if _program("docker") is None:
            missing.setdefault("engine", f"no docker command on PATH; {_PROVISION}")
            missing.setdefault("second_engine", missing["engine"])
    if _program("sshd") is None or _program("ssh-keygen") is None:
        missing["sshd"] = f"no SSH server: sshd or ssh-keygen is not installed; {_PROVISION}"
    if _program("docker-registry") is None:
        missing["registry"] = f"no registry: docker-registry is not installed; {_PROVISION}"
    if (reason := _why_no_busybox()) is not None:
        missing["image"] = reason
    return MachineParts(missing, own_engine)


class Engine:
    """A Docker engine behind a Unix socket. `own` says whether we started it; stopping another one does nothing."""

    def __init__(self, socket_path: Path, version: str, machine: "_Machine | None") -> None:
        self.socket = socket_path
        self.version = version
        self.machine = machine

    @property
    def own(self) -> bool:
        return self.machine is not None

    def docker(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run the docker command against this engine and return what it prints.

        Raises MachineError with the command's own message when it fails.
        """
        result = subprocess.run(
            [_required("docker"), "--host", f"unix://{self.socket}", *arguments],
            env=_clean_environment(DOCKER_CONFIG="/nonexistent"),  # no context or credential store of the user
            input=stdin or b"",
            capture_output=True,
            check=False,
        )
        if result.returncode != 0:
            message = result.stderr.decode(errors="replace").strip()
            raise MachineError(f"docker {' '.join(arguments)}: exit code {result.returncode}: {message}")
        return result.stdout.decode(errors="replace").strip()

    def fetch(self, port: int, path: str = "/") -> str:
        """The body that a published port answers with, asked from within the engine's machine.

        Raises MachineError when nothing answers there with success.
        """
        return _fetch(() if self.machine is None else self.machine.enter("--net"), port, path)

    def stop(self) -> None:
        """End the engine's machine with everything that runs in it, and remove its directory."""
        if self.machine is not None:
            self.machine.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Sshd:
    """An SSH server with a host key of its own that lets in one key. `host_key` is what a host file pins."""

    def __init__(self, port: int, arguments: Sequence[str], root: Path) -> None:
        self.address = "127.0.0.1"
        self.port = port
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.host_key = " ".join((root / "host_key.pub").read_text().split()[:2])
        self.key_file = root / "id_ed25519"
        self._arguments = arguments
        self._root = root
        self._program: _Program | None = None

    @property
    def log(self) -> str:
        return _text(self._root / "sshd.log")

    def drop_connections(self) -> None:
        """Cut every open connection, as a failing network would; the server goes on listening."""
        listeners = {pid for pid, command in self._processes() if "[listener]" in command}
        for pid in [pid for pid, _ in self._processes() if pid not in listeners and _parent(pid) in listeners]:
            for process in [*reversed(_descendants(pid)), pid]:
                _send(process, signal.SIGKILL)

    def halt(self) -> None:
        """Cut every connection and stop listening, as a machine that is down; `resume` ends it."""
        self.drop_connections()
        if self._program is not None:
            self._program.stop()
            self._program = None

    def resume(self) -> None:
        """Listen again, on the same port and with the same keys. Raises MachineError with the end of its log."""
        program = self._program = _Program.start(self._arguments, self._root / "start.log")
        _wait_until(lambda: _greets(self.port), program, "sshd", self._root / "sshd.log")

    def stop(self) -> None:
        """End the server and its open sessions, and remove its directory."""
        self.halt()
        shutil.rmtree(self._root, ignore_errors=True)

    def _processes(self) -> list[tuple[int, str]]:
        below = [] if self._program is None else _descendants(self._program.pid)
        return [(pid, _command_line(pid)) for pid in below]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Registry:
    """An image registry. `address` (127.0.0.1:port) is valid here and on each engine that it was started for."""

    def __init__(self, address: str, programs: Sequence["_Program"], root: Path) -> None:
        self.address = address
        self._programs = programs
        self._root = root

    def stop(self) -> None:
        for program in self._programs:
            program.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_engine(root: Path, environment: Mapping[str, str] = os.environ) -> Engine:
    """Start an engine in a new directory below `root`, or hand out the running one where none can be started.

    Raises MachineError, with the end of the engine's log, when it does not answer within a minute.
    """
    parts = probe(environment)
    if (reason := parts.why_not("engine")) is not None:
        raise MachineError(reason)
    if not parts.own_engine:
        running, why_not = _running_engine(environment)
        if running is None:
            raise MachineError(why_not)
        return Engine(running, _engine_version(running), None)
    if len(os.fsencode(root.resolve())) > _LONGEST_ROOT:
        raise MachineError(f"{root} is too long for a Unix socket below it; {_LONGEST_ROOT} bytes are possible")
    machine = _Machine(_new_directory(root, "engine"))
    try:
        machine.start()
        _wait_until(lambda: _answers(machine.socket), machine.program, "dockerd", machine.root / "dockerd.log")
        return Engine(machine.socket, _engine_version(machine.socket), machine)
    except BaseException:
        machine.stop()
        raise


def start_sshd(root: Path, engine: Engine | None = None, port: int | None = None) -> Sshd:
    """Start an SSH server on a free loopback port for the user who runs this.

    With an engine of our own it runs inside that engine's machine, and a session there finds /run/docker.sock,
    /var/lib and the processes of that machine; with another engine, DOCKER_HOST in the session names its socket.
    Raises MachineError with the end of its log.
    """
    directory = _new_directory(root, "sshd")
    sshd: Sshd | None = None
    try:
        for name in ("host_key", "id_ed25519"):
            _run([_required("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / name)])
        shutil.copyfile(directory / "id_ed25519.pub", directory / "authorized_keys")
        chosen = port or _free_port()
        configuration = _sshd_config(directory, chosen)
        inside: Sequence[str] = ()
        if engine is not None and engine.machine is not None:
            inside = engine.machine.enter("--mount", "--pid")
        elif os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd drops its privileges; Debian's own place
        if engine is not None and not engine.own:
            configuration += f"SetEnv DOCKER_HOST=unix://{engine.socket}\n"
        (directory / "sshd_config").write_text(configuration)
        arguments = ["-D", "-f", str(directory / "sshd_config"), "-E", str(directory / "sshd.log")]
        sshd = Sshd(chosen, [*inside, *_supervised([_required("sshd"), *arguments])], directory)
        sshd.resume()
        return sshd
    except BaseException:
        if sshd is not None:
            sshd.halt()
        shutil.rmtree(directory, ignore_errors=True)
        raise


def start_registry(root: Path, engines: Sequence[Engine] = ()) -> Registry:
    """Start a registry on a free loopback port, here and, over the same store, in the machine of each engine.

    Engines trust a loopback registry without TLS. Raises MachineError with the end of its log.
    """
    directory = _new_directory(root, "registry")
    port = _free_port()
    configuration = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "store")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": secrets.token_hex(16)},
    }
    (directory / "config.yml").write_text(json.dumps(configuration))  # JSON is YAML
    arguments = _supervised([_required("docker-registry"), "serve", str(directory / "config.yml")])
    places: list[Sequence[str]] = [()]
    places += [engine.machine.enter("--net") for engine in engines if engine.machine is not None]
    programs: list[_Program] = []
    try:
        for number, inside in enumerate(places):
            log = directory / f"registry-{number}.log"
            programs.append(_Program.start([*inside, *arguments], log))
            _wait_until(partial(_serves, inside, port), programs[-1], "docker-registry", log)
    except BaseException:
        for program in programs:
            program.stop()
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Registry(f"127.0.0.1:{port}", programs, directory)


def build_image(engine: Engine, name: str, recipe: ImageRecipe | None = None) -> str:
    """Put the image `name` (`repository:tag`) on the engine, made from the static busybox; no registry is asked.

    Returns the image id (sha256:…); the same recipe has the same id on every engine. Raises MachineError.
    """
    if (reason := _why_no_busybox()) is not None:
        raise MachineError(reason)
    archive = image_archive(name, recipe or ImageRecipe(), Path(_required("busybox")))
    engine.docker("load", "--quiet", stdin=archive.content)
    found = engine.docker("image", "inspect", "--format", "{{.Id}}", name)
    if found != archive.image_id:
        raise MachineError(f"the engine calls {name} {found}, and it was built as {archive.image_id}")
    return found


def push_image(engine: Engine, name: str, registry: Registry, repository: str) -> str:
    """Push the image `name` to the registry as `repository` (`shop/web:1.0`), and return `address/repository@sha256:…`.

    Raises MachineError when the engine cannot reach the registry: it must have been started for this engine.
    """
    remote = f"{registry.address}/{repository}"
    engine.docker("tag", name, remote)
    engine.docker("push", "--quiet", remote)
    digests = json.loads(engine.docker("image", "inspect", "--format", "{{json .RepoDigests}}", remote))
    wanted = remote.rsplit(":", 1)[0] + "@"
    for digest in digests:
        if digest.startswith(wanted):
            return str(digest)
    raise MachineError(f"the engine knows no digest of {remote} after the push; it knows {digests}")


class _Program:
    """A supervised process: it ends when we stop it, and also when we die."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def start(cls, arguments: Sequence[str], log: Path) -> Self:
        with log.open("ab") as output:
            # A session of its own: an interrupt at the terminal reaches us, and we stop our parts in order.
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_clean_environment(),
                cwd="/",
                start_new_session=True,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """Close the line it lives on; what does not end by itself is killed, children first."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if not self.has_ended():
            for pid in reversed(_descendants(self.pid)):
                _send(pid, signal.SIGKILL)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Machine:
    """The namespaces in which one engine of ours runs, and the directory that holds all it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.socket = root / "docker.sock"
        self.program: _Program | None = None
        self._control_group = f"reconciler-{root.name}"

    def start(self) -> None:
        dockerd = [
            _required("dockerd"),
            *("--host", f"unix://{self.socket}", "--host", "unix:///run/docker.sock"),
            *("--data-root", str(self.root / "data"), "--exec-root", "/run/docker"),
            *("--pidfile", str(self.root / "dockerd.pid"), "--config-file", str(self.root / "daemon.json")),
            *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self._control_group}"),
            # Nothing outside is to be reached, and published ports are served by the engine's own proxy.
            *("--iptables=false", "--ip6tables=false"),
            *("--log-level", "warn"),
        ]
        (self.root / "daemon.json").write_text("{}")  # the machine's own /etc/docker/daemon.json is not for us
        self.program = _Program.start(
            [
                *(_required("unshare"), "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", _INIT, "machine", str(self.root), *dockerd),
            ],
            self.root / "dockerd.log",
        )

    def enter(self, *namespaces: str) -> tuple[str, ...]:
        """The beginning of a command that runs inside, in these namespaces (`--net`, `--mount`, `--pid`)."""
        return (_required("nsenter"), "--target", str(self._first_process()), *namespaces, "--")

    def stop(self) -> None:
        if self.program is not None:
            # The end of process 1 is the end of every process, mount and bridge of the machine.
            self.program.kill()
        _remove_control_groups(self._control_group)
        shutil.rmtree(self.root, ignore_errors=True)

    def _first_process(self) -> int:
        children = [] if self.program is None else _children(self.program.pid)
        if not children:
            raise MachineError(f"the engine of {self.root} does not run any more")
        return children[0]


def _supervised(arguments: Sequence[str]) -> list[str]:
    return ["sh", "-c", _SUPERVISE, "supervise", *arguments]


def _sshd_config(directory: Path, port: int) -> str:
    # An account without a password is locked for sshd unless PAM decides; root on a fresh Debian may be one.
    locked = os.getuid() == 0 and _account_is_locked()
    lines = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(directory / "host_key"),
        "AuthorizedKeysFile": str(directory / "authorized_keys"),
        "PidFile": "none",
        "StrictModes": "no",  # the keys lie in a temporary directory, whose parents are writable by others
        "UsePAM": "yes" if locked else "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "AllowStreamLocalForwarding": "yes",
        "AllowTcpForwarding": "yes",
        "UseDNS": "no",
        "PrintMotd": "no",
        "PrintLastLog": "no",
        "MaxStartups": "100",
        "LogLevel": "VERBOSE",
        "Subsystem": "sftp internal-sftp",
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def _account_is_locked() -> bool:
    with contextlib.suppress(OSError):
        for line in Path("/etc/shadow").read_text().splitlines():
            name, password = line.split(":")[:2]
            if name == "root":
                return password.startswith("!")
    return False


def _running_engine(environment: Mapping[str, str]) -> tuple[Path | None, str]:
    wanted = environment.get("DOCKER_HOST", "")
    if wanted and not wanted.startswith("unix://"):
        return None, f"DOCKER_HOST is {wanted}, and only unix:// can be used here"
    path = Path(wanted.removeprefix("unix://")) if wanted else _DEFAULT_SOCKET
    if not path.exists():
        return None, f"no socket at {path}"
    if not _answers(path):
        return None, f"nothing answers at {path}, or this user may not ask it"
    return path, ""


def _why_no_own_engine() -> str | None:
    if _program("dockerd") is None or _program("containerd") is None:
        return f"dockerd is not installed; {_PROVISION}"
    if platform.system() != "Linux" or os.getuid() != 0:
        return "dockerd is installed, but only root can start one"
    for name in ("unshare", "nsenter", "ip", "mount"):
        if _program(name) is None:
            return f"dockerd is installed, but {name} is not; {_PROVISION}"
    trial = subprocess.run(
        [_required("unshare"), "--mount", "--net", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode != 0:
        return f"dockerd is installed, but this machine lets us make no namespaces ({trial.stderr.strip()})"
    return None


def _why_no_busybox() -> str | None:
    path = _program("busybox")
    if path is None:
        return f"no image: busybox is not installed; {_PROVISION}"
    # A program that names an interpreter (the dynamic linker) cannot run alone in an image.
    if b"/ld-" in Path(path).read_bytes()[:4096]:
        return f"no image: {path} is not static; the package busybox-static gives one that is"
    return None


def _answers(path: Path) -> bool:
    try:
        return _get(path, "/_ping") == "OK"
    except (OSError, http.client.HTTPException):
        return False


def _engine_version(path: Path) -> str:
    return str(json.loads(_get(path, "/version"))["Version"])


def _get(socket_path: Path, path: str) -> str:
    """The body of one answer of the Engine API. Raises OSError or http.client.HTTPException."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_path))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read().decode()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"GET {path}: {response.status}")
        return body


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _serves(inside: Sequence[str], port: int) -> bool:
    try:
        _fetch(inside, port, "/v2/")
    except MachineError:
        return False
    return True


def _fetch(inside: Sequence[str], port: int, path: str) -> str:
    """GET from a loopback port, by a small program that can run inside another machine's network."""
    url = f"http://127.0.0.1:{port}{path}"
    asked = subprocess.run(
        [*inside, sys.executable, "-I", "-S", "-c", _GET, str(port), path], capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        raise MachineError(f"GET {url} on the engine's machine: {asked.stderr.strip()}")
    return asked.stdout


def _wait_until(ready: Callable[[], bool], program: _Program | None, name: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not ready():
        if program is not None and program.has_ended():
            raise MachineError(f"{name} ended before it was ready; the end of its log:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise MachineError(f"{name} is not ready after {_START_TIMEOUT:.0f} s; the end of its log:\n{_tail(log)}")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


def _new_directory(root: Path, name: str) -> Path:
    directory = root.resolve() / f"{name}-{secrets.token_hex(4)}"
    directory.mkdir(mode=0o700, parents=True)
    return directory


def _remove_control_groups(name: str) -> None:
    """Remove the empty control groups that a killed engine leaves, in every hierarchy (cgroup v1) or the one (v2)."""
    for group in [*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path("/sys/fs/cgroup") / name]:
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def _children(pid: int) -> list[int]:
    return [child for child, parent in _process_table() if parent == pid]


def _descendants(pid: int) -> list[int]:
    """Every process below this one, parents before children."""
    table = _process_table()
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in table if parent == ancestor]
    return found[1:]


def _parent(pid: int) -> int:
    return next((parent for child, parent in _process_table() if child == pid), 0)


def _process_table() -> list[tuple[int, int]]:
    """Every process with its parent."""
    table = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command name may hold spaces and parentheses; the fields behind its last one are plain.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                table.append((int(entry.name), int(fields[1])))
    return table


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SEARCH_PATH}")


def _required(name: str) -> str:
    path = _program(name)
    if path is None:
        raise MachineError(f"{name} is not installed; {_PROVISION}")
    return path


def _clean_environment(**more: str) -> dict[str, str]:
    """PATH alone: a DOCKER_HOST or a proxy of the user must not reach our daemons."""
    return {"PATH": f"{os.environ.get('PATH', '')}:{_SEARCH_PATH}", "HOME": "/", **more}


def _run(arguments: Sequence[str]) -> None:
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise MachineError(f"{arguments[0]}: exit code {result.returncode}: {result.stderr.strip()}")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _tail(log: Path) -> str:
    return "\n".join(_text(log).splitlines()[-15:]) or "(empty)"
