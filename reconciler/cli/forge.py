"""`forge serve`: the embedded forge."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reconciler.listening import address


@click.group("forge")
def forge_command() -> None:
    """A small forge that speaks GitHub's REST API and git: for trying the product, and for tests."""


@forge_command.command("serve")
@click.option("--data", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where it keeps all.")
@click.option("--listen", default="127.0.0.1:3000", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--seed", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Users and repositories.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line when it is ready.")
def serve_forge(data: Path, listen: str, seed: Path | None, as_json: bool) -> None:
    """Run the embedded forge until it is told to end."""
    from reconciler.cli.envelope import telling_errors
    from reconciler.localforge.server import serve

    try:
        host, port = address(listen)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from None

    def ready(url: str) -> None:
        click.echo(json.dumps({"ok": True, "data": {"url": url}}) if as_json else f"embedded forge at {url}")

    with telling_errors(as_json):
        serve(data, host, port, seed, ready)
