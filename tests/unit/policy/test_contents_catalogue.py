"""Every check of a rendered model, and what is ordinary, as their page has it: both are changed on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.verdict import Severity
from reconciler.policy.contents import beside, catalogue, mounts, others, privilege
from reconciler.policy.request import Surroundings

PAGE = (Path(__file__).parents[3] / "docs/reference/policy.md").read_text(encoding="utf-8")

SECTION = re.compile(r"^\| check \| gate \|.*\n\|.*\n((?:\|.*\n)+)", re.MULTILINE)

CHECKS = sorted(tuple(cell.strip() for cell in row.split("|")[1:-1]) for row in SECTION.findall(PAGE)[0].splitlines())


@pytest.mark.parametrize("promised", CHECKS, ids=lambda row: row[0])
def test_a_check_is_what_its_page_says(promised: tuple[str, ...]) -> None:
    check = catalogue.CHECKS[promised[0].strip("`")]
    severity = "denied" if check.severity is Severity.DENY else "noted"
    assert promised == (f"`{check.name}`", str(check.gate), severity, check.danger, check.advice)


def test_there_is_no_other_check() -> None:
    assert sorted(f"`{name}`" for name in catalogue.CHECKS) == [row[0] for row in CHECKS]


ROWS = re.compile(r"^\| what \| which \|\n\|.*\n((?:\|.*\n)+)", re.MULTILINE)

WHICH = {
    cells[0].strip(): re.findall(r"`([^`]+)`", cells[1])
    for cells in (row.split("|")[1:-1] for row in ROWS.findall(PAGE)[0].splitlines())
}


@pytest.mark.parametrize(
    ("what", "which"),
    [
        ("capabilities in `cap_add`", lambda: sorted(privilege.ORDINARY_CAPABILITIES)),
        ("`security_opt`", lambda: ["no-new-privileges", *privilege.ORDINARY_OPTIONS]),
        ("`sysctls` that begin with", lambda: list(privilege.OWN_SYSCTLS)),
        ("binds of the host", lambda: ["/", *mounts.SYSTEM, "*.sock"]),
        ("of these, again", lambda: [*mounts.DATA, *mounts.SYSTEM_DATA, *mounts.EVERYBODYS]),
        ("networks", lambda: list(mounts.BRIDGE_OPTIONS)),
        ("log drivers", lambda: [driver for driver in beside.LOCAL_DRIVERS if driver]),
        ("labels", lambda: list(others.RESERVED)),
    ],
)
def test_what_is_ordinary_is_what_the_page_says(what: str, which: Callable[[], list[str]]) -> None:
    assert which() == WHICH[what]


KNOWN = """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
    cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec
    depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
    environment expose external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation
    label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models
    network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop
    privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt
    shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user
    userns_mode uts volumes volumes_from working_dir
"""
"""Keys of a service by the Compose specification: judged somewhere, or known to reach for nothing."""


def test_every_other_key_of_a_service_is_denied() -> None:
    assert sorted(beside.KNOWN_KEYS) == KNOWN.split()
    services = {"web": {"image": "x", **dict.fromkeys(beside.KNOWN_KEYS - {"image"}), "x-ours": 1, "new": 1}}
    found = list(beside.discoveries({"services": services}, Surroundings()))
    assert [(each.check.name, each.key) for each in found] == [("unknown-key", "new")]
