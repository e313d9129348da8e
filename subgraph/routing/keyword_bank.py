"""The keywords by which a skill is found: version-controlled data, by persona and skill.

What an installed skill says of itself (`metadata.cyberos-keywords`) is shown and never counted: a skill could
draw queries to itself with it. An operator adds keywords by a file of the same form.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from subgraph.routing.data_file import Data, Part, load
from subgraph.routing.errors import RoutingDataInvalid
from subgraph.routing.folding import fold

ANY_PERSONA = "ANY"
"""The bank of skills that belong to every persona."""

KEYWORD_WORDS = 12
"""Bound of a keyword, in words; it bounds what one place of a query can match."""

KEYWORD_CHARACTERS = 200
"""Bound of a keyword, in characters: each decision that it speaks for holds it as it is written."""

KEYWORDS_LIMIT = 500
"""Bound of the keywords of one skill; the largest bank of this project has about sixty."""

_FILE = Path(__file__).with_name("keywords.yaml")


@dataclass(frozen=True, slots=True)
class BankEntry:
    """The keywords of one skill as they are written. `persona` is None for every persona."""

    persona: str | None
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeywordBank:
    """Keywords by a skill's whole path: another skill of the same short name gets none of them.

    `idioms` are phrases in which a keyword means something else: "vất vả" has nothing to do with VAT.
    """

    version: str
    skills: Mapping[str, BankEntry]
    idioms: tuple[str, ...] = ()

    @property
    def personas(self) -> frozenset[str]:
        """The personas that have a bank."""
        return frozenset(entry.persona for entry in self.skills.values() if entry.persona is not None)

    def as_data(self) -> Data:
        """Give it in the form of its file, in the order of the skills' paths."""
        banks: dict[str, Data] = {}
        for path in sorted(self.skills):
            entry = self.skills[path]
            bank = banks.setdefault(entry.persona or ANY_PERSONA, {})
            assert isinstance(bank, dict)  # noqa: S101 - for the type checker
            bank[path] = list(entry.keywords)
        return {"version": self.version, "idioms": list(self.idioms), "banks": banks}


@functools.cache
def builtin_bank() -> KeywordBank:
    """Return the bank of this version of the service."""
    return load_bank(_FILE.read_text(encoding="utf-8"), _FILE.name)


def load_bank(text: str, name: str, seats: Collection[str] | None = None) -> KeywordBank:
    """Read a bank's file. Raises `RoutingDataInvalid` with the line of the first fault; see `bank_of`."""
    return bank_of(load(text, name), seats)


def bank_of(part: Part, seats: Collection[str] | None = None) -> KeywordBank:
    """Read a bank. Raises `RoutingDataInvalid`.

    Refused are fields that are not known, a skill that stands in two personas' banks, keywords that fold to
    nothing or to the same as another one of their skill, and personas that are none of `seats`, if given.
    """
    fields = part.fields(("version", "banks"), ("idioms",))
    skills: dict[str, BankEntry] = {}
    for persona, bank in fields["banks"].entries().items():
        if seats is not None and persona not in (*seats, ANY_PERSONA):
            bank.fault(f"{persona!r} is no seat; there are {', '.join((*seats, ANY_PERSONA))}")
        for path, listed in bank.entries().items():
            if path in skills:
                listed.fault(f"{path!r} stands in two banks")
            of = None if persona == ANY_PERSONA else persona
            skills[path] = BankEntry(of, phrases_of(listed))
    idioms = phrases_of(fields["idioms"]) if "idioms" in fields else ()
    return KeywordBank(fields["version"].text(), skills, idioms)


def phrases_of(listed: Part) -> tuple[str, ...]:
    """Read a list of phrases no two of which fold to the same. Raises `RoutingDataInvalid`."""
    found: dict[str, str] = {}
    items = listed.items()
    if len(items) > KEYWORDS_LIMIT:
        listed.fault(f"over {KEYWORDS_LIMIT} phrases: {len(items)}")
    for item in items:
        phrase = item.text()
        folded = fold(phrase)
        if len(phrase) > KEYWORD_CHARACTERS or not phrase.isprintable():
            item.fault(f"{phrase[:80]!r} is over {KEYWORD_CHARACTERS} characters, or some cannot be seen")
        if not folded:
            item.fault(f"{phrase!r} has neither a letter nor a digit")
        if folded.count(" ") >= KEYWORD_WORDS:
            item.fault(f"{phrase[:80]!r} is over {KEYWORD_WORDS} words")
        if folded in found:
            item.fault(f"{phrase!r} folds to the same as {found[folded]!r}")
        found[folded] = phrase
    return tuple(found.values())


def merged(bank: KeywordBank, addition: KeywordBank) -> KeywordBank:
    """Lay an operator's bank over another one.

    Its keywords are added; one that is there already stays once, so that a new version of this service may
    bring what an operator had added. The persona that it names holds. The version names both. Raises
    `RoutingDataInvalid` where a skill, or the idioms, would have more than `KEYWORDS_LIMIT`: the bounds of a
    bank are those of a merged one, or no snapshot of it could be read again.
    """
    skills = dict(bank.skills)
    for path, entry in addition.skills.items():
        before = skills[path].keywords if path in skills else ()
        skills[path] = BankEntry(entry.persona, _joined(path, before, entry.keywords))
    version = f"{bank.version}+{addition.version}"
    return KeywordBank(version, skills, _joined("idioms", bank.idioms, addition.idioms))


def added(before: KeywordBank, after: KeywordBank) -> dict[str, tuple[str, ...]]:
    """Say which keywords each skill of a bank has that it had not before, in the order of the paths."""
    found: dict[str, tuple[str, ...]] = {}
    for path, entry in sorted(after.skills.items()):
        had = set(map(fold, before.skills[path].keywords)) if path in before.skills else set()
        found[path] = tuple(each for each in entry.keywords if fold(each) not in had)
    return {path: keywords for path, keywords in found.items() if keywords}


def _joined(of: str, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    by_folded = {fold(phrase): phrase for phrase in reversed((*first, *second))}
    joined = tuple(by_folded[key] for key in dict.fromkeys(map(fold, (*first, *second))))
    if len(joined) > KEYWORDS_LIMIT:
        raise RoutingDataInvalid(f"{of} would have over {KEYWORDS_LIMIT} phrases: {len(joined)}")
    return joined
