"""Each aspect of a container: what the host shows instead of what git says is one change with both sides."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler import diff
from reconciler.model.change import Change
from reconciler.model.desired import DesiredTarget
from reconciler.model.observed import ObservedState
from tests.builders import (
    FINGERPRINTER,
    a_container,
    a_foreigner,
    a_target,
    deployed,
    fingerprint,
    image_id,
    with_container,
)

BIND = {"type": "bind", "source": "/srv/site", "target": "/site", "read_only": True}
KVM = {"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm", "CgroupPermissions": "rwm"}
HEALTH = {"test": ["CMD", "true"], "interval": "1m30s", "retries": 4}


def compare(target: DesiredTarget, observed: ObservedState) -> tuple[Change, ...]:
    return diff.compare(target, observed, {}, FINGERPRINTER)


def sides(changes: tuple[Change, ...]) -> list[tuple[str, str, str]]:
    return [(change.field, change.before.text, change.after.text) for change in changes]


DRIFT: tuple[tuple[dict[str, Any], dict[str, Any], tuple[str, str, str]], ...] = (
    ({}, {"config": {"Cmd": ["sleep", "1"]}}, ("command", '["sleep", "1"]', '["serve"]')),
    ({"command": ["run", "$$HOME"]}, {"config": {"Cmd": ["run"]}}, ("command", '["run"]', '["run", "$HOME"]')),
    ({"entrypoint": ["/bin/a"]}, {"config": {"Entrypoint": ["/bin/b"]}}, ("entrypoint", '["/bin/b"]', '["/bin/a"]')),
    (
        {"ports": [{"target": 80, "published": "8080", "protocol": "tcp"}]},
        {"host_config": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "9090"}]}}},
        ("ports.80/tcp", ":9090", ":8080"),
    ),
    (
        {"ports": [{"target": 80, "published": "8080", "host_ip": "127.0.0.1", "protocol": "udp"}]},
        {"host_config": {"PortBindings": {}}},
        ("ports.80/udp", "absent", "127.0.0.1:8080"),
    ),
    (
        {"volumes": [BIND]},
        {"mounts": ({"Type": "bind", "Source": "/srv/site", "Destination": "/site", "RW": True},)},
        ("mounts./site", "bind /srv/site, read-write", "bind /srv/site, read-only"),
    ),
    ({"volumes": [BIND]}, {"mounts": ()}, ("mounts./site", "absent", "bind /srv/site, read-only")),
    (
        {},
        {"mounts": ({"Type": "bind", "Source": "/etc", "Destination": "/etc", "RW": True},)},
        ("mounts./etc", "bind /etc, read-write", "absent"),
    ),
    (
        {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]},
        {"mounts": ({"Type": "volume", "Name": "other", "Destination": "/data", "RW": True},)},
        ("mounts./data", "volume other, read-write", "volume shop_data, read-write"),
    ),
    ({"tmpfs": ["/run:size=64k"]}, {"host_config": {"Tmpfs": {}}}, ("mounts./run", "absent", "tmpfs size=64k")),
    (
        {},
        {"networks": {"bridge": {"NetworkID": "x", "Aliases": []}}},
        ("networks.bridge", "attached", "absent"),
    ),
    ({}, {"networks": {"shop_default": None}}, ("networks.shop_default", "absent", "attached")),
    (
        {"networks": {"default": {"aliases": ["api"]}}},
        {"networks": {"shop_default": {"NetworkID": "", "Aliases": ["web", "other"]}}},
        ("networks.shop_default.aliases", '["other"]', '["api"]'),
    ),
    (
        {"networks": {"default": {"ipv4_address": "172.20.0.9"}}},
        {"networks": {"shop_default": {"NetworkID": "", "IPAMConfig": {"IPv4Address": "172.20.0.8"}}}},
        ("networks.shop_default.ipv4_address", "172.20.0.8", "172.20.0.9"),
    ),
    ({"labels": {"tier": "front"}}, {"labels": {"tier": "back"}}, ("labels.tier", "back", "front")),
    ({}, {"labels": {"added": "by hand"}}, ("labels.added", "by hand", "absent")),
    ({}, {"labels": {"image.label": "two"}}, ("labels.image.label", "two", "one")),
    (
        {"restart": "always"},
        {"host_config": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}},
        ("restart", "no", "always"),
    ),
    (
        {"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 3}}},
        {"host_config": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5}}},
        ("restart", "on-failure:5", "on-failure:3"),
    ),
    (
        {"healthcheck": HEALTH},
        {"config": {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9, "Retries": 4}}},
        ("healthcheck.interval", "1s", "90s"),
    ),
    (
        {"healthcheck": {"disable": True}},
        {"config": {"Healthcheck": {"Test": ["CMD", "x"]}}},
        ("healthcheck.test", '["CMD", "x"]', '["NONE"]'),
    ),
    (
        {"mem_limit": "64m"},
        {"host_config": {"Memory": 32 << 20, "MemorySwap": 64 << 20}},
        ("memory", "33554432", "67108864"),
    ),
    ({}, {"host_config": {"MemorySwap": 12345}}, ("memswap_limit", "12345", "0")),
    ({"cpus": 0.5}, {"host_config": {"NanoCpus": 250000000}}, ("cpus", "0.25", "0.5")),
    ({}, {"host_config": {"CpusetCpus": "0"}}, ("cpuset", "0", '""')),
    ({"pids_limit": 10}, {"host_config": {"PidsLimit": None}}, ("pids_limit", "0", "10")),
    ({"mem_reservation": "32m"}, {"host_config": {"MemoryReservation": 0}}, ("memory_reservation", "0", "33554432")),
    ({"shm_size": "64m"}, {"host_config": {"ShmSize": 1}}, ("shm_size", "1", "67108864")),
    ({"user": "1000"}, {"config": {"User": ""}}, ("user", "absent", "1000")),
    ({"working_dir": "/srv/"}, {"config": {"WorkingDir": "/tmp"}}, ("working_dir", "/tmp", "/srv")),
    ({"hostname": "one"}, {"config": {"Hostname": "two"}}, ("hostname", "two", "one")),
    ({}, {"config": {"Hostname": "given"}}, ("hostname", "given", "absent")),
    ({}, {"host_config": {"Privileged": True}}, ("privileged", "true", "false")),
    ({"read_only": True}, {"host_config": {"ReadonlyRootfs": False}}, ("read_only", "false", "true")),
    (
        {"cap_add": ["NET_ADMIN"]},
        {"host_config": {"CapAdd": ["CAP_SYS_ADMIN"]}},
        ("cap_add", '["SYS_ADMIN"]', '["NET_ADMIN"]'),
    ),
    ({"cap_drop": ["ALL"]}, {"host_config": {"CapDrop": None}}, ("cap_drop", "[]", '["ALL"]')),
    (
        {"security_opt": ["no-new-privileges:true"]},
        {"host_config": {"SecurityOpt": None}},
        ("security_opt", "[]", '["no-new-privileges=true"]'),
    ),
    (
        {"security_opt": ["seccomp:unconfined"]},
        {"host_config": {"SecurityOpt": None}},
        ("security_opt", "[]", '["seccomp=unconfined"]'),
    ),
    (
        {},
        {
            "host_config": {
                "Devices": [{"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm", "CgroupPermissions": "rwm"}]
            }
        },
        ("devices", '[["/dev/kvm", "/dev/kvm", "rwm"]]', "[]"),
    ),
    ({"dns": ["10.0.0.1"]}, {"host_config": {"Dns": []}}, ("dns", "[]", '["10.0.0.1"]')),
    (
        {"extra_hosts": ["db=10.0.0.1"]},
        {"host_config": {"ExtraHosts": ["db:10.0.0.2"]}},
        ("extra_hosts", '["db=10.0.0.2"]', '["db=10.0.0.1"]'),
    ),
    (
        {"sysctls": {"net.core.somaxconn": "1024"}},
        {"host_config": {"Sysctls": {"net.core.somaxconn": "1"}}},
        ("sysctls.net.core.somaxconn", "1", "1024"),
    ),
    (
        {"ulimits": {"nofile": {"soft": 1, "hard": 2}}},
        {"host_config": {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}]}},
        ("ulimits.nofile", "1:1", "1:2"),
    ),
    (
        {"logging": {"driver": "local"}},
        {"host_config": {"LogConfig": {"Type": "json-file", "Config": {}}}},
        ("logging.driver", "json-file", "local"),
    ),
    (
        {"logging": {"driver": "splunk", "options": {"token": "from git"}}},
        {"host_config": {"LogConfig": {"Type": "splunk", "Config": {"token": "a live token"}}}},
        ("logging.options.token", "another value", "from git"),
    ),
    ({"stop_signal": "SIGINT"}, {"config": {"StopSignal": "SIGTERM"}}, ("stop_signal", "SIGTERM", "SIGINT")),
    ({}, {"config": {"StopSignal": "SIGINT"}}, ("stop_signal", "SIGINT", "absent")),
    ({"stop_grace_period": "1m"}, {"config": {"StopTimeout": None}}, ("stop_grace_period", "absent", "60")),
    ({"init": True}, {"host_config": {"Init": None}}, ("init", "false", "true")),
    ({"tty": True}, {"config": {"Tty": False}}, ("tty", "false", "true")),
    ({"pid": "host"}, {"host_config": {"PidMode": ""}}, ("pid", "absent", "host")),
    ({}, {"host_config": {"IpcMode": "host"}}, ("ipc", "host", "private")),
    ({"network_mode": "none"}, {"host_config": {"NetworkMode": "host"}}, ("network_mode", "host", "none")),
    ({}, {"host_config": {"NetworkMode": "host"}}, ("network_mode", "host", "absent")),
    ({}, {"name": "renamed"}, ("container_name", "renamed", "shop-web-1")),
)


@pytest.mark.parametrize(("rendered", "drift", "expected"), DRIFT, ids=lambda value: str(value)[:50])
def test_an_aspect_that_differs_on_the_host_is_one_change(
    rendered: dict[str, Any], drift: Mapping[str, Any], expected: tuple[str, str, str]
) -> None:
    target = a_target({"web": rendered})
    assert compare(target, deployed(target)) == ()
    assert sides(compare(target, with_container(deployed(target), "shop-web-1", **drift))) == [expected]


ENGINE_SPELLINGS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"mem_limit": "64m"}, {"host_config": {"MemorySwap": -1}}),
    ({}, {"host_config": {"PidsLimit": 0, "OomKillDisable": None, "MemorySwappiness": None}}),
    ({}, {"host_config": {"RestartPolicy": {"Name": "", "MaximumRetryCount": 0}}}),
    ({}, {"host_config": {"ShmSize": 128 << 20}}),
    ({}, {"host_config": {"LogConfig": {"Type": "journald", "Config": {"tag": "x"}}}}),
    ({}, {"host_config": {"IpcMode": "shareable", "CgroupnsMode": "private", "Runtime": "runc"}}),
    ({}, {"host_config": {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}]}}),
    ({}, {"host_config": {"SecurityOpt": ["label=disable"]}}),
    ({"cap_add": ["NET_ADMIN"]}, {"host_config": {"CapAdd": ["NET_ADMIN"]}}),
    ({"extra_hosts": ["six=::1"]}, {"host_config": {"ExtraHosts": ["six:[::1]"]}}),
    ({"networks": {"default": {"aliases": ["api"]}}}, {"networks": {"shop_default": {"DNSNames": ["api", "web"]}}}),
    ({"hostname": "one"}, {"networks": {"shop_default": {"Aliases": ["web", "one", "0123456789ab"]}}}),
    ({"entrypoint": ["a"]}, {"config": {"Cmd": []}}),
    ({"devices": [{"source": "/dev/kvm"}]}, {"host_config": {"Devices": [KVM]}}),
    ({"cgroup": "private"}, {"host_config": {"CgroupnsMode": "private"}}),
    ({}, {"labels": {"com.docker.compose.replace": "web-1", "com.docker.compose.version": "2.40"}}),
)


@pytest.mark.parametrize(("rendered", "spelling"), ENGINE_SPELLINGS, ids=lambda value: str(value)[:50])
def test_another_spelling_or_default_of_an_engine_is_no_change(
    rendered: dict[str, Any], spelling: Mapping[str, Any]
) -> None:
    target = a_target({"web": rendered})
    assert compare(target, with_container(deployed(target), "shop-web-1", **spelling)) == ()


def test_an_image_is_compared_by_id_and_not_by_tag() -> None:
    target = a_target({"web": {}})
    moved = with_container(deployed(target), "shop-web-1", image_id=image_id("demo:2"))
    assert [(c.field, c.after.digestable) for c in compare(target, moved)] == [("image", image_id("demo:1"))]
    tagged = with_container(deployed(target), "shop-web-1", image="another/tag:of-the-same")
    assert compare(target, tagged) == ()


def test_an_image_from_a_registry_is_compared_by_its_digest() -> None:
    exact = f"registry.test/demo@{image_id('manifest')}"
    target = a_target({"web": {}}, images=(("demo:1", exact),))
    observed = deployed(target)
    (image,) = observed.images
    known = replace(observed, images=(replace(image, digests=(f"mirror.test/demo@{image_id('manifest')}",)),))
    assert compare(target, known) == ()
    (change,) = compare(target, observed)  # the digest is gone: somebody untagged it
    assert (change.field, change.after.digestable) == ("image", exact)


def test_a_variable_shows_in_clear_only_where_git_shows_it() -> None:
    target = a_target({"web": {"environment": {"GREETING": "hello"}}})
    drifted = with_container(deployed(target), "shop-web-1", environment={"GREETING": "s3cret", "TOKEN": "also s3cret"})
    greeting, token = compare(target, drifted)
    assert (greeting.field, greeting.after.text) == ("environment.GREETING", "hello")
    assert greeting.before.text == f"hidden ({fingerprint('GREETING', 's3cret')})"
    assert (token.field, token.after.text) == ("environment.TOKEN", "absent")
    assert "s3cret" not in repr((greeting, token))


def test_a_live_value_that_git_had_before_is_shown() -> None:
    target = a_target({"web": {"environment": {"GREETING": "hello"}}})
    drifted = with_container(deployed(target), "shop-web-1", environment={"GREETING": "hi"})
    (change,) = diff.compare(target, drifted, {fingerprint("GREETING", "hi"): "hi"}, FINGERPRINTER)
    assert (change.before.text, change.after.text) == ("hi", "hello")


def test_a_variable_of_the_image_is_no_change_until_somebody_overrides_it() -> None:
    target = a_target({"web": {}})
    assert compare(target, deployed(target)) == ()
    (change,) = compare(target, with_container(deployed(target), "shop-web-1", environment={"PATH": "/evil"}))
    assert change.field == "environment.PATH"
    assert change.after.digestable == fingerprint("PATH", "/bin")


def test_a_config_file_is_a_mount_of_its_digested_path() -> None:
    files = {"configs": {"app-1": {"file": "/files/one/app.conf"}}, "secrets": {"key-1": {"file": "/files/two/key"}}}
    uses = {
        "configs": [{"source": "app-1", "target": "/etc/app.conf"}],
        "secrets": [{"source": "key-1", "target": "key"}],
    }
    target = a_target({"web": uses}, execution_model=files)
    found = compare(target, deployed(target))
    assert [(c.field, c.after.text) for c in found] == [
        ("mounts./etc/app.conf", "bind /files/one/app.conf, read-only"),
        ("mounts./run/secrets/key", "bind /files/two/key, read-only"),
    ]


def test_a_volume_that_the_image_declares_is_no_change_and_the_same_elsewhere_is() -> None:
    target = a_target({"web": {"volumes": [{"type": "volume", "target": "/kept"}]}})
    observed = deployed(target)
    image = replace(observed.images[0], config={**observed.images[0].config, "Volumes": {"/declared/": {}}})
    observed = replace(observed, images=(image,))
    (kept,) = observed.containers[0].mounts
    declared = {**kept, "Destination": "/declared", "Name": "a" * 64}
    assert compare(target, with_container(observed, "shop-web-1", mounts=(kept, declared))) == ()
    elsewhere = {**declared, "Destination": "/elsewhere"}
    found = compare(target, with_container(observed, "shop-web-1", mounts=(kept, elsewhere)))
    assert sides(found) == [("mounts./elsewhere", "volume anonymous, read-write", "absent")]


def test_what_the_image_brought_is_not_judged_once_the_image_is_gone() -> None:
    target = a_target({"web": {}})
    assert compare(target, replace(deployed(target), images=())) == ()
    moved = a_target({"web": {"image": "demo:2"}})
    assert [change.field for change in compare(moved, replace(deployed(target), images=()))] == ["image"]


def test_a_dependent_of_a_replaced_namespace_parent_differs() -> None:
    target = a_target({"vpn": {}, "client": {"network_mode": "service:vpn"}})
    assert compare(target, deployed(target)) == ()
    moved = with_container(deployed(target), "shop-vpn-1", id="f" * 64, config={"Hostname": "f" * 12})
    assert sides(compare(target, moved)) == [("network_mode", "a container that is gone", "service:vpn")]
    (change,) = compare(target, moved)
    assert change.why == "shop-client-1 shares the namespace of a container that was replaced or removed"
    theirs = replace(moved, others=(a_foreigner("theirs", id=a_container(target, target.services[1]).id),))
    assert sides(compare(target, theirs)) == [("network_mode", "container:theirs", "service:vpn")]
