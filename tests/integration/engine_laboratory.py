"""Plans carried out on a real engine with the real Compose, without SSH: for the tests of the diff.

The engine's answers are read as over SSH (hosts/engine_output), the models are rendered and executed as in production.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import diff
from reconciler.compose.driving import ComposeProgram
from reconciler.compose.rendering import SandboxRenderer
from reconciler.demo.machine import Engine
from reconciler.desired.bundles import bundle_contents, bundle_path
from reconciler.desired.execution import image_references, removed_target, target_model
from reconciler.desired.render_input import render_input
from reconciler.hosts import engine_output
from reconciler.model.change import Change
from reconciler.model.desired import DesiredNetwork, DesiredTarget, EnvironmentSpec, HostSpec
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import (
    EngineIdentity,
    ImageResolution,
    MissingImage,
    ObservedContainer,
    ObservedState,
    ResolvedImage,
)
from reconciler.model.plan import (
    CreateDirectory,
    CreateNetwork,
    CreateVolume,
    Operation,
    Plan,
    PullImage,
    RecreateNetwork,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    ShipFiles,
    StartService,
)
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.model.target import EnvironmentName, Target

FINGERPRINTER = Fingerprinter("test", b"a key that is no secret")


class Laboratory:
    """One environment of one project on one engine; `project` has to be its own in that engine."""

    def __init__(self, engine: Engine, directory: Path, project: str) -> None:
        self.engine = engine
        self.project = project
        self.host = HostSpec("host", "127.0.0.1", 22, "root", None, directory=str(directory))
        self.renderer = SandboxRenderer(None)
        self.driver = ComposeProgram()
        self.tree = Tree("", {})

    def desired(self, compose: str, files: Mapping[str, str] | None = None, **environment: Any) -> DesiredTarget:
        """What git says when the project's only Compose file is this one."""
        contents = {"projects/p/e/compose.yaml": compose, **(files or {})}
        self.tree = Tree("", {path: TreeFile(FileKind.FILE, text.encode()) for path, text in contents.items()})
        spec = self._environment(**environment)
        rendered = self.renderer.render(render_input(self.tree, spec))
        images = {reference: self._resolve(reference) for reference in image_references(rendered)}
        return target_model(
            environment=spec,
            target=Target("p", "e", "host"),
            host=self.host,
            rendered=rendered,
            tree=self.tree,
            images=images,
            fingerprinter=FINGERPRINTER,
        )

    def removed(self, **environment: Any) -> DesiredTarget:
        """What git says when the environment is gone."""
        return removed_target(Target("p", "e", "host"), self.project, self._environment(**environment))

    def observe(self, desired: DesiredTarget | None = None) -> ObservedState:
        """The live state, read as over SSH."""
        listed = self._lines("ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.project}")
        containers = [engine_output.container(answer, FINGERPRINTER, "p/e") for answer in self._inspect("", listed)]
        wanted = {network.name for network in desired.networks} if desired else set()
        answers = self._inspect("network", self._lines("network", "ls", "-q"))
        found = [engine_output.network(answer) for answer in answers]
        networks = [n for n in found if n.name in wanted or n.name.startswith(f"{self.project}_")]
        volumes = self._inspect("volume", self._lines("volume", "ls", "-q"))
        named = [volume.name for volume in desired.volumes] if desired else []
        used = sorted({container.image_id for container in containers})
        return engine_output.state(
            "host",
            self.project,
            EngineIdentity("ENGINE", "20.10", "1.41"),
            containers,
            networks,
            engine_output.volumes({"Volumes": volumes}, self.project, named),
            [engine_output.image(answer, FINGERPRINTER, "p/e") for answer in self._inspect("image", used)],
            (),
            datetime.now(UTC),
        )

    def changes(self, desired: DesiredTarget) -> tuple[Change, ...]:
        """What differs now."""
        return diff.compare(desired, self.observe(desired), {}, FINGERPRINTER)

    def plan(self, desired: DesiredTarget) -> Plan:
        """The plan for now."""
        observed = self.observe(desired)
        changes = diff.compare(desired, observed, {}, FINGERPRINTER)
        return diff.plan(desired, observed, changes, self._resolutions(desired))

    def deploy(self, desired: DesiredTarget) -> Plan:
        """Carry the plan out; fails where an operation does."""
        plan = self.plan(desired)
        assert not plan.obstacles, plan.obstacles
        for stage in plan.stages:
            for index in stage:
                self.perform(desired, plan.operations[index])
        return plan

    def perform(self, desired: DesiredTarget, operation: Operation) -> None:
        """One operation, as a host does it."""
        docker = self.engine.docker
        match operation:
            case ShipFiles(bundle=bundle):
                root = Path(bundle_path(self.host, bundle))
                for path, content in bundle_contents(self.tree, bundle).items():
                    file = root / path if bundle.is_directory else root
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
            case PullImage(deploy_as=deploy_as):
                docker("image", "inspect", deploy_as)
            case CreateDirectory(path=path):
                Path(path).mkdir(parents=True, exist_ok=True)
            case CreateNetwork(network=network):
                self._create_network(network)
            case RecreateNetwork(network=network, disconnects=disconnects):
                for container in disconnects:
                    docker("network", "disconnect", "--force", network.name, container)
                docker("network", "rm", network.name)
                self._create_network(network)
            case RemoveNetwork(name=name):
                docker("network", "rm", name)
            case CreateVolume(volume=volume):
                labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.volume={volume.key}")
                docker("volume", "create", *(f"--label={label}" for label in labels), volume.name)
            case RemoveVolume(name=name):
                docker("volume", "rm", name)
            case RemoveContainer(container=container):
                docker("rm", "--force", container)
            case _:
                for paused in operation.unpause if isinstance(operation, StartService) else ():
                    docker("unpause", paused)
                model = json.dumps(desired.execution_model).encode()
                result = self.driver.run(self.engine.socket, operation, self.project, model, 120)
                assert result.exit_code == 0, result.output

    def container(self, name: str) -> ObservedContainer:
        """The live container of that name."""
        return next(c for c in self.observe().containers if c.name == name)

    def clean(self) -> None:
        """Remove all of the project from the engine."""
        label = f"label=com.docker.compose.project={self.project}"
        for container in self._lines("ps", "-aq", "--filter", label):
            self.engine.docker("rm", "--force", "--volumes", container)
        for network in self._lines("network", "ls", "-q", "--filter", label):
            self.engine.docker("network", "rm", network)
        for volume in self._lines("volume", "ls", "-q", "--filter", label):
            self.engine.docker("volume", "rm", volume)

    def _environment(self, **changes: Any) -> EnvironmentSpec:
        spec = EnvironmentSpec(
            EnvironmentName("p", "e"),
            "projects/p/e",
            ("host",),
            "development",
            self.project,
            ("projects/p/e/compose.yaml",),
        )
        return replace(spec, **changes)

    def _create_network(self, network: DesiredNetwork) -> None:
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.network={network.key}"]
        labels += [f"{name}={value}" for name, value in network.labels]
        options = [f"--label={label}" for label in labels] + [f"--subnet={subnet}" for subnet, _ in network.subnets]
        self.engine.docker("network", "create", *options, *(["--internal"] if network.internal else []), network.name)

    def _resolve(self, reference: str) -> ImageResolution:
        found = self._inspect("image", [reference])
        if not found:
            return MissingImage(reference, "it is not on the host")
        return ResolvedImage(reference, found[0]["Id"], found[0]["Id"], True)

    def _resolutions(self, desired: DesiredTarget) -> dict[str, ImageResolution]:
        return {service.image: self._resolve(service.image) for service in desired.services}

    def _lines(self, *arguments: str) -> list[str]:
        return self.engine.docker(*arguments).split()

    def _inspect(self, kind: str, names: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        known = set(self._lines("image", "ls", "-aq", "--no-trunc")) if kind == "image" else set()
        for name in names:
            if kind == "image" and name not in known and not self._lines("image", "ls", "-q", name):
                continue
            found += json.loads(self.engine.docker(*([kind] if kind else []), "inspect", name))
        return found
