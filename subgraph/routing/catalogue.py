"""The catalogue as routing sees it, frozen: a decision can be made again from its bytes, years later."""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from subgraph.catalog.header import SkillHeader
from subgraph.routing.data_file import Data, Part
from subgraph.routing.errors import RoutingDataInvalid
from subgraph.routing.index import RoutingIndex
from subgraph.routing.keyword_bank import KeywordBank, bank_of, builtin_bank
from subgraph.routing.personas import PersonaBook, builtin_personas, personas_of
from subgraph.routing.skill_entry import SkillEntry, entry_of

RULES_VERSION = "3"
"""Version of folding, scoring, classification and tiers; another one may decide otherwise."""

_FORMAT = "cyberos-catalogue-1"


@dataclass(frozen=True)
class CatalogueSnapshot:
    """All that a decision rests on but the query. `skills` are in the order of their paths.

    `revoked` are the paths of skills that are installed and revoked: none is routed to, and none leaves its
    place in a chain to another skill of its name.
    """

    skills: tuple[SkillEntry, ...]
    bank: KeywordBank
    personas: PersonaBook
    extractors: str  # the version of the extractors
    rules: str = RULES_VERSION
    revoked: tuple[str, ...] = ()

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
        revoked: Iterable[str] = (),
    ) -> CatalogueSnapshot:
        """Take a snapshot of some headers, in any order, with the built-in bank and personas."""
        bank = builtin_bank() if bank is None else bank
        personas = builtin_personas() if personas is None else personas
        entries = (SkillEntry.of(header, bank, personas) for header in headers)
        ordered = tuple(sorted(entries, key=lambda entry: entry.path))
        return cls(ordered, bank, personas, extractors, revoked=tuple(sorted(revoked)))

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
        """The paths of skills by their short names, of revoked ones too."""
        named: dict[str, list[str]] = defaultdict(list)
        for path in (*self.by_path, *self.revoked):
            named[path.rpartition("/")[2]].append(path)
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
        document: dict[str, object] = {
            "format": _FORMAT,
            "rules": self.rules,
            "extractors": self.extractors,
            "skills": [skill._asdict() for skill in self.skills],
            "bank": self.bank.as_data(),
            "personas": self.personas.as_data(),
        }
        if self.revoked:
            document["revoked"] = self.revoked
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, encoded: bytes) -> CatalogueSnapshot:
        """Read canonical bytes. Raises `RoutingDataInvalid` where they are not those of a snapshot."""
        try:
            document: Data = orjson.loads(encoded)
        except orjson.JSONDecodeError as error:
            raise RoutingDataInvalid("a stored snapshot is not JSON") from error
        part = Part("a stored snapshot", document)
        fields = part.fields(("format", "rules", "extractors", "skills", "bank", "personas"), ("revoked",))
        if fields["format"].text() != _FORMAT:
            part.fault(f"its format is not {_FORMAT}")
        snapshot = cls(
            tuple(entry_of(item) for item in fields["skills"].items()),
            bank_of(fields["bank"]),
            personas_of(fields["personas"]),
            fields["extractors"].text(),
            fields["rules"].text(),
            tuple(path.text() for path in fields["revoked"].items()) if "revoked" in fields else (),
        )
        if snapshot.encode() != encoded:
            part.fault("its bytes are not canonical")
        return snapshot
