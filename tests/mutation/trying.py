"""Tries every mutant in a fork of one pytest session: a plugin that takes the place of pytest's loop. For __main__.py.

All tests run once, watched, so that it is known which functions each of them reaches and how long it takes. A mutant
is then tried by the tests that reach it, until one fails: first what noticed its neighbours, then the quickest.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import ROOT, Mutant

CPU_SECONDS = 60
"""A mutant that runs longer than this on tests that take seconds does not end by itself: that was noticed."""

CACHE = type(lru_cache(len))
Cache = Any

NAMES_OF_THE_TREE = ("reconciler.", "tests.")
PACKAGES = ("reconciler.approvals.", "reconciler.policy.")


@dataclass(slots=True)
class Trial:
    """One mutant and the test that noticed it, None where it survives."""

    mutant: Mutant
    by: str | None


@dataclass(slots=True)
class Trials:
    """The plugin. `progress` is told each trial, and how many there were."""

    mutants: list[Mutant]
    progress: Callable[[Trial, int], None]
    done: list[Trial] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests: run them once as they are, then against every mutant."""
        if session.testsfailed:
            self.failed.append("the tests could not be collected")
            return True
        modules = {each.module for each in self.mutants}
        caches = [each for each in gc.get_objects() if type(each) is CACHE and belongs(each.__module__, PACKAGES)]
        reach = {item: watched(item, modules, caches, self.failed) for item in session.items}
        if self.failed:
            return True
        functions = functions_in(modules)
        gc.collect()
        gc.freeze()
        latest: dict[str, dict[pytest.Item, int]] = defaultdict(dict)
        for number, mutant in enumerate(self.mutants):
            order = candidates(mutant, reach, latest[mutant.place])
            noticed = tried(mutant, functions[mutant.module], caches, order)
            by = None if noticed is None else order[noticed].nodeid if noticed >= 0 else "its code does not run"
            if noticed is not None and noticed >= 0:
                latest[mutant.place][order[noticed]] = number
            if mutant.mutation is None:
                self.failed += [f"{by} (for {mutant.file}, run again as it is)"] if by is not None else []
                continue
            self.done.append(Trial(mutant, by))
            self.progress(self.done[-1], len(self.done))
        return True


@dataclass(frozen=True, slots=True)
class Reach:
    """What a test reaches (module and qualified name of functions), and the seconds it takes."""

    functions: frozenset[tuple[str, str]]
    seconds: float


def belongs(name: str | None, to: tuple[str, ...] = NAMES_OF_THE_TREE) -> bool:
    """Whether a module is one of ours."""
    return (name or "").startswith(to)


def watched(item: pytest.Item, modules: Iterable[str], caches: Iterable[Cache], failed: list[str]) -> Reach:
    """Run a test as the code is, and see where it goes, with nothing in any cache."""
    for cache in caches:
        cache.cache_clear()
    files = {str(sys.modules[name].__file__): name for name in modules if name in sys.modules}
    seen: set[CodeType] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename in files:
            seen.add(frame.f_code)

    sys.setprofile(watch)
    try:
        if any(report.failed for report in runtestprotocol(item, log=False)):
            failed.append(item.nodeid)
    finally:
        sys.setprofile(None)
    began = time.perf_counter()
    runtestprotocol(item, log=False)
    seconds = time.perf_counter() - began
    return Reach(frozenset((files[code.co_filename], outermost(code)) for code in seen), seconds)


def outermost(code: CodeType) -> str:
    """The qualified name of the function or method that code is in."""
    return code.co_qualname.split(".<locals>")[0]


def candidates(mutant: Mutant, reach: dict[pytest.Item, Reach], latest: dict[pytest.Item, int]) -> list[pytest.Item]:
    """The tests that may notice a mutant. What changes a module and no function may be noticed by whatever uses the
    module, or reads its tables without calling anything.
    """
    place = (mutant.module, mutant.function)
    package = ".".join(mutant.module.split(".")[:2])
    if mutant.function:
        able = [item for item, each in reach.items() if place in each.functions]
    else:
        able = [
            item
            for item, each in reach.items()
            if not each.functions or any(module.startswith(package) for module, _ in each.functions)
        ]
    return sorted(able, key=lambda item: (-latest.get(item, -1), reach[item].seconds))


