"""Looking at skills."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from subgraph.capabilities import LIMIT_NAMES, CapabilityChanges, parse_capability
from subgraph.catalog import ActivatedSkill, Finding, Problem, Report, SkillHeader, exact_name
from subgraph.catalog import validate as validate_skill
from subgraph.cli.known_skills import KnownSkills
from subgraph.cli.output import say, say_json, say_text, table
from subgraph.cli.session import REFUSED, with_service
from subgraph.errors import CapabilityDenied, SubgraphError
from subgraph.execution.invocation import Executor
from subgraph.execution.limits import Limits
from subgraph.oversight import DeclaredCapability, SkillTrust
from subgraph.principal import Principal
from subgraph.service import Service

NONE = "—"

_PROBLEMS_SHOWN = 20

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def list_(
    region: Annotated[str | None, typer.Option(help="Only skills for this market, such as VN.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the skills that are there."""

    async def work(
        service: Service, principal: Principal
    ) -> tuple[list[tuple[SkillHeader, str]], list[Problem]]:
        headers = await service.skills.all(principal, region=region)
        listed = [(header, await _preferred(service, principal, header)) for header in headers]
        paths = {header.path for header in headers}
        return listed, [each for each in await service.skills.problems(principal) if each.path in paths]

    found, problems = with_service(work)
    if as_json:
        say_json(
            [
                {
                    "path": header.path,
                    "version": header.version,
                    "region": header.region,
                    "executor": executor,
                    "source": header.source.value,
                    "description": header.description,
                    "problems": [each.message for each in problems if each.path == header.path],
                }
                for header, executor in found
            ]
        )
        return
    table(
        ("name", "version", "region", "executor"),
        (
            (header.path, header.version or NONE, header.region or NONE, executor)
            for header, executor in found
        ),
    )
    say(f"\n{len(found)} {'skill' if len(found) == 1 else 'skills'} indexed")
    for each in problems[:_PROBLEMS_SHOWN]:
        say(f"{each.path}: {Finding(each.level, each.field, each.line, each.message)}")
    if len(problems) > _PROBLEMS_SHOWN:
        say(f"… and {len(problems) - _PROBLEMS_SHOWN} more problems; inspect SKILL shows those of one")


async def _preferred(service: Service, principal: Principal, header: SkillHeader) -> str:
    """Name the executor that `auto` would choose; a dash for a skill whose files are broken."""
    if service.oversight.revocation_of(principal, header.path) is not None:
        return "revoked"
    try:
        executors = await service.skills.executors_of(principal, exact_name(header.path))
    except SubgraphError:
        return NONE
    return executors[0].value.lower() if executors else NONE


@dataclass(frozen=True, slots=True)
class _Inspected:
    """All that is known of a skill."""

    skill: ActivatedSkill
    trust: SkillTrust
    executors: list[Executor]
    declared: list[DeclaredCapability]
    changes: CapabilityChanges
    problems: list[str]
    revoked: str | None


def inspect(
    skill: Annotated[str, typer.Argument(help="Short name or path of the skill.")], as_json: AsJson = False
) -> None:
    """Show what a skill is, what it could do at most, and what of it was granted."""

    async def work(service: Service, principal: Principal) -> _Inspected:
        active = await service.skills.read(principal, skill)
        path = active.header.path
        exact = exact_name(path)
        revocation = service.oversight.revocation_of(principal, path)
        return _Inspected(
            skill=active,
            trust=await service.oversight.trust_of(principal, exact),
            executors=await service.skills.executors_of(principal, exact),
            declared=await service.oversight.declared(principal, exact),
            changes=await service.oversight.changes(principal, exact),
            problems=[each.message for each in await service.skills.problems(principal, path)],
            revoked=None if revocation is None else revocation.note or "no note",
        )

    found = with_service(work)
    if as_json:
        say_json(_as_json(found))
        return
    for label, value in _facts(found):
        say_text(label, value)
    _say_capabilities(found)
    for problem in found.problems:
        say_text("problem", problem)


