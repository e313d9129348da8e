"""What a query is compared with: every phrase of a catalogue, and what each of them means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subgraph.routing.folding import fold, has_vietnamese_diacritics, plain_tokens, tokens
from subgraph.routing.keyword_bank import KeywordBank
from subgraph.routing.matcher import Matcher, Occurrence
from subgraph.routing.patterns import Pattern, literal_pattern, parse_pattern
from subgraph.routing.personas import Action, PersonaBook

if TYPE_CHECKING:
    from subgraph.routing.catalogue import SkillEntry

REGION_VN = "VN"


@dataclass(frozen=True, slots=True)
class Reading:
    """A query in NFC as the index reads it. `found` are the phrases in it but for those within an idiom."""

    query: str
    vietnamese: bool
    found: frozenset[str]


class RoutingIndex:
    """Tables of one catalogue, built once. Positions are those of its skills, in the order of their paths.

    `named`: positions by folded short name. `keywords`: positions and keywords as written by folded keyword.
    `personas`: codes and keywords as written by folded keyword. `regional`: positions of Vietnamese skills.
    """

    def __init__(self, skills: Sequence[SkillEntry], bank: KeywordBank, book: PersonaBook) -> None:
        self.named: dict[str, list[int]] = defaultdict(list)
        self.keywords: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.personas: dict[str, dict[str, str]] = defaultdict(dict)
        self.regional: list[int] = []
        for position, skill in enumerate(skills):
            self._add_skill(position, skill, bank)
        for persona in book.personas.values():
            for keyword in (*persona.keywords, *persona.auto_ok):
                self.personas[fold(keyword)].setdefault(persona.code, keyword)
        self._idioms = frozenset(map(fold, bank.idioms))
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
        self.named[fold(skill.name)].append(position)
        if skill.region == REGION_VN:
            self.regional.append(position)
        if skill.path not in bank.skills:
            return
        for keyword in bank.skills[skill.path].keywords:
            self.keywords[fold(keyword)].append((position, keyword))
            if skill.persona is not None:
                self.personas[fold(keyword)].setdefault(skill.persona, keyword)

    def read(self, query: str) -> Reading:
        """Find all phrases of the catalogue in a query, which is in NFC, in one pass."""
        occurrences = self._matcher.find(tokens(query))
        idioms = [one for one in occurrences if self._phrases[one.phrase] in self._idioms]
        found = {
            self._phrases[one.phrase]
            for one in occurrences
            if not idioms or not any(_is_within(one, idiom) for idiom in idioms)
        }
        return Reading(query, has_vietnamese_diacritics(query), frozenset(found))

    def actions(self, query: str) -> Iterable[tuple[Action, Pattern, Mapping[str, Sequence[Occurrence]]]]:
        """Yield the actions whose patterns may stand in a query, with the occurrences to try them by.

        A query is read twice where characters that show nothing, or other shapes of letters, make what an
        eye reads differ from what is compared.
        """
        words, shown = tokens(query), plain_tokens(query)
        for read in [words] if words == shown else [words, shown]:
            occurrences: dict[str, list[Occurrence]] = defaultdict(list)
            for one in self._matcher.find(read):
                occurrences[self._phrases[one.phrase]].append(one)
            for phrase in occurrences:
                for action, pattern in self._patterns.get(phrase, ()):
                    yield action, pattern, occurrences


def _is_within(one: Occurrence, other: Occurrence) -> bool:
    return other.start <= one.start and one.end <= other.end and one != other
