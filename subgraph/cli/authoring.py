"""Writing skills: a start, a component, and its cases."""

from __future__ import annotations

import tempfile
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from subgraph.authoring import (
    AuthoringError,
    BuildOptions,
    Language,
    Outcome,
    build_skill,
    run_fixtures,
    scaffold,
    stale_component,
)
from subgraph.cli.output import say_step
from subgraph.cli.session import REFUSED, fail, with_service
from subgraph.principal import Principal
from subgraph.service import Service

_PROBLEMS_SHOWN = 10


class Start(StrEnum):
    """The languages that there is a start for."""

    TYPESCRIPT = "ts"
    PYTHON = "py"
    ZIG = "zig"


def new(
    name: Annotated[str, typer.Argument(help="Name of the skill: lower-case letters, digits and hyphens.")],
    language: Annotated[Start, typer.Option("--lang", help="In which to write it.")] = Start.TYPESCRIPT,
    directory: Annotated[
        Path,
        typer.Option("--dir", file_okay=False, help="Where to make its directory; made where it is missing."),
    ] = Path(),
) -> None:
    """Make a skill to start from: valid, buildable, with cases that pass."""
    try:
        files = scaffold(directory, name, Language(language.value))
    except AuthoringError as error:
        fail(str(error), REFUSED)
    for path in files:
        say_step("new", f"{directory / name / path}")
    say_step("new", f"next: cyberos-skill-cli build {directory / name}")


def build(
    directories: Annotated[
        list[Path],
        typer.Argument(exists=True, file_okay=False, help="Directories of skills, or their src/."),
    ],
    language: Annotated[
        Language | None, typer.Option("--lang", help="Of which sources, where a skill has several.")
    ] = None,
    always: Annotated[bool, typer.Option("--always", help="Build again what has not changed.")] = False,
    aot: Annotated[
        bool, typer.Option(help="Compile to machine code, as the service will, to see that it can be.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="A line for each skill.")] = False,
) -> None:
    """Build skills: their sources to dist/skill.wasm, with a bill of materials (CycloneDX) beside it.

    The component can import no function of the host but those that the code calls, and calls none that
    allowed-tools does not declare. Ends with 1 when one cannot be built; what was built before stays.
    """
    options = BuildOptions(language, always, aot)
    failed = False
    for directory in directories:
        try:
            built = build_skill(directory, options, _silent if quiet else say_step)
        except AuthoringError as error:
            say_step("build", f"{directory}: {error}", failed=True)
            failed = True
            continue
        if built.unchanged:
            say_step("build", f"{directory}: unchanged")
        elif quiet:
            say_step("build", f"{directory}: {built.size} bytes, sha256:{built.sha256}")
        else:
            root = f"CYBEROS_SKILL_ROOTS={built.skill.parent}"
            say_step("build", f"ready for: {root} cyberos-skill-cli run {built.skill.name}")
    if failed:
        raise typer.Exit(REFUSED)


def _silent(_tool: str, _what: str) -> None:
    """Tell nothing."""


def fixtures(
    skill: Annotated[str, typer.Argument(help="Short name or path of the skill.")],
) -> None:
    """Run a skill's own cases (fixtures/cases.json) by every executor that it has.

    They run as any other call does, with what was granted and with an entry each, but in a workspace of their
    own. Ends with 1 when one does not answer as it must, and when the component is not of the sources beside
    it: what was tried is then not what is written.
    """
    with tempfile.TemporaryDirectory(prefix="cyberos-fixtures-") as folder:
        workspace = Path(folder)

        async def work(service: Service, principal: Principal) -> tuple[list[Outcome], str | None]:
            outcomes = await run_fixtures(service, principal, skill, workspace)
            return outcomes, await stale_component(service, principal, skill)

        try:
            outcomes, stale = with_service(work, runs_skills=True, workspace=workspace)
        except AuthoringError as error:
            fail(str(error), REFUSED)
    problems = [outcome for outcome in outcomes if outcome.problem is not None]
    for outcome in problems[:_PROBLEMS_SHOWN]:
        say_step(outcome.executor.value.lower(), f"{outcome.fixture.id}: {outcome.problem}", failed=True)
    totals = Counter(outcome.executor for outcome in outcomes)
    bad = Counter(outcome.executor for outcome in problems)
    for executor, total in totals.items():
        count = f"{total - bad[executor]}/{total} as expected"
        say_step("fixtures", f"{skill}  executor={executor.value.lower()}  {count}")
    if any(outcome.ungranted for outcome in problems):
        say_step("fixtures", f"what it needs is not granted: grant {skill} --all, then again", failed=True)
    if stale is not None:
        say_step("fixtures", stale, failed=True)
    if problems or stale is not None:
        raise typer.Exit(REFUSED)
