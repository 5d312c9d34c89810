"""Images of the simulated engine: references, ids, and the archive that `docker load` takes. Called by the engine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.simulation.errors import EngineRefusal

EMPTY_CONFIG: Mapping[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


# What an image has whose configuration nobody named: it runs until it is stopped, at once.
_UNNAMED: Mapping[str, Any] = {
    "Env": ["PATH=/bin"],
    "Cmd": ["sleep", "2147483647"],
    "WorkingDir": "/",
    "StopSignal": "SIGKILL",
}


@dataclass(frozen=True, slots=True)
class SimulatedImage:
    """An image that a simulated host knows under `reference` (`repository:tag`).

    `config` is the image's section as in a Docker image's JSON (Env, Cmd, Entrypoint, Labels, ExposedPorts, User,
    WorkingDir, Healthcheck, StopSignal, Volumes); by default it sleeps until it is stopped. `on_host`: the engine has
    it from the start. `in_registry`: a registry would answer for it, so that it has a digest and can be pulled; an
    image that is neither does not exist. `content` tells images apart whose configuration is the same; the reference
    by default. `id` names the image (`sha256:<64 hex>`) where it was built elsewhere; by default it is derived from
    the other fields.
    """

    reference: str
    config: Mapping[str, Any] = field(default_factory=lambda: _UNNAMED)
    on_host: bool = True
    in_registry: bool = False
    content: str = ""
    id: str = ""
    created: str = "2024-01-01T00:00:00Z"
    architecture: str = "amd64"
    layers: tuple[str, ...] = ()
    size: int = 0

    @property
    def image_id(self) -> str:
        return self.id or _digest({"config": dict(self.config), "content": self.content or self.reference})

    @property
    def manifest_digest(self) -> str:
        """What the registry calls it; another digest than the image id, as with a real registry."""
        return _digest({"manifest of": self.image_id})

    def full_config(self) -> dict[str, Any]:
        """The image's configuration with every key that the engine shows."""
        return {**EMPTY_CONFIG, **self.config}


@dataclass(slots=True)
class StoredImage:
    """An image that the engine has, with the names that it has now."""

    image: SimulatedImage
    tags: list[str]
    digests: list[str]

    @property
    def id(self) -> str:
        return self.image.image_id


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed image reference; `tag` is None only where a digest stands instead."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag is not None else f"{self.repository}@{self.digest}"


def parse_reference(text: str) -> Reference:
    """`repository[:tag][@digest]`, with Docker Hub's defaults left out as the engine shows it."""
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    name, colon, tag = last.partition(":")
    repository = f"{head}{slash}{name}"
    for prefix in ("docker.io/library/", "docker.io/"):
        repository = repository.removeprefix(prefix)
    if not repository or repository != repository.lower():
        raise EngineRefusal(400, f"invalid reference format: {text!r}")
    return Reference(repository, tag if colon else (None if digest else "latest"), digest or None)


def load_archive(content: bytes) -> tuple[SimulatedImage, ...]:
    """The images of an archive in `docker save` format, with the ids that a real engine gives them.

    Raises EngineRefusal (400) when it is no such archive.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = {member.name: member for member in archive.getmembers()}

            def read(name: str) -> bytes:
                file = archive.extractfile(members[name])
                return file.read() if file is not None else b""

            images: list[SimulatedImage] = []
            for entry in json.loads(read("manifest.json")):
                raw = read(entry["Config"])
                document = json.loads(raw)
                images.extend(
                    SimulatedImage(
                        reference=reference,
                        config={key: value for key, value in document.get("config", {}).items() if value is not None},
                        id=f"sha256:{hashlib.sha256(raw).hexdigest()}",
                        created=document.get("created", "1970-01-01T00:00:00Z"),
                        architecture=document.get("architecture", "amd64"),
                        layers=tuple(document.get("rootfs", {}).get("diff_ids", ())),
                        size=sum(members[layer].size for layer in entry["Layers"]),
                    )
                    for reference in entry.get("RepoTags") or ()
                )
            return tuple(images)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise EngineRefusal(400, f"no image archive that the simulated engine can read: {error}") from error


def _digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
