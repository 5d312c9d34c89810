"""What every check says of a rendered model, in full: subject, key, the value that a digest covers, and the words."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.policy.contents import discoveries
from reconciler.policy.contents.catalogue import listed, said_yes, spoken
from reconciler.policy.contents.mounts import absolute_binds, clean, within
from reconciler.policy.contents.others import taken_by
from reconciler.policy.contents.privilege import is_root, pairs
from reconciler.policy.request import Surroundings

AROUND = Surroundings("shop-production", ("blog",), ("/run/docker.sock", "/srv/reconciler"))


def found(model: dict[str, Any], around: Surroundings = AROUND) -> list[tuple[Any, ...]]:
    return [(each.check.name, each.subject, each.key, each.value, each.shown) for each in discoveries(model, around)]


def of(**service: Any) -> list[tuple[Any, ...]]:
    """What is found in one service, without its name."""
    return [(check, *rest) for check, _, *rest in found({"services": {"web": {"image": "x", **service}}})]


# -- what nobody can read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["services", "networks", "volumes"])
def test_a_section_that_is_no_mapping_is_denied_whichever_it_is(section: str) -> None:
    assert found({section: ["web"]}) == [("unreadable", "the model", section, None, "")]
    assert found({section: {"b": 1, "a": "x"}}) == [
        ("unreadable", f"{section[:-1]} a", "as a whole", None, ""),
        ("unreadable", f"{section[:-1]} b", "as a whole", None, ""),
    ]


def test_a_network_without_a_word_is_the_default_and_a_service_without_one_is_nothing() -> None:
    assert found({"networks": {"default": None}, "volumes": {"data": None}}) == []
    assert found({"services": {"web": None}}) == [("unreadable", "service web", "as a whole", None, "")]


def test_keys_of_any_kind_are_sorted_as_text() -> None:
    assert [each[1] for each in found({"volumes": {2: 1, "1": 1, 10: 1}})] == ["volume 1", "volume 10", "volume 2"]


# -- what runs beside ----------------------------------------------------------------------------------------------


def test_models_are_named_and_their_digest_is_that_of_the_whole() -> None:
    models = {"b": {"model": "x$$y"}, "a": {}}
    assert found({"models": models}) == [
        ("models", "the model", "models", {"b": {"model": "x$y"}, "a": {}}, "a, b"),
    ]
    assert of(models=["b", "a"]) == [("models", "models", ["b", "a"], "a, b")]


def test_a_hook_is_shown_as_it_runs_in_either_form() -> None:
    assert [each[-1] for each in of(post_start=[{"command": "one"}, "two"], pre_stop=[{"command": ["three", 4]}])] == [
        "runs one",
        "runs two",
        "runs three 4",
    ]


# -- how values are read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (["a", ("b", 1)], "a, b, 1"),
        ({"b": False, "a": ["x", "y"]}, "a: x, y, b: false"),
        (None, "None"),
        (1.5, "1.5"),
    ],
)
def test_a_value_is_spoken_in_words(value: Any, text: str) -> None:
    assert spoken(value) == text


@pytest.mark.parametrize(
    ("value", "things"),
    [(None, []), ("", []), ({}, []), ([], []), (["a"], ["a"]), (("a", "b"), ["a", "b"]), ("a", ["a"]), (0, [0])],
)
def test_one_thing_is_a_list_of_it(value: Any, things: list[Any]) -> None:
    assert listed(value) == things


@pytest.mark.parametrize("value", [None, False, "", " ", "false", "FALSE", "No", "off ", "0", 0])
def test_a_switch_is_off_where_it_says_so_clearly(value: Any) -> None:
    assert not said_yes(value)


@pytest.mark.parametrize("value", [True, "true", "yes", "on", "1", 1, "odd", "XXXX", "None", [], {}])
def test_every_other_switch_is_on(value: Any) -> None:
    assert said_yes(value)


def test_services_are_looked_at_sorted_as_text() -> None:
    services = {2: {"image": "x", "privileged": True}, "10": {"image": "x", "privileged": True}}
    assert [each[1] for each in found({"services": services})] == ["service 10", "service 2"]


def test_an_image_may_have_capital_letters_in_its_tag_and_nothing_that_is_no_letter_of_ours() -> None:
    assert of(image="Registry.test/web:V1") == []
    assert of(image="web:\u0430") == [("odd-image", "image", "web:\u0430", "web:\u0430")]


# -- volumes and networks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"type": "tmpfs"},
        {"type": "tmpfs", "device": "tmpfs"},
        {"type": "tmpfs", "device": "none"},
        {"type": "tmpfs", "o": "size=64m,mode=700,uid=1,gid=1,nr_inodes=10"},
        {"type": "tmpfs", "o": "nodev,nosuid,noexec,noatime,rw"},
        {"type": "tmpfs", "o": "ro,,"},
    ],
    ids=str,
)
def test_a_volume_in_memory_is_ordinary(options: dict[str, str]) -> None:
    assert found({"volumes": {"v": {"driver_opts": options}}}) == []


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"type": "tmpfs", "o": "bind"}, "(o, type: tmpfs none)"),
        ({"type": "tmpfs", "o": "size=1,bind"}, "(o, type: tmpfs none)"),
        ({"type": "tmpfs", "device": "/srv"}, "(device, type: tmpfs /srv)"),
        ({"type": "nfs", "device": ":/x"}, "(device, type: nfs :/x)"),
        ({"o": "size=1"}, "(o: none none)"),
        ({"type": "tmpfs", "more": "x"}, "(more, type: tmpfs none)"),
    ],
    ids=str,
)
def test_a_volume_with_other_options_is_something_else(options: dict[str, str], shown: str) -> None:
    expected = ("volume-driver", "volume v", "driver_opts", options, shown)
    assert found({"volumes": {"v": {"driver_opts": options}}}) == [expected]
    assert found({"volumes": {"v": {"driver": "local", "driver_opts": options}}}) == [expected]


def test_a_volume_of_another_driver_is_waived_with_its_options() -> None:
    assert found({"volumes": {"v": {"driver": "rexray", "driver_opts": {"size": "1"}}}}) == [
        ("volume-driver", "volume v", "driver", ["rexray", {"size": "1"}], "rexray")
    ]


@pytest.mark.parametrize("driver", ["", "default", "bridge", "overlay", "none", "null"])
def test_a_network_of_a_driver_of_its_own_is_ordinary_but_for_its_options(driver: str) -> None:
    assert found({"networks": {"n": {"driver": driver}}}) == []
    assert found({"networks": {"n": {"driver": driver, "driver_opts": {"parent": "eth0"}}}}) == [
        ("network-driver", "network n", "driver_opts", ["parent", "eth0"], "parent=eth0")
    ]


def test_a_network_of_another_driver_is_waived_with_its_options() -> None:
    options = {"parent": "eth0"}
    assert found({"networks": {"n": {"driver": "macvlan", "driver_opts": options}}}) == [
        ("network-driver", "network n", "driver", ["macvlan", options], "macvlan")
    ]
    assert of(networks={"b": {"driver_opts": {"x": 1, "y": 2}}, "a": None}) == [
        ("network-driver", "networks.b.driver_opts", {"x": 1, "y": 2}, "x, y")
    ]


@pytest.mark.parametrize(
    ("name", "is_the_hosts"),
    [("host", True), ("a" * 12, True), ("0" * 64, True), ("a" * 11, False), ("0" * 65, False), ("hosts", False)],
)
def test_a_network_by_the_engines_name_or_id_is_the_hosts(name: str, is_the_hosts: bool) -> None:
    expected = [("host-namespace", "network n", "name", name, name)] if is_the_hosts else []
    assert found({"networks": {"n": {"name": name}}}) == expected


# -- mounts --------------------------------------------------------------------------------------------------------


def mount(source: str, **more: Any) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": "/x", **more}


SHARED = Surroundings("shop-production", (), (), (("/data/a", True, "blog/production"), ("/data/b/c", False, "x/y")))


def test_a_mount_inside_what_somebody_writes_to_is_denied_by_whose_it_is() -> None:
    inner = mount("/data/a/b", read_only=True)
    assert found({"services": {"web": {"image": "x", "user": "1", "volumes": [inner]}}}, SHARED) == [
        ("host-bind", "service web", "volumes (/x)", inner, "/data/a/b"),
        (
            "nested-bind", "service web", "volumes (/x)", [inner, "inside", "/data/a", "blog/production"],
            "/data/a/b, inside /data/a that blog/production mounts for writing,",
        ),
    ]  # fmt: skip


def test_so_it_is_inside_what_a_service_of_ours_writes_to() -> None:
    services = {
        "a": {"image": "x", "user": "1", "volumes": [mount("/data/own")]},
        "b": {"image": "x", "user": "1", "volumes": [mount("/data/own/x", read_only=True)]},
    }
    assert [each[-1] for each in found({"services": services}) if each[0] == "nested-bind"] == [
        "/data/own/x, inside /data/own that service a mounts for writing,"
    ]


def test_a_mount_for_writing_around_what_somebody_mounts_is_denied_and_one_for_reading_is_not() -> None:
    outer = mount("/data/b")
    service = {"image": "x", "user": "1", "volumes": [outer]}
    assert found({"services": {"web": service}}, SHARED) == [
        ("host-bind", "service web", "volumes (/x)", outer, "/data/b"),
        (
            "nested-bind", "service web", "volumes (/x)", [outer, "around", "/data/b/c", "x/y"],
            "/data/b, for writing around /data/b/c of x/y,",
        ),
    ]  # fmt: skip
    service["volumes"] = [mount("/data/b/c")]
    assert [each[0] for each in found({"services": {"web": service}}, SHARED)] == ["host-bind"]
    service["volumes"] = [mount("/data/b", read_only=True)]
    assert [each[0] for each in found({"services": {"web": service}}, SHARED)] == ["host-bind"]


def test_root_that_writes_to_the_hosts_disk_is_denied_with_who_it_is() -> None:
    given = mount("/data/b")
    assert of(volumes=[given], user="0:1") == [
        ("host-bind", "volumes (/x)", given, "/data/b"),
        ("root-bind", "volumes (/x)", [given, "0:1"], "/data/b"),
    ]


def test_mounts_of_other_kinds_are_named_as_they_are() -> None:
    image, odd = {"type": "image", "source": "x"}, {"type": "volume", "source": "/data/x"}
    assert of(volumes=[image, odd, "named:/x"], volumes_from=["other"]) == [
        ("mount-type", "volumes", image, "image"),
        ("mount-type", "volumes", odd, "volume"),
        ("mount-type", "volumes", "named:/x", "named:/x"),
        ("volumes-from", "volumes_from", "other", "other"),
    ]
    assert of(volumes=[{"type": "volume", "source": "data"}, {"type": "tmpfs"}, mount("./www")]) == []


def test_a_mount_that_propagates_is_denied_wherever_it_comes_from() -> None:
    given = mount("www", bind={"propagation": "rshared"})
    assert of(volumes=[given]) == [("mount-propagation", "volumes (/x)", given, "rshared")]
    for ordinary in ("private", "rprivate", "", None):
        assert of(volumes=[mount("www", bind={"propagation": ordinary})]) == []


@pytest.mark.parametrize(
    ("path", "plain"),
    [("/a/../etc", "/etc"), ("//etc", "/etc"), ("/a//b/", "/a/b"), ("/", "/"), ("///x", "/x"), ("/X", "/X")],
)
def test_a_path_is_judged_without_dots_and_doubled_slashes(path: str, plain: str) -> None:
    assert clean(path) == plain


@pytest.mark.parametrize(
    ("path", "directory", "lies_there"),
    [
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/", True),
        ("/a", "/a/b", False),
        ("/a/c", "/a/X", False),
    ],
)
def test_what_lies_below_a_directory(path: str, directory: str, lies_there: bool) -> None:
    assert within(path, directory) is lies_there


def test_the_absolute_binds_of_a_model_are_told_with_who_writes() -> None:
    services = {
        "a": {"volumes": [mount("/srv/x/../y", read_only="true"), mount("./www"), {"type": "volume", "source": "/z"}]},
        "b": {"volumes": [mount("/srv/z"), "text"]},
    }
    assert list(absolute_binds({"services": services})) == [("/srv/y", False, "a"), ("/srv/z", True, "b")]


def test_what_mounts_the_whole_host_for_writing_has_everything_inside() -> None:
    services = {
        "a": {"image": "x", "user": "1", "volumes": [mount("/")]},
        "b": {"image": "x", "user": "1", "volumes": [mount("/data", read_only=True), mount("/", read_only=True)]},
    }
    assert [each[-1] for each in found({"services": services}) if each[0] == "nested-bind"] == [
        "/data, inside / that service a mounts for writing,"
    ]


# -- namespaces and names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network_mode", "none"), ("network_mode", "bridge"), ("network_mode", "default"),
        ("ipc", "none"), ("ipc", "private"), ("ipc", "shareable"), ("cgroup", "private"),
        *((key, no) for key in ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup") for no in ("", None)),
    ],
)  # fmt: skip
def test_a_namespace_of_its_own_is_ordinary(key: str, value: str | None) -> None:
    assert of(**{key: value}) == []


@pytest.mark.parametrize("key", ["network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup"])
def test_a_namespace_of_the_host_is_denied_whichever_it_is(key: str) -> None:
    assert of(**{key: "host"}) == [("host-namespace", key, "host", "host")]


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("blog-web-1", "blog"), ("blog_data", "blog"), ("blog", "blog"), ("blogger", None), ("", None),
        ("shop-x", "shop"), ("shop-production-web-1", None), ("shop-production", None),
    ],
)  # fmt: skip
def test_a_name_belongs_to_the_project_that_it_begins_with(name: str, whose: str | None) -> None:
    assert taken_by(name, Surroundings("shop-production", ("blog", "shop", ""))) == whose
    expected = [("taken-name", "container_name", name, f"{name} (of {whose})")] if whose else []
    services = {"web": {"image": "x", "container_name": name}}
    given = found({"services": services}, Surroundings("shop-production", ("blog", "shop")))
    assert [(check, *rest) for check, _, *rest in given] == expected


@pytest.mark.parametrize("key", ["network_mode", "pid", "ipc"])
def test_a_namespace_of_another_service_is_followed_to_its_end(key: str) -> None:
    chain = {"web": "service:a", "a": "service:b", "b": "host"}
    services = {name: {"image": "x", key: value} for name, value in chain.items()}
    assert [(each[1], each[3], each[4]) for each in found({"services": services})] == [
        ("service a", "service:b", "service:b, which is host,"),
        ("service b", "host", "host"),
        ("service web", "service:a", "service:a, which is host,"),
    ]
    services["b"][key] = ""
    assert found({"services": services}) == []


def test_a_circle_of_services_leads_nowhere_and_hides_nothing_else() -> None:
    circle = {"web": "service:a", "a": "service:b", "b": "service:c", "c": "service:b"}
    services = {name: {"image": "x", "network_mode": value, "pid": "host"} for name, value in circle.items()}
    assert [(each[0], each[2]) for each in found({"services": services})] == [("host-namespace", "pid")] * 4


# -- rights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=false", "seccomp:builtin", "seccomp=builtin",
     "apparmor=docker-default", "apparmor:docker-default"],
)  # fmt: skip
def test_an_option_that_leaves_the_confinement_as_it_is_is_ordinary(option: str) -> None:
    assert of(security_opt=[option]) == []


@pytest.mark.parametrize(
    "option", ["seccomp=unconfined", "apparmor:unconfined", "label:disable", "seccomp", "new:no-new-privileges"]
)
def test_every_other_one_is_denied(option: str) -> None:
    assert of(security_opt=[option]) == [("security-opt", "security_opt", option, option)]


@pytest.mark.parametrize(
    ("user", "root"),
    [
        (None, False), ("", False), ("root", True), ("root:1", True), ("0", True), ("0:0", True), (0, True),
        ("00", True), (" 0 ", True), ("+0", True), ("-0", True), ("1", False), ("1:0", False), ("web", False),
        ("Root", False),
    ],
)  # fmt: skip
def test_root_is_root_however_it_is_written(user: Any, root: bool) -> None:
    assert is_root(user) is root


def test_a_hook_with_more_rights_is_denied_with_what_it_runs_and_as_whom() -> None:
    first = {"command": ["sh", "-c", 1], "privileged": True, "user": "root"}
    second = {"command": "x", "user": "0"}
    assert [each for each in of(post_start=[first], pre_stop=[second]) if each[0] == "privileged-hook"] == [
        ("privileged-hook", "post_start", first, "(sh -c 1, privileged)"),
        ("privileged-hook", "pre_stop", second, "(x, as user 0)"),
    ]


@pytest.mark.parametrize(
    ("key", "value"), [("runtime", "runc"), ("runtime", "io.containerd.runc.v2"), ("isolation", "default")]
)
def test_the_engines_own_runtime_is_ordinary(key: str, value: str) -> None:
    assert of(**{key: value}) == []
    assert of(**{key: "other"}) == [("runtime", key, "other", "other")]


@pytest.mark.parametrize(
    ("mode", "check"),
    [("container:db", "host-namespace"), ("host", "host-namespace"), ("macnet", "foreign-network")],
)
def test_a_network_of_a_container_is_a_namespace_and_any_other_one_a_network(mode: str, check: str) -> None:
    assert of(network_mode=mode) == [(check, "network_mode", mode, mode)]


@pytest.mark.parametrize(("score", "denied"), [(-1, True), ("-1000", True), (0, False), (500, False), (None, False)])
def test_only_a_score_below_nothing_saves_a_container_from_the_killer(score: Any, denied: bool) -> None:
    expected = [("out-of-memory", "oom_score_adj", str(score), str(score))] if denied else []
    assert of(oom_score_adj=score) == expected


def test_pairs_are_read_from_a_mapping_or_from_a_list() -> None:
    assert pairs({"b": 1, "a": "x=y"}) == [("a", "x=y"), ("b", "1")]
    assert pairs(["b", "a=x=y"]) == [("a", "x=y"), ("b", "")]
    assert pairs(None) == []
