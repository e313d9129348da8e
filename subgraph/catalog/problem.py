"""What is wrong with a skill, for whoever can mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from subgraph.errors import SourceInvalid

MANIFEST_NAME = "SKILL.md"


class Level(Enum):
    """How grave a finding is. With an error a skill is left out; with a warning it is loaded."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of one field. `line` counts in SKILL.md from 1; None when there is none to name."""

    level: Level
    field: str
    line: int | None
    message: str

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}: "
        field = f"{self.field}: " if self.field else ""
        return f"{line}{field}{self.message}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding about the skill at `path` of a catalogue: a warning, or why the skill is left out."""

    path: str
    level: Level
    field: str
    line: int | None
    message: str

    @classmethod
    def of(cls, path: str, finding: Finding) -> Problem:
        """Say which skill a finding is about."""
        return cls(path, finding.level, finding.field, finding.line, finding.message)


class ManifestInvalid(SourceInvalid):
    """SKILL.md is not valid: no skill can be read from it."""

    def __init__(self, message: str, *, field: str = "", line: int | None = None) -> None:
        self.finding = Finding(Level.ERROR, field, line, message)
        super().__init__(f"{MANIFEST_NAME}: {self.finding}")
