"""A skill with a line of interest, and what validation says of it."""

from __future__ import annotations

from pathlib import Path

from subgraph.catalog import Level, Report

HEAD = ("name: ok", "description: Does it. Use when it is to be done.")


def written(directory: Path, *lines: str, body: str = "# Do it\n", head: tuple[str, ...] = HEAD) -> Path:
    """Write a skill named `ok`, with these lines of front matter beside the two that must be there."""
    skill = directory / "ok"
    skill.mkdir(exist_ok=True)
    (skill / "SKILL.md").write_text("\n".join(["---", *head, *lines, "---", body]), encoding="utf-8")
    return skill


def errors(report: Report) -> list[str]:
    """What makes a skill invalid."""
    assert report.ok == all(finding.level is not Level.ERROR for finding in report.findings)
    return [str(finding) for finding in report.findings if finding.level is Level.ERROR]


def warnings(report: Report) -> list[str]:
    """What is only said."""
    return [str(finding) for finding in report.findings if finding.level is Level.WARNING]
