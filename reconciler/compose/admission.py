"""Reads the Compose files of one environment before Compose does, and refuses what it must never see; pure, called by
rendering.

Refused (gate 71, 72, 73, 76, 82): YAML that explodes (aliases, depth, size), more than one document, tags that Compose
does not define, variables that steer Compose or the loader, and every include, extends, env_file or label_file that is
remote, outside the tree, interpolated or not there. What is reached from the compose files is all that the sandbox
gets.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
    ScalarEvent,
)
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.desired.visibility import hidden_problem
from reconciler.documents import UNFIT
from reconciler.model.desired import RenderInput
from reconciler.model.location import Location, Problem

LARGEST_FILE = 1 << 20
MOST_FILES = 200
DEEPEST = 64
MOST_NODES = 200_000  # after aliases are written out; a node of long text counts for more
MOST_UPWARD = 20  # ".." in one path; rendering nests its tree deeper than that
LONGEST_VARIABLE = 64 * 1024  # bytes; the kernel takes no string of 128 KiB in an environment
MOST_VARIABLES = 512 * 1024  # bytes of all names and values

_TAGS = frozenset({"!reset", "!override", "!"})
_CORE = "tag:yaml.org,2002:"
_CORE_TAGS = frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))
_REMOTE = re.compile(r"://|^[a-z0-9+.-]+:|^[^/]*@|^github\.com/|\.git(#|$)", re.IGNORECASE)

# Numbers of the gate's list
OUTSIDE = 71
LOADED_BY_ITSELF = 72
OUR_ENVIRONMENT = 73
FORM = 76
RUNS_WHILE_PLANNING = 82
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")
# They would steer Compose, Go or the loader instead of filling in a value.
_RESERVED = re.compile(
    r"^(COMPOSE_|DOCKER_|BUILDKIT|BUILDX_|OTEL_|GO[A-Z]+$|LD_|SSH_|GIT_|XDG_|HOME$|PATH$|PWD$|TMPDIR$)"
)


@dataclass(slots=True)
class Admission:
    """What was reached, by repository path: `files` to write, the YAML and the env files among them."""

    files: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, Node] = field(default_factory=dict)
    env_files: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, file: str, node: Node | int | None, text: str, hint: str = "", gate: int | None = None) -> None:
        line = node.start_mark.line + 1 if isinstance(node, Node) else node
        self.problems.append(Problem(Location(file, line), text, hint, gate))


def admit(inputs: RenderInput) -> Admission:
    """Follow everything that Compose would read. The caller refuses when there are problems."""
    admission = Admission()
    if not inputs.compose:
        admission.problems.append(Problem(Location(inputs.working_directory or "."), "no compose file is named"))
        return admission
    for name, _ in inputs.variables:
        if not _VARIABLE.match(name):
            admission.refuse(inputs.compose[0], None, f"variable '{name}' is not a name that Compose can interpolate")
        elif _RESERVED.match(name):
            admission.refuse(
                inputs.compose[0],
                None,
                f"variable '{name}' cannot be declared: it steers Compose itself",
                "choose another name",
                LOADED_BY_ITSELF if name.startswith(("COMPOSE_", "DOCKER_")) else RUNS_WHILE_PLANNING,
            )
    sizes = [len(f"{name}={value}".encode("utf-8", "surrogatepass")) for name, value in inputs.variables]
    for (name, value), size in zip(inputs.variables, sizes, strict=True):
        if UNFIT.search(value):
            admission.refuse(inputs.compose[0], None, f"variable '{name}' holds a character that no text has")
        if size > LONGEST_VARIABLE:
            admission.refuse(inputs.compose[0], None, f"variable '{name}' is longer than {LONGEST_VARIABLE} bytes")
    if sum(sizes) > MOST_VARIABLES:
        admission.refuse(inputs.compose[0], None, f"the variables have more than {MOST_VARIABLES} bytes together")
    for path in (*inputs.files, *inputs.compose, inputs.working_directory or "."):
        if not _inside(path):
            admission.problems.append(Problem(Location(path), "not a path inside the repository", gate=OUTSIDE))
    if admission.problems:
        return admission
    walk = _Walk(inputs.files, admission)
    for path in inputs.compose:
        walk.document(path, inputs.working_directory, path, None)
    return admission


def undeclared(
    admission: Admission, inputs: RenderInput, names: frozenset[str], *, only_used: bool = False
) -> list[Problem]:
    """A problem for each of `names` (variables that Compose found unset) at each place that uses it, and for one that
    no place seems to use too, unless `only_used`.
    """
    problems: list[Problem] = []
    for name in sorted(names):
        places = list(_uses(admission.files, name)) or ([] if only_used else [Location(inputs.compose[0])])
        for place in places:
            problems.append(
                Problem(
                    place,
                    f"variable '{name}' is neither declared nor given a default",
                    f"declare it under variables or in an env file, or write ${{{name}:-default}}",
                    OUR_ENVIRONMENT,
                )
            )
    return problems


def passed_through(admission: Admission, declared: frozenset[str]) -> list[Problem]:
    """Lines of env files that name a variable without a value: Compose would take it from our own environment."""
    problems = []
    for path, content in sorted(admission.files.items()):
        if path not in admission.env_files:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            name = line.strip().removeprefix("export ").strip()
            if _VARIABLE.match(name) and name not in declared:
                text = f"'{name}' has no value and is not a declared variable"
                problems.append(Problem(Location(path, number), text, f"write {name}= and its value", OUR_ENVIRONMENT))
    return problems


def locate(admission: Admission, main: str, keys: tuple[str, ...]) -> Location:
    """Where a path of keys, as far as it can be followed, stands in the documents; the file `main` otherwise."""
    best, depth = Location(main), 0
    for path, document in admission.documents.items():
        node: Node = document
        for index, key in enumerate(keys, 1):
            step = next(((k, v) for k, v in _entries(node) if k.value == key), None)
            if step is None:
                break
            if index > depth:
                best, depth = Location(path, step[0].start_mark.line + 1), index
            node = step[1]
    return best


def _inside(path: str) -> bool:
    normal = posixpath.normpath(path)
    return (
        path.isprintable()
        and "\\" not in path
        and not path.startswith("/")
        and normal != ".."
        and not normal.startswith("../")
        and path in (normal, normal + "/")
    )


class _Walk:
    """Follows include, extends, env_file and label_file from document to document."""

    def __init__(self, files: Mapping[str, bytes], admission: Admission) -> None:
        self._files = files
        self._admission = admission
        self._seen: set[tuple[str, str]] = set()

    def document(self, path: str, base: str, named_in: str, at: Node | None) -> None:
        """Check one compose file; relative paths in it count from `base`."""
        if (path, base) in self._seen:
            return
        self._seen.add((path, base))
        content = self._take(path, named_in, at)
        if content is None:
            return
        root = self._admission.documents.get(path)
        if root is None:
            found = _read(path, content, self._admission)
            if found is None:
                return
            self._admission.documents[path] = root = found
        for key, value in _entries(root):
            if key.value == "include":
                self._includes(path, base, value)
            elif key.value == "services":
                for _, service in _entries(value):
                    self._service(path, base, service)

    def _service(self, path: str, base: str, service: Node) -> None:
        for key, value in _entries(service):
            if key.value == "extends":
                for inner, file in _entries(value):
                    if inner.value == "file" and (resolved := self._resolve(path, base, file, "extends")) is not None:
                        # What an extended file names counts from its own directory.
                        self.document(resolved, posixpath.dirname(resolved), path, file)
            elif key.value == "env_file":
                self._env_files(path, base, value, "env_file")
            elif key.value == "label_file":
                self._env_files(path, base, value, "label_file")

    def _env_files(self, path: str, base: str, value: Node, what: str) -> None:
        for item in _items(value):
            required, file = True, item
            if isinstance(item, MappingNode):
                named = {key.value: entry for key, entry in _entries(item)}
                if "path" not in named:
                    self._admission.refuse(path, item, f"{what} has no path")
                    continue
                file = named["path"]
                switch = named.get("required")
                required = not (isinstance(switch, ScalarNode) and switch.value.lower() in ("false", "no", "off"))
            resolved = self._resolve(path, base, file, what)
            if resolved is not None and (required or resolved in self._files):
                self._take(resolved, path, file)
                if what == "env_file":
                    self._admission.env_files.add(resolved)

    def _includes(self, path: str, base: str, value: Node) -> None:
        for item in _items(value):
            named = {key.value: entry for key, entry in _entries(item)}
            files = _items(named["path"]) if "path" in named else [item]
            resolved = [r for f in files if (r := self._resolve(path, base, f, "include")) is not None]
            if len(resolved) != len(files) or not resolved:
                continue
            inner = posixpath.dirname(resolved[0])
            if "project_directory" in named:
                directory = self._resolve(path, base, named["project_directory"], "include")
                if directory is None:
                    continue
                inner = "" if directory == "." else directory
            if "env_file" in named:
                self._env_files(path, base, named["env_file"], "env_file")
            elif posixpath.join(inner, ".env") in self._files:
                self._admission.refuse(
                    path,
                    item,
                    f"Compose would read {posixpath.join(inner, '.env')} for this include unasked",
                    "name it in the include's env_file, or call it something else",
                    LOADED_BY_ITSELF,
                )
            for file in resolved:
                self.document(file, inner, path, item)

    def _resolve(self, path: str, base: str, node: Node, what: str) -> str | None:
        """The repository path that a path of a file names; a problem and None where it must not be followed."""
        refuse = self._admission.refuse
        if not isinstance(node, ScalarNode) or not node.value:
            refuse(path, node, f"{what} does not name a file")
            return None
        text = str(node.value)
        if "$" in text:
            refuse(path, node, f"{what} '{text}' holds a variable", "write the path out", OUTSIDE)
        elif _REMOTE.search(text):
            hint = "commit the file to this repository and name it there"
            refuse(path, node, f"{what} '{text}' is remote", hint, OUTSIDE)
        elif text.startswith(("/", "~")) or "\\" in text or not text.isprintable():
            refuse(path, node, f"{what} '{text}' is not a relative path", "name a file of this repository", OUTSIDE)
        elif text.split("/").count("..") > MOST_UPWARD:
            refuse(path, node, f"{what} '{text}' climbs too far", "name a file of this repository", OUTSIDE)
        else:
            resolved = posixpath.normpath(posixpath.join(base, text))
            if resolved != ".." and not resolved.startswith("../"):
                return resolved
            refuse(
                path, node, f"{what} '{text}' leads out of the repository", "name a file of this repository", OUTSIDE
            )
        return None

    def _take(self, path: str, named_in: str, at: Node | None) -> bytes | None:
        content = self._files.get(path)
        if content is None:
            hint = "only files of the environment's own project are read"
            self._admission.refuse(named_in, at, f"{path} is not in the repository", hint, OUTSIDE)
        elif len(content) > LARGEST_FILE:
            self._admission.refuse(path, None, f"larger than {LARGEST_FILE} bytes")
        elif path not in self._admission.files and len(self._admission.files) >= MOST_FILES:
            self._admission.refuse(path, None, f"more than {MOST_FILES} files for one environment")
        else:
            self._admission.files[path] = content
            return content
        return None


def _read(path: str, content: bytes, admission: Admission) -> Node | None:
    """The node tree of one bounded document; None with a problem where it is none."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        admission.refuse(path, content[: error.start].count(b"\n") + 1, "not UTF-8 text", gate=FORM)
        return None
    hidden = hidden_problem(path, text)
    if hidden is not None:
        admission.problems.append(hidden)
        return None
    try:
        before = len(admission.problems)
        _bound(path, text, admission)
        if len(admission.problems) > before:
            return None
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        admission.refuse(
            path, mark.line + 1 if mark else None, f"not YAML: {error.problem or error.context}", gate=FORM
        )
        return None
    except yaml.YAMLError as error:
        admission.refuse(path, None, f"not YAML: {str(error).splitlines()[0]}", gate=FORM)
        return None
    if node is None:
        return ScalarNode(_CORE + "null", "")
    return node


