"""`serve` and `reconcile --once`: the control plane in a loop, and once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import click

from reconciler import __version__
from reconciler.cli.envelope import ERROR, OK, Answer, answering, config_option, telling_errors, text_of
from reconciler.listening import address, listen, url
from reconciler.model.errors import InvalidInput
from reconciler.signals import await_ending

CHECKPOINT_SECONDS = 60  # how often it is looked whether a checkpoint is due


@click.command("serve")
@config_option
@click.option("--json", "as_json", is_flag=True, help="JSON: one line when ready, log lines on stderr.")
def serve_command(config: Path, as_json: bool) -> None:
    """Watch the repository and the hosts; webhooks and polling, either alone suffices."""
    from reconciler import logs

    logs.set_up(as_json)
    with telling_errors(as_json):
        _serve(config, as_json)


def _serve(config: Path, as_json: bool) -> None:
    import uvicorn
    from apscheduler.schedulers.background import BackgroundScheduler

    from reconciler.api.server import Hooks, build_app
    from reconciler.bootstrap import open_parts, webhook
    from reconciler.control import configuration
    from reconciler.control.controller import Controller
    from reconciler.control.requests import CheckpointDue, Poll, Resync
    from reconciler.settings import read_settings

    settings = read_settings(config)
    try:
        host, port = address(settings.listen)
    except ValueError as error:
        raise InvalidInput(f"listen: {error}", where=str(config)) from None
    with listen(host, port) as listening, open_parts(config) as parts:
        configuration.noted(parts, settings.recorded(), __version__)
        controller = Controller(parts)
        hooks = Hooks(webhook(settings), parts.states.delivery_seen, parts.clock.now, controller.put)
        app = build_app(hooks, controller.ready)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5, lifespan="off")
        )
        scheduler = BackgroundScheduler(timezone="UTC")
        scheduler.add_job(controller.put, "interval", args=[Poll()], seconds=settings.poll.total_seconds())
        scheduler.add_job(controller.put, "interval", args=[Resync()], seconds=settings.resync.total_seconds())
        scheduler.add_job(controller.put, "interval", args=[CheckpointDue()], seconds=CHECKPOINT_SECONDS)
        told_to_end = await_ending()
        web = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
        web.start()
        controller.start()
        scheduler.start()
        at = url(listening, host)
        click.echo(json.dumps({"ok": True, "data": {"url": at}}) if as_json else f"reconciler serves at {at}")
        told_to_end()
        scheduler.shutdown(wait=False)
        server.should_exit = True
        controller.stop()
        web.join(timeout=10)


@click.command("reconcile")
@click.option("--once", is_flag=True, required=True, help="Do everything that is due, once.")
@config_option
@answering
def reconcile_command(once: bool, config: Path) -> Answer:  # noqa: ARG001 - the flag says what the command does
    """Review every open pull request and reconcile every environment, once; exit 1 when something could not be done."""
    from reconciler import logs
    from reconciler.bootstrap import open_parts
    from reconciler.control import configuration
    from reconciler.control import once as run
    from reconciler.settings import read_settings

    logs.set_up(as_json=True)
    with open_parts(config) as parts:
        configuration.noted(parts, read_settings(config).recorded(), __version__)
        report = run.everything(parts)
    lines = [f"pull request {r['pull_request']}: {r['gate']}" for r in report["reviews"]]
    lines += [
        f"{e['environment']}: {e['sync']} {e['hold'] or ''} {e['reason']}".rstrip() for e in report["environments"]
    ]
    lines += [f"FAILED {f['request']}: {f['error']}" for f in report["failures"]]
    return Answer(report, text_of(lines), ERROR if report["failures"] else OK)
