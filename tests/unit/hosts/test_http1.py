"""HTTP answers as bytes, cut at every place that a network may cut them."""

import time

import pytest

from reconciler.hosts.http1 import HttpStream, Request
from reconciler.hosts.ssh import Interrupted
from reconciler.model.errors import HostUnreachable

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = (
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
GET = Request("GET", "/a")


class Pieces:
    """A stream that gives its bytes in pieces of one size, then ends or goes silent."""

    def __init__(self, data: bytes, size: int, silent: bool = False) -> None:
        self.data, self.size, self.silent = data, size, silent
        self.sent = b""

    def settimeout(self, timeout: float) -> None:
        assert timeout > 0

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, size: int) -> bytes:
        if not self.data and self.silent:
            raise TimeoutError
        piece, self.data = self.data[: self.size], self.data[self.size :]
        return piece

    def close(self) -> None:
        pass


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pipelined_answers_come_in_order_however_they_are_cut(size: int) -> None:
    stream = Pieces(LENGTH + CONTINUE + CHUNKS + EMPTY + LENGTH, size)
    http = HttpStream(stream, "host h")
    responses = http.exchange((GET, GET, Request("DELETE", "/b"), GET), 5)
    assert [(r.status, r.body) for r in responses] == [
        (200, b"hello"),
        (404, b"abc0123456789"),
        (204, b""),
        (200, b"hello"),
    ]
    assert http.reusable
    assert stream.sent.count(b"GET /a HTTP/1.1\r\nHost: docker\r\n") == 3


def test_a_body_up_to_the_end_of_the_connection_is_read_and_ends_it() -> None:
    http = HttpStream(Pieces(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nlong text", 4), "host h")
    (response,) = http.exchange((GET,), 5)
    assert response.body == b"long text"
    assert not http.reusable


@pytest.mark.parametrize("cut", [0, 10, len(LENGTH) - 1])
def test_an_answer_that_breaks_off_is_never_half_an_answer(cut: int) -> None:
    with pytest.raises(Interrupted):
        HttpStream(Pieces(LENGTH[:cut], 5), "host h").exchange((GET,), 5)


def test_silence_is_unreachable_and_not_interrupted_so_that_it_is_not_tried_twice() -> None:
    with pytest.raises(HostUnreachable, match="does not answer in time") as refused:
        HttpStream(Pieces(LENGTH[:20], 5, silent=True), "host h").exchange((GET,), 5)
    assert not isinstance(refused.value, Interrupted)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n",
        b"HTTP/1.1 20\xb2 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_what_is_not_http_is_refused(answer: bytes) -> None:
    with pytest.raises(HostUnreachable):
        HttpStream(Pieces(answer, 4096), "host h").exchange((GET,), 5)


def test_a_body_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.hosts.http1.LARGEST_BODY", 10)
    with pytest.raises(HostUnreachable, match="larger than 10 bytes"):
        HttpStream(Pieces(CHUNKS, 100), "host h").exchange((GET,), 5)


def test_a_streamed_body_is_handed_on_and_an_error_is_kept() -> None:
    pieces: list[bytes] = []
    http = HttpStream(Pieces(LENGTH + CHUNKS, 3), "host h")
    assert http.stream(GET, time.monotonic() + 5, 5, pieces.append).body == b""
    assert b"".join(pieces) == b"hello"
    assert http.stream(GET, time.monotonic() + 5, 5, pieces.append).body == b"abc0123456789"
    assert b"".join(pieces) == b"hello"


def test_a_request_with_a_body_says_its_length() -> None:
    assert Request("POST", "/x", b"{}").encode().endswith(b"Content-Length: 2\r\n\r\n{}")
    assert b"Content-Length: 0\r\n" in Request("POST", "/x").encode()
    assert b"Content-Length" not in GET.encode()
