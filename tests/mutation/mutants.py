"""The mutants of a file: every small change that mutmut makes of it, and the code of each. For trying.py.

mutmut's own runner took 12 s for a mutant of this tree (its trampolines in a copy of the tree, pytest begun anew for
each), so only its changes are used; and it makes none in decorated functions, which do decide something here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst import matchers
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import Mutation, MutationVisitor, OuterFunctionProvider
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file. `function` is the qualified name of the function or method changed, empty where it is
    the module or the body of a class. Without a `mutation` it is the file as it is.
    """

    file: Path
    line: int
    function: str
    whole: cst.Module
    mutation: Mutation | None

    @property
    def module(self) -> str:
        """The dotted name of the module that it changes."""
        return ".".join(self.file.with_suffix("").parts).removesuffix(".__init__")

    @property
    def place(self) -> str:
        """Where it is, as survivors.toml names it: the file, and the function."""
        return f"{self.file} {self.function}".rstrip()

    def source(self) -> str:
        """The whole file with the change."""
        if self.mutation is None:
            return self.whole.code
        changed = self.whole.deep_replace(self.mutation.original_node, self.mutation.mutated_node)
        assert isinstance(changed, cst.Module)
        return changed.code

    def change(self) -> str:
        """The lines that differ, without their indentation, as survivors.toml has them."""
        lines = difflib.ndiff(self.whole.code.splitlines(), self.source().splitlines())
        return "\n".join(f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "-+")


class EveryFunction(MutationVisitor):
    """Changes decorated functions as well: their code is exchanged in place, and no decorator runs again."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        return not isinstance(node, cst.FunctionDef) and super()._skip_node_and_children(node)


def without_one(node: cst.Tuple | cst.Set | cst.List) -> Iterator[cst.CSTNode]:
    """A table without one of its rows: the change of all that matters most where conditions stand in tables."""
    is_table = len(node.elements) > 1 and bool(not isinstance(node, cst.Tuple) or node.lpar)
    for index in range(len(node.elements) if is_table else 0):
        yield node.with_changes(elements=[*node.elements[:index], *node.elements[index + 1 :]])


OPERATORS = (*mutation_operators, *((kind, without_one) for kind in (cst.Tuple, cst.Set, cst.List)))


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file (below the root of the tree), in the order of its lines, behind the file as it is: what
    would notice that would notice how mutants are made, and not what they change.
    """
    wrapper = MetadataWrapper(cst.parse_module((ROOT / file).read_text(encoding="utf-8")))
    visitor = EveryFunction(OPERATORS, IgnoredCode(set(), set(), set()))
    whole = wrapper.visit(visitor)
    positions = wrapper.resolve(PositionProvider)
    methods = {method: each for each in whole.body if isinstance(each, cst.ClassDef) for method in each.body.body}
    exported = {id(node) for node in _below(_exports(whole))}
    if visitor.mutations:
        yield Mutant(file, 0, "", whole, None)
    for mutation in visitor.mutations:
        if id(mutation.original_node) in exported:
            continue  # what `*` would import, which nothing does
        place = positions.get(mutation.original_node)
        holder = wrapper.resolve(OuterFunctionProvider).get(mutation.original_node)
        function = holder.name.value if isinstance(holder, cst.FunctionDef) else ""
        owner = f"{methods[holder].name.value}." if function and holder in methods else ""
        yield Mutant(file, place.start.line if place else 0, owner + function, whole, mutation)


def _exports(whole: cst.Module) -> Iterator[cst.CSTNode]:
    for line in whole.body:
        for each in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(each, cst.Assign) and matchers.matches(each.targets[0].target, matchers.Name("__all__")):
                yield each


def _below(nodes: Iterable[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    for node in nodes:
        yield node
        yield from _below(node.children)


def files_of(names: Sequence[str]) -> list[Path]:
    """The files of packages and modules, named by their paths below the root, in order; empty where there is none."""
    paths = [ROOT / name for name in names]
    found = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    return sorted(file.relative_to(ROOT) for file in found)
