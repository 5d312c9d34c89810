"""The Engine API of the simulated engine, over byte streams without any socket."""

import asyncio
import json
from typing import Any

import pytest

from reconciler.simulation.image import SimulatedImage
from reconciler.simulation.interface import Interface
from tests.unit.simulation.surroundings import engine_of


class _Written:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        await asyncio.sleep(0)


def _talk(*pieces: bytes, images: tuple[SimulatedImage, ...] = ()) -> bytes:
    """What the interface answers to these bytes, which come one piece at a time."""

    async def talk() -> bytes:
        engine, _ = engine_of(*images)
        reader, writer = asyncio.StreamReader(), _Written()
        serving = asyncio.ensure_future(Interface(engine).serve(reader, writer))
        for piece in pieces:
            reader.feed_data(piece)
            for _ in range(5):
                await asyncio.sleep(0)
        reader.feed_eof()
        await serving
        return writer.data

    return asyncio.run(talk())


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: d\r\n\r\n".encode()


def _post(path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def _answers(raw: bytes) -> list[tuple[int, Any]]:
    """Status and body of each answer of known length."""
    answers = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        body, raw = raw[:length], raw[length:]
        answers.append(
            (int(lines[0].split()[1]), json.loads(body) if "json" in headers.get("content-type", "") else body)
        )
    return answers


def test_pipelined_requests_are_answered_in_their_order() -> None:
    raw = _talk(_get("/_ping") + _get("/v1.41/version") + _get("/nothing"))
    assert [status for status, _ in _answers(raw)] == [200, 200, 404]


def test_a_request_may_come_in_pieces() -> None:
    request = _post("/networks/create", {"Name": "inside"})
    raw = _talk(*(request[n : n + 1] for n in range(len(request))))
    assert _answers(raw)[0][0] == 201


def test_a_chunked_body_is_put_together() -> None:
    content = json.dumps({"Name": "inside"}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, content[n : n + 1]) for n in range(len(content)))
    head = b"POST /networks/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = _talk(head + chunks + b"0\r\n\r\n" + _get("/networks?filters=%7B%22name%22%3A%5B%22inside%22%5D%7D"))
    (created, _), (listed, networks) = _answers(raw)
    assert (created, listed, [network["Name"] for network in networks]) == (201, 200, ["inside"])


def test_a_head_request_has_no_body() -> None:
    raw = _talk(b"HEAD /_ping HTTP/1.1\r\n\r\n" + b"HEAD /_ping HTTP/1.1\r\n\r\n")
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert b"\r\n\r\nOK" not in raw
    assert b"Api-Version: 1.41" in raw


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"POST /networks/create HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /networks/create HTTP/1.1\r\nContent-Length: 99\r\n\r\n{}",
        b"POST /networks/create HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{}",
        b"GET /" + b"a" * 70_000,
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ended(request_: bytes) -> None:
    raw = _talk(request_ + (b"" if b"99" in request_ else _get("/_ping")))
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (_get("/v1.99/info"), 400, "client version 1.99 is too new"),
        (_get("/v1.1/info"), 400, "client version 1.1 is too old"),
        (_get("/v1.41/containers/x/stats"), 501, "the simulated engine has no GET /containers/x/stats"),
        (_post("/v1.41/containers/x/exec", {}), 501, "the simulated engine has no POST"),
        (_post("/v1.41/containers/create", []), 400, "must be a JSON object"),
        (_post("/v1.41/containers/create", {"Image": 7}), 400, ""),
        (_post("/v1.41/networks/bridge/connect", {}), 400, "Container"),
        (_get("/containers/json?filters=%5B%5D"), 400, "invalid filter"),
    ],
)
def test_a_bad_request_is_refused_with_what_is_wrong(request_: bytes, status: int, words: str) -> None:
    ((answered, body),) = _answers(_talk(request_))
    assert answered == status
    assert words in body["message"]


def test_a_stream_ends_when_the_other_side_goes_away() -> None:
    raw = _talk(_get("/events"), _post("/networks/create", {"Name": "late"}))
    assert b"Transfer-Encoding: chunked" in raw
    assert not raw.endswith(b"0\r\n\r\n")


def test_events_are_streamed_as_they_happen() -> None:
    async def listen() -> bytes:
        engine, _ = engine_of()
        reader, writer = asyncio.StreamReader(), _Written()
        serving = asyncio.ensure_future(Interface(engine).serve(reader, writer))
        reader.feed_data(_get("/events?filters=%7B%22type%22%3A%7B%22network%22%3Atrue%7D%7D"))
        while b"\r\n\r\n" not in writer.data:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        engine.create_volume({"Name": "unseen"})
        engine.create_network({"Name": "seen"})
        while b"seen" not in writer.data:
            await asyncio.sleep(0)
        reader.feed_eof()
        await serving
        return writer.data

    raw = asyncio.run(asyncio.wait_for(listen(), 30))
    assert b'"Action":"create"' in raw
    assert b"unseen" not in raw


def test_an_archive_that_is_none_is_refused() -> None:
    ((status, body),) = _answers(_talk(b"POST /images/load HTTP/1.1\r\nContent-Length: 4\r\n\r\nnope"))
    assert status == 400
    assert "no image archive" in body["message"]
