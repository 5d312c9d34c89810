"""The tunnel between two real Unix sockets; a socket pair stands in for the SSH channel."""

import socket
import stat
import threading
from pathlib import Path

import pytest

from reconciler.hosts.tunnel import Tunnel
from reconciler.model.errors import HostUnreachable


class PairedChannel:
    """One end of a socket pair with the two names that a paramiko channel has otherwise."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.settimeout = end.settimeout
        self.sendall = end.sendall
        self.recv = end.recv

    def shutdown_write(self) -> None:
        self.end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.end.close()


class Far:
    """Opens channels and keeps their other ends."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.opened = threading.Semaphore(0)

    def open(self) -> PairedChannel:
        near, far = socket.socketpair()
        far.settimeout(5)
        self.ends.append(far)
        self.opened.release()
        return PairedChannel(near)

    def next(self) -> socket.socket:
        assert self.opened.acquire(timeout=5)
        return self.ends[-1]


def dial(path: Path) -> socket.socket:
    near = socket.socket(socket.AF_UNIX)
    near.settimeout(5)
    near.connect(str(path))
    return near


def drain(end: socket.socket) -> bytes:
    data = b""
    while piece := end.recv(65536):
        data += piece
    return data


def test_the_socket_is_for_us_alone_and_goes_with_the_tunnel(tmp_path: Path) -> None:
    with Tunnel(Far().open, tmp_path / "run") as tunnel:
        assert stat.S_IMODE(tunnel.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(tunnel.socket.parent.stat().st_mode) == 0o700
    assert list((tmp_path / "run").iterdir()) == []


def test_a_client_that_has_said_all_still_gets_the_whole_answer(tmp_path: Path) -> None:
    far = Far()
    with Tunnel(far.open, tmp_path) as tunnel:
        near = dial(tunnel.socket)
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        engine = far.next()
        assert drain(engine) == b"question"
        threading.Thread(target=lambda: (engine.sendall(b"x" * 1_000_000), engine.close())).start()
        assert drain(near) == b"x" * 1_000_000
        near.close()


def test_connections_run_side_by_side_in_both_directions(tmp_path: Path) -> None:
    far = Far()
    with Tunnel(far.open, tmp_path) as tunnel:
        pairs = []
        for number in range(5):
            near = dial(tunnel.socket)
            near.sendall(b"%d" % number)
            pairs.append((near, far.next()))
        for number, (near, engine) in enumerate(pairs):
            assert engine.recv(10) == b"%d" % number
            engine.sendall(b"answer %d" % number)
            assert near.recv(20) == b"answer %d" % number
            near.close()
            assert engine.recv(10) == b""
            engine.close()


def test_an_engine_that_goes_away_ends_the_client(tmp_path: Path) -> None:
    far = Far()
    with Tunnel(far.open, tmp_path) as tunnel:
        near = dial(tunnel.socket)
        far.next().close()
        assert near.recv(10) == b""
        near.close()


def test_closing_the_tunnel_ends_what_runs_through_it(tmp_path: Path) -> None:
    far = Far()
    with Tunnel(far.open, tmp_path) as tunnel:
        near = dial(tunnel.socket)
        near.sendall(b"x")
        engine = far.next()
        assert engine.recv(1) == b"x"
    assert near.recv(10) == b""
    near.close()
    engine.close()


def test_why_no_channel_opened_is_kept(tmp_path: Path) -> None:
    def refuse() -> PairedChannel:
        raise HostUnreachable("no engine")

    with Tunnel(refuse, tmp_path) as tunnel:
        near = dial(tunnel.socket)
        assert near.recv(10) == b""
        assert str(tunnel.failure) == "no engine"
        near.close()


@pytest.mark.parametrize("depth", [1, 3])
def test_a_run_directory_with_a_long_name_is_no_obstacle(tmp_path: Path, depth: int) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * depth)
    far = Far()
    with Tunnel(far.open, deep) as tunnel:
        near = dial(tunnel.socket)
        far.next().close()
        near.close()
    assert not tunnel.socket.exists()
