"""`hosts`: the hosts of the repository, and whether they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reconciler.cli.envelope import ERROR, OK, Answer, answering, config_option, text_of


@click.group("hosts")
def hosts_command() -> None:
    """Docker hosts, reached over SSH with pinned keys."""


@hosts_command.command("list")
@config_option
@answering
def list_hosts(config: Path) -> Answer:
    """The hosts that the deploy branch declares."""
    from reconciler.bootstrap import open_parts
    from reconciler.control import planning

    with open_parts(config) as parts:
        parts.source.fetch()
        state = planning.snapshot(parts.source.tree(parts.source.branch_head(parts.branch))).state
    data: list[dict[str, Any]] = [
        {"host": h.name, "address": h.address, "port": h.port, "user": h.user, "via": h.via, "tiers": list(h.tiers)}
        for h in state.hosts
    ]
    lines = [f"{h['host']:<16} {h['user']}@{h['address']}:{h['port']}  {', '.join(h['tiers'])}" for h in data]
    return Answer(data, text_of(lines) or "no hosts")


@hosts_command.command("check")
@click.argument("names", nargs=-1)
@config_option
@answering
def check_hosts(names: tuple[str, ...], config: Path) -> Answer:
    """Log in to each host and ask its engine who it is; exit 1 when one does not answer."""
    from reconciler.bootstrap import open_parts
    from reconciler.control import planning
    from reconciler.model.errors import NotFound, ReconcilerError

    found = []
    with open_parts(config) as parts:
        parts.source.fetch()
        state = planning.snapshot(parts.source.tree(parts.source.branch_head(parts.branch))).state
        unknown = sorted(set(names) - {h.name for h in state.hosts})
        if unknown:
            raise NotFound(f"no host named {', '.join(unknown)}")
        for spec in state.hosts:
            if names and spec.name not in names:
                continue
            answer: dict[str, Any]
            try:
                engine = planning.connect(parts, state, spec).identity()
                answer = {"host": spec.name, "ok": True, "engine": engine.id, "version": engine.version, "error": None}
            except ReconcilerError as error:
                answer = {"host": spec.name, "ok": False, "engine": None, "version": None, "error": str(error)}
            found.append(answer)
    lines = [
        f"{a['host']:<16} " + (f"Docker {a['version']}, engine {a['engine']}" if a["ok"] else f"NOT OK: {a['error']}")
        for a in found
    ]
    return Answer(found, text_of(lines), OK if all(a["ok"] for a in found) else ERROR)
