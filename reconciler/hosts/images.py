"""Makes image references exact, pulls and keeps images, all through the engine; called by host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from reconciler.hosts import engine_output
from reconciler.hosts.engine_api import EngineApi, EngineRefused
from reconciler.hosts.engine_output import NamedImage
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
    r"timeout|timed out|deadline exceeded|connection re|no such host|temporary|unavailable|too many requests|\bEOF\b"
    r"|\b50[0234]\b",
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
    found_there = api.get([_inspect(_on_host(reference)) for reference in asked])
    local = {reference: _named(answer) for reference, answer in zip(asked, found_there, strict=True)}
    answers: dict[str, ImageResolution] = {}
    for reference in wanted:
        if reference not in local:
            answers[reference] = MissingImage(reference, "not an image reference that a registry could have")
        else:
            found = local[reference]
            here = found if found is not None and _is_named(reference, found) else None
            answers[reference] = _remote(api, reference) if here is None else _local(reference, here)
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
        raise Retryable(text) if _passes(failure, reference) else Terminal(text)
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


def _named(inspected: Any) -> NamedImage | None:
    return None if inspected is None else engine_output.named_image(inspected)


def _is_named(reference: str, image: NamedImage) -> bool:
    """Whether the image really has that tag: the engine also takes a name like `cafe` for the start of an id."""
    parsed = _parse(reference)
    if parsed is None or parsed.digest:
        return True
    wanted = (repository(parsed.repository), parsed.tag or "latest")
    found = (tag.rpartition(":") for tag in image.tags)
    return any((repository(name), tag) == wanted for name, _, tag in found)


def _local(reference: str, image: NamedImage) -> ResolvedImage:
    number = image.id
    parsed = _parse(reference)
    if _ID.match(reference) or parsed is None:
        return ResolvedImage(reference, number, number, True)
    if parsed.digest:
        return ResolvedImage(reference, f"{parsed.repository}@{parsed.digest}", number, True)
    wanted = repository(parsed.repository)
    digests = []
    for entry in image.digests:
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
        response = api.call("GET", path, fine=(503,), timeout=_REGISTRY_SECONDS)
        if response.status == 503:  # the engine hands on what the registry said, and is itself well
            return MissingImage(reference, "not on the host, and its registry is not available at the moment")
        digest = engine_output.digest_of_registry(engine_output.parsed(response.body))
    except EngineRefused as error:
        return MissingImage(reference, f"not on the host, and its registry does not give it: {_said(error.text)}")
    except ValueError as error:
        raise HostUnreachable("the engine's answer about a registry is not understood") from error
    if digest is None or (parsed.digest and digest != parsed.digest):
        return MissingImage(reference, "its registry gives no digest that can be deployed")
    deploy_as = f"{parsed.repository}@{digest}"
    found = _named(api.get([_inspect(deploy_as)])[0])
    return ResolvedImage(reference, deploy_as, None if found is None else found.id, found is not None)


def _passes(failure: str, reference: _Reference) -> bool:
    """Whether what was said may be otherwise later. The names in it say nothing about that, whatever they contain."""
    names = (reference.repository, reference.repository.partition("/")[0], f":{reference.tag}", reference.digest)
    for name in filter(None, names):
        failure = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", "…", failure)
    return _PASSING.search(failure) is not None


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
                entry = engine_output.parsed(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "error" in entry:
                self.failure = str(entry["error"])