def _bound(path: str, text: str, admission: Admission) -> None:
    """Walk the event stream, which stays small however far aliases would unfold it."""
    documents = depth = 0
    total = 0
    sizes: dict[str, int] = {}
    heights: dict[str, int] = {}  # of anchors: how deep what they name goes, its own aliases written out
    open_nodes: list[tuple[str | None, int]] = []
    open_heights: list[int] = []
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case DocumentStartEvent():
                documents += 1
                if documents > 1:
                    return admission.refuse(path, line, "a second YAML document", "one file, one document", FORM)
            case CollectionStartEvent(anchor=anchor):
                depth += 1
                if depth > DEEPEST:
                    return admission.refuse(path, line, f"nested deeper than {DEEPEST}", gate=FORM)
                open_nodes.append((anchor, total))
                open_heights.append(1)
                total += 1
            case CollectionEndEvent():
                depth -= 1
                anchor, before = open_nodes.pop()
                height = open_heights.pop()
                if open_heights:
                    open_heights[-1] = max(open_heights[-1], height + 1)
                if anchor is not None:
                    sizes[anchor], heights[anchor] = total - before, height
            case ScalarEvent(anchor=anchor, value=value):
                if UNFIT.search(value):
                    return admission.refuse(path, line, "a character that no text has", "remove the escape", FORM)
                weight = 1 + len(value) // 64
                total += weight
                if anchor is not None:
                    sizes[anchor], heights[anchor] = weight, 0
            case AliasEvent(anchor=anchor):
                if any(name == anchor for name, _ in open_nodes):
                    return admission.refuse(path, line, f"alias '*{anchor}' stands inside what it names", gate=FORM)
                total += sizes.get(anchor or "", 0)
                height = heights.get(anchor or "", 0)
                if depth + height > DEEPEST:
                    text = f"nested deeper than {DEEPEST} once its aliases are written out"
                    return admission.refuse(path, line, text, gate=FORM)
                if open_heights:
                    open_heights[-1] = max(open_heights[-1], height + 1)
        if total > MOST_NODES:
            text = f"more than {MOST_NODES} values once its aliases are written out"
            return admission.refuse(path, line, text, gate=FORM)
        tag = getattr(event, "tag", None) if isinstance(event, NodeEvent) else None
        if tag is not None and tag not in _TAGS and tag not in _CORE_TAGS:
            text = f"tag '{tag}' is not one that Compose knows"
            return admission.refuse(path, line, text, "!reset and !override are", FORM)
    return None


def _entries(node: Node) -> list[tuple[ScalarNode, Node]]:
    """Key and value pairs of a mapping, those of merge keys too, even where another value wins over them.

    All of them, however deep the merges go (`_bound` has seen to it that they end): one that is left out here would be
    read by Compose and not by us.
    """
    if not isinstance(node, MappingNode):
        return []
    pairs: list[tuple[ScalarNode, Node]] = []
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            continue
        if key.value == "<<":
            for source in _items(value):
                pairs.extend(_entries(source))
        else:
            pairs.append((key, value))
    return pairs


def _items(node: Node) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else [node]


def _uses(files: Mapping[str, bytes], name: str) -> Iterator[Location]:
    use = re.compile(r"(?<!\$)(?:\$\$)*\$(?:\{\s*)?" + re.escape(name) + r"(?![A-Za-z0-9_])")
    for path, content in sorted(files.items()):
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if not line.lstrip().startswith("#") and use.search(line):
                yield Location(path, number)
