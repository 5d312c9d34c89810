"""The real Compose renders in the sandbox; needs no engine."""

import os
import tempfile
from pathlib import Path

import pytest

from reconciler.compose import SandboxRenderer
from reconciler.model.desired import RenderInput
from reconciler.model.errors import InvalidInput

pytestmark = pytest.mark.integration

COMPOSE = """\
services:
  web:
    image: "shop/web:${TAG}"
    env_file: web.env
    environment:
      GREETING: "${GREETING:-hello}"
      PROJECT: "${COMPOSE_PROJECT_NAME}"
    volumes: ["./site:/site:ro"]
"""


def inputs(files: dict[str, str], **variables: str) -> RenderInput:
    names = tuple(name for name in ("p/base.yaml", "p/compose.yaml") if name in files)
    return RenderInput(
        "shop-dev", "p", names, tuple(sorted(variables.items())), {k: v.encode() for k, v in files.items()}
    )


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> SandboxRenderer:
    return SandboxRenderer(tmp_path_factory.mktemp("cache") / "rendered")


def refusal(renderer: SandboxRenderer, files: dict[str, str], **variables: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        renderer.render(inputs(files, **variables))
    return str(refused.value)


def test_declared_variables_and_env_files_are_all_that_is_filled_in(renderer: SandboxRenderer) -> None:
    rendered = renderer.render(
        inputs({"p/compose.yaml": COMPOSE, "p/web.env": "COLOR=${SHADE}\n"}, TAG="1", SHADE="red")
    )
    web = rendered.model["services"]["web"]
    assert rendered.renderer.startswith("docker-compose v5.")
    assert rendered.model["name"] == "shop-dev"
    assert web["image"] == "shop/web:1"
    assert web["environment"] == {"COLOR": "red", "GREETING": "hello", "PROJECT": "shop-dev"}
    assert web["volumes"][0]["source"] == "site" or web["volumes"][0]["source"] == "./site"


def test_an_overlay_in_the_environment_extends_a_base_beside_it(renderer: SandboxRenderer) -> None:
    given = RenderInput(
        "shop-dev",
        "p/dev",
        ("p/compose.yaml", "p/dev/compose.yaml"),
        (),
        {
            "p/compose.yaml": b"services: {web: {image: a}}",
            "p/dev/compose.yaml": b"services: {web: {image: b, env_file: dev.env}}",
            "p/dev/dev.env": b"A=1",
        },
    )
    assert renderer.render(given).model["services"]["web"]["environment"] == {"A": "1"}


def test_an_unset_variable_is_named_with_file_and_line_wherever_it_stands(renderer: SandboxRenderer) -> None:
    said = refusal(renderer, {"p/compose.yaml": COMPOSE, "p/web.env": "A=1\nCOLOR=${SHADE}\n"})
    assert "p/compose.yaml:3: variable 'TAG' is neither declared nor given a default" in said
    assert "p/web.env:2: variable 'SHADE' is neither declared" in said


@pytest.mark.parametrize("name", ["HOME", "PATH", "PWD", "USER", "DOCKER_CONFIG", "DOCKER_HOST", "SECRET_OF_OURS"])
def test_nothing_of_our_own_environment_shows(
    renderer: SandboxRenderer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "s3cret")
    for line in (f"command: ['${{{name}}}']", f"environment: [{name}]", "env_file: a.env"):
        said = refusal(
            renderer, {"p/compose.yaml": f"services:\n  web:\n    image: x\n    {line}\n", "p/a.env": f"{name}\n"}
        )
        assert name in said
        assert "reconciler-render" not in said
        assert "s3cret" not in said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("imag: x", "p/compose.yaml:4: validating p/compose.yaml: services.web.imag"),
        ("depends_on: [db]", 'p/compose.yaml:2: service "web" depends on undefined service'),
        ("image: y", "p/compose.yaml:4: failed to parse p/compose.yaml"),
        ("image2: '${X:?write it}'", "required variable X is missing a value: write it"),
    ],
)
def test_compose_errors_carry_the_names_of_the_repository(renderer: SandboxRenderer, line: str, expected: str) -> None:
    said = refusal(renderer, {"p/compose.yaml": f"services:\n  web:\n    image: x\n    {line}\n"})
    assert expected in said
    assert "/tmp" not in said
    assert "t/t/" not in said


