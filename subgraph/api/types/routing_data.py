"""What decisions about queries rest on: seats, and the keywords that an operator adds."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from subgraph import keyword_banks, routing
from subgraph.api.types.persona import Persona


@strawberry.type(description="A seat: what it may do alone, and what it always leaves to a human.")
class Seat:
    code: Persona = strawberry.field(description="Its code, by which `route` takes it.")
    title: str = strawberry.field(description="Its work.")
    held: str = strawberry.field(description="How it is filled.")
    seats: list[Persona] = strawberry.field(
        description="Those that do its work today: itself, or the closest ones of an emerging seat."
    )
    is_emerging: bool = strawberry.field(description="Whether other seats do its work today.")
    auto_ok: list[str] = strawberry.field(description="What it may do alone.")
    defers: list[str] = strawberry.field(description="What always goes to a human, whatever it scores.")

    @classmethod
    def of(cls, persona: routing.Persona) -> Self:
        """Present a seat."""
        return cls(
            code=Persona(persona.code),
            title=persona.title,
            held=persona.held,
            seats=[Persona(code) for code in persona.seats],
            is_emerging=persona.is_emerging,
            auto_ok=list(persona.auto_ok),
            defers=[action.text for action in persona.defers],
        )


@strawberry.type(description="A skill that the operator's keyword bank names.")
class BankedSkill:
    skill_name: str = strawberry.field(description="Path of the skill.")
    persona: Persona | None = strawberry.field(description="Whose skill it is; null for every persona.")
    keywords: list[str] = strawberry.field(description="All that the operator's bank has for it.")
    added: list[str] = strawberry.field(description="Those of them that the built-in bank has not.")
    is_installed: bool = strawberry.field(
        description="Whether it is in the catalogue; else its keywords wait."
    )

    @classmethod
    def of(cls, skill: keyword_banks.BankedSkill) -> Self:
        """Present a skill."""
        return cls(
            skill_name=skill.path,
            persona=None if skill.persona is None else Persona(skill.persona),
            keywords=list(skill.keywords),
            added=list(skill.added),
            is_installed=skill.is_installed,
        )


@strawberry.type(
    description="The keywords that an operator has laid over the built-in ones; null and empty without any."
)
class KeywordBank:
    version: str = strawberry.field(description="Version of the whole bank: the built-in one's, and its own.")
    catalog_fingerprint: str = strawberry.field(
        description="SHA-256 of all that a decision rests on beside the query, with this bank."
    )
    text: str | None = strawberry.field(description="The file, as it was given.")
    sha256: str | None = strawberry.field(description="SHA-256 of the file, as the audit log has it.")
    set_by: str | None = strawberry.field(description="Who set it; null without `skill:audit`.")
    set_at: datetime | None = strawberry.field(description="When it was set.")
    skills: list[BankedSkill] = strawberry.field(description="The skills that it names, by path.")
    idioms: list[str] = strawberry.field(
        description="Phrases of it in which a keyword means something else, and does not count."
    )

    @classmethod
    def of(cls, found: keyword_banks.OperatorKeywords) -> Self:
        """Present what holds."""
        return cls(
            version=found.version,
            catalog_fingerprint=found.fingerprint,
            text=found.text,
            sha256=found.sha256,
            set_by=found.decided_by,
            set_at=found.decided_at,
            skills=[BankedSkill.of(each) for each in found.skills],
            idioms=list(found.idioms),
        )
