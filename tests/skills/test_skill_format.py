"""Every skill of the repository against the open standard, as its strictest reader takes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from skills_ref import validate as validate_by_the_reference

from subgraph.catalog import validate
from tests.support.toolchain import ROOT

SKILLS = sorted(path.parent for path in (ROOT / "skills").rglob("SKILL.md"))
FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
TOKENS = 5_000
CHARACTERS_A_TOKEN = 3
"""Pessimistic for English with tables; there is no tokenizer among the dependencies."""

pytestmark = pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.name)


def read(skill: Path) -> tuple[dict[str, Any], str]:
    text = (skill / "SKILL.md").read_text(encoding="utf-8")
    opening, header, body = text.split("---\n", 2)
    assert opening == ""
    fields = yaml.safe_load(header)
    assert isinstance(fields, dict)
    return fields, body


def test_front_matter_has_the_fields_of_the_standard_alone(skill: Path) -> None:
    fields, _ = read(skill)
    assert set(fields) <= FIELDS
    assert {"name", "description"} <= set(fields)


def test_name_is_that_of_the_directory(skill: Path) -> None:
    name = read(skill)[0]["name"]
    assert name == skill.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 64


def test_texts_are_within_their_lengths(skill: Path) -> None:
    fields, _ = read(skill)
    assert 1 <= len(fields["description"].strip()) <= 1024
    assert "---" not in fields["description"]
    assert 1 <= len(fields.get("compatibility", "any")) <= 500


def test_metadata_maps_strings_to_strings(skill: Path) -> None:
    metadata = read(skill)[0].get("metadata", {})
    assert all(isinstance(item, str) for pair in metadata.items() for item in pair)
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])


def test_allowed_tools_are_separated_by_spaces(skill: Path) -> None:
    tools = read(skill)[0].get("allowed-tools", "")
    assert re.fullmatch(r"([A-Za-z_][\w:()*.-]*( [A-Za-z_][\w:()*.-]*)*)?", tools)


def test_body_is_short_enough_to_be_read_at_once(skill: Path) -> None:
    _, body = read(skill)
    assert body.count("\n") < 500
    assert len(body) / CHARACTERS_A_TOKEN < TOKENS


def test_files_that_it_names_exist_one_level_down(skill: Path) -> None:
    fields, body = read(skill)
    named = set(re.findall(r"\b((?:references|scripts|assets|src|fixtures)/[\w./-]*\w)", body))
    named |= {value for key, value in fields.get("metadata", {}).items() if key == "cyberos-script"}
    assert named
    for path in named:
        assert len(Path(path).parts) == 2
        assert (skill / path).is_file(), path


def test_json_examples_are_json(skill: Path) -> None:
    fields, body = read(skill)
    examples = re.findall(r"```json\n(.*?)```", body, re.DOTALL)
    # A skill that is only read has no input and output in JSON unless it says so.
    runs = {"cyberos-script", "cyberos-component"} & set(fields.get("metadata", {}))
    assert examples or not runs
    assert all(isinstance(json.loads(example), dict) for example in examples)


def test_the_reference_validator_accepts_it(skill: Path) -> None:
    assert validate_by_the_reference(skill) == []


def test_our_own_strict_rules_find_nothing(skill: Path, built: None) -> None:
    assert validate(skill).findings == ()


def test_the_reference_validator_would_refuse_another_name(skill: Path, tmp_path: Path) -> None:
    text = (skill / "SKILL.md").read_text(encoding="utf-8")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "SKILL.md").write_text(text, encoding="utf-8")
    assert validate_by_the_reference(tmp_path / "other")
