"""What a real engine (20.10, API 1.41) answered, recorded, and what becomes of it."""

import copy
import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from reconciler.hosts import engine_output
from reconciler.hosts.sections import CONFIG, HOST_CONFIG
from reconciler.model.errors import NotUnderstood
from reconciler.model.fingerprint import Fingerprinter

RECORDED = Path(__file__).parent / "recorded"
FINGERPRINTER = Fingerprinter("k1", b"key")


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def test_a_container_is_read_with_its_service_state_and_networks() -> None:
    web = engine_output.container(recorded("container_web"), FINGERPRINTER, "shop/dev")
    assert (web.name, web.service, web.number, web.one_off) == ("shop-web-1", "web", 1, False)
    assert (web.state.status, web.state.health, web.state.restart_count) == ("running", "healthy", 0)
    assert web.image_id.startswith("sha256:")
    assert web.owned
    assert "www" in web.networks["shop_back"]["Aliases"]
    assert web.mounts[0]["Name"] == "shop_data"
    assert web.host_config["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_job_that_failed_is_exited_with_its_code() -> None:
    job = engine_output.container(recorded("container_job"), FINGERPRINTER, "shop/dev")
    assert (job.state.status, job.state.exit_code, job.state.health) == ("exited", 3, "")
    assert not job.owned


def test_no_environment_value_leaves_in_clear() -> None:
    web = engine_output.container(recorded("container_web"), FINGERPRINTER, "shop/dev")
    assert [value.name for value in web.environment] == ["GREETING", "IMGENV", "PASSWORD", "PATH"]
    assert web.environment[2].fingerprint == FINGERPRINTER.of("shop/dev", "PASSWORD", "hunter2")
    assert "hunter2" not in repr(web)
    assert "Env" not in web.config
    image = engine_output.image(recorded("image"), FINGERPRINTER, "shop/dev")
    assert [value.name for value in image.environment] == ["IMGENV", "PATH"]
    assert "Env" not in image.config


def test_the_project_and_the_others_are_told_apart() -> None:
    listing = recorded("containers")
    assert len(engine_output.project_ids(listing, "shop")) == 2
    (proxy,) = engine_output.others(listing, "shop")
    assert (proxy.name, proxy.project, proxy.status, proxy.networks) == ("proxy", "", "running", ("front",))
    assert proxy.ports == ("0.0.0.0:28090/tcp", "127.0.0.1:28091/udp", "[::]:28090/tcp")
    assert {other.project for other in engine_output.others(listing, "another")} == {"", "shop"}


def test_networks_and_volumes_of_the_project_and_those_asked_for() -> None:
    assert len(engine_output.wanted_networks(recorded("networks"), "shop", ())) == 1
    assert len(engine_output.wanted_networks(recorded("networks"), "shop", ("front",))) == 2
    back = engine_output.network(recorded("network_back"))
    assert (back.name, back.driver, back.internal, back.subnets[0][0]) == ("shop_back", "bridge", True, "10.99.1.0/24")
    assert back.labels["com.docker.compose.network"] == "back"
    assert len(back.containers) == 1
    assert [v.name for v in engine_output.volumes(recorded("volumes"), "shop", ())] == ["shop_data"]
    found = engine_output.volumes(recorded("volumes"), "shop", ("other_data",))
    assert [volume.name for volume in found] == ["other_data", "shop_data"]


def test_the_engine_is_known_by_its_id() -> None:
    engine = engine_output.identity(recorded("version"), recorded("info"))
    assert engine.id == recorded("info")["ID"]
    assert (engine.api_version, engine.rootless) == ("1.41", False)
    rootless = {**recorded("info"), "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
    assert engine_output.identity(recorded("version"), rootless).rootless


@pytest.mark.parametrize(
    ("highest", "lowest", "spoken"), [("1.41", "1.12", "1.41"), ("1.52", "1.24", "1.41"), ("1.54", "1.44", "1.44")]
)
def test_the_lowest_version_that_both_know_is_spoken(highest: str, lowest: str, spoken: str) -> None:
    assert engine_output.api_version({"ApiVersion": highest, "MinAPIVersion": lowest}) == spoken


def test_an_engine_that_is_too_old_is_refused() -> None:
    with pytest.raises(NotUnderstood, match=r"1\.41 \(Docker 20\.10\) is needed"):
        engine_output.api_version({"ApiVersion": "1.40", "MinAPIVersion": "1.12"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("State", "Status"), "levitating"),
        (("State", "Health", "Status"), "so-so"),
        (("State", "ExitCode"), "0"),
        (("State",), None),
        (("HostConfig",), None),
        (("Config", "Env"), "A=b"),
        (("Config", "Labels"), {"a": 1}),
        (("Config", "Labels", "com.docker.compose.container-number"), "one"),
        (("Mounts",), {}),
        (("NetworkSettings", "Networks"), []),
        (("RestartCount",), None),
        (("Id",), ""),
        (("Config", "Labels", "com.docker.compose.container-number"), "²"),
        (("HostConfig", "Memory"), "64m"),
        (("HostConfig", "Memory"), True),
        (("HostConfig", "Memory"), 2**63),
        (("HostConfig", "CapAdd"), "ALL"),
        (("HostConfig", "CapAdd"), [None]),
        (("HostConfig", "PortBindings"), {"80/tcp": {"HostPort": "1"}}),
        (("HostConfig", "PortBindings"), {"80/tcp": [{"HostPort": 8080}]}),
        (("HostConfig", "Devices"), [{"PathOnHost": "/dev/fuse"}]),
        (("HostConfig", "Ulimits"), [{}]),
        (("HostConfig", "LogConfig", "Config"), {"max-size": 10}),
        (("Config", "Healthcheck"), {"Interval": "5s"}),
        (("Config", "Cmd"), [1]),
        (("Mounts",), [{"Destination": 1}]),
        (("NetworkSettings", "Networks", "shop_back", "Aliases"), "web"),
    ],
)
def test_what_is_not_understood_is_an_error_and_not_a_guess(path: tuple[str, ...], value: object) -> None:
    answer = copy.deepcopy(recorded("container_web"))
    place = answer
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(NotUnderstood):
        engine_output.container(answer, FINGERPRINTER, "shop/dev")


def test_what_an_engine_leaves_out_or_adds_is_no_fault() -> None:
    answer = copy.deepcopy(recorded("container_web"))
    answer["HostConfig"] |= dict.fromkeys(HOST_CONFIG) | {"SomethingNew": {"of": ["a", 1]}}
    answer["Config"] |= dict.fromkeys(key for key in CONFIG if key != "Labels")
    assert engine_output.container(answer, FINGERPRINTER, "shop/dev").name == "shop-web-1"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a": NaN}',
        b"[Infinity]",
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'{"\\udfff": 1}',
        b"9" * 5000,
        b"\xff",
        b"",
    ],
)
def test_an_answer_that_could_not_be_written_again_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^.+"):
        engine_output.parsed(body)


