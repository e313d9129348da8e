"""Skills that exist twice, as a Python reference and as a component, which must agree to the byte."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from subgraph.authoring.fixtures import CASES_PATH, Fixture, compact, parse_fixtures
from tests.support.toolchain import ROOT, Answer, Guest, build_skill

__all__ = [
    "SKILLS",
    "Fixture",
    "Reference",
    "Twins",
    "compact",
    "executable_skills",
    "expected",
    "fixtures_of",
]

SKILLS = ROOT / "skills"


def fixtures_of(skill: Path) -> list[Fixture]:
    """Read the cases of a skill."""
    return parse_fixtures((skill / CASES_PATH).read_bytes())


def expected(fixture: Fixture) -> Answer:
    """What a case must be answered with."""
    return Answer(ok=not fixture.fails, text=fixture.answer)


def executable_skills() -> list[Path]:
    """The skills of the repository that have a TypeScript source."""
    return sorted(path.parent.parent for path in SKILLS.rglob("src/index.ts"))


class Reference:
    """The Python reference of a skill, called in this process.

    Files are those of `workspace`. Modules of the same name that another skill carries are kept apart.
    """

    def __init__(self, skill: Path, workspace: Path | None = None) -> None:
        self._workspace = workspace
        self.script = skill / _front_matter(skill)["metadata"]["cyberos-script"]
        self.module = _load(self.script)
        self._refusals: tuple[type[Exception], ...] = (
            self._named("InputInvalidError"),
            self._named("SkillError"),
        )

    def call(self, text: str) -> Answer:
        """Answer as the component does."""
        with contextlib.chdir(self._workspace) if self._workspace else contextlib.nullcontext():
            try:
                return Answer(ok=True, text=self.module.run(text))
            except self._refusals as error:
                return Answer(ok=False, text=str(error))

    def _named(self, name: str) -> type[Exception]:
        found = getattr(self.modules["skill_input"], name)
        assert isinstance(found, type)
        assert issubclass(found, Exception)
        return found

    @property
    def modules(self) -> dict[str, ModuleType]:
        """The modules of the skill that its script imports, by name."""
        loaded: dict[str, ModuleType] = self.module.__dict__["__siblings__"]
        return loaded


class Twins:
    """The reference and the component, which must agree to the byte, with the same files."""

    def __init__(self, skill: Path, workspace: Path | None = None) -> None:
        self.reference = Reference(skill, workspace)
        self.guest = Guest(build_skill(skill), workspace)

    def ask(self, text: str) -> Answer:
        """Ask both."""
        expected = self.reference.call(text)
        assert self.guest.call(text) == expected
        return expected


def _front_matter(skill: Path) -> dict[str, Any]:
    fields = yaml.safe_load((skill / "SKILL.md").read_text(encoding="utf-8").split("---\n", 2)[1])
    assert isinstance(fields, dict)
    return fields


def _load(script: Path) -> ModuleType:
    """Import a script with its siblings, and leave `sys` as it was."""
    names = {path.stem for path in script.parent.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    writes = sys.dont_write_bytecode
    # A cache beside the script would be a change of the skill's content.
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.fspath(script.parent))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(script.stem)
        module.__dict__["__siblings__"] = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
        return module
    finally:
        sys.path.remove(os.fspath(script.parent))
        sys.dont_write_bytecode = writes
        sys.modules.update(others)
