"""A skill as routing sees it."""

from __future__ import annotations

from typing import NamedTuple

from subgraph.catalog.chain import CHAIN_TEXT_LIMIT
from subgraph.catalog.header import SkillHeader
from subgraph.routing.data_file import Part
from subgraph.routing.keyword_bank import KeywordBank
from subgraph.routing.personas import PersonaBook

CHAIN_KEPT = CHAIN_TEXT_LIMIT + 1
"""Characters that are kept of how a skill's dependencies are run: of one that is too long, that it is."""

_FIELDS = ("allowed_tools", "chain", "depends_on", "description", "path", "persona", "region", "version")


class SkillEntry(NamedTuple):
    """What routing knows of a skill. `persona` is None for a skill of every persona.

    `description` and `allowed_tools` are the skill's own words: shown, fenced in a prompt, never scored.
    `chain` is how it has its dependencies run; see `subgraph.catalog.chain`.
    """

    path: str
    version: str | None
    region: str | None
    description: str
    depends_on: tuple[str, ...]
    chain: str
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
        return cls(
            header.path,
            header.version,
            header.region,
            header.description,
            header.depends_on,
            header.chain[:CHAIN_KEPT],
            header.allowed_tools,
            bank.skills[header.path].persona if header.path in bank.skills else claimed,
        )

    def declares_as(self, header: SkillHeader) -> bool:
        """Tell whether a header still has the chain and the tools that this was made of."""
        return (self.chain, self.depends_on, self.allowed_tools) == (
            header.chain[:CHAIN_KEPT], header.depends_on, header.allowed_tools
        )  # fmt: skip

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
        chain=_any_text(fields["chain"]),
        allowed_tools=_any_text(fields["allowed_tools"]),
        persona=_optional(fields["persona"]),
    )


def _optional(part: Part) -> str | None:
    return None if part.value is None else _any_text(part)


def _any_text(part: Part) -> str:
    """Read a text as a skill's author wrote it, blank or not."""
    return part.value if isinstance(part.value, str) else part.text()