def test_an_answer_with_escapes_is_read() -> None:
    assert engine_output.parsed(b'["\\u00e9", "\\ud83d\\ude00"]') == ["\u00e9", "\U0001f600"]


@pytest.mark.parametrize("number", ["nginx:latest", "", None, 7, "sha256:ab", "sha256:" + "A" * 64])
def test_an_image_is_deployed_by_a_whole_id_or_not_at_all(number: object) -> None:
    with pytest.raises(NotUnderstood):
        engine_output.named_image({"Id": number, "RepoTags": ["nginx:latest"]})


def test_the_state_does_not_depend_on_the_order_of_the_answers() -> None:
    web = engine_output.container(recorded("container_web"), FINGERPRINTER, "s")
    job = engine_output.container(recorded("container_job"), FINGERPRINTER, "s")
    second = dataclasses.replace(web, number=2, name="shop-web-2", id="0")
    engine = engine_output.identity(recorded("version"), recorded("info"))
    now = None
    one = engine_output.state("h", "shop", engine, [web, job, second], [], [], [], [], now)  # type: ignore[arg-type]
    two = engine_output.state("h", "shop", engine, [second, web, job], [], [], [], [], now)  # type: ignore[arg-type]
    assert one == two
    assert [c.name for c in one.containers] == ["shop-job-1", "shop-web-1", "shop-web-2"]


def frame(kind: int, text: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(text)) + text


def test_a_log_is_put_together_from_its_frames() -> None:
    assert engine_output.demultiplex(frame(1, b"out\n") + frame(2, b"err\n")) == b"out\nerr\n"
    assert engine_output.demultiplex(frame(1, b"whole\n") + frame(1, b"cut off")[:-4]) == b"whole\ncut"
    assert engine_output.demultiplex(b"") == b""
    with pytest.raises(NotUnderstood):
        engine_output.demultiplex(b"plain text of a terminal")
