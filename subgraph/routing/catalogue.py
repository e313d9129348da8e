"""The catalogue as routing sees it, frozen: a decision can be made again from its bytes, years later."""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from subgraph.catalog.chain import CHAIN_TEXT_LIMIT
from subgraph.catalog.header import SkillHeader
from subgraph.routing.data_file import Data, Part
from subgraph.routing.errors import RoutingDataInvalid
from subgraph.routing.index import RoutingIndex
from subgraph.routing.keyword_bank import KeywordBank, bank_of, builtin_bank
from subgraph.routing.personas import PersonaBook, builtin_personas, personas_of

RULES_VERSION = "2"
"""Version of folding, scoring, classification and tiers; another one may decide otherwise."""

CHAIN_KEPT = CHAIN_TEXT_LIMIT + 1
"""Characters that are kept of how a skill's dependencies are run: of one that is too long, that it is."""

_FORMAT = "cyberos-catalogue-1"
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

    @property
    def name(self) -> str:
        """Its short name, the last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class CatalogueSnapshot:
    """All that a decision rests on but the query. `skills` are in the order of their paths."""

    skills: tuple[SkillEntry, ...]
    bank: KeywordBank
    personas: PersonaBook
    extractors: str  # the version of the extractors
    rules: str = RULES_VERSION

    def __post_init__(self) -> None:
        """Check that the parts fit one another. Raises `RoutingDataInvalid`."""
        paths = [skill.path for skill in self.skills]
        if paths != sorted(set(paths)):
            raise RoutingDataInvalid("a catalogue has each path once, in their order")
        seats = {code for code, persona in self.personas.personas.items() if not persona.is_emerging}
        owners = self.bank.personas | {skill.persona for skill in self.skills if skill.persona is not None}
        for persona in sorted(owners - seats):
            raise RoutingDataInvalid(f"{persona!r} has skills and is no seat of the personas")

    @classmethod
    def of(
        cls,
        headers: Iterable[SkillHeader],
        *,
        extractors: str,
        bank: KeywordBank | None = None,
        personas: PersonaBook | None = None,
    ) -> CatalogueSnapshot:
        """Take a snapshot of some headers, in any order, with the built-in bank and personas."""
        bank = builtin_bank() if bank is None else bank
        personas = builtin_personas() if personas is None else personas
        entries = (SkillEntry.of(header, bank, personas) for header in headers)
        ordered = tuple(sorted(entries, key=lambda entry: entry.path))
        return cls(ordered, bank, personas, extractors)

    @functools.cached_property
    def index(self) -> RoutingIndex:
        """The tables that queries are looked up in."""
        return RoutingIndex(self.skills, self.bank, self.personas)

    @functools.cached_property
    def by_path(self) -> Mapping[str, SkillEntry]:
        """The skills by their paths."""
        return {skill.path: skill for skill in self.skills}

    @functools.cached_property
    def by_name(self) -> Mapping[str, Sequence[str]]:
        """The paths of skills by their short names."""
        named: dict[str, list[str]] = defaultdict(list)
        for skill in self.skills:
            named[skill.name].append(skill.path)
        return named

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical bytes, in hex: whatever routing depends on changes it."""
        return hashlib.sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """Give the canonical bytes: JSON with sorted keys and without spaces."""
        return self._encoded

    @functools.cached_property
    def _encoded(self) -> bytes:
        document = {
            "format": _FORMAT,
            "rules": self.rules,
            "extractors": self.extractors,
            "skills": [skill._asdict() for skill in self.skills],
            "bank": self.bank.as_data(),
            "personas": self.personas.as_data(),
        }
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, encoded: bytes) -> CatalogueSnapshot:
        """Read canonical bytes. Raises `RoutingDataInvalid` where they are not those of a snapshot."""
        try:
            document: Data = orjson.loads(encoded)
        except orjson.JSONDecodeError as error:
            raise RoutingDataInvalid("a stored snapshot is not JSON") from error
        part = Part("a stored snapshot", document)
        fields = part.fields(("format", "rules", "extractors", "skills", "bank", "personas"))
        if fields["format"].text() != _FORMAT:
            part.fault(f"its format is not {_FORMAT}")
        snapshot = cls(
            tuple(_entry(item) for item in fields["skills"].items()),
            bank_of(fields["bank"]),
            personas_of(fields["personas"]),
            fields["extractors"].text(),
            fields["rules"].text(),
        )
        if snapshot.encode() != encoded:
            part.fault("its bytes are not canonical")
        return snapshot


def _entry(part: Part) -> SkillEntry:
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
    """Read a text that may be empty."""
    return part.text() if part.value != "" else ""