def test_memory_is_bounded_even_for_what_the_checks_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.compose.admission.MOST_NODES", 10**12)
    lines = ["x-a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"x-{name}: &{name} [{','.join(['*' + before] * 9)}]")
    small = SandboxRenderer(None, memory_bytes=200 << 20)
    said = refusal(small, {"p/compose.yaml": "\n".join([*lines, "services: {web: {image: x}}"])})
    assert "rendering needs more than 200 MiB" in said


def test_time_is_bounded(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\ncase "$1" in version) echo 5.0.0;; *) sleep 60;; esac\n')
    slow.chmod(0o755)
    said = refusal(SandboxRenderer(None, binary=slow, timeout=0.5), {"p/compose.yaml": "services: {}"})
    assert "took longer than 0.5 s" in said


def test_the_sandbox_has_no_network_where_the_machine_allows_to_take_it_away(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.write_text('#!/bin/sh\ncase "$1" in version) echo 5.0.0; exit;; esac\n/bin/cat /proc/net/dev >&2\nexit 1\n')
    probe.chmod(0o755)
    renderer = SandboxRenderer(None, binary=probe)
    if not renderer.network_isolated:
        pytest.skip("this machine has no unshare, or forbids network namespaces")
    said = refusal(renderer, {"p/compose.yaml": "services: {}"})
    assert "lo:" in said
    assert "eth0" not in said


def test_root_renders_without_its_rights(renderer: SandboxRenderer) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        secret = directory / "secret"
        secret.write_text("of root")
        secret.chmod(0o600)
        probe = directory / "probe"
        probe.write_text(
            '#!/bin/sh\ncase "$1" in version) echo 5.0.0; exit;; esac\n'
            f"/bin/cat {secret} p.yaml >&2; /bin/grep Uid /proc/self/status >&2; exit 1\n"
        )
        probe.chmod(0o755)
        given = RenderInput("x", ".", ("p.yaml",), (), {"p.yaml": b"name: readable"})
        with pytest.raises(InvalidInput) as refused:
            SandboxRenderer(None, binary=probe).render(given)
    if os.getuid() != 0 or not renderer.network_isolated:
        pytest.skip("only root has rights to give up, and only with unshare")
    assert "name: readable" in str(refused.value)
    assert "of root" not in str(refused.value)
    assert "65534" in str(refused.value)


def test_the_same_inputs_are_rendered_once_and_kept_over_a_restart(tmp_path: Path) -> None:
    counting = tmp_path / "counting"
    counting.write_text(
        f'#!/bin/sh\ncase "$1" in version) echo 5.0.0; exit;; esac\n'
        f"echo x >> {tmp_path}/runs\n"
        "echo '{\"services\": {}}'\n"
    )
    counting.chmod(0o755)
    given = inputs({"p/compose.yaml": "services: {}"})
    cache = tmp_path / "cache"
    first = SandboxRenderer(cache, binary=counting)
    digests = {first.render(given).inputs_digest, first.render(given).inputs_digest}
    digests.add(SandboxRenderer(cache, binary=counting).render(given).inputs_digest)
    assert len(digests) == 1
    assert (tmp_path / "runs").read_text() == "x\n"
    (stored,) = cache.glob("*.json")
    stored.write_text(stored.read_text().replace('"services"', '"Services"'))
    SandboxRenderer(cache, binary=counting).render(given)
    assert (tmp_path / "runs").read_text() == "x\nx\n", "a damaged answer is made again"


def test_another_input_has_another_digest(renderer: SandboxRenderer) -> None:
    files = {"p/compose.yaml": "services: {web: {image: 'x:${T:-1}'}}"}
    assert renderer.render(inputs(files)).inputs_digest != renderer.render(inputs(files, T="1")).inputs_digest


def test_a_number_that_no_digest_can_hold_is_refused(renderer: SandboxRenderer) -> None:
    text = "services:\n  web: {image: x, pids_limit: 9007199254740993}\n"
    assert "a number is larger than 9007199254740991" in refusal(renderer, {"p/compose.yaml": text})


def test_a_file_of_this_machine_is_not_read_through_merges_in_an_included_file(renderer: SandboxRenderer) -> None:
    chain = "".join(f"x-{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 70))
    deep = f"x-0: &a0 {{env_file: /etc/os-release}}\n{chain}services:\n  spy: {{image: x, <<: *a69}}\n"
    said = refusal(renderer, {"p/compose.yaml": "include: [deep.yaml]\n", "p/deep.yaml": deep})
    assert "nested deeper than 64" in said
