"""A skill as routing sees it."""

from __future__ import annotations

import re
from typing import NamedTuple

from subgraph.catalog.header import SkillHeader
from subgraph.routing.data_file import Part
from subgraph.routing.keyword_bank import KeywordBank
from subgraph.routing.personas import PersonaBook

DEPENDENCIES_LIMIT = 32
"""Bound of the skills that one skill says it depends on."""

_FIELDS = ("allowed_tools", "depends_on", "description", "path", "persona", "region", "version")
_SEPARATOR = re.compile(r"[\s,]+")


class SkillEntry(NamedTuple):
    """What routing knows of a skill. `persona` is None for a skill of every persona.

    `description` and `allowed_tools` are the skill's own words: shown, fenced in a prompt, never scored.
    """

    path: str
    version: str | None
    region: str | None
    description: str
    depends_on: tuple[str, ...]
    allowed_tools: str
    persona: str | None

    @classmethod
    def of(cls, header: SkillHeader, bank: KeywordBank, personas: PersonaBook) -> SkillEntry:
        """Project a header. The bank says whose skill it is.

        A skill without a bank may say so itself (`metadata.cyberos-persona`): that can only keep it out of
        what is routed within the other personas.
        """
        extensions = header.extensions
        claim = personas.personas.get(extensions.get("cyberos-persona", ""))
        claimed = None if claim is None or claim.is_emerging else claim.code
        words = _SEPARATOR.split(extensions.get("cyberos-depends-on", ""))
        return cls(
            header.path,
            header.version,
            header.region,
            header.description,
            tuple(dict.fromkeys(filter(None, words)))[:DEPENDENCIES_LIMIT],
            header.allowed_tools,
            bank.skills[header.path].persona if header.path in bank.skills else claimed,
        )

    @property
    def name(self) -> str:
        """Its short name, the last part of its path."""
        return self.path.rpartition("/")[2]


def entry_of(part: Part) -> SkillEntry:
    """Read an entry of a stored snapshot. Raises `RoutingDataInvalid`."""
    fields = part.fields(_FIELDS)
    return SkillEntry(
        path=fields["path"].text(),
        version=_optional(fields["version"]),
        region=_optional(fields["region"]),
        description=_any_text(fields["description"]),
        depends_on=tuple(item.text() for item in fields["depends_on"].items()),
        allowed_tools=_any_text(fields["allowed_tools"]),
        persona=_optional(fields["persona"]),
    )


def _optional(part: Part) -> str | None:
    return None if part.value is None else _any_text(part)


def _any_text(part: Part) -> str:
    """Read a text that may be empty."""
    return part.text() if part.value != "" else ""
