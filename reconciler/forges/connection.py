"""One credential's way to a GitHub API: conditional requests, bounds, pages, and every failure as our error.

`GitHub` makes all its calls through this. Nothing here retries: whoever asked decides when to ask again.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

import githubkit
import httpx
from githubkit.exception import GitHubException, RateLimitExceeded, RequestFailed, RequestTimeout
from githubkit.response import Response
from pydantic import TypeAdapter, ValidationError

from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotFound

if TYPE_CHECKING:
    from githubkit_schemas.v2022_11_28.rest import RestNamespace

VERSION: Literal["2022-11-28"] = "2022-11-28"  # the default version has dropped merge_commit_sha
PER_PAGE = 100
MOST_PAGES = 100
_NUMBER = re.compile("[0-9]{1,9}")
_CURSOR = re.compile(r"[!-~]{1,500}")
LARGEST_ANSWER = 32 * 2**20  # bytes, after decompression
UNSAID_WAIT = 60.0  # seconds, as GitHub's documentation asks where a limit comes without a time
LONGEST_WAIT = 3600.0  # seconds: every limit of GitHub's is renewed within the hour, whatever an answer says
CACHED_ANSWERS = 1000
CACHED_BYTES = 64 * 2**20

T = TypeVar("T")


class Failed(ForgeUnavailable):
    """The forge answered with an error. `status` is HTTP's."""

    def __init__(self, text: str, status: int, *, where: str, hint: str | None = None) -> None:
        super().__init__(text, where=where, hint=hint)
        self.status = status


class Throttled(ForgeUnavailable):
    """The forge asks us to wait `retry_after` seconds; until then nothing is sent to it."""

    def __init__(self, retry_after: float, *, where: str) -> None:
        super().__init__(f"the rate limit is reached; again in {retry_after:.0f} seconds", where=where)
        self.retry_after = retry_after


