from __future__ import annotations

from pathlib import Path

import pytest

from subgraph.authoring import AuthoringError, Language, scaffold
from subgraph.catalog import validate

STARTS = [Language.TYPESCRIPT, Language.PYTHON, Language.ZIG]


@pytest.mark.parametrize("language", STARTS)
def test_a_start_is_a_valid_skill_of_that_name(tmp_path: Path, language: Language) -> None:
    files = scaffold(tmp_path, "my-skill", language)
    skill = tmp_path / "my-skill"
    assert sorted(map(str, files)) == sorted(
        ["SKILL.md", "fixtures/cases.json", "references/greetings.md", language.entry]
    )
    assert "skill-name" not in (skill / "SKILL.md").read_text(encoding="utf-8")
    findings = [finding.message for finding in validate(skill).findings]
    assert findings == ["the skill has no such file: build it"]


@pytest.mark.parametrize("name", ["", "My-Skill", "a--b", "-a", "a/b", "..", "a" * 65])
def test_a_name_that_no_skill_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AuthoringError, match="is no name of a skill"):
        scaffold(tmp_path, name, Language.TYPESCRIPT)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(AuthoringError, match="is there already"):
        scaffold(tmp_path, "taken", Language.TYPESCRIPT)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_language_without_a_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(AuthoringError, match="there is no start for c"):
        scaffold(tmp_path, "mine", Language.C)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_half_made_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuthoringError, match="cannot be made"):
        scaffold(tmp_path / "file", "mine", Language.TYPESCRIPT)
