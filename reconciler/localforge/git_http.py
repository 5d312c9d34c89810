"""git's smart HTTP on the forge's repositories: `git http-backend` behind our authentication and push rules.

Reads are streamed. A push is read whole, checked, and run under the repository's lock together with everything that
follows from it, so that the client's success means that the pull requests know.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO, Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from reconciler.localforge import access, pushes
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError
from reconciler.localforge.forge import Forge
from reconciler.localforge.git_data import git_environment
from reconciler.localforge.records import Repository

LARGEST_PUSH = 512 * 1024 * 1024  # bytes
BACKEND_TIMEOUT = 600.0  # seconds for a push
CHUNK = 64 * 1024
SERVICES = ("git-upload-pack", "git-receive-pack")
PATHS = {  # what may follow REPOSITORY.git/ ; nothing else of a repository can be read over HTTP
    "info/refs": "GET",
    "git-upload-pack": "POST",
    "git-receive-pack": "POST",
}
PROTOCOL = re.compile(r"[a-zA-Z0-9=:]{0,100}")
COMMAND = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0\n]+)")


@dataclass(frozen=True, slots=True)
class GitRequest:
    """A request that was found to be one of the three that git makes."""

    repository: Repository
    caller: Caller
    path: str
    service: str
    method: str
    content_type: str
    protocol: str


async def git_endpoint(forge: Forge, request: Request) -> Response:
    try:
        asked = await run_in_threadpool(_authorised, forge, request)
        with tempfile.TemporaryFile() as body:
            await _receive(request, body)
            body.seek(0)
            if asked.path == "git-receive-pack":
                return await run_in_threadpool(_push, forge, asked, body)
            return await _serve(forge, asked, body)
    except ForgeError as error:
        headers = {"WWW-Authenticate": 'Basic realm="localforge"'} if error.status == 401 else {}
        return PlainTextResponse(f"{error.message}\n", status_code=error.status, headers=headers)


def _authorised(forge: Forge, request: Request) -> GitRequest:
    """401 without a token, so that git asks for one; 404 for what the caller cannot see; 403 for what it may not."""
    parameters = request.path_params
    path, name = parameters["path"], parameters["repository"].removesuffix(".git")
    if PATHS.get(path) != request.method:
        raise ForgeError(404, "Not Found")
    service = request.query_params.get("service", "") if path == "info/refs" else path
    if service not in SERVICES:
        raise ForgeError(403, "Please upgrade your git client: only smart HTTP is served.")
    caller = access.signed_in(access.caller_of_header(forge, request.headers.get("authorization")))
    repository = access.visible_repository(forge, caller, parameters["owner"], name)
    needed = "contents:write" if service == "git-receive-pack" else "contents:read"
    access.require(forge, caller, repository, needed)
    protocol = request.headers.get("git-protocol", "")
    return GitRequest(
        repository=repository,
        caller=caller,
        path=path,
        service=service,
        method=request.method,
        content_type=f"application/x-{path}-request" if request.method == "POST" else "",
        protocol=protocol if PROTOCOL.fullmatch(protocol) else "",
    )


async def _receive(request: Request, body: IO[bytes]) -> None:
    """Stores the request, unpacked; 413 when it is larger than a push may be."""
    packed = request.headers.get("content-encoding", "") in ("gzip", "x-gzip")
    unpacker: Any = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if packed else None
    size = 0
    async for chunk in request.stream():
        while chunk:
            if unpacker is None:
                data, chunk = chunk, b""
            else:
                try:
                    data = unpacker.decompress(chunk, CHUNK * 16)
                except zlib.error:
                    raise ForgeError(400, "The request is not valid gzip.") from None
                chunk = unpacker.unconsumed_tail
            size += len(data)
            if size > LARGEST_PUSH:
                raise ForgeError(413, f"The push is larger than {LARGEST_PUSH} bytes.")
            body.write(data)


def _start(forge: Forge, asked: GitRequest, body: IO[bytes]) -> subprocess.Popen[bytes]:
    """Runs http-backend as a CGI program with nothing in its environment but what it needs."""
    path = forge.git_path(asked.repository)
    environment = {
        **git_environment(),
        "GIT_PROJECT_ROOT": str(forge.repositories),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{path.relative_to(forge.repositories)}/{asked.path}",
        "QUERY_STRING": f"service={asked.service}" if asked.path == "info/refs" else "",
        "REQUEST_METHOD": asked.method,
        "CONTENT_TYPE": asked.content_type,
        "REMOTE_USER": asked.caller.user.login,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    if asked.protocol:
        environment["GIT_PROTOCOL"] = asked.protocol
    if asked.method == "POST":
        body.seek(0, 2)
        environment["CONTENT_LENGTH"] = str(body.tell())
        body.seek(0)
    return subprocess.Popen(
        ["git", "http-backend"], env=environment, stdin=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _head(output: IO[bytes]) -> tuple[int, dict[str, str]]:
    """Reads the CGI header: status and headers."""
    status, headers = 200, {}
    for raw in iter(output.readline, b""):
        line = raw.decode("latin-1").rstrip("\r\n")
        if not line:
            break
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return status, headers


async def _serve(forge: Forge, asked: GitRequest, body: IO[bytes]) -> Response:
    process = await run_in_threadpool(_start, forge, asked, body)
    assert process.stdout is not None  # noqa: S101 (PIPE)
    output = process.stdout
    status, headers = await run_in_threadpool(_head, output)

    def read() -> Iterator[bytes]:
        while chunk := output.read(CHUNK):
            yield chunk

    async def stream() -> AsyncIterator[bytes]:
        try:
            async for chunk in iterate_in_threadpool(read()):
                yield chunk
        finally:
            # also when the client went away: nothing of ours goes on running
            process.kill()
            output.close()
            process.wait()

    return StreamingResponse(stream(), status_code=status, headers=headers)


def _push(forge: Forge, asked: GitRequest, body: IO[bytes]) -> Response:
    refused = _refusal(asked, body)
    if refused is not None:
        return Response(refused, media_type="application/x-git-receive-pack-result")
    body.seek(0)
    with forge.changing(asked.repository) as git:
        before = git.refs()
        with _start(forge, asked, body) as process:
            try:
                output, _ = process.communicate(timeout=BACKEND_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                output = b"Status: 504 Gateway Timeout\r\n\r\n"
        # told from the refs, not from the report: what moved has moved, even when the process was killed
        moved = pushes.differences(before, git.refs())
        if moved:
            pushes.follow(forge, asked.repository, forge.git(asked.repository), asked.caller.user, moved)
    with tempfile.TemporaryFile() as answer:
        answer.write(output)
        answer.seek(0)
        status, headers = _head(answer)
        return Response(answer.read(), status_code=status, headers=headers)


def _refusal(asked: GitRequest, body: IO[bytes]) -> bytes | None:
    """The report that refuses a whole push when one of its refs may not be pushed; None lets it through."""
    commands, capabilities = _commands(body)
    reasons = {ref: _reason(asked, ref) for ref in commands}
    if not any(reasons.values()):
        return None
    report = [_packet(b"unpack ok\n")]
    for ref, reason in reasons.items():
        text = reason or "refused together with another ref of the same push"
        report.append(_packet(b"ng " + ref + b" " + text.encode() + b"\n"))
    whole = b"".join(report) + b"0000"
    if b"side-band-64k" in capabilities:
        return _packet(b"\x01" + whole) + b"0000"
    return whole


def _reason(asked: GitRequest, ref: bytes) -> str | None:
    name = ref.decode(errors="replace")
    if not name.startswith(("refs/heads/", "refs/tags/")):
        return "deny updating a hidden ref"
    if asked.caller.token.branches is not None and not (
        name.startswith("refs/heads/") and asked.caller.may_push(name.removeprefix("refs/heads/"))
    ):
        return f"this token may push only {', '.join(asked.caller.token.branches)}"
    return None


def _commands(body: IO[bytes]) -> tuple[list[bytes], bytes]:
    """The refs that a receive-pack request wants to move, and the client's capabilities. 400 when unreadable."""
    refs: list[bytes] = []
    capabilities = b""
    while True:
        length = body.read(4)
        if length == b"0000":
            return refs, capabilities
        try:
            size = int(length, 16)
        except ValueError:
            size = 0
        line = body.read(size - 4) if size > 4 else b""
        if not line or len(line) != size - 4:
            raise ForgeError(400, "The push request cannot be read.")
        if line.startswith((b"shallow ", b"push-cert")):
            if line.startswith(b"push-cert"):
                raise ForgeError(400, "Signed pushes are not supported.")
            continue
        command, _, rest = line.rstrip(b"\n").partition(b"\0")
        found = COMMAND.fullmatch(command.rstrip(b"\n"))
        if found is None:
            raise ForgeError(400, "The push request cannot be read.")
        refs.append(found.group(3))
        capabilities = capabilities or rest


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data