class Connection:
    """Talks to `api` (a base URL) with one token. Safe from several threads; answers are never shared with another
    token, because each connection has its own cache. `timeout` is in seconds, for each answer.
    """

    def __init__(self, api: str, token: str, timeout: float, pool: httpx.BaseTransport | None = None) -> None:
        parts = urlsplit(api)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise InvalidInput("the API's address is like https://api.github.com", where="forge.api")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidInput("the forge's token is empty or holds blanks", where="forge token")
        self.api = api
        self._graphql = f"{api.rstrip('/').removesuffix('/v3')}/graphql"  # as GitHub and GitHub Enterprise have it
        self.hostname = parts.hostname
        self._token = token
        self._timeout = timeout
        self._pool = pool or httpx.HTTPTransport(retries=0)
        if pool is None:  # whoever made the pool ends it, at the latest when nobody holds this any more
            weakref.finalize(self, self._pool.close)
        self._resume_at = 0.0  # monotonic; set when the forge tells us to wait
        # kept in a variable: githubkit's namespaces hold it weakly
        self._github = githubkit.GitHub(
            token,
            base_url=api,
            timeout=timeout,
            transport=_Conditional(self._pool, timeout),
            http_cache=False,
            auto_retry=False,
            follow_redirects=False,
            trust_env=False,
            user_agent="reconciler",
        )

    def of(self, token: str) -> Connection:
        """The same forge with somebody else's token: a cache of its own, the same pool of connections."""
        return Connection(self.api, token, self._timeout, self._pool)

    def close(self) -> None:
        self._pool.close()

    def get(
        self, shape: TypeAdapter[T], name: str, call: Callable[[RestNamespace], Response[Any, Any]]
    ) -> tuple[T, str]:
        """One answer in a shape, and SHA-256 of its bytes. `name` stands for the request in errors and attestations.

        NotFound for 404 and 410, Throttled, Failed with the status, ForgeUnavailable for everything else that is no
        whole answer.
        """
        response = self._send(name, call)
        return self._parsed(shape, name, response.content), hashlib.sha256(response.content).hexdigest()

    def pages(
        self, shape: TypeAdapter[list[T]], name: str, call: Callable[[RestNamespace, int], Response[Any, Any]]
    ) -> Iterator[tuple[list[T], str, str]]:
        """Every page of a list: items, the page's name, SHA-256 of its bytes.

        Goes on while there is a next link, and after a full page without one too: an empty page costs less than a
        missing review (gate 61).
        """
        for number in range(1, MOST_PAGES + 1):
            page_name = f"{name}?page={number}"
            response = self._send(page_name, lambda rest, page=number: call(rest, page))  # type: ignore[misc]
            items = self._parsed(shape, page_name, response.content)
            yield items, page_name, hashlib.sha256(response.content).hexdigest()
            following = _next_page(response, page_name)
            if following is None and len(items) < PER_PAGE:
                return
            if following is not None and following != number + 1:
                raise ForgeUnavailable(f"page {following} is said to follow page {number}", where=page_name)
        raise ForgeUnavailable(f"the list has more than {MOST_PAGES} pages", where=name)

    def continued(
        self, shape: TypeAdapter[list[T]], name: str, call: Callable[[RestNamespace, str | None], Response[Any, Any]]
    ) -> Iterator[tuple[list[T], str, str]]:
        """As `pages`, of a list whose next page is named by a cursor and not by a number (None for the first)."""
        cursor: str | None = None
        for number in range(1, MOST_PAGES + 1):
            page_name = name if number == 1 else f"{name}?page={number}"
            response = self._send(page_name, lambda rest, after=cursor: call(rest, after))  # type: ignore[misc]
            items = self._parsed(shape, page_name, response.content)
            yield items, page_name, hashlib.sha256(response.content).hexdigest()
            cursor = _named(response, "after", _CURSOR, page_name)
            if cursor is None:
                return
        raise ForgeUnavailable(f"the list has more than {MOST_PAGES} pages", where=name)

    def query(self, shape: TypeAdapter[T], name: str, text: str, variables: Mapping[str, Any]) -> tuple[T, str] | None:
        """The answer to a GraphQL query and SHA-256 of its bytes; None where the forge has none for it."""
        body = {"query": text, "variables": dict(variables)}
        try:
            response = self._send(name, lambda _: self._github.request("POST", self._graphql, json=body))
            return self._parsed(shape, name, response.content), hashlib.sha256(response.content).hexdigest()
        except (NotFound, Failed):
            return None

    def _send(self, name: str, call: Callable[[RestNamespace], Response[Any, Any]]) -> Response[Any, Any]:
        wait = self._resume_at - time.monotonic()
        if wait > 0:
            raise Throttled(wait, where=name)
        try:
            response = call(self._github.rest(VERSION))
        except RateLimitExceeded as error:
            raise self._throttled(name, error.retry_after.total_seconds()) from None
        except RequestFailed as error:
            status, content = error.response.status_code, error.response.content
            if status == 429 or (status == 403 and "rate limit" in _message(content).lower()):
                raise self._throttled(name, UNSAID_WAIT) from None
            raise self._failure(name, status, content) from None
        except RequestTimeout:
            raise ForgeUnavailable(f"no whole answer within {self._timeout:g} seconds", where=name) from None
        except GitHubException as error:
            cause = getattr(error, "exc", error)
            raise ForgeUnavailable(
                self._clean(f"{type(cause).__name__}: {cause}"), where=name, hint=f"is {self.api} reachable?"
            ) from None
        except (ValueError, OverflowError, TypeError) as error:  # odd limits, a message that is no text, a body to send
            raise ForgeUnavailable(self._clean(f"not understood: {error}"), where=name) from None
        if not response.is_success:
            raise self._failure(name, response.status_code, response.content)
        return response

    def _throttled(self, name: str, seconds: float) -> Throttled:
        seconds = min(max(1.0, seconds), LONGEST_WAIT)
        self._resume_at = time.monotonic() + seconds
        return Throttled(seconds, where=name)

    def _failure(self, name: str, status: int, body: bytes) -> ForgeUnavailable | NotFound:
        said = self._clean(_message(body))
        text = f"the forge answered {status}" + (f": {said}" if said else "")
        if status in (404, 410):
            return NotFound(text, where=name, hint="or the credential may not see it")
        hint = None
        if status in (401, 403):
            hint = "check the forge's credential and its scopes"
        if 300 <= status < 400:
            hint = "the repository moved; only the pinned one counts, so the configuration is changed by hand"
        return Failed(text, status, where=name, hint=hint)

    def _parsed(self, shape: TypeAdapter[T], name: str, content: bytes) -> T:
        try:
            return shape.validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"])) or "the answer"
            raise ForgeUnavailable(self._clean(f"{place}: {first['msg']}"), where=name) from None

    def _clean(self, text: str) -> str:
        """What others said, short, on one line, without our token."""
        return re.sub(r"[^\x20-\x7e\u00a0-\uffff]+", " ", text.replace(self._token, "***"))[:300]


