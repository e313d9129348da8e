"""What a query is compared with: every phrase of a catalogue, and what each of them means."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from subgraph.routing.folding import fold, has_vietnamese_diacritics, plain_tokens, tokens
from subgraph.routing.keyword_bank import KeywordBank
from subgraph.routing.matcher import Matcher, Occurrence
from subgraph.routing.patterns import Pattern, literal_pattern, parse_pattern, weight
from subgraph.routing.personas import Action, PersonaBook
from subgraph.routing.skill_entry import SkillEntry

REGION_VN = "VN"

# Keywords are the same from one refresh of the catalogue to the next.
_fold = functools.lru_cache(maxsize=8192)(fold)


Occurrences: TypeAlias = "dict[str, list[Occurrence]]"
"""Where each phrase stands in a query."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A query in NFC as the index reads it. `found` are the phrases that stand in it outside of an idiom.

    `shown` are the occurrences in the words as an eye reads them, None where these are the same: characters
    that show nothing, or are other shapes of letters, must not hide an action.
    """

    query: str
    vietnamese: bool
    found: frozenset[str]
    occurrences: Occurrences
    shown: Occurrences | None


class RoutingIndex:
    """Tables of one catalogue, built once. Positions are those of its skills, in the order of their paths.

    `named`: positions by folded short name, where it counts. `keywords`: positions and keywords as written by
    folded keyword. `personas`: codes and keywords as written by folded keyword. `regional`: positions of
    Vietnamese skills.
    """

    def __init__(self, skills: Sequence[SkillEntry], bank: KeywordBank, book: PersonaBook) -> None:
        self.named: dict[str, list[int]] = defaultdict(list)
        self.keywords: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.personas: dict[str, dict[str, str]] = defaultdict(dict)
        self.regional: list[int] = []
        for position, skill in enumerate(skills):
            self._add_skill(position, skill, bank)
        self._add_names(skills, bank, book)
        for persona in book.personas.values():
            for keyword in (*persona.keywords, *persona.auto_ok):
                self.personas[_fold(keyword)].setdefault(persona.code, keyword)
        self._idioms = frozenset(map(_fold, bank.idioms))
        # By one phrase that must stand in the query: most patterns need not be tried at all.
        self._patterns: dict[str, dict[tuple[Action, Pattern], None]] = defaultdict(dict)
        parts: set[str] = set()
        for action in book.actions():
            for pattern in (literal_pattern(action.text), *map(parse_pattern, action.also)):
                parts.update(phrase for phrases in pattern for phrase in phrases)
                for phrase in pattern[0]:
                    self._patterns[phrase][action, pattern] = None
        known = {*self.named, *self.keywords, *self.personas, *self._idioms, *parts}
        self._phrases = sorted(known - {""})
        self._matcher = Matcher(phrase.split() for phrase in self._phrases)

    def _add_skill(self, position: int, skill: SkillEntry, bank: KeywordBank) -> None:
        if skill.region == REGION_VN:
            self.regional.append(position)
        if skill.path not in bank.skills:
            return
        for keyword in bank.skills[skill.path].keywords:
            self.keywords[_fold(keyword)].append((position, keyword))
            if skill.persona is not None:
                self.personas[_fold(keyword)].setdefault(skill.persona, keyword)

    def _add_names(self, skills: Sequence[SkillEntry], bank: KeywordBank, book: PersonaBook) -> None:
        """Add the names that count. A skill names itself, and must not draw queries to itself with that.

        That of a skill without a bank counts where it has two words at least and means nothing else: a skill
        that is called "invoice" or "hoa-don" is found once an operator gives it a bank.
        """
        meant = {_fold(keyword) for entry in bank.skills.values() for keyword in entry.keywords}
        for persona in book.personas.values():
            meant.update(map(_fold, (*persona.keywords, *persona.auto_ok)))
        for position, skill in enumerate(skills):
            name = _fold(skill.name)
            if skill.path in bank.skills or (" " in name and name not in meant):
                self.named[name].append(position)

    def read(self, query: str) -> Reading:
        """Find all phrases of the catalogue in a query, which is in NFC, in one pass."""
        words = tokens(query)
        occurrences = self._occurrences(words)
        idioms = [one for phrase in self._idioms & occurrences.keys() for one in occurrences[phrase]]
        found = frozenset(
            phrase
            for phrase, places in occurrences.items()
            if not idioms or not all(_is_within_any(one, idioms) for one in places)
        )
        shown = plain_tokens(query)
        return Reading(
            query,
            has_vietnamese_diacritics(query),
            found,
            occurrences,
            None if shown == words else self._occurrences(shown),
        )

    def _occurrences(self, words: Sequence[str]) -> Occurrences:
        occurrences: dict[str, list[Occurrence]] = defaultdict(list)
        for one in self._matcher.find(words):
            occurrences[self._phrases[one.phrase]].append(one)
        return dict(occurrences)

    def actions(self, reading: Reading) -> Iterator[tuple[Action, int]]:
        """Yield the actions that stand in a query, each time with the words that a pattern of it covers."""
        for occurrences in filter(None, (reading.occurrences, reading.shown)):
            for phrase in occurrences:
                for action, pattern in self._patterns.get(phrase, ()):
                    words = weight(pattern, occurrences)
                    if words:
                        yield action, words


def _is_within_any(one: Occurrence, others: Sequence[Occurrence]) -> bool:
    return any(other.start <= one.start and one.end <= other.end and one != other for other in others)
