"""Whether what a skill says it runs is there, and can be run by this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from subgraph.catalog.discovery import COMPONENT_PATH
from subgraph.catalog.field_rules import COMPONENT
from subgraph.catalog.freshness import stale_because
from subgraph.catalog.front_matter import Value
from subgraph.catalog.header import SCRIPT
from subgraph.catalog.problem import Finding, Level
from subgraph.catalog.report import Check
from subgraph.catalog.tree import read_head
from subgraph.errors import SourceInvalid

_SCRIPTS = "scripts/"
_COMPONENT_HEADER = b"\0asm\x0d\x00\x01\x00"
"""How a component begins; a core module has another version and layer in its place."""


def program_checks(
    metadata: Value | None, lines: Mapping[str, int], sizes: Mapping[str, int], directory: Path
) -> Iterator[Check]:
    """Check the script and the component; nothing of a skill that has none. `sizes` are of its files."""
    declared = metadata if isinstance(metadata, dict) else {}
    script, component = declared.get(SCRIPT), declared.get(COMPONENT)
    if isinstance(script, str) and script:
        yield _check(f"script: {script}", SCRIPT, lines, Level.ERROR, _script_problem(script, sizes))
    elif COMPONENT_PATH not in sizes:
        scripts = [path for path in sizes if path.startswith(_SCRIPTS) and path.endswith(".py")]
        if sum(path.count("/") == 1 for path in scripts) > 1:
            problem = f"the skill has several scripts and none is named in metadata.{SCRIPT}"
            yield _check("script", SCRIPT, lines, Level.WARNING, problem)
    if component is None or component == "":
        component = COMPONENT_PATH if COMPONENT_PATH in sizes else None
    if isinstance(component, str):
        found = _component_problem(component, sizes, directory)
        yield _check(f"component: {component}", COMPONENT, lines, Level.ERROR, found)
        stale = None if found is not None else stale_because(directory, sizes)
        if stale is not None:
            yield _check("component: sources", COMPONENT, lines, Level.WARNING, stale)


def _check(subject: str, field: str, lines: Mapping[str, int], level: Level, problem: str | None) -> Check:
    where = f"metadata.{field}"
    findings = () if problem is None else (Finding(level, where, lines.get(where), problem),)
    return Check(subject, findings=findings)


def _script_problem(script: str, sizes: Mapping[str, int]) -> str | None:
    if not script.startswith(_SCRIPTS) or not script.endswith(".py"):
        return f"must be a Python file (.py) in {_SCRIPTS}"
    return None if script in sizes else "the skill has no such file"


def _component_problem(component: str, sizes: Mapping[str, int], directory: Path) -> str | None:
    if component != COMPONENT_PATH:
        return f"must be {COMPONENT_PATH}"
    if component not in sizes:
        return "the skill has no such file: build it"
    try:
        head = read_head(directory / component, len(_COMPONENT_HEADER))
    except SourceInvalid as error:
        return error.message
    if head == _COMPONENT_HEADER:
        return None
    return "a core module, no component" if head.startswith(b"\0asm") else "no WebAssembly"
