"""The execution model: what Compose gets, rendered by the real Compose, and what is refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.desired import bundle_contents, image_references, load, removed_target, target_model
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import DesiredTarget
from reconciler.model.errors import InvalidInput
from reconciler.model.observed import MissingImage, ResolvedImage
from reconciler.model.revision import Tree
from reconciler.model.target import Target
from tests.unit.desired.repositories import (
    FINGERPRINTER,
    IMAGE_ID,
    edited,
    one_environment,
    rendered,
    sample,
    target_of,
    with_files,
)

BASE = "projects/demo/production"


def service(text: str, files: Mapping[str, str] | None = None, rest: str = "") -> Tree:
    """A repository with the single service `web`, whose keys are `text` in flow style."""
    compose = f"services:\n  web: {{image: 'a:1', {text}}}\n{rest}"
    return one_environment(compose, files={f"{BASE}/{path}": content for path, content in (files or {}).items()})


def execution(tree: Tree) -> Mapping[str, Any]:
    found = target_of(tree).service("web")
    assert found is not None
    return found.execution


def problems_of(tree: Tree, images: Any = None) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        target_of(tree, images=images)
    return [str(problem) for problem in refused.value.problems]


def shop() -> DesiredTarget:
    return target_of(sample(), "shop/production")


def test_every_network_and_volume_is_external_under_its_real_name() -> None:
    model = shop().execution_model
    assert model["networks"] == {
        "back": {"name": "shop-production_back", "external": True},
        "front": {"name": "shop-production_front", "external": True},
    }
    assert model["volumes"] == {"data": {"name": "shop-production_data", "external": True}}


def test_networks_and_volumes_are_described_for_who_makes_them() -> None:
    back, front = shop().networks
    assert (back.key, back.name, back.internal, back.external, back.driver) == (
        "back",
        "shop-production_back",
        True,
        False,
        "bridge",
    )
    assert not front.internal
    assert str(back.location) == "projects/shop/compose.yaml:75"
    assert [volume.name for volume in shop().volumes] == ["shop-production_data"]


def test_the_attributes_of_a_network_and_a_volume_are_kept() -> None:
    rest = (
        "networks:\n  n:\n    name: own\n    driver: bridge\n    driver_opts: {a: b}\n    labels: {x: 'y$$z'}\n"
        "    enable_ipv6: true\n    attachable: true\n    ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.1}]}\n"
        "  theirs: {external: true, name: shared}\n  unused: {}\n"
        "volumes:\n  own: {driver_opts: {type: tmpfs}, labels: {x: y}}\n  theirs: {external: true}\n  unused: {}\n"
    )
    target = target_of(service("networks: [n, theirs], volumes: ['own:/v', 'theirs:/t']", rest=rest))
    own, theirs = target.networks
    assert (own.name, own.driver_options, own.labels) == ("own", (("a", "b"),), (("x", "y$z"),))
    assert (own.ipv6, own.attachable, own.subnets) == (True, True, (("10.9.0.0/24", "10.9.0.1"),))
    assert (theirs.key, theirs.name, theirs.external) == ("theirs", "shared", True)
    assert [(volume.key, volume.name, volume.external) for volume in target.volumes] == [
        ("own", "demo-production_own", False),
        ("theirs", "theirs", True),
    ]
    assert target.volumes[0].driver_options == (("type", "tmpfs"),)


def test_a_network_that_cannot_be_made_as_written_is_refused() -> None:
    rest = "networks: {n: {ipam: {driver: custom, config: [{subnet: 10.9.0.0/24, ip_range: 10.9.0.0/25}]}}}\n"
    assert problems_of(service("networks: [n]", rest=rest)) == [
        f"{BASE}/compose.yaml:3: network 'n': 'ipam.config.ip_range' is not supported by this version (remove it)",
        f"{BASE}/compose.yaml:3: network 'n': 'ipam.driver' is not supported by this version (remove it)",
    ]


def test_each_service_carries_the_owner_label_and_nothing_that_changes_by_revision() -> None:
    for each in shop().services:
        assert each.execution["labels"] == {"dev.reconciler.owner": "reconciler"}
    mine = execution(service("labels: {team: a}"))
    assert mine["labels"] == {"team": "a", "dev.reconciler.owner": "reconciler"}


@pytest.mark.parametrize("label", ["com.docker.compose.project", "dev.reconciler.owner"])
def test_reserved_labels_are_refused(label: str) -> None:
    assert problems_of(service(f"labels: {{{label}: x}}")) == [
        f"{BASE}/compose.yaml:2: service 'web': the label {label} is reserved (remove it) (gate 80)"
    ]


def test_images_are_deployed_in_their_resolved_form() -> None:
    target = shop()
    assert target.images == (("reconciler/sample:1.0", IMAGE_ID),)
    assert {each.execution["image"] for each in target.services} == {IMAGE_ID}
    assert {each.image for each in target.services} == {"reconciler/sample:1.0"}


def test_a_missing_image_keeps_its_reference_and_has_no_hash() -> None:
    target = target_of(service("restart: always"), images={"a:1": MissingImage("a:1", "not found")})
    (web,) = target.services
    assert (web.execution["image"], web.config_hash, target.images) == ("a:1", None, ())


def test_image_references_are_sorted_and_said_once() -> None:
    compose = "services:\n  a: {image: 'b:1'}\n  b: {image: 'a:1'}\n  c: {image: 'b:1'}\n"
    assert image_references(rendered(one_environment(compose))[1]) == ("a:1", "b:1")


def test_a_file_of_the_repository_is_mounted_from_its_digest() -> None:
    tree = service("volumes: ['./app.conf:/etc/app.conf:ro']", {"app.conf": "a=1\n"})
    (mount,) = execution(tree)["volumes"]
    (bundle,) = target_of(tree).services[0].bundles
    assert mount == {
        "type": "bind",
        "source": f"/var/lib/reconciler/files/{bundle.digest}/app.conf",
        "target": "/etc/app.conf",
        "read_only": True,
        "bind": {"create_host_path": False},
    }
    assert (bundle.source, bundle.is_directory) == (f"{BASE}/app.conf", False)
    assert bundle_contents(tree, bundle) == {"app.conf": b"a=1\n"}
    assert bundle.files[0].digest == digest_bytes(b"a=1\n")


def test_a_directory_of_the_repository_is_shipped_as_a_whole() -> None:
    tree = service("volumes: ['./www:/www:ro']", {"www/index.html": "hello", "www/css/a.css": "x"})
    (mount,) = execution(tree)["volumes"]
    (bundle,) = target_of(tree).services[0].bundles
    assert mount["source"] == f"/var/lib/reconciler/files/{bundle.digest}"
    assert bundle.is_directory
    assert bundle_contents(tree, bundle) == {"index.html": b"hello", "css/a.css": b"x"}


def test_a_changed_file_is_a_changed_path_and_a_moved_one_is_not() -> None:
    def source(name: str, content: str) -> str:
        tree = service(f"volumes: ['./{name}/app.conf:/a:ro']", {f"{name}/app.conf": content})
        return str(execution(tree)["volumes"][0]["source"])

    assert source("one", "a") != source("one", "b")
    assert source("one", "a") == source("two", "a")


def test_a_repository_file_cannot_be_mounted_for_writing() -> None:
    (problem,) = problems_of(service("volumes: ['./www:/www']", {"www/a": "x"}))
    assert problem == (
        f"{BASE}/compose.yaml:2: service 'web' mounts './www' of the repository at /www for writing "
        "(add :ro; for data use a named volume, or a directory that is not in the repository)"
    )


def test_a_source_that_is_not_in_the_repository_is_data_of_the_target() -> None:
    target = target_of(service("volumes: ['./data:/data']"))
    (directory,) = target.data_directories
    assert directory.path == "/var/lib/reconciler/data/demo/production/production/data"
    assert str(directory.location) == f"{BASE}/compose.yaml:2"
    (mount,) = target.services[0].execution["volumes"]
    assert mount["source"] == directory.path
    assert mount["bind"] == {"create_host_path": False}
    assert "read_only" not in mount


def test_a_repository_file_inside_a_data_mount_is_refused() -> None:
    tree = service("volumes: ['./data:/data', './app.conf:/data/app.conf:ro']", {"app.conf": "x"})
    (problem,) = problems_of(tree)
    assert problem == (
        f"{BASE}/compose.yaml:2: service 'web' mounts './app.conf' of the repository inside its data at /data "
        "(mount it beside the data directory, not below it)"
    )


def test_a_volume_that_reads_as_a_windows_drive_is_refused() -> None:
    (problem,) = problems_of(service("volumes: ['v:/v']", rest="volumes: {v: {}}\n"))
    assert "'v:/v' is not an absolute path (a volume's name of one letter reads as a Windows drive" in problem


def test_an_absolute_source_is_left_alone_and_never_created() -> None:
    (mount,) = execution(service("volumes: ['/srv/media:/media']"))["volumes"]
    assert mount == {"type": "bind", "source": "/srv/media", "target": "/media", "bind": {"create_host_path": False}}


def test_sources_outside_of_the_project_are_refused() -> None:
    for source, says in (("../../../hosts", "lies outside of projects/demo/"), ("~/x", "names a home directory")):
        tree = one_environment(
            f"services: {{web: {{image: a, volumes: [{{type: bind, source: '{source}', target: /x}}]}}}}\n"
        )
        (problem,) = problems_of(tree)
        assert says in problem


def test_a_config_file_carries_its_digest_in_its_key() -> None:
    rest = "configs: {app: {file: ./app.conf}}\n"
    tree = service("configs: [{source: app, target: /etc/app.conf, mode: 0440}]", {"app.conf": "a"}, rest)
    target = target_of(tree)
    (web,) = target.services
    key = f"app-{web.bundles[0].digest[:12]}"
    assert web.execution["configs"] == [{"source": key, "target": "/etc/app.conf", "mode": 0o440}]
    assert target.execution_model["configs"][key]["file"] == (
        f"/var/lib/reconciler/files/{web.bundles[0].digest}/app.conf"
    )
    changed = target_of(with_files(tree, {f"{BASE}/app.conf": "b"}))
    assert changed.services[0].config_hash != web.config_hash


def test_inline_configs_and_file_secrets_have_explicit_targets() -> None:
    rest = "configs: {motd: {content: 'costs 5 $$'}}\nsecrets: {key: {file: ./key.txt}, pin: {file: ./key.txt}}\n"
    text = "configs: [motd], secrets: [key, {source: pin, target: code}]"
    target = target_of(service(text, {"key.txt": "not really"}, rest))
    (web,) = target.services
    (config,) = web.execution["configs"]
    assert config == {"source": f"motd-{digest_bytes(b'costs 5 $')[:12]}", "target": "/motd"}
    assert target.execution_model["configs"][config["source"]]["content"] == "costs 5 $$"
    assert [each["target"] for each in web.execution["secrets"]] == ["/run/secrets/key", "/run/secrets/code"]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("{environment: KEY}", "comes from a variable: secrets need the SOPS provider"),
        ("{external: true}", "is external, which only Swarm has"),
        ("{file: ./nowhere}", "'./nowhere' is not a file of the repository"),
        ("{file: /etc/passwd}", "'/etc/passwd' is not a file of the repository"),
        ("{file: .}", "'.' is not a file of the repository"),
        ("{file: ../../../principals.yaml}", "lies outside of projects/demo/"),
    ],
)
def test_secrets_that_cannot_be_had_are_refused(item: str, says: str) -> None:
    compose = f"services: {{web: {{image: a, secrets: [key]}}}}\nsecrets: {{key: {item}}}\n"
    tree = one_environment(compose, "hosts: [web-1]\ntier: production\nvariables: {KEY: x}\n")
    (problem,) = problems_of(tree)
    assert says in problem
    assert problem.startswith(f"{BASE}/compose.yaml:1: ")


def test_a_service_that_must_be_built_is_refused_and_one_with_an_image_is_not_built() -> None:
    tree = one_environment("services: {web: {build: .}}\n")
    (problem,) = problems_of(tree)
    assert problem.endswith(
        "service 'web' has no image; nothing is built at apply "
        "(build it elsewhere, push it, and name it under 'image') (gate 75)"
    )
    assert "build" not in execution(service("build: ., pull_policy: build"))


@pytest.mark.parametrize("text", ["use_api_socket: true", "models: [m]"])
def test_what_reaches_beyond_the_container_is_refused(text: str) -> None:
    (problem,) = problems_of(service(text, rest="models: {m: {model: x}}\n" if "models" in text else ""))
    assert "which is not done here" in problem


def test_a_program_beside_compose_is_refused() -> None:
    tree = one_environment("services:\n  web: {image: a}\n  other: {provider: {type: sh}}\n")
    assert any("runs a program beside Compose" in problem for problem in problems_of(tree))


def test_all_problems_of_a_target_are_said_at_once() -> None:
    compose = (
        "services:\n  a: {build: .}\n  b: {image: x, volumes: ['./f:/f']}\n  c: {image: x, use_api_socket: true}\n"
    )
    assert len(problems_of(one_environment(compose, files={f"{BASE}/f": "x"}))) == 3


def test_a_service_behind_a_profile_is_not_there() -> None:
    tree = one_environment("services:\n  web: {image: a}\n  tool: {image: a, profiles: [debug]}\n")
    assert [each.name for each in target_of(tree).services] == ["web"]


def test_a_job_that_is_no_service_is_refused() -> None:
    compose = "services:\n  web: {image: a}\n  tool: {image: a, profiles: [debug]}\n"
    tree = one_environment(compose, "hosts: [web-1]\ntier: production\njobs: [tool]\nbefore: [tool]\n")
    (problem,) = problems_of(tree)
    assert problem == (
        f"{BASE}/environment.yaml: the job 'tool' is not a service "
        "(a service behind a profile does not run; remove it from 'jobs' or mend the name)"
    )


def test_an_environment_without_services_is_refused() -> None:
    (problem,) = problems_of(one_environment("services: {}\n"))
    assert "the model has no services" in problem


def test_jobs_are_declared_or_waited_for() -> None:
    compose = (
        "services:\n  web: {image: a, depends_on: {seed: {condition: service_completed_successfully}, db: "
        "{condition: service_started}}}\n  seed: {image: a}\n  db: {image: a}\n  nightly: {image: a}\n"
    )
    tree = one_environment(compose, "hosts: [web-1]\ntier: production\njobs: [nightly]\n")
    target = target_of(tree)
    assert [each.name for each in target.services if each.is_job] == ["nightly", "seed"]
    web = target.service("web")
    assert web is not None
    assert web.depends_on == ("db", "seed")
    assert "depends_on" not in web.execution


def test_replicas_are_counted_as_compose_counts_them() -> None:
    assert target_of(service("restart: always")).services[0].replicas == 1
    assert target_of(service("deploy: {replicas: 3}")).services[0].replicas == 3
    assert target_of(service("scale: 2")).services[0].replicas == 2
    assert target_of(service("scale: 0")).services[0].replicas == 0
    assert target_of(service("scale: 1000")).services[0].replicas == 1000


@pytest.mark.parametrize("text", ["scale: 2000000000", "deploy: {replicas: 1001}"])
def test_more_containers_than_anybody_means_are_refused_before_each_is_given_a_name(text: str) -> None:
    (problem,) = problems_of(service(text))
    assert "and 1000 are the most" in problem


def test_who_lives_in_the_namespace_of_another_service_names_it_and_has_no_hash() -> None:
    compose = (
        "services:\n  web: {image: a}\n  side: {image: a, network_mode: 'service:web', pid: 'service:web'}\n"
        "  heir: {image: a, volumes_from: ['web:ro']}\n"
    )
    target = target_of(one_environment(compose))
    assert {each.name: (each.namespace_parents, each.config_hash is None) for each in target.services} == {
        "heir": (("web",), True),
        "side": (("web",), True),
        "web": ((), False),
    }


def test_a_dollar_sign_is_one_for_people_and_two_for_compose() -> None:
    tree = service("environment: {PRICE: '5 $$ and $${X}'}, command: [echo, '$$HOME'], labels: {a$$b: c}")
    (web,) = target_of(tree).services
    assert web.environment[0].clear == "5 $ and ${X}"
    assert web.definition["command"] == ["echo", "$HOME"]
    assert web.execution["command"] == ["echo", "$$HOME"]
    assert web.execution["environment"] == {"PRICE": "5 $$ and $${X}"}


def test_environment_values_have_fingerprints_of_their_environment() -> None:
    (web,) = target_of(service("environment: {B: '2', A: '1', E: ''}")).services
    assert [(value.name, value.clear) for value in web.environment] == [("A", "1"), ("B", "2"), ("E", "")]
    assert web.environment[0].fingerprint == FINGERPRINTER.of("demo/production", "A", "1")


def test_label_files_are_read_once_and_not_again_by_who_executes() -> None:
    tree = service("label_file: [l.env]", {"l.env": "team=a\n"})
    assert execution(tree)["labels"]["team"] == "a"
    assert "label_file" not in execution(tree)


def test_the_model_does_not_depend_on_the_order_of_files_or_services() -> None:
    edit = {"file": "projects/shop/production/compose.yaml", "find": "services:", "put": "# first\nservices:"}
    assert target_of(edited(sample(), [edit]), "shop/production").execution_model == shop().execution_model


def test_the_digest_of_a_bundle_does_not_depend_on_the_host() -> None:
    environment, model = rendered(sample(), "status/production")
    hosts = load(sample()).hosts
    images = {each: ResolvedImage(each, IMAGE_ID, None, False) for each in image_references(model)}
    found = [
        target_model(
            environment=environment,
            target=target,
            host=next(host for host in hosts if host.name == target.host),
            rendered=model,
            tree=sample(),
            images=images,
            fingerprinter=FINGERPRINTER,
        )
        for target in environment.targets
    ]
    assert found[0].services == found[1].services
    assert found[0].target != found[1].target


def test_a_target_that_git_no_longer_has_wants_nothing_and_keeps_its_volumes() -> None:
    environment, _ = rendered(sample(), "shop/staging")
    target = Target("shop", "staging", "web-2")
    gone = removed_target(target, "shop-staging", environment)
    assert gone.removed
    assert (gone.services, gone.networks, gone.volumes, gone.remove_volumes) == ((), (), (), ())


@pytest.mark.parametrize("option", ["seccomp=/root/key.json", "seccomp:profile.json", "seccomp=$$HOME/x.json"])
def test_a_seccomp_profile_is_refused_because_compose_would_read_it_from_our_disk(option: str) -> None:
    (problem,) = problems_of(service(f"security_opt: ['{option}']"))
    assert "names a profile, which Compose would read from our disk" in problem
    for known in ("seccomp=unconfined", "seccomp:unconfined", "seccomp=builtin", "no-new-privileges:true"):
        assert execution(service(f"security_opt: ['{known}']"))["security_opt"] == [known]


def test_no_data_directory_lies_below_another_one_so_that_no_container_can_plant_a_link_in_its_path() -> None:
    for source, place in (
        ("./data", "production/data"),
        ("./data/inner", "production/data%2Finner"),
        ("./data%2Finner", "production/data%252Finner"),
        ("../shared/a/b", "shared%2Fa%2Fb"),
    ):
        (directory,) = target_of(service(f"volumes: ['{source}:/data']")).data_directories
        assert directory.path == f"/var/lib/reconciler/data/demo/production/{place}"
    (problem,) = problems_of(service("volumes: ['./data/inner:/inner', './data:/data']"))
    assert "'projects/demo/production/data/inner' lies inside 'projects/demo/production/data'" in problem


@pytest.mark.parametrize("policy", ["on-failure:x", "on-failure:9999999999", "sometimes"])
def test_a_restart_policy_that_no_engine_knows_is_refused(policy: str) -> None:
    (problem,) = problems_of(service(f"restart: '{policy}'"))
    assert f"restart '{policy}' is no policy of the engine" in problem
    for known in ("no", "always", "unless-stopped", "on-failure", "on-failure:3"):
        assert execution(service(f"restart: '{known}'"))["restart"] == known
