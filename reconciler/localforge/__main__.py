"""`python -m reconciler.localforge`: runs the forge and prints one JSON line when it is ready."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reconciler.localforge.server import serve
from reconciler.model.errors import ReconcilerError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reconciler.localforge")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--seed", type=Path, metavar="FILE")
    parser.add_argument("--unix-socket", type=Path, metavar="PATH")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    if not host or not port.isdecimal():
        parser.error(f"--listen {given.listen}: HOST:PORT is needed, e.g. 127.0.0.1:3000")

    def ready(url: str) -> None:
        print(json.dumps({"ok": True, "data": {"url": url}}), flush=True)

    try:
        serve(given.data, host.strip("[]"), int(port), given.seed, ready, given.unix_socket)
    except (ReconcilerError, OSError) as error:
        print(json.dumps({"ok": False, "error": str(error), "code": getattr(error, "code", "ERROR")}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
