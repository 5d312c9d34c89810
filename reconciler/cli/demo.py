"""`demo`: the whole story on this machine, told as it goes."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from reconciler.demo.story import Step, Story, tell
from reconciler.demo.world import World


class Silent:
    """Says nothing while the story goes; for --json."""

    def begins(self, step: Step) -> None:
        """Nothing."""

    def ends(self, step: Step) -> None:
        """Nothing."""


class Aloud:
    """Tells the story on a terminal or into a pipe."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def begins(self, step: Step) -> None:
        """Say what comes."""
        self.console.print(f"[bold]{step.name}[/bold] …", end="" if not self.console.is_terminal else "\n")

    def ends(self, step: Step) -> None:
        """Say how it went, with the evidence in short."""
        mark = "[green]ok[/green]" if step.ok else "[red]NOT OK[/red]"
        self.console.print(f" {mark} [dim]{step.seconds:.1f} s[/dim]")
        for key, value in step.evidence.items():
            text = value if isinstance(value, str) else json.dumps(value)
            self.console.print(f"    {key}: ", end="", style="dim")
            self.console.print(text if len(text) < 400 or not step.ok else text[:400] + " …", markup=False, style="dim")


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running to look at, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document at the end.")
def demo_command(keep: bool, as_json: bool) -> None:
    """An agent's pull request becomes an approved, verified deployment; then a rollback. On a Docker engine over SSH
    where this machine has one, else on the simulated host (ENGINE=simulated forces that)."""
    from reconciler.demo.machine import probe

    repository = Path(__file__).parents[2] / "desired_state"
    if not repository.is_dir():
        raise click.UsageError("the demo runs from a checkout: there is no desired_state/ beside the program")
    missing = probe().why_not("engine", "sshd", "image")
    teller = Silent() if as_json else Aloud()
    if missing is not None:
        click.echo(f"SIMULATED HOST: nothing here runs in containers ({missing})", err=True)
    root = Path(tempfile.mkdtemp(prefix="reconciler-"))
    signal.signal(signal.SIGTERM, _interrupt)
    data: dict[str, Any] = {"engine": "docker" if missing is None else "simulated", "steps": []}
    ok = False
    try:
        with World(root, simulated=missing is not None) as world:
            story = Story(world, teller)
            ok = tell(story, repository)
            data["steps"] = [
                {"name": s.name, "ok": s.ok, "seconds": s.seconds, "evidence": s.evidence} for s in story.steps
            ]
            if not ok and (root / "server.log").exists():
                data["server_log"] = (root / "server.log").read_text(errors="replace")[-4000:]
                click.echo(data["server_log"], err=True)
            if keep:
                _keep(world)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if as_json:
        click.echo(json.dumps({"ok": ok, "data": data}))
    elif ok:
        click.echo("Everything went as the story says.", err=True)
    sys.exit(0 if ok else 1)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _keep(world: World) -> None:
    """Say where everything is, and wait for Ctrl-C."""
    lines = [f"forge: {world.forge_url}", f"configuration: {world.config}", f"working directory: {Path.cwd()}"]
    lines += [f"sign in as {a.login} with {a.token}" for a in world.accounts.values()]
    lines += [f"{h.name}: docker -H unix://{h.local_socket} ps" for h in world.hosts.values()]
    click.echo("\n".join([*lines, "Ctrl-C ends everything."]), err=True)
    signal.pause()