class _Conditional(httpx.BaseTransport):
    """Sends what we hold an ETag for as a conditional request, and reads answers whole, within bounds.

    Each request is still answered by the forge: a 304 is its word that nothing changed. githubkit's own cache is
    shared by all tokens of a process and may answer by itself.
    """

    def __init__(self, pool: httpx.BaseTransport, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, httpx.Headers, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        key = str(request.url)
        with self._lock:
            kept = self._kept.get(key) if request.method == "GET" else None
        if kept is not None:
            request.headers["If-None-Match"] = kept[0]
        response = self._pool.handle_request(request)
        response.request = request
        try:
            content = self._read(response)
        finally:
            response.close()
        if response.status_code == 304 and kept is not None:
            return httpx.Response(200, headers=kept[1], content=kept[2], request=request)
        headers = httpx.Headers(
            [
                (name, value)
                for name, value in response.headers.multi_items()
                if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
            ]
        )
        if request.method == "GET" and response.status_code == 200 and "etag" in headers:
            self._keep(key, headers["etag"], headers, content)
        return httpx.Response(response.status_code, headers=headers, content=content, request=request)

    def close(self) -> None:
        """Nothing: githubkit closes its client after each request, and the connections shall stay open."""

    def _read(self, response: httpx.Response) -> bytes:
        end = time.monotonic() + self._timeout
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise httpx.RemoteProtocolError(f"the answer is larger than {LARGEST_ANSWER} bytes")
            if time.monotonic() > end:
                raise httpx.ReadTimeout("the answer came too slowly", request=response.request)
            chunks.append(chunk)
        return b"".join(chunks)

    def _keep(self, key: str, etag: str, headers: httpx.Headers, content: bytes) -> None:
        with self._lock:
            if (old := self._kept.pop(key, None)) is not None:
                self._kept_bytes -= len(old[2])
            self._kept[key] = (etag, headers, content)
            self._kept_bytes += len(content)
            while len(self._kept) > CACHED_ANSWERS or self._kept_bytes > CACHED_BYTES:
                _, (_, _, dropped) = self._kept.popitem(last=False)
                self._kept_bytes -= len(dropped)


def _next_page(response: Response[Any, Any], name: str) -> int | None:
    """The page number of the Link header's next, None where there is none."""
    number = _named(response, "page", _NUMBER, name)
    return int(number) if number is not None else None


def _named(response: Response[Any, Any], parameter: str, kind: re.Pattern[str], name: str) -> str | None:
    """What the Link header's next has for a parameter, None where nothing comes next. Its address is not followed: whom
    we ask is for the configuration to say (gate 65).
    """
    try:
        link = response.raw_response.links.get("next")
        if link is None:
            return None
        values = parse_qs(urlsplit(link.get("url", "")).query).get(parameter, [])
    except ValueError:
        values = []
    if len(values) != 1 or not kind.fullmatch(values[0]):
        raise ForgeUnavailable(f"the link to the next page has no {parameter} that is one", where=name)
    return values[0]


def _message(body: bytes) -> str:
    """GitHub's own words in an error answer; nothing of a page that a proxy made."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    errors = answer.get("errors")
    said = [
        detail.get("message") if isinstance(detail, dict) else detail
        for detail in (errors if isinstance(errors, list) else [])
    ]
    details = [detail for detail in said if isinstance(detail, str)]
    return "; ".join([str(answer.get("message", "")), *details])
