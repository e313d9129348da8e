"""`cyberos-cuo`: which skill a query is for."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from subgraph.catalog import exact_name
from subgraph.cli.catalogue import NONE
from subgraph.cli.evaluation import evaluate
from subgraph.cli.output import say, say_fact, say_json, table
from subgraph.cli.session import with_service
from subgraph.principal import Principal
from subgraph.routing import Decision
from subgraph.routing_desk import Entries, Entry, skill_input
from subgraph.service import Service

app = typer.Typer(
    name="cyberos-cuo",
    help="Say which skill a query is for, and why. It works on the same catalogue as the service, by the "
    "same CYBEROS_* settings; the service need not run. It invokes nothing.",
    epilog="docs/routing.md explains how a decision comes about.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Format(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"


AsFormat = Annotated[Format, typer.Option("--format", help="How to write it.")]


@app.command()
def catalog(format_: AsFormat = Format.TEXT) -> None:
    """List the skills that are routed to, and their keywords."""

    async def work(service: Service, principal: Principal) -> Entries:
        return await service.routing_desk.entries(principal)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json(
            {
                "fingerprint": found.fingerprint,
                "scanned_at": found.scanned_at.isoformat(timespec="seconds"),
                "skill_count": len(found.entries),
                "skills": [
                    {
                        "name": each.skill.path,
                        "version": each.skill.version,
                        "region": each.skill.region,
                        "persona": each.skill.persona,
                        "keywords": list(each.keywords),
                    }
                    for each in found.entries
                ],
            }
        )
        return
    table(
        ("name", "version", "region", "persona", "keywords"),
        (
            (
                each.skill.path,
                each.skill.version or NONE,
                each.skill.region or NONE,
                each.skill.persona or NONE,
                str(len(each.keywords)),
            )
            for each in found.entries
        ),
    )
    count = len(found.entries)
    say(f"\n{count} {'skill' if count == 1 else 'skills'}, catalogue {found.fingerprint}")


@app.command()
def route(
    query: Annotated[str, typer.Argument(help="What somebody wants, in Vietnamese or English.")],
    persona: Annotated[str | None, typer.Option(help="Route within this persona alone, such as CFO.")] = None,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Say which skill a query is for, with which arguments, and what else it could be for."""

    async def work(service: Service, principal: Principal) -> Decision:
        return await service.routing_desk.preview(principal, query, persona)

    decision = with_service(work)
    if format_ is Format.JSON:
        say_json({**decision.as_data(), "input": skill_input(decision)})
        return
    say("decision:")
    for label, value in _facts(decision):
        say(f"  {f'{label}:':<11} {value}")
    say("\nalternatives:")
    width = max((len(each.skill_name) for each in decision.alternatives), default=0)
    for each in decision.alternatives:
        say(f"  - {each.skill_name:<{width}} score={each.confidence}")
    if not decision.alternatives:
        say("  none")
    say(f"\n(not invoked{_way(decision)})")


def _facts(decision: Decision) -> list[tuple[str, str]]:
    """Say what was decided; what is to be asked or left to a person only where there is such a thing."""
    facts = [
        ("skill_name", decision.skill_name or "null"),
        ("arguments", _written(decision.arguments)),
        ("confidence", str(decision.confidence)),
        ("rationale", _quoted(decision.rationale)),
        ("routed", _quoted(decision.routed)),
    ]
    if decision.missing:
        facts.append(("missing", f"[{', '.join(decision.missing)}]"))
    if decision.ambiguous:
        facts.append(("ambiguous", f"[{', '.join(decision.ambiguous)}]"))
    if decision.question is not None:
        facts.append(("question", _quoted(decision.question)))
    if decision.deferral is not None:
        facts.append(("deferred", f"{decision.deferral.seat} ({decision.deferral.held})"))
    return facts


def _way(decision: Decision) -> str:
    """Say how the skill is run."""
    if decision.skill_name is None:
        return ""
    if not decision.may_invoke:
        return " — there is something to ask first"
    given = json.dumps(skill_input(decision), ensure_ascii=False)
    words = ("cyberos-skill-cli", "run", exact_name(decision.skill_name), "--input", given)
    return f" — {shlex.join(words)} does that"


def _written(arguments: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {_quoted(value)}" for name, value in arguments.items()) + "}"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@app.command()
def skills(
    skill: Annotated[str, typer.Argument(help="Short name or path of the skill.")],
    format_: AsFormat = Format.TEXT,
) -> None:
    """Show by what a skill is found, and what is read out of a query for it."""

    async def work(service: Service, principal: Principal) -> Entry:
        return await service.routing_desk.bank_of(principal, skill)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json(_as_json(found))
        return
    known = found.skill
    say_fact("skill:", known.path)
    say_fact("region:", known.region or NONE)
    say_fact("persona:", known.persona or "any")
    say_fact("keywords:", f"[{', '.join(found.keywords)}]")
    say_fact("extractor:", known.name if found.has_extractor else "none; the skill gets the query itself")
    say_fact("required:", f"[{', '.join(found.required)}]")
    say_fact("depends_on:", f"[{', '.join(known.depends_on)}]")
    say_fact("allowed_tools:", f" [{', '.join(known.allowed_tools.split())}]")
    if not found.routable:
        say_fact("REVOKED", "it is not routed to")


def _as_json(found: Entry) -> dict[str, Any]:
    known = found.skill
    return {
        "skill": known.path,
        "version": known.version,
        "region": known.region,
        "persona": known.persona,
        "keywords": list(found.keywords),
        "extractor": known.name if found.has_extractor else None,
        "required": list(found.required),
        "depends_on": list(known.depends_on),
        "allowed_tools": known.allowed_tools.split(),
        "routable": found.routable,
    }


@app.command("eval")
def eval_(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="Labelled queries: evaluation/queries.yaml."),
    ],
    split: Annotated[str | None, typer.Option(help="Only the cases of one split.")] = None,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Route labelled queries, and report how well.

    Top-1 accuracy counts the queries that a skill answers, by whether that skill was picked. A skill is
    activated when it may be invoked as it is: it was picked, and nothing is to be asked of a person first. A
    false activation is one for a query that no skill is to answer; a wrong one, of another skill than the one
    that answers it. The calibration error is over the picks, in ten bins.
    """
    evaluate(file, split, as_json=format_ is Format.JSON)


def main() -> None:
    """Run the command line; ends the process: 0, 1 when it was refused, 2 for a mistake in the command."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()


if __name__ == "__main__":
    main()
