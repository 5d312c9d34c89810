"""Where in the repository each part of a model was said last: the causes in a plan. Called by execution.py.

Paths are like `services.web`, `services.web.image`, `services.web.environment.GREETING`, `services.web.ports`,
`services.web.networks.front`, `services.web.volumes./data` (a mount by its target), `networks.front`, `volumes.data`.
Values that arrive by `include` or `extends` have the line of what includes them, which is the nearest that is known.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

import yaml

from reconciler.desired.env_files import read_env_file
from reconciler.desired.render_input import working_directory
from reconciler.documents import read_node
from reconciler.model.desired import EnvironmentSpec
from reconciler.model.location import Location
from reconciler.model.revision import Tree

_MERGE = "<<"
_SECTIONS = ("services", "networks", "volumes", "configs", "secrets")
_ASSIGNMENTS = ("environment", "labels", "annotations", "sysctls", "extra_hosts")  # also written as lists of KEY=VALUE
_NAMED = ("networks", "depends_on", "configs", "secrets")  # also written as lists of names


def causes(tree: Tree, environment: EnvironmentSpec) -> Mapping[str, Location]:
    """The last line that sets each model path, over all Compose files of the environment in their order."""
    index: dict[str, Location] = {}
    base = working_directory(environment)
    for file in environment.compose:
        entry = tree.files.get(file)
        node = read_node(file, entry.content, compose=True)[0] if entry else None
        for section, name, key, value in _items(node):
            path = f"{section}.{name}"
            _set(index, path, Location(file, key.start_mark.line + 1), value)
            if section == "services":
                _service(index, tree, base, file, path, value)
    return index


def _items(node: yaml.Node | None) -> Iterator[tuple[str, str, yaml.Node, yaml.Node]]:
    """Each named item of each section, with the nodes of its key and value."""
    for section, (_, body) in _entries(node).items():
        if section not in _SECTIONS:
            continue
        for name, (key, value) in _entries(body).items():
            yield section, name, key, value


def _entries(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """The keys of a mapping, those of `<<` first and overwritten by its own."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == _MERGE:
            parents = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for parent in reversed(parents):
                merged.update(_entries(parent))
        else:
            own[key.value] = (key, value)
    return {**merged, **own}


def _set(index: dict[str, Location], path: str, place: Location, value: yaml.Node) -> None:
    if value.tag in ("!reset", "!override"):
        for known in [known for known in index if known.startswith(f"{path}.")]:
            del index[known]
    index[path] = place


def _service(index: dict[str, Location], tree: Tree, base: str, file: str, path: str, service: yaml.Node) -> None:
    entries = _entries(service)
    if "env_file" in entries:
        _from_env_files(index, tree, base, path, entries["env_file"][1])
    for name, (key, value) in entries.items():
        field = f"{path}.{name}"
        _set(index, field, Location(file, key.start_mark.line + 1), value)
        _below(index, file, field, name, value)


def _below(index: dict[str, Location], file: str, path: str, name: str, node: yaml.Node) -> None:
    for key, (key_node, value) in _entries(node).items():
        _set(index, f"{path}.{key}", Location(file, key_node.start_mark.line + 1), value)
        _below(index, file, f"{path}.{key}", "", value)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            word = _item_name(name, item)
            if word:
                index[f"{path}.{word}"] = Location(file, item.start_mark.line + 1)


def _item_name(field: str, item: yaml.Node) -> str:
    """What a list item is about, "" where it has no name of its own."""
    if isinstance(item, yaml.MappingNode):
        word = _entries(item).get("target") or _entries(item).get("source")
        return word[1].value if word and isinstance(word[1], yaml.ScalarNode) else ""
    if not isinstance(item, yaml.ScalarNode):
        return ""
    text = str(item.value)
    if field in _ASSIGNMENTS:
        return text.partition("=")[0]
    if field == "volumes":
        parts = text.split(":")
        return parts[1] if len(parts) > 1 else parts[0]
    if field == "ports":
        return text.rpartition(":")[2].partition("/")[0]
    return text if field in _NAMED else ""


def _from_env_files(index: dict[str, Location], tree: Tree, base: str, path: str, node: yaml.Node) -> None:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for item in items:
        chosen = _entries(item)["path"][1] if "path" in _entries(item) else item
        if not isinstance(chosen, yaml.ScalarNode):
            continue
        file = posixpath.normpath(posixpath.join(base, chosen.value))
        entry = tree.files.get(file)
        for variable in read_env_file(file, entry.content)[0] if entry else ():
            index[f"{path}.environment.{variable.name}"] = Location(file, variable.line)
