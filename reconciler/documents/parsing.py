"""YAML read strictly (gate 76), with the line of every key: what reading.py and the desired state build on.

PyYAML keeps the last of two equal keys in silence, expands aliases without end, and reads `no` as a boolean. So
its node tree is walked here instead: every problem has a line, and only what YAML 1.2 calls a number or a boolean is
one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from reconciler.model.location import Location, Problem

Path = tuple[str | int, ...]

_BOM = "\ufeff"
_MOST_BYTES = 1_000_000
_MOST_NODES = 50_000  # after aliases are expanded; the largest Compose file seen in use has some 5,000
_MOST_DEPTH = 60
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,14})\Z")  # what is longer is no number that anything here means
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?\Z")
UNFIT = re.compile(r"[\x00\ud800-\udfff]")  # what an escape can write and no program takes
_PLAIN = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(
    _PLAIN + word for word in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")
)
_COMPOSE_TAGS = ("!reset", "!override")

FORM = 76
"""The gate's number for YAML that one reader takes otherwise than another."""


def _wrong(place: Location, text: str, hint: str = "") -> Problem:
    return Problem(place, text, hint, gate=FORM)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document as plain values; `lines` holds the line of every key and list item, by its path."""

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int | None:
        """The line of a path, or of the nearest part of it that is there."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def read_text(file: str, data: bytes) -> tuple[str | None, list[Problem]]:
    """The text of a file, None with a problem where it is not plain UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return None, [_wrong(Location(file, line), "is not UTF-8 text", "save the file as UTF-8")]
    if text.startswith(_BOM):
        return None, [
            _wrong(Location(file, 1), "starts with a byte order mark", "save the file as UTF-8 without a BOM")
        ]
    return text, []


def read_node(file: str, data: bytes, *, compose: bool = False) -> tuple[yaml.Node | None, list[Problem]]:
    """The node tree of a file that holds one YAML document; `compose` admits the tags !reset and !override.

    The tree is None where it cannot be walked at all. A tree with duplicate keys or unknown tags comes with problems.
    Nobody changes a node: trees are kept, since the same file is read for base, head and tip, time and again.
    """
    node, problems = _read(file, data, compose)
    return node, list(problems)


class _TooMany(Exception):
    """Thrown inside this module alone."""


class _Bounded(yaml.SafeLoader):
    """Gives up on a file that is too much while it is read: the whole of it would take seconds."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise _TooMany
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


@lru_cache(maxsize=512)
def _read(file: str, data: bytes, compose: bool) -> tuple[yaml.Node | None, list[Problem]]:
    if len(data) > _MOST_BYTES:
        hint = "split the file"
        return None, [_wrong(Location(file), f"is larger than {_MOST_BYTES} bytes", hint)]
    text, problems = read_text(file, data)
    if text is None:
        return None, problems
    try:
        nodes = list(yaml.compose_all(text, Loader=_Bounded))
    except _TooMany:
        return None, [_wrong(Location(file), f"has more than {_MOST_NODES} values", "split the file")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        said = " ".join(part for part in (error.problem, error.context) if part)
        return None, [_wrong(Location(file, line), f"is not YAML: {said}")]
    except (yaml.YAMLError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        return None, [_wrong(Location(file), f"is not YAML: {said}")]
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1
        return None, [_wrong(Location(file, line), "holds several YAML documents", "keep one document in a file")]
    if not nodes or nodes[0] is None:
        return None, [Problem(Location(file), "is empty")]
    problems = _Check(file, _COMPOSE_TAGS if compose else ()).problems_of(nodes[0])
    if any(problem.hint == _BOMB_HINT for problem in problems):
        return None, problems
    return nodes[0], problems


def read_document(file: str, data: bytes) -> tuple[Document | None, list[Problem]]:
    """The values of a file that holds one YAML mapping, and every problem of its form."""
    node, problems = read_node(file, data)
    if node is None:
        return None, problems
    if not isinstance(node, yaml.MappingNode):
        return None, [
            *problems,
            Problem(Location(file, node.start_mark.line + 1), "is not a mapping of keys to values"),
        ]
    lines: dict[Path, int] = {}
    return Document(_value(node, (), lines), lines), problems


def scalar(node: yaml.ScalarNode) -> Any:
    """The value of a scalar as YAML 1.2 reads it: `no`, `on` and 12:30 stay text."""
    if node.style in ("'", '"', "|", ">") or not node.tag.startswith(_PLAIN):
        return node.value
    if node.tag == _PLAIN + "null":
        return None
    if node.tag == _PLAIN + "bool" and node.value.lower() in ("true", "false"):
        return node.value.lower() == "true"
    if node.tag == _PLAIN + "int" and _INTEGER.match(node.value):
        return int(node.value)
    if node.tag == _PLAIN + "float" and _FLOAT.match(node.value):
        return float(node.value)
    return node.value


_BOMB_HINT = "write it out, without aliases that multiply"


class _Check:
    """One walk over a node tree that counts expanded nodes and finds duplicate keys and foreign tags."""

    def __init__(self, file: str, tags: tuple[str, ...]) -> None:
        self._file = file
        self._tags = tags
        self._count = 0
        self._found: set[Problem] = set()

    def problems_of(self, node: yaml.Node) -> list[Problem]:
        if not self._walk(node, 0):
            self._found.add(_wrong(Location(self._file), "expands to too much, or contains itself", _BOMB_HINT))
        return sorted(self._found)

    def _walk(self, node: yaml.Node, depth: int) -> bool:
        self._count += 1
        if self._count > _MOST_NODES or depth > _MOST_DEPTH:
            return False
        if node.tag not in _KNOWN_TAGS and node.tag not in self._tags:
            place = Location(self._file, node.start_mark.line + 1)
            self._found.add(_wrong(place, f"has the unknown tag {node.tag}", "remove the tag"))
        if isinstance(node, yaml.ScalarNode):
            self._check_text(node)
        if isinstance(node, yaml.SequenceNode):
            return all(self._walk(item, depth + 1) for item in node.value)
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    self._found.add(_wrong(Location(self._file, line), "has a key that is not a word"))
                elif key.value in seen:
                    said = f"key '{key.value}' is there twice (first in line {seen[key.value]})"
                    self._found.add(_wrong(Location(self._file, line), said, "keep one of them"))
                else:
                    seen[key.value] = line
                    self._check_text(key)
                if not self._walk(value, depth + 1):
                    return False
        return True

    def _check_text(self, node: yaml.ScalarNode) -> None:
        if UNFIT.search(node.value):
            place = Location(self._file, node.start_mark.line + 1)
            self._found.add(_wrong(place, "has a character that no text has", "remove the escape"))


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        return scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines) for index, item in enumerate(node.value)]
    values: dict[str, Any] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            lines[(*path, key.value)] = key.start_mark.line + 1
            values[key.value] = _value(value, (*path, key.value), lines)
    return values