def _facts(found: _Inspected) -> list[tuple[str, str]]:
    header, limits = found.skill.header, found.trust.policy.limits
    facts = [
        ("name", header.name),
        ("path", header.path),
        ("version", header.version or NONE),
        ("license", header.license or NONE),
        ("region", header.region or NONE),
        ("description", header.description),
        ("source", header.source.value),
        ("content hash", found.skill.content_hash),
        ("executors", " ".join(each.value.lower() for each in found.executors) or "none under its trust"),
        ("trust", found.trust.tier.value),
        (
            "limits",
            ", ".join(f"{name} {value}" for name, value in named_limits(limits).items() if value is not None),
        ),
    ]
    if found.trust.warning is not None:
        facts.append(("warning", found.trust.warning))
    if found.revoked is not None:
        facts.append(("REVOKED", found.revoked))
    return facts


def named_limits(limits: Limits) -> dict[str, int | None]:
    """Name each limit of a run, in the units that its name says."""
    return {name: getattr(limits, name) for name in LIMIT_NAMES}


def _say_capabilities(found: _Inspected) -> None:
    if not found.declared:
        say("\nIt declares no capability: it can compute, and answer.")
        return
    say("\nAt most, if an operator grants it:")
    table(
        ("capability", "what it could do", "granted by", "state"),
        (
            (
                str(each.capability),
                each.problem or each.description,
                NONE if each.grant is None else each.grant.granted_by,
                _state(each, found.changes),
            )
            for each in found.declared
        ),
    )
    if found.changes.kept and found.changes.added:
        say(f"new since it was approved: {' '.join(map(str, found.changes.added))}")
    if found.changes.removed:
        say(f"granted once, declared no longer: {' '.join(map(str, found.changes.removed))}")


def _state(declared: DeclaredCapability, changes: CapabilityChanges) -> str:
    if declared.problem is not None:
        return "cannot be granted"
    if declared.grant is not None:
        return "granted"
    if declared.capability in changes.kept:
        return "stale: granted for other files"
    return "not granted" if declared.request is None else f"request {declared.request.state.value}"


def _as_json(found: _Inspected) -> dict[str, object]:
    limits = found.trust.policy.limits
    return {
        **{label.replace(" ", "_"): value for label, value in _facts(found) if label != "limits"},
        "executors": [each.value.lower() for each in found.executors],
        "limits": named_limits(limits),
        "capabilities": [
            {
                "capability": str(each.capability),
                "description": each.description,
                "problem": each.problem,
                "granted_by": None if each.grant is None else each.grant.granted_by,
                "state": _state(each, found.changes),
            }
            for each in found.declared
        ],
        "changes": {
            "added": [str(each) for each in found.changes.added],
            "removed": [str(each) for each in found.changes.removed],
            "kept": [str(each) for each in found.changes.kept],
        },
        "problems": found.problems,
        "revoked": found.revoked,
    }


def validate(
    directories: Annotated[
        list[Path],
        typer.Argument(exists=True, file_okay=False, help="Directories of skills, each with a SKILL.md."),
    ],
) -> None:
    """Check skills against every rule of the open standard, without running or installing them.

    What they depend on is looked for beside them, among the others that are named, and in the catalogue.
    Ends with 1 when one of them is not valid.
    """
    known = KnownSkills(directories)
    reports: list[Report] = [
        validate_skill(each, check_tool=_problem_of, check_skill=known.check_of(each)) for each in directories
    ]
    for report in reports:
        for line in report.lines():
            say(line)
    if not all(report.ok for report in reports):
        raise typer.Exit(REFUSED)


def _problem_of(tool: str) -> str | None:
    """Say why this host cannot grant an entry of allowed-tools."""
    try:
        return parse_capability(tool).problem
    except CapabilityDenied as error:
        return error.message


def prompt(
    skill: Annotated[
        str | None, typer.Argument(help="Short name or path of a skill; without it, the list of all.")
    ] = None,
) -> None:
    """Write what goes into an agent's prompt: the list of all skills, or the instructions of one."""

    async def work(service: Service, principal: Principal) -> str:
        if skill is None:
            return await service.skills.available(principal)
        return await service.skills.prompt(principal, skill)

    say(with_service(work))
