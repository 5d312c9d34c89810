"""The shape of the house holds: layers, purity, one place that names adapters, nothing of one machine in the tree."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reconciler"

PURE = (
    "model",
    "documents",
    "desired",
    "diff",
    "policy",
    "approvals",
    "reports",
    "compose.arguments",
    "hosts.engine_output",
    "hosts.sections",
)
ADAPTERS = ("forges", "sources", "compose", "hosts", "simulation", "storage", "workflows", "secrets", "notifications")
FACES = ("cli", "api", "mcp", "web", "worker")

# What the import contract cannot see: builtins, and the clock inside a module that is otherwise welcome.
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
IMPURE_CLOCKS = {"now", "utcnow", "today"}
IMPURE_NAMES = {"pathlib.Path", "pathlib.PosixPath", "urllib.request", "importlib", "io.open", "codecs.open"}

# Written in two parts, so that this file does not contain them.
PACKAGE_REGISTRIES = tuple(
    name + "." + domain
    for name, domain in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("registry.yarnpkg", "com"),
        ("deb.debian", "org"),
        ("proxy.golang", "org"),
        ("static.crates", "io"),
    )
)


def contracts() -> dict[str, dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["id"]: contract for contract in settings["contracts"]}


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys, importlinter.cli; sys.exit(importlinter.cli.lint_imports(no_cache=True, no_logo=True))"
    environment = {**os.environ, "PYTHONPATH": str(directory), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def modules_of(name: str) -> list[Path]:
    path = PACKAGE.joinpath(*name.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def tracked_files() -> Iterator[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git working tree")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            yield path


def test_imports_point_downward_and_the_middle_is_pure() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("model/target.py", "", ""),
        ("model/target.py", "import time", "The middle is pure"),
        ("diff/images.py", "import os.path", "The middle is pure"),
        ("hosts/engine_output.py", "import socket", "The middle is pure"),
        ("model/target.py", "import reconciler.desired", "Imports point downward only"),
        ("control/loop.py", "import reconciler.forges", "Imports point downward only"),
        ("forges/hub.py", "import reconciler.hosts", "Imports point downward only"),
        ("policy/rules.py", "import reconciler.diff", "Imports point downward only"),
        ("utils.py", "", "Imports point downward only"),
    ],
    ids=lambda value: str(value) or "nothing",
)
def test_the_contracts_bite(tmp_path: Path, module: str, line: str, broken: str) -> None:
    for name in (*PURE, *ADAPTERS, *FACES, "control", "apply", "ports", "settings", "bootstrap", "__main__"):
        directory = tmp_path / "reconciler" / name.replace(".", "/")
        directory.mkdir(parents=True, exist_ok=True)
    for directory in [tmp_path / "reconciler", *(tmp_path / "reconciler").rglob("*")]:
        (directory / "__init__.py").touch()
    for name in ("compose/arguments", "hosts/engine_output", "hosts/sections"):
        shutil.rmtree(tmp_path / "reconciler" / name)
        (tmp_path / "reconciler" / f"{name}.py").touch()
    (tmp_path / "reconciler" / module).write_text(line + "\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    result = lint_imports(tmp_path)
    if broken:
        assert result.returncode == 1, result.stdout + result.stderr
        assert f"{broken}" in result.stdout.split("Broken contracts")[1]
    else:
        assert result.returncode == 0, result.stdout + result.stderr


def test_every_pure_part_is_under_the_contract() -> None:
    assert contracts()["pure"]["source_modules"] == [f"reconciler.{name}" for name in PURE]


@pytest.mark.parametrize("name", PURE)
def test_a_pure_part_reads_no_file_and_no_clock(name: str) -> None:
    findings = []
    for path in modules_of(name):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            finding = impurity(node)
            if finding:
                findings.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {finding}")
    assert findings == []


def impurity(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS:
            return f"calls {called}()"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=called)) if (
            called in IMPURE_CLOCKS
        ):
            return f"reads the clock with {called}(); now is an argument"
        case ast.Import(names=names):
            found = [alias.name for alias in names if alias.name in IMPURE_NAMES]
        case ast.ImportFrom(module=module, names=names):
            found = [n for alias in names for n in (module or "", f"{module}.{alias.name}") if n in IMPURE_NAMES]
        case _:
            found = []
    return f"imports {found[0]}" if found else ""


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("open('x')", "calls open()"),
        ("datetime.now(UTC)", "reads the clock with now(); now is an argument"),
        ("from pathlib import Path", "imports pathlib.Path"),
        ("from urllib import request", "imports urllib.request"),
        ("from pathlib import PurePosixPath", ""),
        ("now.isoformat()", ""),
    ],
)
def test_what_counts_as_impure(code: str, found: str) -> None:
    assert "".join(filter(None, (impurity(node) for node in ast.walk(ast.parse(code))))) == found


def test_only_the_bootstrap_names_concrete_adapters() -> None:
    graph = grimp.build_graph("reconciler", cache_dir=None)
    adapters = {f"reconciler.{name}" for name in ADAPTERS}
    faces = {f"reconciler.{name}" for name in FACES}
    named = [
        f"{importer} imports {imported}"
        for importer in sorted(graph.modules)
        if package_of(importer) in faces
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
        if package_of(imported) in adapters
    ]
    assert named == []


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_no_file_names_a_package_registry() -> None:
    findings = []
    for path in tracked_files():
        content = path.read_bytes()
        findings += [f"{path.relative_to(ROOT)}: {host}" for host in PACKAGE_REGISTRIES if host.encode() in content]
    assert findings == []


def test_no_file_names_a_path_of_this_machine() -> None:
    here = str(ROOT).encode()
    assert [str(path.relative_to(ROOT)) for path in tracked_files() if here in path.read_bytes()] == []


def test_the_lock_has_a_hash_for_every_pin_and_names_no_place_to_download_from() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in lines[number] for number in pins)
    assert all(lines[number + 1].strip().startswith("--hash=sha256:") for number in pins)
    assert [line for line in lines if "://" in line or line.startswith("-")] == []
