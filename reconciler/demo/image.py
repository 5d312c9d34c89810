"""A tiny container image made from the machine's static busybox, as an archive that `docker load` takes.

Called by machine.build_image, so that the demo and the tests have images without any registry. The same arguments give
the same bytes, and so the same image id on every engine.
"""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
_CREATED = "2024-01-01T00:00:00Z"  # a fixed date: the image id is a digest over it
_ACCOUNTS = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000:app:/:/bin/sh\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\napp:x:1000:\n"


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How the engine asks a container for its health; durations in seconds."""

    test: Sequence[str]  # as in a Dockerfile's JSON form: ("CMD", …) or ("CMD-SHELL", "…")
    interval: float = 1.0
    timeout: float = 2.0
    retries: int = 3
    start_period: float = 0.0

    def configuration(self) -> dict[str, object]:
        return {
            "Test": list(self.test),
            "Interval": _nanoseconds(self.interval),
            "Timeout": _nanoseconds(self.timeout),
            "Retries": self.retries,
            "StartPeriod": _nanoseconds(self.start_period),
        }


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """What is in an image beside busybox. `files` maps absolute paths to content; a path under /bin is executable."""

    files: Mapping[str, bytes | str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ("sleep", "2147483647")
    healthcheck: Healthcheck | None = None
    exposed_ports: Sequence[str] = ()  # "80/tcp"
    user: str = ""
    working_directory: str = "/"
    stop_signal: str = "SIGKILL"  # busybox as process 1 ignores SIGTERM, and each stop would take its ten seconds


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """One image as `docker load` reads it; `image_id` is what the engine calls it afterwards."""

    image_id: str  # sha256:<64 hex>
    content: bytes


def image_archive(name: str, recipe: ImageRecipe, busybox: Path) -> ImageArchive:
    """Build the archive of the image `name` (`repository:tag`).

    Raises subprocess.CalledProcessError when `busybox` does not run here.
    """
    layer = _layer(recipe.files, busybox)
    environment = {"PATH": "/bin", **recipe.environment}
    configuration: dict[str, object] = {
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Cmd": list(recipe.command) or None,
        "Entrypoint": list(recipe.entrypoint) or None,
        "Labels": dict(recipe.labels) or None,
        "ExposedPorts": {port: {} for port in recipe.exposed_ports} or None,
        "User": recipe.user,
        "WorkingDir": recipe.working_directory,
        "StopSignal": recipe.stop_signal,
    }
    if recipe.healthcheck is not None:
        configuration["Healthcheck"] = recipe.healthcheck.configuration()
    document = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": _CREATED,
        "config": configuration,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": _CREATED, "created_by": "static busybox"}],
    }
    config = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    archive = _archive(
        [
            (_entry("layer.tar", size=len(layer)), layer),
            (_entry(f"{digest}.json", size=len(config)), config),
            (_entry("manifest.json", size=len(body := json.dumps(manifest).encode())), body),
        ]
    )
    return ImageArchive(f"sha256:{digest}", archive)


def _layer(files: Mapping[str, bytes | str], busybox: Path) -> bytes:
    binary = busybox.read_bytes()
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    contents: dict[str, bytes] = {"etc/passwd": _ACCOUNTS.encode(), "etc/group": _GROUPS.encode()}
    for path, content in files.items():
        contents[path.lstrip("/")] = content.encode() if isinstance(content, str) else content
    contents["bin/busybox"] = binary
    directories = {"bin", "etc", "tmp", "dev", "proc", "sys"}
    for path in contents:
        directories.update(str(parent) for parent in Path(path).parents if str(parent) != ".")
    entries = [
        (_entry(path, kind=tarfile.DIRTYPE, mode=0o1777 if path == "tmp" else 0o755), b"")
        for path in sorted(directories)
    ]
    for path, content in sorted(contents.items()):
        mode = 0o755 if path.startswith("bin/") else 0o644
        entries.append((_entry(path, size=len(content), mode=mode), content))
    for applet in sorted(set(applets) - {"busybox"}):
        if f"bin/{applet}" not in contents:
            entries.append((_entry(f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox"), b""))
    return _archive(entries)


def _entry(
    path: str, kind: bytes = tarfile.REGTYPE, size: int = 0, mode: int = 0o644, link: str = ""
) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)  # owner 0:0 and time 0: nothing of this machine is in the bytes
    entry.type, entry.size, entry.mode, entry.linkname = kind, size, mode, link
    return entry


def _archive(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
