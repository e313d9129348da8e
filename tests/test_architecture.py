"""Imports point down: a room knows those below it and never those above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "subgraph"

FLOORS = [
    {"errors", "settings", "single_flight"},
    {"principal", "storage"},
    {"audit"},
    {"catalog"},
    {"capabilities"},
    {"execution"},
    {"service"},
    {"api"},
    {"__main__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# What runs in processes without secrets knows nothing of the service that starts them.
CONFINED = {
    "child", "confinement", "engine", "guest_function", "lifetime", "limits", "protocol", "run",
    "watchdog", "worker", "zygote",
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


def room(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_imports_point_down(module: Path) -> None:
    here = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here == "__init__":
        assert not imported(module)
        return
    for name in imported(module):
        there = room(name)
        if there in FLOOR_OF and there != here:
            assert FLOOR_OF[there] < FLOOR_OF[here], f"{here} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_confined_processes_import_nothing_of_the_service(module: Path) -> None:
    parts = module.relative_to(PACKAGE).parts
    if parts[0] != "execution" or len(parts) < 2 or parts[1].removesuffix(".py") not in CONFINED:
        return
    for name in imported(module):
        if name == "subgraph.execution":
            continue
        assert name.split(".")[1:2] == ["execution"], name
        assert name.split(".")[2] in CONFINED, name


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - {"__init__", "_bundled"} == set(FLOOR_OF)
