"""Desired-state repositories for the tests of reconciler.desired: the sample, and changed copies of it."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from reconciler.compose.rendering import SandboxRenderer
from reconciler.desired import image_references, load, render_input, target_model
from reconciler.model.desired import DesiredTarget, EnvironmentSpec, Rendered
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import ImageResolution, ResolvedImage
from reconciler.model.revision import FileKind, Tree, TreeFile
from reconciler.model.target import EnvironmentName

ROOT = Path(__file__).parents[3]
FINGERPRINTER = Fingerprinter("test", b"a key of the tests")
IMAGE_ID = "sha256:" + "ab" * 32
RENDERER = SandboxRenderer(None)


@cache
def sample() -> Tree:
    """desired_state/ as a tree."""
    return tree_of(ROOT / "desired_state")


def tree_of(root: Path) -> Tree:
    files = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            executable = path.stat().st_mode & stat.S_IXUSR
            kind = FileKind.EXECUTABLE if executable else FileKind.FILE
            files[path.relative_to(root).as_posix()] = TreeFile(kind, path.read_bytes())
    return Tree("", files)


def with_files(tree: Tree, files: Mapping[str, str | bytes | TreeFile | None]) -> Tree:
    """The tree with files written or, by None, removed."""
    result = dict(tree.files)
    for path, content in files.items():
        if content is None:
            del result[path]
        elif isinstance(content, TreeFile):
            result[path] = content
        else:
            data = content.encode() if isinstance(content, str) else content
            kind = result[path].kind if path in result else FileKind.FILE
            result[path] = TreeFile(kind, data)
    return replace(tree, files=result)


def edited(tree: Tree, edits: Sequence[Mapping[str, Any]]) -> Tree:
    """The tree after the edits of a case: find and put, write, append, kind, hex or remove."""
    for edit in edits:
        path = edit["file"]
        if "find" in edit:
            text = tree.files[path].content.decode()
            assert text.count(edit["find"]) >= 1, f"{path} has no {edit['find']!r}"
            tree = with_files(tree, {path: text.replace(edit["find"], edit["put"], 1)})
        elif "append" in edit:
            tree = with_files(tree, {path: tree.files[path].content.decode() + edit["append"]})
        elif "write" in edit:
            tree = with_files(tree, {path: edit["write"]})
        elif "hex" in edit:
            tree = with_files(tree, {path: bytes.fromhex(edit["hex"])})
        elif "kind" in edit:
            tree = with_files(tree, {path: TreeFile(FileKind(edit["kind"]), b"elsewhere")})
        else:
            assert edit["remove"] is True
            tree = with_files(tree, {path: None})
    return tree


ENVIRONMENT = """\
hosts: [web-1]
tier: production
"""


def one_environment(compose: str, environment: str = ENVIRONMENT, files: Mapping[str, str] | None = None) -> Tree:
    """The sample's hosts and people with a single environment, demo/production."""
    kept = {path: entry for path, entry in sample().files.items() if not path.startswith("projects/")}
    base = "projects/demo/production"
    written = {f"{base}/environment.yaml": environment, f"{base}/compose.yaml": compose}
    return with_files(Tree("", kept), {**written, **(files or {})})


def rendered(tree: Tree, name: str = "demo/production") -> tuple[EnvironmentSpec, Rendered]:
    environment = load(tree).environment(EnvironmentName.parse(name))
    assert environment is not None
    return environment, RENDERER.render(render_input(tree, environment))


def resolved(model: Rendered) -> dict[str, ImageResolution]:
    """Every image of the model, as one that the host has."""
    return {each: ResolvedImage(each, IMAGE_ID, IMAGE_ID, True) for each in image_references(model)}


def target_of(
    tree: Tree, name: str = "demo/production", images: Mapping[str, ImageResolution] | None = None
) -> DesiredTarget:
    """The first target of an environment, rendered by the real Compose."""
    environment, model = rendered(tree, name)
    target = environment.targets[0]
    host = load(tree).host(target.host)
    assert host is not None
    return target_model(
        environment=environment,
        target=target,
        host=host,
        rendered=model,
        tree=tree,
        images=resolved(model) if images is None else images,
        fingerprinter=FINGERPRINTER,
    )
