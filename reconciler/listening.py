"""Where a server of ours listens: the address in a text, and the socket on it; for the control plane and the forge."""

from __future__ import annotations

import socket

from reconciler.model.errors import Terminal

WAITING_CONNECTIONS = 100


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, an IPv6 host without its brackets. ValueError for anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"'{text}' is not HOST:PORT")
    return host, int(port)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections answer at once. Terminal when the address cannot be had.

    It names its protocol, because asyncio switches Nagle's delay (40 ms an answer) off only where it is named;
    `socket.create_server` leaves it out.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(WAITING_CONNECTIONS)
    except OSError as error:
        listening.close()
        raise Terminal(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listening


def url(listening: socket.socket, host: str) -> str:
    """What clients are told, with the port that was taken."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
