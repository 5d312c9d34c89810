"""Makes image references exact, pulls and keeps images, all through the engine; called by host."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from reconciler.hosts.engine_api import EngineApi, EngineRefused
from reconciler.model.errors import HostUnreachable, Retryable, Terminal
from reconciler.model.observed import ImageResolution, MissingImage, ResolvedImage
from reconciler.model.redaction import printable

_REFERENCE = re.compile(
    r"^(?P<repository>[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+(?=/))?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z"
)
_ID = re.compile(r"^sha256:[0-9a-f]{64}\Z")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_PASSING = re.compile(
    r"timeout|timed out|deadline exceeded|connection re|no such host|temporary|unavailable|too many requests|EOF"
    r"|50[0234]",
    re.IGNORECASE,
)
_PULL_SECONDS = 1800.0
_PULL_SILENCE = 120.0
_REGISTRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Reference:
    repository: str
    tag: str
    digest: str

    @property
    def tagged(self) -> str:
        return f"{self.repository}:{self.tag or 'latest'}"


def is_reference(text: str) -> bool:
    """Whether the engine may be asked for it: an image id, or repository with tag or digest."""
    return _ID.match(text) is not None or _parse(text) is not None


def resolve(api: EngineApi, references: Sequence[str]) -> Mapping[str, ImageResolution]:
    """What the host has counts first, so that an answer does not depend on a registry being up; then the registry."""
    wanted = tuple(dict.fromkeys(references))
    asked = [reference for reference in wanted if is_reference(reference)]
    local = dict(zip(asked, api.get([_inspect(_on_host(reference)) for reference in asked]), strict=True))
    answers: dict[str, ImageResolution] = {}
    for reference in wanted:
        if reference not in local:
            answers[reference] = MissingImage(reference, "not an image reference that a registry could have")
        else:
            found = local[reference]
            here = found is not None and _is_named(reference, found)
            answers[reference] = _local(reference, found) if here else _remote(api, reference)
    return answers


def pull(api: EngineApi, deploy_as: str) -> None:
    """Make sure that the engine has it. Raises Retryable where the registry may answer later, Terminal otherwise."""
    if not is_reference(deploy_as):
        raise Terminal(f"'{deploy_as}' is not an image reference")
    if api.get([_inspect(deploy_as)])[0] is not None:
        return
    reference = _parse(deploy_as)
    if _ID.match(deploy_as) or reference is None:
        raise Terminal(
            f"image {deploy_as} is gone from the host, and an image id cannot be pulled",
            hint="build or load it there again",
        )
    progress = _Progress()
    query = urlencode({"fromImage": reference.repository, "tag": reference.digest or reference.tag or "latest"})
    try:
        api.stream("POST", f"/images/create?{query}", progress.take, timeout=_PULL_SECONDS, silence=_PULL_SILENCE)
        failure = progress.failure
    except EngineRefused as error:
        failure = error.text
    if failure is not None:
        text = f"cannot pull {deploy_as}: {_said(failure)}"
        raise Retryable(text) if _PASSING.search(failure) else Terminal(text)
    if api.get([_inspect(deploy_as)])[0] is None:
        raise Terminal(f"the engine pulled {deploy_as} and does not have it")


def keep(api: EngineApi, deploy_as: str, keep_as: str) -> None:
    """Tag it, so that a prune leaves it."""
    kept = _parse(keep_as)
    if not is_reference(deploy_as) or kept is None or kept.digest:
        raise Terminal(f"cannot tag '{deploy_as}' as '{keep_as}': not an image reference")
    query = urlencode({"repo": kept.repository, "tag": kept.tag or "latest"})
    api.call("POST", f"/images/{quote(deploy_as, safe='')}/tag?{query}")


def repository(text: str) -> str:
    """A repository in its long form, so that nginx and docker.io/library/nginx compare as equal."""
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = "docker.io", text
    if first == "index.docker.io":
        first = "docker.io"
    if first == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    return f"{first}/{rest}"


def _is_named(reference: str, image: Mapping[str, Any]) -> bool:
    """Whether the image really has that tag: the engine also takes a name like `cafe` for the start of an id."""
    parsed = _parse(reference)
    if parsed is None or parsed.digest:
        return True
    wanted = (repository(parsed.repository), parsed.tag or "latest")
    found = (tag.rpartition(":") for tag in image.get("RepoTags") or ())
    return any((repository(name), tag) == wanted for name, _, tag in found)


def _local(reference: str, image: Mapping[str, Any]) -> ResolvedImage:
    number = str(image["Id"])
    parsed = _parse(reference)
    if _ID.match(reference) or parsed is None:
        return ResolvedImage(reference, number, number, True)
    if parsed.digest:
        return ResolvedImage(reference, f"{parsed.repository}@{parsed.digest}", number, True)
    wanted = repository(parsed.repository)
    digests = []
    for entry in image.get("RepoDigests") or ():
        name, _, value = entry.partition("@")
        if repository(name) == wanted and _ID.match(value):
            digests.append(value)
    # Several digests of one repository name the same image; the choice only has to be the same each time.
    return ResolvedImage(reference, f"{parsed.repository}@{min(digests)}" if digests else number, number, True)


def _remote(api: EngineApi, reference: str) -> ImageResolution:
    parsed = _parse(reference)
    if _ID.match(reference) or parsed is None:
        return MissingImage(reference, "the host has no image of that id, and an id cannot be pulled")
    name = f"{parsed.repository}@{parsed.digest}" if parsed.digest else parsed.tagged
    path = f"/distribution/{quote(name, safe='/:@')}/json"
    try:
        response = api.call("GET", path, timeout=_REGISTRY_SECONDS)
        answer = json.loads(response.body)
        digest = answer["Descriptor"]["digest"]
    except EngineRefused as error:
        return MissingImage(reference, f"not on the host, and its registry does not give it: {_said(error.text)}")
    except (ValueError, KeyError, TypeError) as error:
        raise HostUnreachable("the engine's answer about a registry is not understood") from error
    if not isinstance(digest, str) or not _ID.match(digest) or (parsed.digest and digest != parsed.digest):
        return MissingImage(reference, "its registry gives no digest that can be deployed")
    deploy_as = f"{parsed.repository}@{digest}"
    (found,) = api.get([_inspect(deploy_as)])
    return ResolvedImage(reference, deploy_as, None if found is None else str(found["Id"]), found is not None)


def _parse(text: str) -> _Reference | None:
    match = _REFERENCE.match(text)
    if match is None or ".." in text or _ID.match(text):
        return None
    return _Reference(match["repository"], match["tag"] or "", match["digest"] or "")


def _on_host(reference: str) -> str:
    parsed = _parse(reference)
    return f"{parsed.repository}@{parsed.digest}" if parsed is not None and parsed.digest else reference


def _inspect(reference: str) -> str:
    return f"/images/{quote(reference, safe='')}/json"


def _said(text: str) -> str:
    return _CREDENTIALS.sub("", printable(text)).strip()[:400]


class _Progress:
    """The stream of JSON lines that a pull answers with; a failure is one of them, after status 200."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self._rest = b""

    def take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece)[-(1 << 20) :].split(b"\n")
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "error" in entry:
                self.failure = str(entry["error"])
