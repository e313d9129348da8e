"""Skills that exist twice, as a Python reference and as a component, which must agree to the byte.

A skill's cases lie in `fixtures/cases.json`, a list of objects:

- `id`, `name`: unique; what the case shows.
- `input`, or `input_text` where it is no JSON.
- `output`, or `output_text` where the answer is no JSON, or `error`, the message of an input that is refused.
- `files`: texts in the workspace before the call, by path. `written`: texts that the call leaves there.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import yaml

from tests.support.toolchain import ROOT, Answer

SKILLS = ROOT / "skills"


class Fixture(NamedTuple):
    """One case of a skill."""

    id: str
    name: str
    text: str
    answer: Answer
    files: dict[str, str]
    written: dict[str, str]


def compact(value: object) -> str:
    """Write JSON as every skill does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fixtures_of(skill: Path) -> list[Fixture]:
    """Read the cases of a skill."""
    cases = json.loads((skill / "fixtures" / "cases.json").read_text(encoding="utf-8"))
    return [_fixture(case) for case in cases]


def _fixture(case: dict[str, Any]) -> Fixture:
    known = {"id", "name", "input", "input_text", "output", "output_text", "error", "files", "written"}
    assert case.keys() <= known, case["id"]
    text = case["input_text"] if "input_text" in case else compact(case["input"])
    if "error" in case:
        answer = Answer(ok=False, text=case["error"])
    else:
        answer = Answer(True, case["output_text"] if "output_text" in case else compact(case["output"]))
    return Fixture(case["id"], case["name"], text, answer, case.get("files", {}), case.get("written", {}))


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


@contextlib.contextmanager
def laid_out(workspace: Path, files: dict[str, str]) -> Iterator[None]:
    """Have these files, and no others, in a directory."""
    _empty(workspace)
    for path, text in files.items():
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_bytes(text.encode("utf-8"))
    try:
        yield
    finally:
        _empty(workspace)


def read_back(workspace: Path, files: dict[str, str]) -> dict[str, str]:
    """The texts that lie in a directory beside, or instead of, those that were laid out."""
    found = {
        path.relative_to(workspace).as_posix(): path.read_bytes().decode("utf-8")
        for path in workspace.rglob("*")
        if path.is_file()
    }
    return {path: text for path, text in found.items() if files.get(path) != text}


def _empty(directory: Path) -> None:
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
