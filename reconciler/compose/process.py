"""One child process with bounds on time, memory and output; used by driving and rendering.

The child leads a process group of its own, so that nothing it started outlives the timeout.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Bounds:
    """`seconds` of wall time; `output` bytes kept per stream; `memory` bytes of data segment (RLIMIT_DATA) and
    `processor` seconds, None for no limit of our own. RLIMIT_AS would be wrong: Go reserves far more than it uses.
    """

    seconds: float
    output: int
    memory: int | None = None
    processor: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. A stream longer than its bound keeps its end, and `overflowed` says so."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    overflowed: bool


def run(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, stdin: bytes, bounds: Bounds
) -> Finished:
    """Run to the end or to the bound. Raises OSError when the program cannot be started."""
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
        umask=0o077,
    )
    try:
        _limit(process.pid, bounds)
        return _converse(process, stdin, bounds)
    finally:
        _end(process)


def _limit(pid: int, bounds: Bounds) -> None:
    limits = ((resource.RLIMIT_DATA, bounds.memory), (resource.RLIMIT_CPU, bounds.processor))
    if not hasattr(resource, "prlimit"):
        return  # not Linux: the timeout and the checks before the run remain
    with contextlib.suppress(ProcessLookupError):
        for kind, value in limits:
            if value is not None:
                resource.prlimit(pid, kind, (value, value))


def _converse(process: subprocess.Popen[bytes], stdin: bytes, bounds: Bounds) -> Finished:
    streams = {_stream(process.stdout): bytearray(), _stream(process.stderr): bytearray()}
    deadline = time.monotonic() + bounds.seconds
    overflowed = timed_out = False
    pending = memoryview(stdin)
    entry = _stream(process.stdin)
    os.set_blocking(entry.fileno(), False)
    with selectors.DefaultSelector() as selector:
        kept_by_descriptor = {stream.fileno(): kept for stream, kept in streams.items()}
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        selector.register(entry, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(left):
                if key.fileobj is entry:
                    pending = _feed(entry, pending)
                    if not pending:
                        selector.unregister(entry)
                        with contextlib.suppress(BrokenPipeError):
                            entry.close()
                    continue
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                kept = kept_by_descriptor[key.fd]
                kept += data
                if len(kept) > bounds.output:
                    overflowed = True
                    del kept[: len(kept) - bounds.output]
    if not timed_out:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
    _end(process)
    out, err = (bytes(kept) for kept in streams.values())
    return Finished(process.returncode, out, err, timed_out, overflowed)


def _feed(entry: IO[bytes], pending: memoryview) -> memoryview:
    try:
        return pending[os.write(entry.fileno(), pending[:_CHUNK]) :]
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        return pending[:0]  # it ended or does not read; its exit code says the rest


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("opened with pipes")
    return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group and reap the child. Only our own group: the child leads it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
