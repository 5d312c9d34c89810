"""What a REST handler gets and returns, and how that becomes HTTP: errors, pages, ETags, GitHub's headers.

A handler is `def handler(call: Call) -> Answer`; `endpoint` wraps it for Starlette and runs it in a thread.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.localforge import access
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError, invalid_field, not_found
from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Pull, Repository
from reconciler.localforge.shapes.repositories import api_url

LARGEST_BODY = 10 * 1024 * 1024  # bytes of a request to the API
LARGEST_PAGE = 100
RATE_LIMIT = 5000  # told as GitHub tells it, never enforced
API_VERSION = "2022-11-28"


@dataclass(frozen=True, slots=True)
class Answer:
    """A handler's result: JSON (`body`), or a plain text with its media type, or nothing (204)."""

    body: Any = None
    status: int = 200
    text: str | None = None
    media_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated and, below /repos, with its repository found and the permission checked."""

    forge: Forge
    method: str
    path: str
    parameters: dict[str, str]
    query: dict[str, str]
    accept: str
    body: dict[str, Any]
    caller_or_none: Caller | None
    repository_or_none: Repository | None = None

    @property
    def caller(self) -> Caller:
        return access.signed_in(self.caller_or_none)

    @property
    def repository(self) -> Repository:
        if self.repository_or_none is None:
            raise not_found()
        return self.repository_or_none

    @property
    def api(self) -> str:
        """The API address of the repository."""
        return api_url(self.forge, self.repository)

    def number(self, name: str) -> int:
        """A numeric path parameter; 404 when it is none."""
        value = self.parameters[name]
        if not value.isascii() or not value.isdecimal() or len(value) > 18:
            raise not_found()
        return int(value)

    def pull(self) -> Pull:
        found = self.forge.pull(self.repository, self.number("number"))
        if found is None:
            raise not_found()
        return found

    def text(self, name: str, resource: str = "Request", *, required: bool = False) -> str | None:
        """A text field of the body; None when absent or null, 422 when it is something else."""
        value = self.body.get(name)
        if value is None:
            if required:
                raise invalid_field(resource, name, "missing_field")
            return None
        if not isinstance(value, str):
            raise invalid_field(resource, name, "invalid", f"{name} must be a string")
        return value

    def required(self, name: str, resource: str = "Request") -> str:
        value = self.text(name, resource, required=True)
        assert value is not None  # noqa: S101 (required)
        return value

    def texts(self, name: str, resource: str = "Request") -> list[str]:
        """A list of texts in the body; empty when absent."""
        value = self.body.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise invalid_field(resource, name, "invalid", f"{name} must be a list of strings")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            raise invalid_field("Request", name, "invalid", f"{name} must be a boolean")
        return value

    def page(self, items: Sequence[Any]) -> tuple[list[Any], dict[str, str]]:
        """The part of a list that was asked for (`page`, `per_page`), and the Link header to the others."""
        size = min(LARGEST_PAGE, max(1, _integer(self.query.get("per_page"), 30)))
        number = max(1, _integer(self.query.get("page"), 1))
        last = max(1, -(-len(items) // size))
        links = []
        for name, target, there in (
            ("prev", number - 1, number > 1),
            ("next", number + 1, number < last),
            ("last", last, number < last),
            ("first", 1, number > 1),
        ):
            if there:
                query = urlencode({**self.query, "per_page": size, "page": target})
                links.append(f'<{self.forge.api_url}{self.path}?{query}>; rel="{name}"')
        start = (number - 1) * size
        return list(items[start : start + size]), {"Link": ", ".join(links)} if links else {}

    def continued(self, items: Sequence[Any], shape: Callable[[Any], Any]) -> Answer:
        """A page of a list that is read on by a cursor (`after`) and not by numbers."""
        size = min(LARGEST_PAGE, max(1, _integer(self.query.get("per_page"), 30)))
        after = self.query.get("after")
        start = next((place for place, one in enumerate(items, 1) if _cursor(one) == after), 0) if after else 0
        page = items[start : start + size]
        headers = {}
        if len(items) > start + size:
            query = urlencode({**self.query, "per_page": size, "after": _cursor(page[-1])})
            headers["Link"] = f'<{self.forge.api_url}{self.path}?{query}>; rel="next"'
        return Answer([shape(one) for one in page], headers=headers)

    def listed(self, items: Sequence[Any], shape: Callable[[Any], Any] | None = None) -> Answer:
        """A page of a list, each item shaped only if it is on the page."""
        page, headers = self.page(items)
        return Answer([shape(item) if shape else item for item in page], headers=headers)


def _cursor(one: Any) -> str:
    return base64.b64encode(f"cursor:{one.id}".encode()).decode()


def _integer(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 10 else default


Handler = Callable[[Call], Answer]


async def read_body(request: Request, largest: int) -> bytes:
    """The request's body; 413 as soon as it is larger than allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise ForgeError(413, f"The request is larger than {largest} bytes.")
    return bytes(body)


