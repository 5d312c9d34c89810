"""The doors to the repository: its files, Compose files before Compose reads them, git's own objects, rendered models
and what is planned from them.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pygit2
import yaml

from reconciler import diff
from reconciler.apply.plan_record import decode_plan, encode_plan
from reconciler.compose.admission import admit
from reconciler.desired import load, render_input, target_model
from reconciler.desired.causes import causes
from reconciler.diff.definition import plain
from reconciler.diff.planning import digested_operation
from reconciler.model.canonical import canonical
from reconciler.model.desired import DesiredTarget, RenderInput
from reconciler.model.errors import ReconcilerError
from reconciler.model.plan import Plan, ServiceOperation
from reconciler.model.policy import WAIVER_DIGITS, Action, Policy, Waiver
from reconciler.model.principal import Person, Principals
from reconciler.model.revision import FileKind, Tree
from reconciler.model.verdict import Finding, Verdict
from reconciler.policy import PolicyRequest, Removal, Surroundings, TargetFacts, evaluate, running, unseen
from reconciler.reports.comment import plan_section, read_marker
from reconciler.sources.git import _info
from reconciler.sources.trees import TreeLimits, differing_paths, read_tree
from tests.builders import FINGERPRINTER, a_bundle, a_network, a_service, a_target, a_volume, deployed, resolutions
from tests.fuzz.door import Door
from tests.fuzz.hosts import spares_strangers
from tests.fuzz.mutation import Mutator
from tests.unit.desired import repositories

# -- files ---------------------------------------------------------------------------------------------------------

SPEC = """\
hosts: [web-1]
tier: production
compose: [compose.yaml, more.yaml]
env_files: [app.env]
consent_delay: 30s
variables: {B: "1"}
jobs: [job]
rollout: {waves: [[web-1]], pause: 30s}
windows:
  - deny: {start: "FRI 16:00", end: "MON 08:00", timezone: Europe/Berlin}
waivers:
  - {finding: "0123456789abcdef0123456789abcdef", why: the proxy reads labels}
"""
COMPOSE = """\
x-base: &base {environment: {A: $B}, env_file: [{path: one.env, required: false}]}
include: [{path: [../base.yaml], project_directory: .., env_file: app.env}]
services:
  web: {<<: *base, image: 'a:1', ports: ['80:80'], volumes: ['./site:/site:ro', 'data:/data']}
  job: {extends: {file: ../base.yaml, service: base}, configs: [page]}
volumes: {data: {}}
configs: {page: {file: ./site/index.html}}
"""
ADOPTED = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "projects/demo/production/more.yaml": "services: {web: {command: [serve], label_file: ./labels.env}}\n",
    "projects/demo/production/app.env": "# values\nONE=1\nTWO='a b'\nTHREE=\"x\\n\\\\\"\n",
    "projects/demo/production/one.env": "FOUR=4\n",
    "projects/demo/production/labels.env": "a.label=1\n",
    "projects/demo/production/site/index.html": "<p>Hello.</p>\n",
    "projects/demo/base.yaml": "services: {base: {image: 'b:1', env_file: ./extra.env}}\n",
    "projects/demo/extra.env": "FIVE=5\n",
    f"operations/adopt-{ADOPTED}.yaml": f"adopt: {ADOPTED}\nwhy: pushed in a hurry\nenvironments: [demo/production]\n",
}


@cache
def sample() -> Tree:
    return repositories.sample()


@cache
def small() -> Tree:
    """The sample with one small environment that uses most of what there is, because reading all of it takes long."""
    return repositories.one_environment(COMPOSE, SPEC, FILES)


READ = (".yaml", ".env")
FREE = ("variables", "labels")
"""Mappings whose keys are the repository's own words."""


def files(mutator: Mutator) -> None:
    """A repository with an odd file in it: problems with file and line, or a state that goes on to Compose's door."""
    tree, chance = small(), mutator.chance
    path = chance.choice([p for p in tree.files if p.endswith(READ)])
    before = tree.files[path].content
    ours = path.endswith(".yaml") and posixpath.basename(path) not in ("compose.yaml", "more.yaml", "base.yaml")
    if ours and chance.random() < 0.3:
        return unknown_key(mutator, path, yaml.safe_load(before))
    others = [entry.content for entry in tree.files.values()]
    odd = with_file(tree, path, mutator.data(before, others))
    try:
        state = load(odd)
        for environment in state.environments:
            admit(render_input(odd, environment))
            causes(odd, environment)
    except ReconcilerError:
        return None
    return None


