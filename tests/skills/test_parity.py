"""Every skill that exists twice: the Python reference and the component give the same bytes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from subgraph.authoring.fixtures import laid_out, written_beside
from tests.support.parity import Fixture, Reference, compact, executable_skills, expected, fixtures_of
from tests.support.toolchain import TOOLCHAIN, Guest, build_skill

SKILLS = executable_skills()
CASES = [(skill, fixture) for skill in SKILLS for fixture in fixtures_of(skill)]
LEAST = 20
"""Cases that each skill has at least."""

SHARED = TOOLCHAIN / "guest" / "python"
each_skill = pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def twins(workspace: Path) -> Callable[[Path], tuple[Reference, Guest]]:
    """Both forms of a skill, with the same files."""
    made: dict[Path, tuple[Reference, Guest]] = {}

    def of(skill: Path) -> tuple[Reference, Guest]:
        if skill not in made:
            made[skill] = Reference(skill, workspace), Guest(build_skill(skill), workspace)
        return made[skill]

    return of


def test_there_are_a_hundred_cases() -> None:
    assert len(SKILLS) == 5
    assert len(CASES) >= 100


@each_skill
def test_there_are_enough_and_each_has_its_own_name(skill: Path) -> None:
    cases = fixtures_of(skill)
    assert len(cases) >= LEAST
    assert len({case.id for case in cases}) == len({case.name for case in cases}) == len(cases)
    assert "quickstart" in {case.id for case in cases}


@pytest.mark.parametrize(
    ("skill", "fixture"), CASES, ids=[f"{skill.name}-{fixture.id}" for skill, fixture in CASES]
)
def test_both_give_the_expected_bytes(
    twins: Callable[[Path], tuple[Reference, Guest]], workspace: Path, skill: Path, fixture: Fixture
) -> None:
    for twin in twins(skill):
        with laid_out(workspace, fixture.files):
            assert twin.call(fixture.text) == expected(fixture)
            assert written_beside(workspace, fixture.files) == fixture.written


@each_skill
def test_what_the_skill_documents_is_what_its_quickstart_prints(skill: Path) -> None:
    [quickstart] = [case for case in fixtures_of(skill) if case.id == "quickstart"]
    body = (skill / "SKILL.md").read_text(encoding="utf-8")
    inputs = re.findall(r"`(\{.*?\})`|```json\n(\{.*?\})\n```", body, re.DOTALL)
    assert quickstart.text in {compact(json.loads(one or other)) for one, other in inputs}


@each_skill
def test_scripts_are_python_3_9(skill: Path) -> None:
    for script in (skill / "scripts").glob("*.py"):
        ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 9))


@each_skill
def test_shared_modules_are_those_of_the_guest_library(skill: Path) -> None:
    own = {path.name: path for path in [*SHARED.glob("*.py"), *_tax_code()]}
    for script in (skill / "scripts").glob("*.py"):
        if script.name in own:
            assert script.read_bytes() == own[script.name].read_bytes(), "make share"


def _tax_code() -> list[Path]:
    return [skill / "scripts" / "tax_code.py" for skill in SKILLS if skill.name == "vn-mst-validate"]


@each_skill
def test_a_script_run_by_hand_leaves_nothing_behind(skill: Path, tmp_path: Path) -> None:
    header = yaml.safe_load((skill / "SKILL.md").read_text(encoding="utf-8").split("---\n", 2)[1])
    before = sorted(skill.rglob("*"))
    done = subprocess.run(
        [sys.executable, skill / header["metadata"]["cyberos-script"]],
        input=b"{}",
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"input_invalid: ")
    assert done.stderr.count(b"\n") == 1
    assert sorted(skill.rglob("*")) == before


@each_skill
def test_hostile_texts_are_refused_in_the_same_words(
    twins: Callable[[Path], tuple[Reference, Guest]], skill: Path
) -> None:
    texts = [
        "", "[]", "null", "{", '{"a":1}', "\ufeff{}", '{"a":NaN}', "[" * 100_000, '{"\\ud800":1}', "{}" * 2,
        '{"__proto__":{}}', " " * 5_000_000,
    ]  # fmt: skip
    for text in texts:
        first, second = (twin.call(text) for twin in twins(skill))
        assert first == second
        assert not first.ok
        assert first.text.startswith("input_invalid: ")
