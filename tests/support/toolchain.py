"""Skills written in TypeScript, compiled by the project's toolchain and called without the service."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from wasmtime import Config, Engine, Store
from wasmtime.component import Component, ComponentInstanceType, Linker, Variant

from tests.support.npm import npm_ci, require

ROOT = Path(__file__).parents[2]
TOOLCHAIN = ROOT / "toolchain"

BUILD_SECONDS = 120.0
"""A build takes about a second; a loaded machine of two cores takes several times that."""


class Answer(NamedTuple):
    """What `run` gave: its output, or its error message."""

    ok: bool
    text: str


class Guest:
    """A pure skill's component; every call gets a Store of its own, as in the service."""

    def __init__(self, path: Path) -> None:
        self._engine = Engine(Config())
        self.component = Component(self._engine, path.read_bytes())
        self._linker = Linker(self._engine)

    def imports(self) -> dict[str, list[str]]:
        """Name the interfaces that the component imports, each with its functions."""
        found: dict[str, list[str]] = {}
        for name, item in self.component.type.imports(self._engine).items():
            assert isinstance(item.ty, ComponentInstanceType)
            found[name] = sorted(item.ty.exports(self._engine))
        return found

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


def try_build(skill: Path) -> subprocess.CompletedProcess[str]:
    """Run the build of one skill, whatever comes of it."""
    return run_toolchain("node", TOOLCHAIN / "build.mjs", skill)


def build_skill(skill: Path) -> Path:
    """Compile a skill, if it has changed, and return its component."""
    outcome = try_build(skill)
    if outcome.returncode != 0:
        raise RuntimeError(f"{skill.name} does not build:\n{outcome.stderr[-4000:]}")
    return skill / "dist" / "skill.wasm"