def with_file(tree: Tree, path: str, content: bytes) -> Tree:
    return replace(tree, files={**tree.files, path: replace(tree.files[path], content=content)})


def mappings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from mappings(each, (*path, str(key)))


def unknown_key(mutator: Mutator, path: str, value: Any) -> None:
    """A key that nobody knows, or one that stands there twice: never read over (47, 76)."""
    where, mapping = mutator.chance.choice(list(mappings(value)))
    key = mutator.chance.choice(("Effect", "allow", "need ", "aproves", "agent_owner_may_aprove", "<<", "x-y"))
    twice = mutator.chance.random() < 0.5 and mapping
    if twice:
        key = mutator.chance.choice(list(mapping))
        mapping[f"{key}%twice%"] = mapping[key]
    else:
        mapping[key] = mutator.chance.choice((True, 1, "x", [], {}))
    try:
        load(with_file(small(), path, json.dumps(value).replace("%twice%", "").encode()))
    except ReconcilerError:
        return
    if twice or not (where and where[-1] in FREE):
        raise AssertionError(f"{path} has {key!r} {'twice ' if twice else ''}at {where}, and is read")


# -- Compose files, before Compose ---------------------------------------------------------------------------------


@cache
def compose_input() -> RenderInput:
    (environment,) = load(small()).environments
    return render_input(small(), environment)


