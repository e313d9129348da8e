"""What a validation found, check by check, as objects and as lines for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subgraph.catalog.problem import Finding, Level
from subgraph.catalog.showing import shown_in_line

_PREFIX = "[validate]   "
_LENGTH = 200  # of what is shown of either half of a line, in characters
_CLIENTS = "Claude Code, Codex, Cursor, VS Code"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `note` says of one that is in order what was seen."""

    subject: str
    note: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def level(self) -> Level:
        """The gravest level of its findings; OK when there are none."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)

    def lines(self) -> list[str]:
        """Write it as a line, or as one for each finding."""
        if not self.findings:
            said = [f"OK ({self.note})" if self.note else "OK"]
        else:
            said = [f"{finding.level.name} {_located(finding)}" for finding in self.findings]
        return [shown_in_line(self.subject, _LENGTH) + "  " + shown_in_line(text, _LENGTH) for text in said]


@dataclass(frozen=True, slots=True)
class Report:
    """The checks of one skill in the order in which they are read."""

    directory: Path
    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All errors and warnings."""
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def ok(self) -> bool:
        """Whether it is a valid skill: there may be warnings, and no error."""
        return all(check.level is not Level.ERROR for check in self.checks)

    def lines(self) -> list[str]:
        """Write the report for a terminal: a line a check or finding, and the verdict."""
        counts = [
            f"{number} {level.value}{'s' if number > 1 else ''}"
            for level in (Level.ERROR, Level.WARNING)
            if (number := sum(finding.level is level for finding in self.findings))
        ]
        verdict = f"✅ valid Agent Skill · would load in {_CLIENTS}" if self.ok else "❌ no valid Agent Skill"
        lines = [line for check in self.checks for line in check.lines()]
        if counts:
            verdict = f"{verdict} · {', '.join(counts)}"
        return [f"{_PREFIX}{line}" for line in (*lines, verdict)]


def _located(finding: Finding) -> str:
    return finding.message if finding.line is None else f"line {finding.line}: {finding.message}"