def tried(
    mutant: Mutant, functions: list[FunctionType], caches: Iterable[Cache], order: list[pytest.Item]
) -> int | None:
    """The index of the test that notices a mutant, -1 where its code does not even run, None where nothing notices."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = 1
        try:
            mute()
            os.close(reading)
            begin = partial(os.write, writing)
            answer = noticed_in_this_process(
                mutant, functions, caches, order, lambda index: begin(f"{index}\n".encode())
            )
        finally:
            os._exit(answer)  # whatever is raised, a fork never goes on as if it were the session
    os.close(writing)
    with os.fdopen(reading) as stream:
        begun = stream.read().split()
    _, status = os.waitpid(child, 0)
    if status == 0:
        return None
    return int(begun[-1]) if begun else -1


def noticed_in_this_process(
    mutant: Mutant,
    functions: list[FunctionType],
    caches: Iterable[Cache],
    order: list[pytest.Item],
    begin: Callable[[int], object],
) -> int:
    """1 where a test fails, 0 where none does. Says of each test before it begins; what kills the process is noticed
    as well.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        exchange(mutant, functions)
    except Exception:  # noqa: BLE001 - code that cannot be loaded is noticed by whoever starts the program
        return 1
    for cache in caches:
        cache.cache_clear()
    for index, item in enumerate(order):
        begin(index)
        if any(report.failed for report in runtestprotocol(item, log=False)):
            return 1
    return 0


def mute() -> None:
    """Nothing that a fork says is of interest."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def exchange(mutant: Mutant, before: list[FunctionType]) -> None:
    """Put the changed code into the module that runs, for everybody who imported from it.

    The code of a function is exchanged within the function. For any other change the module runs again in its own
    namespace, and after it those of its package that made something of it, as a table of numbers.
    """
    module = sys.modules[mutant.module]
    code = compile(mutant.source(), str(ROOT / mutant.file), "exec", dont_inherit=True)
    if mutant.function:
        changed = dict(codes_in(code))[mutant.function]
        old = [each for each in before if each.__code__.co_qualname == mutant.function]
        if any(each.__code__ != changed for each in old):
            for each in old:
                each.__code__ = changed
            return
    run_again(module, code, before)
    changed = {mutant.module}
    for name, other in list(sys.modules.items()):  # in the order in which they were first run
        if name.startswith(PACKAGES) and name not in changed and changed & imported_by(other):
            changed.add(name)
            run_again(other, other.__loader__.get_code(name), functions_in([name])[name])


def imported_by(module: ModuleType) -> set[str]:
    """The modules that a module has names of: themselves, or what was made in them."""
    return {
        each.__name__ if isinstance(each, ModuleType) else getattr(each, "__module__", "")
        for each in vars(module).values()
    }


def run_again(module: ModuleType, code: CodeType, functions: list[FunctionType]) -> None:
    """Run a module's code in its own namespace, and let everybody have what its names stand for now."""
    former = dict(vars(module))
    exec(code, vars(module))  # noqa: S102 - our own code, with one change
    old = {each.__code__.co_qualname: each for each in functions}
    for now in functions_in([module.__name__])[module.__name__]:
        if (each := old.get(now.__code__.co_qualname)) is not None:
            each.__code__, each.__defaults__, each.__kwdefaults__ = now.__code__, now.__defaults__, now.__kwdefaults__
    for name, other in list(sys.modules.items()):
        if other is not module and belongs(name):
            for key, value in list(vars(other).items()):
                if key in former and value is former[key] and not key.startswith("__"):
                    setattr(other, key, vars(module)[key])


def functions_in(modules: Iterable[str]) -> dict[str, list[FunctionType]]:
    """Every function whose code is in each module, wherever it is held: decorated ones, and methods, too."""
    files = {sys.modules[name].__file__: name for name in modules}
    found: dict[str, list[FunctionType]] = {name: [] for name in files.values()}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename in files:
            found[files[each.__code__.co_filename]].append(each)
    return found


def codes_in(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """All code below a code, by qualified name."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each.co_qualname, each
            yield from codes_in(each)


def run(mutants: list[Mutant], tests: list[str], progress: Callable[[Trial, int], None]) -> Trials:
    """Every mutant against these tests."""
    for each in sorted({mutant.module for mutant in mutants}):
        __import__(each)
    trials = Trials(mutants, progress)
    quiet = ["-q", "-p", "no:cacheprovider", "--tb=no", "-o", "timeout=0"]
    with redirect_stdout(sys.stderr):
        pytest.main([*quiet, *tests], plugins=[trials])
    return trials
