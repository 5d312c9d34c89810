"""`python -m reconciler.simulation`: one simulated host as a process of its own. Called by the demo.

Prints one JSON line when it is ready and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from reconciler.signals import await_ending
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.image import SimulatedImage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to end; exit code 0, or 1 with a JSON error line when the host cannot start."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.simulation", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="what is shipped lies below it")
    parser.add_argument("--authorized-key", type=Path, required=True, help="file with one OpenSSH public key")
    parser.add_argument("--listen", default="127.0.0.1:0", help="ADDRESS:PORT, loopback only (default: any free port)")
    parser.add_argument("--images", type=Path, help="JSON list of images: reference, config, on_host, in_registry, …")
    parser.add_argument("--socket", default="/var/run/docker.sock", help="path by which SSH clients ask for the engine")
    options = parser.parse_args(arguments)
    address, _, port = options.listen.rpartition(":")
    try:
        images = _images(options.images) if options.images else ()
        key = options.authorized_key.read_text(encoding="utf-8").strip()
        host = SimulatedHost(
            options.directory, key, images, int(port), address=address.strip("[]"), socket=options.socket
        )
        host.start()
    except (OSError, ValueError, TypeError) as error:
        print(json.dumps({"ok": False, "error": f"the simulated host cannot start: {error}", "code": "SIMULATION"}))
        return 1
    told_to_end = await_ending()
    print(json.dumps({"ok": True, "data": _described(host)}), flush=True)
    told_to_end()
    host.stop()
    return 0


def _described(host: SimulatedHost) -> dict[str, Any]:
    return {
        "engine": "simulated",
        "engine_id": host.engine_id,
        "address": host.address,
        "port": host.port,
        "host_key": host.host_key,
        "socket": host.socket,
        "local_socket": str(host.local_socket),
        "directory": str(host.directory),
    }


def _images(path: Path) -> tuple[SimulatedImage, ...]:
    entries = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(SimulatedImage)}
    for entry in entries:
        if unknown := sorted(set(entry) - known):
            raise ValueError(f"{path}: unknown key {unknown[0]!r} in an image; known are {', '.join(sorted(known))}")
    return tuple(SimulatedImage(**entry) for entry in entries)


if __name__ == "__main__":
    sys.exit(main())
