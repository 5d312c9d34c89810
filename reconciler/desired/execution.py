"""From a rendered model to what one target runs (gate 71, 75, 79): `target_model`.

Called by control before a diff, and again at apply. What Compose gets is never the rendered model but this one: it
cannot touch a network or a volume (all external), reads nothing of the repository (every file under its digest on the
host) and has one fixed form of each image. Strings of the rendered model have `$$` for a dollar sign, since Compose
interpolates what it reads; strings that are put in here follow that, and values that the diff compares are without it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.desired.bundles import bundle_of, bundle_path
from reconciler.desired.causes import causes
from reconciler.desired.compose_hash import config_hash
from reconciler.desired.render_input import project_directory, working_directory
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import (
    Bundle,
    DataDirectory,
    DesiredNetwork,
    DesiredService,
    DesiredTarget,
    DesiredVolume,
    EnvironmentSpec,
    EnvironmentValue,
    HostSpec,
    Rendered,
)
from reconciler.model.errors import InvalidInput
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.location import Location, Problem
from reconciler.model.observed import OWNER_LABEL, OWNER_VALUE, ImageResolution, ResolvedImage
from reconciler.model.revision import Tree
from reconciler.model.target import Target

_NO_SECRETS = "secrets need the SOPS provider, which this version does not have"
_LEFT_OUT = ("build", "develop", "pull_policy", "depends_on", "profiles", "label_file", "env_file", "attach")
_REFUSED = {
    "provider": "runs a program beside Compose instead of a container",
    "models": "starts models through a plugin of Compose",
    "use_api_socket": "gives the container the engine's socket and credentials",
    "credential_spec": "is for Windows containers",
    "extends": "is left over after rendering",
}
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:[0-9]{1,9})?")
_RESERVED_LABELS = ("com.docker.compose.", "dev.reconciler.")
_NAMESPACES = ("network_mode", "ipc", "pid")
MOST_REPLICAS = 1_000
"""Containers of one service: each has a name in the plan, and a number that is out of all reason has no end of them."""

# Numbers of the gate's list
OUTSIDE = 71
OUR_ENVIRONMENT = 73
BUILT = 75
BESIDE = 79
OTHERS = 80
EMPTIED = 84
_FINISHED = "service_completed_successfully"


def image_references(rendered: Rendered) -> tuple[str, ...]:
    """Every image that the services name, as git has it, sorted."""
    services = rendered.model.get("services") or {}
    return tuple(sorted({literal(each["image"]) for each in services.values() if each.get("image")}))


def literal(value: Any) -> Any:
    """A part of a rendered model with `$$` read as the dollar sign that it stands for, keys and values alike."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, Mapping):
        return {literal(key): literal(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [literal(each) for each in value]
    return value


def target_model(
    *,
    environment: EnvironmentSpec,
    target: Target,
    host: HostSpec,
    rendered: Rendered,
    tree: Tree,
    images: Mapping[str, ImageResolution],
    fingerprinter: Fingerprinter,
) -> DesiredTarget:
    """One target as it shall be, and the model that Compose executes for it.

    `images` resolves what `image_references` names; one that is missing keeps the reference of git and is left out
    of `DesiredTarget.images`. Fingerprints have the scope PROJECT/ENVIRONMENT.
    Raises InvalidInput with every problem at once: files that are nowhere, secrets, builds, mounts that would write
    into the repository's files.
    """
    services = rendered.model.get("services") or {}
    work = _Work(environment, host, rendered.model, tree, dict(causes(tree, environment)))
    work.check_names(services)
    jobs = {*environment.jobs, *_waited_for(services)}
    desired = []
    for name, service in sorted(services.items()):
        execution = work.execution(name, service, images)
        values = tuple(
            EnvironmentValue(variable, fingerprinter.of(str(environment.name), variable, value), value)
            for variable, value in sorted(environment_values(service).items())
        )
        image = literal(service.get("image") or "")
        known = isinstance(images.get(image), ResolvedImage)
        desired.append(
            DesiredService(
                name=name,
                definition=literal(service),
                execution=execution,
                image=image,
                environment=values,
                replicas=_replicas(service),
                is_job=name in jobs,
                depends_on=tuple(sorted(set(service.get("depends_on") or ()) & set(services))),
                namespace_parents=_namespace_parents(service),
                bundles=tuple(sorted(work.bundles[name].values(), key=lambda bundle: bundle.source)),
                config_hash=config_hash(execution) if known else None,
                location=work.at(f"services.{name}"),
            )
        )
    networks, volumes = work.networks(services), work.volumes(services)
    if work.problems:
        text = f"{target} cannot run what git says"
        raise InvalidInput(text, tuple(sorted(set(work.problems), key=str)))
    model: dict[str, Any] = {"name": environment.compose_project}
    model["services"] = {service.name: service.execution for service in desired}
    if networks:
        model["networks"] = {each.key: {"name": _dollars(each.name), "external": True} for each in networks}
    if volumes:
        model["volumes"] = {each.key: {"name": _dollars(each.name), "external": True} for each in volumes}
    model.update({section: files for section, files in work.files.items() if files})
    return DesiredTarget(
        target=target,
        compose_project=environment.compose_project,
        services=tuple(desired),
        networks=networks,
        volumes=volumes,
        data_directories=tuple(sorted(work.directories.values(), key=lambda each: each.path)),
        execution_model=model,
        images=tuple(sorted((ref, each.deploy_as) for ref, each in images.items() if isinstance(each, ResolvedImage))),
        health=environment.health,
        before=environment.before,
        remove_volumes=environment.remove_volumes,
        sources=work.sources,
    )


def removed_target(target: Target, compose_project: str, previous: EnvironmentSpec) -> DesiredTarget:
    """A target that git no longer has: nothing shall run. Volumes stay unless the last environment.yaml named them."""
    return DesiredTarget(
        target=target,
        compose_project=compose_project,
        services=(),
        networks=(),
        volumes=(),
        data_directories=(),
        execution_model={"name": compose_project, "services": {}},
        images=(),
        health=previous.health,
        remove_volumes=previous.remove_volumes,
        removed=True,
    )


def mounted_bundles(environment: EnvironmentSpec, rendered: Rendered, tree: Tree) -> tuple[Bundle, ...]:
    """Every repository file or directory that some service of the rendered model mounts, whatever the host."""
    base = working_directory(environment)
    model = rendered.model
    sources = [
        mount["source"]
        for service in (model.get("services") or {}).values()
        for mount in service.get("volumes") or ()
        if mount.get("type") == "bind" and isinstance(mount.get("source"), str)
    ]
    sources += [
        item["file"]
        for section in ("configs", "secrets")
        for item in (model.get(section) or {}).values()
        if isinstance(item.get("file"), str)
    ]
    paths = {posixpath.normpath(posixpath.join(base, literal(source))) for source in sources if source[:1] != "/"}
    found = (bundle_of(tree, path) for path in sorted(paths))
    return tuple(bundle for bundle in found if bundle is not None)


def environment_values(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a rendered service as the container gets them; one without a value is left out."""
    values = literal(service.get("environment") or {})
    return {name: value for name, value in values.items() if value is not None}


def _waited_for(services: Mapping[str, Any]) -> set[str]:
    """Services that another one waits for to end well: they are jobs."""
    return {
        parent
        for service in services.values()
        for parent, how in (service.get("depends_on") or {}).items()
        if how.get("condition") == _FINISHED
    }


def _replicas(service: Mapping[str, Any]) -> int:
    deployed = (service.get("deploy") or {}).get("replicas")
    scaled = service.get("scale")
    return int(scaled if scaled is not None else 1 if deployed is None else deployed)


def _namespace_parents(service: Mapping[str, Any]) -> tuple[str, ...]:
    """Services in whose namespaces or volumes this one lives: it must be recreated with them."""
    shared = [str(service.get(key, "")) for key in _NAMESPACES]
    parents = {each.removeprefix("service:") for each in shared if each.startswith("service:")}
    parents |= {
        each.partition(":")[0] for each in service.get("volumes_from") or () if not each.startswith("container:")
    }
    return tuple(sorted(parents))


def _dollars(text: str) -> str:
    return text.replace("$", "$$")


@dataclass
class _Work:
    """One pass over one environment: it collects problems, bundles, data directories and shipped files."""

    environment: EnvironmentSpec
    host: HostSpec
    model: Mapping[str, Any]
    tree: Tree
    sources: dict[str, Location]
    problems: list[Problem] = field(default_factory=list)
    bundles: dict[str, dict[str, Bundle]] = field(default_factory=dict)
    directories: dict[str, DataDirectory] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=lambda: {"configs": {}, "secrets": {}})

    def at(self, path: str) -> Location:
        """The cause of a path, or of the nearest part of it that has one."""
        while path not in self.sources and "." in path:
            path = path.rpartition(".")[0]
        return self.sources.get(path, Location(self.environment.compose[-1]))

    def problem(self, path: str, text: str, hint: str = "", gate: int | None = None) -> None:
        self.problems.append(Problem(self.at(path), text, hint, gate))

    def check_names(self, services: Mapping[str, Any]) -> None:
        """Services that environment.yaml names must be there; a service behind a profile is not."""
        if not services:
            place = Location(self.environment.compose[-1])
            hint = "remove the environment to remove all"
            self.problems.append(Problem(place, "the model has no services", hint, gate=EMPTIED))
        for name in sorted({*self.environment.jobs, *self.environment.before} - set(services)):
            hint = "a service behind a profile does not run; remove it from 'jobs' or mend the name"
            self.problems.append(Problem(self.environment.location, f"the job '{name}' is not a service", hint))

    def execution(self, name: str, service: Mapping[str, Any], images: Mapping[str, ImageResolution]) -> dict[str, Any]:
        """The service as Compose gets it."""
        path = f"services.{name}"
        self.bundles[name] = {}
        for key, says in _REFUSED.items():
            if service.get(key):
                text = f"service '{name}': '{key}' {says}, which is not done here"
                self.problem(f"{path}.{key}", text, f"remove {key}", BESIDE)
        result = {key: _plain_keys(value) for key, value in service.items() if key not in _LEFT_OUT}
        restart = str(service.get("restart") or "no")
        if not _RESTART.fullmatch(restart):
            text = f"service '{name}': restart '{restart}' is no policy of the engine"
            self.problem(f"{path}.restart", text, "say no, always, unless-stopped, on-failure or on-failure:N")
        for option in literal(service.get("security_opt") or ()):
            if seccomp_file(str(option)):
                text = (
                    f"service '{name}': security_opt '{option}' names a profile, which Compose would read from our disk"
                )
                self.problem(f"{path}.security_opt", text, "leave it to the engine's own profile", OUTSIDE)
        if not 0 <= _replicas(service) <= MOST_REPLICAS:
            text = f"service '{name}': {_replicas(service)} containers are asked for, and {MOST_REPLICAS} are the most"
            self.problem(f"{path}.{'scale' if 'scale' in service else 'deploy.replicas'}", text, "ask for fewer")
        if "blkio_config" in result:
            result["blkio_config"] = _readable_devices(result["blkio_config"])
        self._image(path, name, service, images, result)
        for variable, value in (service.get("environment") or {}).items():
            if value is None:
                text = f"service '{name}': the variable {literal(variable)} has no value"
                hint = "set it; nothing is taken from our own environment"
                self.problem(f"{path}.environment.{variable}", text, hint, OUR_ENVIRONMENT)
        for label in literal(service.get("labels") or {}):
            if label.startswith(_RESERVED_LABELS):
                self.problem(
                    f"{path}.labels.{label}", f"service '{name}': the label {label} is reserved", "remove it", OTHERS
                )
        result["labels"] = {**result.get("labels", {}), OWNER_LABEL: OWNER_VALUE}
        if service.get("volumes"):
            result["volumes"] = [self._mount(name, mount) for mount in service["volumes"]]
            self._check_nesting(name, service["volumes"], result["volumes"])
        for section in ("configs", "secrets"):
            if service.get(section):
                result[section] = [self._reference(name, section, each) for each in service[section]]
        return result

    def _image(
        self,
        path: str,
        name: str,
        service: Mapping[str, Any],
        images: Mapping[str, ImageResolution],
        result: dict[str, Any],
    ) -> None:
        reference = literal(service.get("image") or "")
        if not reference and not service.get("provider"):  # which is refused already
            hint = "build it elsewhere, push it, and name it under 'image'"
            self.problem(f"{path}.build", f"service '{name}' has no image; nothing is built at apply", hint, BUILT)
            return
        resolution = images.get(reference)
        result["image"] = _dollars(resolution.deploy_as if isinstance(resolution, ResolvedImage) else reference)

    def _mount(self, service: str, mount: Mapping[str, Any]) -> dict[str, Any]:
        where, target = f"services.{service}.volumes.{mount.get('target')}", mount.get("target")
        kind = mount.get("type")
        if not str(target).startswith("/"):
            hint = "a volume's name of one letter reads as a Windows drive: use a longer one"
            self.problem(where, f"service '{service}': the mount target '{target}' is not an absolute path", hint)
        if kind not in ("bind", "volume", "tmpfs"):
            self.problem(where, f"service '{service}': mounts of type '{kind}' are not supported", "use a volume")
        if kind != "bind":
            return dict(_plain_keys(mount))
        result = {**_plain_keys(mount), "bind": {**(mount.get("bind") or {}), "create_host_path": False}}
        source = literal(mount.get("source") or "")
        if source.startswith("/"):
            return result
        if source.startswith("~"):
            self.problem(
                where, f"service '{service}': '{source}' names a home directory", "use an absolute path", OUTSIDE
            )
            return result
        path = self._repository_path(where, service, source)
        if path is None:
            return result
        bundle = bundle_of(self.tree, path)
        if bundle is None:
            result["source"] = _dollars(self._data_directory(where, path))
            return result
        self.bundles[service][bundle.source] = bundle
        if not mount.get("read_only"):
            text = f"service '{service}' mounts '{source}' of the repository at {target} for writing"
            hint = "add :ro; for data use a named volume, or a directory that is not in the repository"
            self.problem(where, text, hint)
        result["source"] = _dollars(bundle_path(self.host, bundle))
        return result

    def _repository_path(self, where: str, user: str, source: str) -> str | None:
        path = posixpath.normpath(posixpath.join(working_directory(self.environment), source))
        project = project_directory(self.environment)
        if path != project and not path.startswith(f"{project}/"):
            hint = "keep files in the project's directory; name data of the host by its absolute path"
            self.problem(where, f"service '{user}': '{source}' lies outside of {project}/", hint, OUTSIDE)
            return None
        return path

    def _data_directory(self, where: str, path: str) -> str:
        """Where data lies on the host: one directory for each path, never one below another.

        What containers write to may hold links, and a mount of something inside it would follow them anywhere on the
        host. The environment's own directory holds environment.yaml and so is never data itself.
        """
        base = project_directory(self.environment)
        own = posixpath.relpath(self.environment.directory, base)
        relative = posixpath.relpath(path, base)
        within = f"{own}/" if relative.startswith(f"{own}/") else ""
        flat = relative.removeprefix(within).replace("%", "%25").replace("/", "%2F")
        name = self.environment.name
        place = f"{self.host.directory}/data/{name.project}/{name.environment}/{within}{flat}"
        for other in self.directories.values():
            outer, inner = sorted((other.source, path), key=len)
            if inner.startswith(f"{outer}/"):
                text = f"'{inner}' lies inside '{outer}', which is data that containers write to"
                self.problem(where, text, "mount the outer one alone, or name another directory")
        self.directories[place] = DataDirectory(path, place, self.at(where))
        return place

    def _check_nesting(self, service: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
        """A shipped file below a data mount would have the engine write into the data (and hide what is there)."""
        data = [mount["target"] for mount in after if mount.get("source") in self._data_sources()]
        shipped = {bundle.source for bundle in self.bundles[service].values()}
        base = working_directory(self.environment)
        for mount in before:
            source = literal(mount.get("source") or "")
            if mount.get("type") != "bind" or posixpath.normpath(posixpath.join(base, source)) not in shipped:
                continue
            for outer in data:
                if mount["target"].startswith(outer.rstrip("/") + "/"):
                    text = f"service '{service}' mounts '{source}' of the repository inside its data at {outer}"
                    hint = "mount it beside the data directory, not below it"
                    self.problem(f"services.{service}.volumes.{mount['target']}", text, hint)

    def _data_sources(self) -> set[str]:
        return {_dollars(path) for path in self.directories}

    def _reference(self, service: str, section: str, reference: Mapping[str, Any]) -> dict[str, Any]:
        """A service's use of a config or secret, by a key that holds the digest of its content."""
        key = reference["source"]
        where = f"services.{service}.{section}.{key}"
        result = dict(_plain_keys(reference))
        default = f"/{key}" if section == "configs" else f"/run/secrets/{key}"
        target = result.get("target") or default
        if section == "secrets" and not target.startswith("/"):
            target = f"/run/secrets/{target}"
        mode = result.get("mode")
        if isinstance(mode, str):
            if re.fullmatch(r"0?o?[0-7]{1,4}", mode):
                result["mode"] = int(mode, 8)
            else:
                self.problem(where, f"service '{service}': mode '{mode}' is no octal number", 'write it as "0444"')
        item = (self.model.get(section) or {}).get(key) or {}
        content, told = self._content(where, service, section, key, item)
        if content is not None:
            digested = f"{key}-{told[:12]}"
            self.files[section][digested] = {"name": f"{self.environment.compose_project}_{digested}", **content}
            result["source"] = digested
        result["target"] = target
        return {part: result[part] for part in ("source", "target", "uid", "gid", "mode") if part in result}

    def _content(
        self, where: str, service: str, section: str, key: str, item: Mapping[str, Any]
    ) -> tuple[dict[str, Any] | None, str]:
        """What Compose gets for a config or secret, and the digest for its key; None with a problem."""
        word = section.removesuffix("s")
        if item.get("external"):
            self.problem(
                where, f"the {word} '{key}' is external, which only Swarm has", "name a file of the repository"
            )
        elif item.get("environment"):
            hint = f"use a file for what is not secret; the {word} '{key}' waits for the provider otherwise"
            self.problem(where, f"the {word} '{key}' comes from a variable: {_NO_SECRETS}", hint)
        elif item.get("content") is not None:
            return {"content": item["content"]}, digest_bytes(literal(item["content"]).encode())
        elif item.get("file"):
            source = literal(item["file"])
            path = None if source[:1] in "/~" else self._repository_path(where, service, source)
            bundle = bundle_of(self.tree, path) if path else None
            if bundle is not None and not bundle.is_directory:
                self.bundles[service][bundle.source] = bundle
                return {"file": _dollars(bundle_path(self.host, bundle))}, bundle.digest
            if path or source[:1] in "/~":
                text = f"the {word} '{key}': '{source}' is not a file of the repository"
                self.problem(where, text, "name a file of the project's directory", OUTSIDE)
        return None, ""

    def networks(self, services: Mapping[str, Any]) -> tuple[DesiredNetwork, ...]:
        """The networks that some service joins."""
        used = {key for service in services.values() for key in service.get("networks") or ()}
        return tuple(
            self._network(key, network or {})
            for key, network in sorted((self.model.get("networks") or {}).items())
            if key in used
        )

    def _network(self, key: str, network: Mapping[str, Any]) -> DesiredNetwork:
        where, ipam = f"networks.{key}", network.get("ipam") or {}
        parts = [
            *(f"ipam.{part}" for part in sorted(set(ipam) - {"config"}) if ipam[part] not in ("default", {})),
            *(
                f"ipam.config.{part}"
                for each in ipam.get("config") or ()
                for part in sorted(set(each) - {"subnet", "gateway"})
            ),
            *(part for part in ("enable_ipv4",) if network.get(part) is False),
        ]
        for part in parts:
            self.problem(where, f"network '{key}': '{part}' is not supported by this version", "remove it")
        words = literal(network)
        return DesiredNetwork(
            key=key,
            name=words["name"],
            external=bool(network.get("external")),
            driver=words.get("driver") or "bridge",
            driver_options=_pairs(words.get("driver_opts")),
            internal=bool(network.get("internal")),
            attachable=bool(network.get("attachable")),
            ipv6=bool(network.get("enable_ipv6")),
            subnets=tuple((each.get("subnet", ""), each.get("gateway", "")) for each in ipam.get("config") or ()),
            labels=_pairs(words.get("labels")),
            location=self.at(where),
        )

    def volumes(self, services: Mapping[str, Any]) -> tuple[DesiredVolume, ...]:
        """The named volumes that some service mounts."""
        mounts = [mount for service in services.values() for mount in service.get("volumes") or ()]
        used = {mount["source"] for mount in mounts if mount.get("type") == "volume" and mount.get("source")}
        return tuple(
            DesiredVolume(
                key=key,
                name=literal(volume["name"]),
                external=bool(volume.get("external")),
                driver=literal(volume.get("driver") or "local"),
                driver_options=_pairs(literal(volume.get("driver_opts"))),
                labels=_pairs(literal(volume.get("labels"))),
                location=self.at(f"volumes.{key}"),
            )
            for key, volume in sorted((self.model.get("volumes") or {}).items())
            if key in used
        )


def seccomp_file(option: str) -> bool:
    """Whether Compose takes this for the name of a file, reads it where it runs and sends it to the engine."""
    kind, found, value = option.partition("=")
    if not found:
        kind, _, value = option.partition(":")
    return kind == "seccomp" and value not in ("unconfined", "builtin")


def _pairs(values: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, str(value)) for key, value in (values or {}).items()))


def _readable_devices(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Compose 5.6 writes Path, Rate and Weight here, and refuses them when it reads its own output."""
    return {
        key: [{word.lower(): each for word, each in device.items()} for device in value]
        if isinstance(value, list)
        else value
        for key, value in limits.items()
    }


def _plain_keys(value: Any) -> Any:
    """Keys without `$$`: Compose interpolates values that it reads, not keys."""
    if isinstance(value, Mapping):
        return {literal(key): _plain_keys(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_keys(each) for each in value]
    return value
