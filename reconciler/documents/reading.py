"""One file against its model: what pydantic finds, said with line and nearest word; for repository and settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from reconciler.documents.parsing import Document, Path, read_document
from reconciler.model.location import Location, Problem
from reconciler.model.revision import FileKind, Tree

FileModel = TypeVar("FileModel", bound=BaseModel)

_SAYS = {
    "missing": "is missing",
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "list_type": "should be a list",
    "dict_type": "should be a mapping of keys to values",
    "model_type": "should be a mapping of keys to values",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
}
NOT_A_FILE = 70
"""The gate's number for an entry of a tree that stands for something else than its own bytes."""

_KIND_SAYS = {
    FileKind.SYMLINK: ("is a symbolic link", "put the file itself there"),
    FileKind.SUBMODULE: ("is a git submodule", "put the files themselves into the repository"),
    FileKind.LFS_POINTER: ("is a Git LFS pointer", "put the file itself into the repository"),
}


@dataclass(frozen=True, slots=True)
class ReadFile(Generic[FileModel]):
    """A file that was read: its path, its model and the lines of its keys."""

    file: str
    model: FileModel
    document: Document

    def at(self, *path: str | int) -> Location:
        """Where a key of the file stands."""
        return Location(self.file, self.document.line(path))


def read_file(tree: Tree, file: str, model: type[FileModel], problems: list[Problem]) -> ReadFile[FileModel] | None:
    """Read and check one file; None, and problems added, where it is missing or not as it should be."""
    entry = tree.files.get(file)
    if entry is None:
        problems.append(Problem(Location(file), "is missing"))
        return None
    if entry.kind in _KIND_SAYS:
        return None  # kinds are reported once, by kind_problems
    return read_content(file, entry.content, model, problems)


def read_content(
    file: str, content: bytes, model: type[FileModel], problems: list[Problem]
) -> ReadFile[FileModel] | None:
    """The same for the bytes of a file that is not in a tree."""
    document, found = read_document(file, content)
    problems.extend(found)
    if document is None:
        return None
    try:
        return ReadFile(file, model.model_validate(document.value), document)
    except ValidationError as error:
        schema = model.model_json_schema()
        problems.extend(_problem(file, document, schema, each) for each in error.errors())
    except UnicodeEncodeError:
        pass  # half a character, which some check wanted to quote; it is among the problems already
    return None


def kind_problems(tree: Tree, below: Iterable[str]) -> list[Problem]:
    """Links, submodules and LFS pointers at or below these paths: none of them is what a reviewer saw (gate 70)."""
    places = tuple(below)
    return [
        Problem(Location(path), *_KIND_SAYS[entry.kind], gate=NOT_A_FILE)
        for path, entry in sorted(tree.files.items())
        if entry.kind in _KIND_SAYS and any(path == place or path.startswith(f"{place}/") for place in places)
    ]


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, else all of them when they are few."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known here: {', '.join(words)}" if 0 < len(words) <= 12 else ""


def _problem(file: str, document: Document, schema: Mapping[str, Any], error: Any) -> Problem:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    kind, context = error["type"], error.get("ctx", {})
    name = ".".join(str(part) for part in path)
    place = Location(file, document.line(path))
    if kind == "extra_forbidden":
        return Problem(place, f"unknown key '{name}'", nearest(str(path[-1]), _words(schema, path[:-1])))
    if kind == "literal_error":
        words = re.findall(r"'([^']+)'", context["expected"]) or [context["expected"]]
        return Problem(place, f"'{name}' is '{error['input']}', which is unknown", nearest(str(error["input"]), words))
    if kind == "value_error":
        return Problem(place, f"'{name}' {context['error']}")
    if kind in ("greater_than", "greater_than_equal"):
        return Problem(place, f"'{name}' should be at least {context.get('ge', context.get('gt', 0) + 1)}")
    if kind == "less_than_equal":
        return Problem(place, f"'{name}' should be at most {context['le']}")
    said = _SAYS.get(kind) or error["msg"][:1].lower() + error["msg"][1:]
    return Problem(place, f"'{name}' {said}" if name else said)


def _words(schema: Mapping[str, Any], path: Path) -> list[str]:
    """The keys that a model knows at a path, read from its JSON Schema."""
    node: Mapping[str, Any] = schema
    for part in path:
        node = _resolved(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return sorted(_resolved(schema, node).get("properties", {}))


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            node = option
            break
    if "$ref" in node:
        found: Mapping[str, Any] = schema["$defs"][node["$ref"].rpartition("/")[2]]
        return found
    return node
