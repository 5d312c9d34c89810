"""What is ordinary, and worth knowing: a note with its number, its value and nothing that could be a password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.model.verdict import Severity
from reconciler.policy.contents import FAMILIES, discoveries
from reconciler.policy.contents.catalogue import CHECKS
from reconciler.policy.request import Surroundings

AROUND = Surroundings("shop-production", ("blog",), ("/run/docker.sock", "/srv/reconciler"))


def said(model: dict[str, Any]) -> list[str]:
    return [
        f"{each.check.severity} {each.check.name} [{each.check.gate}] {' '.join(each.text.split())}"
        for each in discoveries(model, AROUND)
    ]


def of(**service: Any) -> list[str]:
    return said({"services": {"web": {"image": "x", **service}}})


def bind(source: str, read_only: bool = False) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": "/x", "read_only": read_only}


@pytest.mark.parametrize(
    ("service", "note"),
    [
        (
            {"post_start": [{"command": ["sh", "-c", "wget $$HOST"]}]},
            "note hook [79] service web: post_start runs sh -c wget $HOST beside the service's own command",
        ),
        ({"build": "."}, "note build [75] service web: build is left out: nothing is built at apply, the image runs"),
        ({"develop": {"watch": []}}, "note develop [79] service web: develop is left out here"),
        (
            {"volumes": [bind("/srv/shop")]},
            "note host-bind [78] service web: volumes (/x) /srv/shop is the host's own directory, taken by its path",
        ),
        (
            {"sysctls": ["net.core.somaxconn=1024"]},
            "note own-sysctl [78] service web: sysctls net.core.somaxconn=1024 is set in the container's own namespace",
        ),
    ],
)
def test_what_a_service_does_is_noted(service: dict[str, Any], note: str) -> None:
    assert of(**service) == [note]


def test_an_external_network_is_noted_by_its_real_name_even_where_the_key_says_another() -> None:
    networks = {"default": {"name": "proxy", "external": True}, "nameless": {"external": True}}
    assert said({"networks": networks}) == [
        "note external-network [80] network default: external proxy is not this environment's own",
        "note external-network [80] network nameless: external nameless is not this environment's own",
    ]


@pytest.mark.parametrize(
    ("path", "read_only", "check"),
    [
        ("/var/lib/shop", False, "host-bind"),
        ("/var/lib/docker-data", False, "host-bind"),
        ("/var/lib/docker", True, "host-path-bind"),
        ("/var/www/shop", False, "host-bind"),
        ("/var/www", False, "host-path-bind"),
        ("/var/log", True, "host-path-bind"),
        ("/opt/shop", False, "host-bind"),
        ("/opt", False, "host-path-bind"),  # what lies above a place of the system holds it
        ("/opt/cni/bin", False, "host-path-bind"),
        ("/etcetera", False, "host-bind"),
        ("/data", False, "host-bind"),
        ("/usr/share/zoneinfo/Europe", True, "host-bind"),
        ("/usr/share", True, "host-path-bind"),
        ("/run/docker.sock", False, "socket-bind"),
        ("/srv", False, "host-path-bind"),  # ours lies below it here
        ("/srv/reconciler/files", True, "host-path-bind"),
        ("/srv/reconciler-of-others", False, "host-bind"),
        ("/tmp/x", False, "host-path-bind"),
    ],
)
def test_a_path_of_the_host_is_judged_by_what_lies_there(path: str, read_only: bool, check: str) -> None:
    (found,) = discoveries({"services": {"web": {"image": "x", "volumes": [bind(path, read_only)]}}}, AROUND)
    assert found.check.name == check


def test_a_denied_value_is_spoken_as_it_is_written() -> None:
    device = {"source": "/dev/sda", "target": "/dev/sda", "permissions": "r"}
    privileged, devices = of(privileged=True, devices=[device])
    assert (
        privileged == "deny privileged [78] service web: privileged true gives the container every right over the host"
    )
    assert devices.startswith("deny devices [78] service web: devices permissions: r, source: /dev/sda, target: ")


def test_no_option_value_is_shown_because_it_could_be_a_password() -> None:
    secret = "hunter2-of-production"
    model: dict[str, Any] = {
        "services": {
            "web": {
                "image": "x",
                "logging": {"driver": "splunk", "options": {"splunk-token": secret}},
                "annotations": {"a": secret},
                "provider": {"type": "vault", "options": {"token": secret}},
                "credential_spec": {"config": secret},
                "x-token": secret,
                "new_key": {"token": secret},
                "post_start": [{"command": ["x"], "environment": {"TOKEN": secret}, "user": "root"}],
            }
        },
        "volumes": {"v": {"driver_opts": {"type": "cifs", "o": f"username=u,password={secret}", "device": "//s/x"}}},
    }
    texts = said(model)
    assert {"logging", "annotations", "provider", "volume-driver", "unknown-key", "privileged-hook"} <= {
        text.split()[1] for text in texts
    }
    assert not [text for text in texts if secret in text]


def test_every_check_of_the_catalogue_is_used_by_a_family() -> None:
    sources = "".join(Path(family.__code__.co_filename).read_text(encoding="utf-8") for family in FAMILIES)
    built = {"external-network", "external-volume"}  # put together from the section's name
    assert [name for name in CHECKS if f'"{name}"' not in sources and name not in built] == []


def test_what_is_denied_says_what_to_do_instead() -> None:
    assert all(check.advice for check in CHECKS.values() if check.severity is Severity.DENY)
    assert not [check.name for check in CHECKS.values() if check.severity is Severity.NOTE and check.advice]
