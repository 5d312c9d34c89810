"""The command line: parse, call control, show. A command is imported when it is run, so that `--version` is quick."""

from __future__ import annotations

import importlib

import click

from reconciler import __version__

COMMANDS = {
    "init": ("repository", "Write a desired-state repository to begin with."),
    "validate": ("repository", "Check a desired-state repository; every problem with file and line."),
    "plan": ("look", "Show what a pull request, a revision or a working tree would do."),
    "status": ("look", "Show every environment: sync, health, what holds it."),
    "why": ("look", "Say why an environment is where it is, and who or what is missing."),
    "drift": ("look", "Show what differs on the hosts from the last approved state."),
    "approvals": ("approvals", "List, show, approve and reject plans, with a person's own credential."),
    "deployments": ("records", "List and show deployment records."),
    "prove": ("records", "Show the evidence for one deployment, and whether it holds."),
    "ledger": ("records", "Show, verify and export the ledger."),
    "rollback": ("change", "Open a revert pull request for an environment."),
    "break-glass": ("break_glass", "Deploy past the gate in an emergency: signed, announced, marked."),
    "suspend": ("change", "Stop deploying and healing an environment."),
    "resume": ("change", "Let a suspended environment go on."),
    "hosts": ("hosts", "List, check and scan hosts."),
    "trust": ("trust", "Pin the repository, its root persons and the first revision; show and reset them."),
    "serve": ("server", "Run the control plane."),
    "reconcile": ("server", "Do once what `serve` does in a loop."),
    "forge": ("forge", "Run the embedded forge, for trying and testing."),
    "demo": ("demo", "Watch an agent's pull request become a verified deployment, and a rollback."),
    "capabilities": ("look", "List what can be asked for, with the scope that each needs."),
}


class Commands(click.Group):
    """Looks a command up by name and imports its module only then."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"reconciler.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest known command in the error."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reconciler")
def main() -> None:
    """GitOps for Docker Compose: agents propose, a person other than the author approves."""
