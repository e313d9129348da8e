"""Imports point down: a package knows those below it and never those above."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "subgraph"

LAYERS = [
    {"errors", "settings", "single_flight"},
    {"directories", "principal", "repeating", "storage"},
    {"audit"},
    {"catalog"},
    {"capabilities"},
    {"execution"},
    {"audit_trail", "history", "oversight", "readiness", "skills"},
    {"routing"},
    {"cascade", "chain_run", "lifecycle", "runner"},
    {"recorded_decision"},
    {"routing_desk", "decision_log"},
    {"dispatch", "keyword_banks"},
    {"service"},
    {"authoring"},
    {"api", "cli", "host"},
    {"__main__"},
]
LAYER_OF = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}

# What runs in processes without secrets knows nothing of the service that starts them.
CONFINED = {
    "child", "component_values", "confinement", "engine", "forking", "guest_function", "host_function",
    "host_interface", "lifetime", "limits", "protocol", "run", "script_code", "script_host", "script_run",
    "script_state", "script_worker", "script_zygote", "watchdog", "worker", "zygote",
}  # fmt: skip

MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(module: Path) -> set[str]:
    """Full names of what a module imports from this package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name for name in names if name.startswith("subgraph.")}


def package(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_imports_point_down(module: Path) -> None:
    here = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here == "__init__":
        # By name alone, when somebody asks for it.
        assert imported(module) <= {"subgraph.host", "subgraph.host.SkillHost"}
        return
    for name in imported(module):
        there = package(name)
        if there in LAYER_OF and there != here:
            assert LAYER_OF[there] < LAYER_OF[here], f"{here} imports {name}"


@pytest.mark.parametrize("name", sorted(CONFINED))
def test_confined_processes_import_nothing_of_the_service(name: str) -> None:
    one = PACKAGE / "execution" / f"{name}.py"
    modules = [one] if one.exists() else sorted((PACKAGE / "execution" / name).glob("*.py"))
    assert modules, f"execution/{name} is gone: name what took its place"
    for module in modules:
        for imported_name in imported(module) - {"subgraph.execution"}:
            assert imported_name.split(".")[1] == "execution", imported_name
            assert imported_name.split(".")[2] in CONFINED, imported_name


def test_the_package_itself_loads_nothing() -> None:
    program = "import subgraph, sys; print([name for name in sys.modules if name.startswith('subgraph.')])"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


def test_every_package_has_its_layer() -> None:
    packages = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert packages - {"__init__", "_bundled"} == set(LAYER_OF)