def named_files(document: Any) -> Iterator[str]:
    """The paths that a Compose file has Compose read: a second reading of the rule, over the whole document."""
    if not isinstance(document, dict):
        return
    for item in listed(document.get("include")):
        yield from listed(item.get("path") if isinstance(item, dict) else item)
    services = document.get("services")
    for service in services.values() if isinstance(services, dict) else ():
        if not isinstance(service, dict):
            continue
        extended = service.get("extends")
        if isinstance(extended, dict) and "file" in extended:
            yield extended["file"]
        for key in ("env_file", "label_file"):
            for item in listed(service.get(key)):
                if not isinstance(item, dict):
                    yield item
                elif "path" in item and str(item.get("required", "")).lower() not in ("false", "no", "off"):
                    yield item["path"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


LURES = (
    "/etc/passwd", "../../../../etc/shadow", "https://example.test/x.yaml", "oci://example.test/x", "~/.ssh/id_rsa",
    "git@example.test:a/b.git", "${HOME}/x", "file:///etc/passwd", "..", "a\\b", "./site/../../../../x", "//x/y",
)  # fmt: skip


def compose(mutator: Mutator) -> None:
    """A Compose file with an odd word in it: what it has Compose read lies in the repository, or it is refused."""
    inputs, chance = compose_input(), mutator.chance
    path = chance.choice([p for p in inputs.files if p.endswith(".yaml")])
    content = inputs.files[path]
    if chance.random() < 0.6:
        words = [w for w in (b"../base.yaml", b"app.env", b"one.env", b"labels.env", b"./extra.env") if w in content]
        lure = chance.choice(LURES).encode()
        content = content.replace(chance.choice(words), lure, 1) if words else content
    if chance.random() < 0.8:
        content = mutator.data(content, [*inputs.files.values(), *(lure.encode() for lure in LURES)])
    odd = replace(inputs, files={**inputs.files, path: content})
    admission = admit(odd)
    outside = [p for p in admission.files if p.startswith(("/", "..")) or "/../" in p or p not in odd.files]
    if outside:
        raise AssertionError(f"{outside} would be handed to Compose")
    if admission.problems or path not in admission.documents:
        return
    try:
        document = yaml.load(content, yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return  # tags of Compose's own, dates that are none: what Compose makes of them is its own business
    base = posixpath.dirname(path) if "base" in path else inputs.working_directory
    for named in named_files(document):
        resolved = posixpath.normpath(posixpath.join(base, str(named)))
        if resolved not in admission.files:
            raise AssertionError(f"Compose would read {named!r} in {path}, and nobody looked at it: {content!r}")


# -- git's own objects ---------------------------------------------------------------------------------------------

NAMES = (
    b"a", b"..", b".", b"", b".git", b"a/b", b"/etc", b"\xff\xfe", "é".encode(), b"x" * 300, b"\n", b"\xe2\x80\xaea",
    b"compose.yaml", b"shop", b"production", b".gitattributes", b"-rf", b"a b",
)  # fmt: skip
MODES = (b"100644", b"100755", b"120000", b"160000", b"40000", b"100664", b"0", b"040000", b"7777777", b"100600")
TREE = pygit2.enums.ObjectType.TREE
COMMIT = pygit2.enums.ObjectType.COMMIT


@cache
def scratch() -> tuple[pygit2.Repository, tempfile.TemporaryDirectory[str], pygit2.Tree]:
    """A repository in memory's file system, with the sample's tree in it."""
    directory = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    repository = pygit2.init_repository(directory.name, bare=True)
    index = pygit2.Index()
    for path, entry in small().files.items():
        index.add(pygit2.IndexEntry(path, repository.create_blob(entry.content), pygit2.enums.FileMode.BLOB))
    found = repository[index.write_tree(repository)]
    assert isinstance(found, pygit2.Tree)
    return repository, directory, found


def raw_entries(tree: pygit2.Tree) -> list[tuple[bytes, bytes, bytes]]:
    return [(b"%o" % int(entry.filemode), entry.raw_name or b"", entry.id.raw) for entry in tree]


def raw_tree(entries: Sequence[tuple[bytes, bytes, bytes]]) -> bytes:
    return b"".join(b"%s %s\0%s" % entry for entry in entries)


@contextlib.contextmanager
def written() -> Iterator[list[str]]:
    """Objects that are gone again afterwards."""
    ids = list[str]()
    try:
        yield ids
    finally:
        for oid in ids:
            Path(scratch()[0].path, "objects", oid[:2], oid[2:]).unlink(missing_ok=True)


def objects(mutator: Mutator) -> None:
    """Trees and commits as git keeps them, with odd names, kinds and times: read as they are, or refused."""
    repository, _, whole = scratch()
    with written() as ids:
        if mutator.chance.random() < 0.2:
            return commit_object(mutator, repository, whole, ids)
        return tree_object(mutator, repository, whole, ids)


def tree_object(mutator: Mutator, repository: pygit2.Repository, whole: pygit2.Tree, ids: list[str]) -> None:
    chance = mutator.chance
    blob = next(entry.id.raw for entry in whole if isinstance(entry, pygit2.Blob))
    below = chance.choice([(), ("projects",), ("hosts",), ("projects", "demo"), ("operations",)])
    node: Any = whole
    for name in below:
        node = node / name
    entries = raw_entries(node)
    for _ in range(chance.randint(1, 3)):
        mode, place = chance.choice(MODES), chance.randint(0, len(entries))
        oid = whole.id.raw if mode.lstrip(b"0") == b"40000" else blob
        entries.insert(place, (mode, chance.choice(NAMES), chance.choice((oid, oid, oid, b"\0" * 20))))
    raw = raw_tree(entries)
    odd = mutator.data(raw) if chance.random() < 0.2 else raw
    for depth in range(len(below), -1, -1):
        oid = repository.odb.write(TREE, odd)
        ids.append(str(oid))
        if depth == 0:
            break
        parent: Any = whole
        for name in below[: depth - 1]:
            parent = parent / name
        kept = [e for e in raw_entries(parent) if e[1] != below[depth - 1].encode()]
        odd = raw_tree(sorted([*kept, (b"40000", below[depth - 1].encode(), oid.raw)], key=lambda e: e[1]))
    try:
        found = repository.get(oid)
    except (ValueError, pygit2.GitError):
        return  # git itself cannot read it, and the mirror has no such tree
    if not isinstance(found, pygit2.Tree):
        return
    limits = TreeLimits(files=500, directories=200, depth=8)
    try:
        tree = read_tree(repository, found, limits)
        differing = set(differing_paths(whole, found, limits))
    except ReconcilerError:
        return
    unfit = [p for p in tree.files if {"", ".", ".."} & set(p.split("/"))]
    if unfit:
        raise AssertionError(f"{unfit} are read as paths")
    kinds = {path: (each.kind, each.content) for path, each in tree.files.items()}
    before = {path: (each.kind, each.content) for path, each in small().files.items()}
    missed = {p for p in kinds.keys() | before.keys() if kinds.get(p) != before.get(p)} - differing
    if missed:
        raise AssertionError(f"the change of {missed} is not seen")
    links = [p for p, each in tree.files.items() if each.kind in (FileKind.SYMLINK, FileKind.SUBMODULE)]
    try:
        load(tree)
    except ReconcilerError:
        return
    if any(p.startswith(("projects/", "hosts/", "operations/")) for p in links):
        raise AssertionError(f"{links} are read over")


PERSONS = b"A <a@example.test> 1700000000 +0000"


def commit_object(mutator: Mutator, repository: pygit2.Repository, whole: pygit2.Tree, ids: list[str]) -> None:
    raw = b"tree %s\nauthor %s\ncommitter %s\n\nRaise\n" % (str(whole.id).encode(), PERSONS, PERSONS)
    times = (b"99999999999999999", b"-99999999999999999", b"253402300800", b"0", b"9223372036854775807")
    if mutator.chance.random() < 0.5:
        raw = raw.replace(b"1700000000", mutator.chance.choice(times))
    if mutator.chance.random() < 0.8:
        raw = mutator.data(raw, (b"\xff\xfe <\x80> ", b"+9999", b"encoding x\n", b"gpgsig -----BEGIN\n x\n"))
    oid = repository.odb.write(COMMIT, raw)
    ids.append(str(oid))
    try:
        found = repository.get(oid)
    except (ValueError, pygit2.GitError):
        return
    if isinstance(found, pygit2.Commit):
        with contextlib.suppress(ReconcilerError):
            _info(found)


# -- rendered models -----------------------------------------------------------------------------------------------

SOCKET = {"type": "bind", "source": "/var/run/docker.sock", "target": "/run/docker.sock", "read_only": True}
ETC = {"type": "bind", "source": "/etc", "target": "/x", "read_only": True}
DANGERS: tuple[tuple[str, Any, str], ...] = (
    ("privileged", True, "privileged"), ("cap_add", ["SYS_ADMIN"], "cap-add"),
    ("security_opt", ["seccomp:unconfined"], "security-opt"), ("devices", [{"source": "/dev/sda"}], "devices"),
    ("network_mode", "host", "host-namespace"), ("pid", "host", "host-namespace"), ("ipc", "host", "host-namespace"),
    ("userns_mode", "host", "host-namespace"), ("volumes", [SOCKET], "socket-bind"),
    ("volumes", [ETC], "host-path-bind"),
    ("sysctls", {"net.ipv4.ip_forward": "1"}, "sysctl"), ("cgroup_parent", "/", "cgroup-parent"),
    ("runtime", "other", "runtime"), ("use_api_socket", True, "api-socket"), ("provider", {"type": "x"}, "provider"),
    ("post_start", [{"command": ["x"], "privileged": True}], "privileged-hook"),
    ("volumes_from", ["container:x"], "volumes-from"), ("oom_kill_disable", True, "out-of-memory"),
    ("logging", {"driver": "syslog"}, "logging"), ("external_links", ["x"], "external-links"),
    ("container_name", "other-production-db-1", "taken-name"), ("annotations", {"a": "b"}, "annotations"),
    ("labels", {"com.docker.compose.project": "other"}, "reserved-label"), ("new_key_of_compose", 1, "unknown-key"),
)  # fmt: skip
"""Keys of a service with a value that needs a waiver, and the check that says so."""

AROUND = Surroundings("shop-production", ("other-production",), ("/var/run/docker.sock", "/var/lib/reconciler"))


@cache
def rendering() -> Any:
    environment, model = repositories.rendered(sample(), "shop/production")
    host = load(sample()).host(environment.targets[0].host)
    return environment, model, host, repositories.resolved(model), repositories.FINGERPRINTER


def planted(model: Mapping[str, Any], service: str, key: str, value: Any) -> dict[str, Any]:
    """The model with something dangerous in one service, beside what stands there already."""
    services = dict(model["services"])
    before = services[service].get(key)
    if isinstance(value, list) and isinstance(before, list):
        value = [*before, *value]
    elif isinstance(value, dict) and isinstance(before, dict):
        value = {**before, **value}
    services[service] = {**services[service], key: value}
    return {**model, "services": services}


def still_there(model: Any, service: str, key: str, value: Any) -> bool:
    """Whether the dangerous thing is there as it was planted."""
    services = model.get("services") if isinstance(model, dict) else None
    found = services.get(service) if isinstance(services, dict) else None
    there = found.get(key) if isinstance(found, dict) else None
    if isinstance(value, list) and isinstance(there, list):
        return any(type(each) is type(value[0]) and each == value[0] for each in there)
    if isinstance(value, dict) and isinstance(there, dict):
        return all(there.get(name) == each for name, each in value.items())
    if value is True:
        return there is not None and str(there).strip().lower() not in ("", "false", "no", "off", "0")
    return type(there) is type(value) and there == value


def repository_of(model: Any, service: str) -> str:
    """The repository of a service's image, in the simplest way."""
    image = str(model["services"][service].get("image", "")).partition("@")[0]
    return image if ":" not in image.rpartition("/")[2] else image.rpartition(":")[0]


PEOPLE = Principals((Person("anna", (1,)),))


def verdict(model: Any, waivers: tuple[Waiver, ...], removal: Removal) -> Verdict:
    environment = rendering()[0]
    facts = TargetFacts(environment.targets[0], "production", model, False, AROUND)
    request = PolicyRequest((Action.DEPLOY,), (facts,), (1,), (), removal=removal)
    return evaluate(request, Policy((), "d"), PEOPLE, {environment.name: waivers})


NOTHING_GOES = Removal(1, 1)


@cache
def the_finding(service: str, place: int) -> Finding:
    """What is denied of a model with one dangerous thing in it."""
    key, value, check = DANGERS[place]
    denied = verdict(planted(rendering()[1].model, service, key, value), (), NOTHING_GOES).denied
    return next(finding for finding in denied if finding.rule == check)


def model(mutator: Mutator) -> None:
    """What Compose rendered, with something dangerous and an odd value in it: a target or problems, and the danger is
    denied as long as it is there, and waived only as exactly what it was.
    """
    chance = mutator.chance
    environment, rendered, host, images, fingerprinter = rendering()
    service, place = chance.choice(sorted(rendered.model["services"])), chance.randrange(len(DANGERS))
    key, value, check = DANGERS[place]
    dangerous = chance.random() < 0.7
    start = planted(rendered.model, service, key, value) if dangerous else rendered.model
    typed = chance.random() < 0.7
    odd = mutator.same_kinds(start) if typed else mutator.value(start)
    removal = NOTHING_GOES
    if not isinstance(odd, dict) or not written_by_compose(odd):
        return
    if typed:
        removal = removed(rendered.model, odd)
        goal(environment, replace(rendered, model=odd), host, images, fingerprinter)
    waivers = (Waiver((the_finding(service, place).digest or "")[:WAIVER_DIGITS], "w"),) if dangerous else ()
    plainly, waived = verdict(odd, (), removal), verdict(odd, waivers, removal)
    there = dangerous and still_there(odd, service, key, value)
    if there and check not in {finding.rule for finding in plainly.denied}:
        raise AssertionError(f"{key}: {value!r} of {service} is there, and nobody denies it")
    named = [finding for finding in waived.findings if finding.waived]
    same = there and repository_of(odd, service) == repository_of(start, service)
    if named and not same:
        raise AssertionError(f"{[finding.text for finding in named]} is waived, and is not what was waived")
    if any(finding.waived for finding in plainly.findings):
        raise AssertionError("something is waived, and nothing waives it")
    if len(plainly.denied) - len(waived.denied) != len(named):
        raise AssertionError("a waiver takes away more than it names")
    if removal.after == 0 and not any(finding.rule == "mass-removal" for finding in plainly.denied):
        raise AssertionError("nothing is left, and nobody denies it")


def written_by_compose(odd: Any) -> bool:
    """Whether it is JSON as Go writes and the renderer takes it: exact numbers, whole characters."""
    try:
        return bool(canonical(odd))
    except ValueError:
        return False


def removed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Removal:
    """What a change from one model to the other takes away, as control counts it."""
    was, now = set(running(before)), set(running(after))
    scaled = {
        name: each.get("scale", each.get("deploy", {}).get("replicas")) for name, each in after["services"].items()
    }
    off = {name for name, count in scaled.items() if count == 0}
    if now & off or not now <= set(after["services"]):
        raise AssertionError(f"{sorted(now)} are taken for running, and {sorted(off)} have no container")
    gone = tuple(sorted(was - now))
    return Removal(len(was), len(now), ((rendering()[0].name, gone),) if gone else ())


def goal(environment: Any, rendered: Any, host: Any, images: Any, fingerprinter: Any) -> None:
    """One target as it shall be: nothing of the model reaches Compose but by digest, outside or read-only."""
    try:
        target = target_model(
            environment=environment,
            target=environment.targets[0],
            host=host,
            rendered=rendered,
            tree=sample(),
            images=images,
            fingerprinter=fingerprinter,
        )
    except ReconcilerError:
        return
    executed = target.execution_model
    for section in ("networks", "volumes"):
        if not all(each.get("external") is True for each in executed.get(section, {}).values()):
            raise AssertionError(f"Compose could make or remove {section}")
    exact = {each.deploy_as for each in images.values()}
    for name, service in executed["services"].items():
        if service["image"] not in exact and service["image"] in {s.image for s in target.services} & set(images):
            raise AssertionError(f"{name} would run {service['image']}, which no digest names")
        if {"build", "provider", "extends", "env_file", "use_api_socket", "models"} & {
            k for k, v in service.items() if v
        }:
            raise AssertionError(f"{name} would have Compose do more than run a container")
        for mount in service.get("volumes") or ():
            source = str(mount.get("source") or "")
            if mount.get("type") == "bind" and (not source.startswith("/") or "/../" in source.removeprefix("/..")):
                raise AssertionError(f"{name} would mount {source}, which Compose reads from somewhere")
            if source.startswith(f"{host.directory}/files/") and not mount.get("read_only"):
                raise AssertionError(f"{name} could write into {source}")


def changed_files(mutator: Mutator) -> None:
    """The files of a change: whatever a diff does not show is named."""
    chance = mutator.chance
    path = chance.choice(sorted(small().files))
    content = mutator.data(small().files[path].content, (b"x" * 3000, b"\0", b"\xff", b"\n" * 50))
    tree = with_file(small(), path, content)
    rules = {finding.rule for finding in unseen((path, "gone"), tree.files)}
    binary = b"\0" in content or content.decode("utf-8", "ignore").encode() != content
    endless = not binary and any(len(line) > 2000 for line in content.decode().split("\n"))
    if rules != {*(("binary-files",) if binary else ()), *(("long-lines",) if endless else ())}:
        raise AssertionError(f"{content[:200]!r} is said to be {rules}")


# -- plans ---------------------------------------------------------------------------------------------------------

WEB = {
    "image": "demo:1", "command": ["serve", "--port", "80"], "environment": {"A": "1", "B": "two"}, "user": "1000",
    "ports": [{"target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"}], "restart": "always",
    "labels": {"a": "b"}, "volumes": [{"type": "volume", "source": "data", "target": "/data"}], "mem_limit": "67108864",
    "networks": {"default": None, "back": {"aliases": ["w"]}}, "cap_add": ["NET_ADMIN"], "read_only": True,
    "stop_grace_period": "10s", "deploy": {"replicas": 2}, "working_dir": "/srv",
    "depends_on": {"db": {"restart": True}},
}  # fmt: skip
DB = {
    "image": "db:5", "entrypoint": ["/run"], "ulimits": {"nofile": {"soft": 5, "hard": 6}}, "sysctls": {"a": "1"},
    "healthcheck": {"test": ["CMD", "x"], "interval": "5s", "retries": 3}, "security_opt": ["no-new-privileges:true"],
    "extra_hosts": ["a=192.0.2.1"], "tmpfs": ["/tmp:size=1"], "dns": ["192.0.2.2"], "logging": {"driver": "local"},
    "volumes": [{"type": "bind", "source": "/srv/x", "target": "/x", "read_only": True}], "privileged": False,
    "devices": [{"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rwm"}], "hostname": "db",
}  # fmt: skip
SERVICES: Mapping[str, Mapping[str, Any]] = {"web": WEB, "db": DB}


def target_of(services: Mapping[str, Any]) -> DesiredTarget | None:
    """A target of these services; None for what Compose would not have rendered."""
    mounts = [mount for service in services.values() for mount in service["volumes"]]
    if not all(m["type"] == "bind" or (m["type"] == "volume" and m["source"] in ("data", "")) for m in mounts):
        return None
    try:
        made = tuple(a_service(name, rendered) for name, rendered in sorted(services.items()))
        if not all(isinstance(each.replicas, int) and 0 <= each.replicas <= 20 for each in made):
            return None
        target = a_target(
            tuple(replace(each, bundles=(a_bundle(),)) if each.name == "web" else each for each in made),
            networks=(a_network("back"), a_network("default")),
            volumes=(a_volume("data"),),
        )
        deployed(target)
    except (ValueError, KeyError, OverflowError):
        return None
    return target


def plan_between(wanted: DesiredTarget, live: DesiredTarget) -> Plan:
    state = deployed(live)
    return diff.plan(wanted, state, diff.compare(wanted, state, {}, FINGERPRINTER), resolutions(wanted))


def carried_out(wanted: DesiredTarget, plan: Plan) -> object:
    """All that carrying out a plan takes from the plan and the target."""
    touched = {operation.service for operation in plan.operations if isinstance(operation, ServiceOperation)}
    bodies = {
        service.name: (
            {key: value for key, value in service.execution.items() if key != "environment"},
            [(value.name, value.fingerprint) for value in service.environment],
        )
        for service in wanted.services
        if service.name in touched
    }
    operations = [digested_operation(operation) for operation in plan.operations]
    return plain([str(plan.target), plan.engine_id, operations, plan.images, plan.files, bodies])


def plans(mutator: Mutator) -> None:
    """Two odd models and a host between them: nothing to do where nothing differs, one digest for one piece of work,
    and what is nobody's of ours is spared.
    """
    chance = mutator.chance
    services = mutator.same_kinds(SERVICES)
    wanted, other = target_of(services), target_of(mutator.same_kinds(services))
    live = target_of(mutator.same_kinds(SERVICES))
    if wanted is None or other is None or live is None:
        return
    differs = diff.compare(wanted, deployed(wanted), {}, FINGERPRINTER)
    if differs:
        raise AssertionError(f"a host that runs exactly that differs: {differs[0]}")
    one, two = plan_between(wanted, live), plan_between(other, live)
    if (one.digest == two.digest) != (
        carried_out(wanted, one) == carried_out(other, two)
    ) and one.changes == two.changes:
        raise AssertionError("two plans of one digest do different things, or one thing has two digests")
    if one.digest == two.digest and carried_out(wanted, one) != carried_out(other, two):
        raise AssertionError("two plans of one digest do different things")
    again = decode_plan(json.loads(json.dumps(encode_plan(one))))
    if again.digest != one.digest or carried_out(wanted, again) != carried_out(wanted, one):
        raise AssertionError("the stored plan is another one")
    shown(wanted, one)
    state = deployed(live)
    strange = tuple(replace(c, labels={}) if c.service == "db" else c for c in state.containers)
    mixed = replace(state, containers=tuple(chance.sample(strange, len(strange))))
    first = diff.plan(wanted, mixed, diff.compare(wanted, mixed, {}, FINGERPRINTER), resolutions(wanted))
    spares_strangers(first.operations, mixed)
    sorted_state = replace(state, containers=strange)
    same = diff.plan(wanted, sorted_state, diff.compare(wanted, sorted_state, {}, FINGERPRINTER), resolutions(wanted))
    if same.digest != first.digest:
        raise AssertionError("the order in which containers are listed changes the plan")


HEAD = "a" * 40


def shown(wanted: DesiredTarget, plan: Plan) -> None:
    """Whatever a plan names, its comment says which plan it is, and nothing in it looks like somebody else's."""
    section = plan_section(HEAD, [plan])
    found = read_marker(section.text)
    if found is None or not found.intact or dict(found.digests) != {str(wanted.target): plan.digest}:
        raise AssertionError(f"the comment of a plan is read back as {found}")


@cache
def whole_section() -> str:
    wanted, live = target_of(SERVICES), target_of({**SERVICES, "web": {**WEB, "image": "demo:0"}})
    assert wanted is not None
    assert live is not None
    return plan_section(HEAD, [plan_between(wanted, live)]).text


def markers(mutator: Mutator) -> None:
    """A comment that looks like ours, edited by whoever may: intact where the plan in it is as we wrote it."""
    whole = whole_section().encode()
    nested = b'{"a":' * 3000 + b"1" + b"}" * 3000
    body = mutator.data(whole, (whole, nested, b'targets={"a":[]}', b"<!--", b"-->\n")).decode(errors="replace")
    found = read_marker(body)
    if found is not None and found.intact and found.section == digest_of_section():
        kept = whole_section().split("\n", 1)[1]
        if kept.strip() not in body.replace("\r\n", "\n"):
            raise AssertionError(f"{body!r} is taken for what we wrote")


def digest_of_section() -> str:
    found = read_marker(whole_section())
    assert found is not None
    return found.section


DOORS = (
    Door("files", 0.03, files),
    Door("compose", 0.04, compose),
    Door("objects", 0.03, objects),
    Door("models", 0.03, model),
    Door("changes", 0.05, changed_files),
    Door("plans", 0.02, plans),
    Door("markers", 0.02, markers),
)