def endpoint(forge: Forge, handler: Handler, permissions: tuple[str, ...]) -> Callable[[Request], Any]:
    """A Starlette endpoint. Below /repos the caller must see the repository and hold one of the permissions."""

    async def respond(request: Request) -> Response:
        try:
            raw = await read_body(request, LARGEST_BODY)
            return await run_in_threadpool(_handle, forge, handler, permissions, request, raw)
        except ForgeError as error:
            return error_response(error)

    return respond


def _handle(forge: Forge, handler: Handler, permissions: tuple[str, ...], request: Request, raw: bytes) -> Response:
    caller = access.caller_of_header(forge, request.headers.get("authorization"))
    repository = None
    if "owner" in request.path_params:
        repository = access.visible_repository(
            forge, caller, request.path_params["owner"], request.path_params["repository"]
        )
    if permissions:
        who = access.signed_in(caller)
        if repository is not None:
            access.require(forge, who, repository, *permissions)
    call = Call(
        forge=forge,
        method=request.method,
        path=request.url.path.removeprefix("/api/v3"),
        parameters={name: str(value) for name, value in request.path_params.items()},
        query=dict(request.query_params),
        accept=request.headers.get("accept", ""),
        body=_json_object(raw),
        caller_or_none=caller,
        repository_or_none=repository,
    )
    return _response(call, request, handler(call))


def parsed_json(raw: bytes) -> Any:
    """The JSON of a request; 400 when it is none, or holds half a character that cannot be stored."""
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ForgeError(400, "Problems parsing JSON") from None
    return body


def _json_object(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    body = parsed_json(raw)
    if not isinstance(body, dict):
        raise ForgeError(400, "Body should be a JSON object")
    return body


def _response(call: Call, request: Request, answer: Answer) -> Response:
    headers = {**standard_headers(), **answer.headers}
    caller = call.caller_or_none
    if caller is not None and "repo" in caller.token.scopes:
        headers["X-OAuth-Scopes"] = "repo"  # fine-grained tokens are not told theirs, as on GitHub
    if answer.status == 204 or (answer.body is None and answer.text is None):
        return Response(status_code=answer.status, headers=headers)
    text = answer.text if answer.text is not None else json.dumps(answer.body, ensure_ascii=False)
    content = text.encode("utf-8", errors="surrogateescape")
    if call.method == "GET" and answer.status == 200:
        # the token is part of it: what one caller has cached says nothing about what another may see
        key = f"{caller.token.id if caller else 0}\n{call.accept}\n{answer.headers.get('Link', '')}\n".encode()
        etag = f'W/"{hashlib.sha256(key + content).hexdigest()}"'
        headers["ETag"] = etag
        headers["Cache-Control"] = "private, max-age=60, s-maxage=60" if caller else "public, max-age=60"
        headers["Vary"] = "Accept, Authorization, Cookie, X-GitHub-OTP"
        asked = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        if etag.removeprefix("W/") in asked:
            return Response(status_code=304, headers=headers)
    return Response(content, status_code=answer.status, headers=headers, media_type=answer.media_type)


def standard_headers() -> dict[str, str]:
    return {
        "X-GitHub-Request-Id": uuid.uuid4().hex[:20].upper(),
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-GitHub-Api-Version-Selected": API_VERSION,
        "X-RateLimit-Limit": str(RATE_LIMIT),
        "X-RateLimit-Remaining": str(RATE_LIMIT - 1),
        "X-RateLimit-Used": "1",
        "X-RateLimit-Resource": "core",
        "X-RateLimit-Reset": "4102444800",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'",
    }


def error_response(error: ForgeError) -> Response:
    return Response(
        json.dumps(error.body()),
        status_code=error.status,
        headers=standard_headers(),
        media_type="application/json; charset=utf-8",
    )
