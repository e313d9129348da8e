"""The skills that are measured: what they are asked and what they must answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks import guests
from tests.support.service import MST_SKILL
from tests.support.toolchain import build_skill

_SCRIPT_SECONDS = 30

_MANIFEST = """---
name: {name}
description: A guest of the benchmarks; it answers with its input.
---
"""


@dataclass(frozen=True, slots=True)
class Case:
    """An input of a skill and its right output, both as values and as text."""

    value: dict[str, Any]
    text: str
    answer: dict[str, Any]
    answer_text: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A skill under measurement. Without `cases` it echoes, and gets another input every time."""

    label: str
    skill: str
    component: bytes
    cases: Sequence[Case] = ()

    def case(self, number: int) -> Case:
        """Choose the case of a call; an answer that belongs to another call is not the right one."""
        if self.cases:
            return self.cases[number % len(self.cases)]
        value = {"call": 10_000_000 + number % 90_000_000}  # of one length
        text = orjson.dumps(value).decode()
        return Case(value, text, value, text)


def small_subject() -> Subject:
    """The smallest skill in C, which echoes."""
    return Subject("small (C)", "bench-echo", guests.skill_component("echo"))


def slow_subject() -> Subject:
    """A skill in C that computes for 10 to 20 ms, and echoes."""
    return Subject("slow (C)", "bench-spin", guests.skill_component("spin"))


def typescript_subject(inputs: Sequence[dict[str, Any]] = ({"mst": "0123456789-001"},)) -> Subject:
    """The Vietnamese tax code skill, whose reference script knows the right answers."""
    component = build_skill(MST_SKILL).read_bytes()
    return Subject("TypeScript", MST_SKILL.name, component, [_reference_case(value) for value in inputs])


def _reference_case(value: dict[str, Any]) -> Case:
    text = orjson.dumps(value).decode()
    # Without bytecode: a cache beside the script would be a change of the skill.
    outcome = subprocess.run(
        [sys.executable, "-sEB", MST_SKILL / "scripts" / "validate_mst.py"],
        input=text,
        capture_output=True,
        text=True,
        timeout=_SCRIPT_SECONDS,
        check=True,
    )
    answer_text = outcome.stdout.rstrip("\n")
    return Case(value, text, json.loads(answer_text), answer_text)


def install(subjects: Sequence[Subject], root: Path) -> None:
    """Write the guests of the benchmarks as skills below `root`, for the service to find."""
    for subject in subjects:
        if subject.cases:
            continue  # it comes with the service
        directory = root / subject.skill
        (directory / "dist").mkdir(parents=True)
        (directory / "SKILL.md").write_text(_MANIFEST.format(name=subject.skill))
        (directory / "dist" / "skill.wasm").write_bytes(subject.component)
