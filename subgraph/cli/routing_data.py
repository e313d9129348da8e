"""What decisions about queries rest on, and what an operator adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from subgraph.cli.catalogue import NONE
from subgraph.cli.formats import AsFormat, Format
from subgraph.cli.output import say, say_fact, say_json, say_text, table
from subgraph.cli.session import MISUSED, fail, with_service
from subgraph.keyword_banks import OperatorKeywords
from subgraph.principal import Principal
from subgraph.routing import Persona
from subgraph.routing.data_file import FILE_LIMIT
from subgraph.routing_desk import Entry
from subgraph.service import Service

bank_app = typer.Typer(
    help="Show or set the keywords that are laid over the built-in ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def skills(
    skill: Annotated[str | None, typer.Argument(help="Short name or path; without one, all skills.")] = None,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Show by what a skill is found, and what is read out of a query for it; without one, all keywords."""

    async def work(service: Service, principal: Principal) -> Sequence[Entry]:
        if skill is None:
            return (await service.routing_desk.entries(principal)).entries
        return [await service.routing_desk.bank_of(principal, skill)]

    found = with_service(work)
    if format_ is Format.JSON:
        say_json([_as_json(each) for each in found] if skill is None else _as_json(found[0]))
    elif skill is None:
        table(
            ("skill", "persona", "keywords"),
            ((each.skill.path, each.skill.persona or "any", ", ".join(each.keywords)) for each in found),
        )
    else:
        _say_entry(found[0])


def _say_entry(found: Entry) -> None:
    known = found.skill
    say_text("skill:", known.path)
    say_text("region:", known.region or NONE)
    say_text("persona:", known.persona or "any")
    say_text("keywords:", f"[{', '.join(found.keywords)}]")
    say_text("extractor:", known.name if found.has_extractor else "none; the skill gets the query itself")
    say_text("required:", f"[{', '.join(found.required)}]")
    say_text("depends_on:", f"[{', '.join(known.depends_on)}]")
    say_text("allowed_tools:", f" [{', '.join(known.allowed_tools.split())}]")
    if not found.routable:
        say_text("REVOKED", "it is not routed to")


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


def personas(format_: AsFormat = Format.TEXT) -> None:
    """List the seats that a query can belong to: what each may do alone, and what it leaves to a human."""

    async def work(service: Service, principal: Principal) -> list[Persona]:
        return service.routing_desk.personas(principal)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json([_persona_as_json(each) for each in found])
        return
    for each in found:
        say(f"{each.code}: {each.title} ({each.held})")
        if not each.is_emerging:
            say_text("  auto ok:", "; ".join(each.auto_ok))
            say_text("  defers:", "; ".join(action.text for action in each.defers))


def _persona_as_json(persona: Persona) -> dict[str, Any]:
    return {
        "code": persona.code,
        "title": persona.title,
        "held": persona.held,
        "seats": list(persona.seats),
        "is_emerging": persona.is_emerging,
        "auto_ok": list(persona.auto_ok),
        "defers": [action.text for action in persona.defers],
    }


@bank_app.command("show")
def show_bank(format_: AsFormat = Format.TEXT) -> None:
    """Show the operator's file of keywords, and who set it."""

    async def work(service: Service, principal: Principal) -> OperatorKeywords:
        return await service.keyword_banks.show(principal)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json(_bank_as_json(found))
        return
    if found.text is None:
        say("none is set; the built-in keywords hold alone")
    else:
        say(found.text.removesuffix("\n"))
        say()
        say_fact("set by:", f"{found.decided_by} at {found.decided_at:%Y-%m-%dT%H:%M:%SZ}")
        say_fact("SHA-256:", found.sha256 or "")
    _say_version(found)


@bank_app.command("set")
def set_bank(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="Of the form of subgraph/routing/keywords.yaml."),
    ],
    format_: AsFormat = Format.TEXT,
) -> None:
    """Lay a file of keywords over the built-in ones, in place of the one before. It is recorded.

    A skill that is not installed may be named. A service that runs knows it within a second.
    """
    if file.stat().st_size > 4 * FILE_LIMIT:  # a character of UTF-8 has four bytes at most
        fail(f"{file.name}: over {FILE_LIMIT} characters", MISUSED)
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError:
        fail(f"{file.name}: not UTF-8", MISUSED)

    async def work(service: Service, principal: Principal) -> OperatorKeywords:
        return await service.keyword_banks.set(principal, text, file.name)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json(_bank_as_json(found))
        return
    for each in found.skills:
        say(f"{each.path} ({each.persona or 'any'}){'' if each.is_installed else ': not installed'}")
        say(f"  adds: {', '.join(each.added) or 'nothing that is not there'}")
    if found.idioms:
        say(f"idioms: {', '.join(found.idioms)}")
    _say_version(found)


@bank_app.command("clear")
def clear_bank(format_: AsFormat = Format.TEXT) -> None:
    """Take the operator's keywords away; the built-in ones remain. It is recorded."""

    async def work(service: Service, principal: Principal) -> OperatorKeywords:
        return await service.keyword_banks.clear(principal)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json(_bank_as_json(found))
        return
    say("none is set; the built-in keywords hold alone")
    _say_version(found)


def _say_version(found: OperatorKeywords) -> None:
    say_fact("version:", found.version)
    say_fact("catalogue:", found.fingerprint)


def _bank_as_json(found: OperatorKeywords) -> dict[str, Any]:
    return {
        "version": found.version,
        "fingerprint": found.fingerprint,
        "text": found.text,
        "sha256": found.sha256,
        "set_by": found.decided_by,
        "set_at": None if found.decided_at is None else found.decided_at.isoformat(timespec="seconds"),
        "skills": [
            {
                "skill": each.path,
                "persona": each.persona,
                "keywords": list(each.keywords),
                "added": list(each.added),
                "is_installed": each.is_installed,
            }
            for each in found.skills
        ],
        "idioms": list(found.idioms),
    }
