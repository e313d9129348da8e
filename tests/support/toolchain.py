"""Skills written in TypeScript, compiled by the project's toolchain and called without the service."""

from __future__ import annotations

import subprocess
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from wasmtime import Config, Engine, Store
from wasmtime.component import Component, ComponentInstanceType, Linker, Variant

from subgraph.authoring import BuildOptions
from subgraph.authoring import build_skill as build
from subgraph.catalog.discovery import COMPONENT_PATH
from tests.support.npm import npm_ci, require

ROOT = Path(__file__).parents[2]
TOOLCHAIN = ROOT / "toolchain"
HOST = "cyberos:skill/host@0.1.0"

BUILD_SECONDS = 120.0
"""A build takes about a second; a loaded machine of two cores takes several times that."""


class Answer(NamedTuple):
    """What `run` gave: its output, or its error message."""

    ok: bool
    text: str


@cache
def _engine() -> Engine:
    return Engine(Config())


@lru_cache(16)
def _compiled(component: bytes) -> Component:
    """Compile a component, once for all tests: one with an interpreter in it takes a second."""
    return Component(_engine(), component)


class Guest:
    """A skill's component; every call gets a Store of its own, as in the service.

    It has the files of `workspace` for its host, without the checks of the service.
    """

    def __init__(self, path: Path, workspace: Path | None = None) -> None:
        self._engine = _engine()
        self.component = _compiled(path.read_bytes())
        self._linker = Linker(self._engine)
        self.host_calls = 0
        if workspace is not None:
            self._give_files(workspace, path.parents[1])

    def imports(self) -> dict[str, list[str]]:
        """Name the interfaces that the component imports, each with its functions."""
        found: dict[str, list[str]] = {}
        for name, item in self.component.type.imports(self._engine).items():
            assert isinstance(item.ty, ComponentInstanceType)
            found[name] = sorted(item.ty.exports(self._engine))
        return found

    def _give_files(self, workspace: Path, skill: Path) -> None:
        def located(path: str) -> Path:
            self.host_calls += 1
            return skill / path.removeprefix("/skill/") if path.startswith("/skill/") else workspace / path

        def read_file(_store: object, path: str) -> Variant:
            try:
                return Variant("ok", located(path).read_bytes().decode("utf-8"))
            except (OSError, ValueError) as error:
                return Variant("err", str(error))

        # Where the types of success and failure differ, wasmtime takes them as they are.
        def write_file(_store: object, path: str, content: str) -> str | None:
            try:
                located(path).parent.mkdir(parents=True, exist_ok=True)
                located(path).write_bytes(content.encode("utf-8"))
            except (OSError, ValueError) as error:
                return str(error)
            return None

        def list_dir(_store: object, path: str) -> list[str] | str:
            try:
                entries = list(located(path).iterdir())
            except (OSError, ValueError) as error:
                return str(error)
            return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)

        with self._linker.root() as root, root.add_instance(HOST) as host:
            host.add_func("read-file", read_file)
            host.add_func("write-file", write_file)
            host.add_func("list-dir", list_dir)
            host.add_func("log", lambda _store, _message: None)

    def call(self, text: str) -> Answer:
        """Call `run`; a trap is an error of wasmtime."""
        store = Store(self._engine)
        try:
            run = self._linker.instantiate(store, self.component).get_func(store, "run")
            assert run is not None
            answer = run(store, text)
        finally:
            store.close()
        assert isinstance(answer, Variant)
        assert isinstance(answer.payload, str)
        return Answer(ok=answer.tag == "ok", text=answer.payload)


def run_toolchain(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program with the toolchain's packages installed."""
    npm_ci(TOOLCHAIN)
    return subprocess.run(
        [require(str(command[0])), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )


def build_skill(skill: Path, *, always: bool = False) -> Path:
    """Compile a skill, if it has changed, and return its component."""
    npm_ci(TOOLCHAIN)
    build(skill, BuildOptions(always=always, compiles=False), lambda _tool, _what: None)
    return skill / COMPONENT_PATH
