"""The score of skills and personas. All of it is whole numbers: tenths of a point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from subgraph.routing.catalogue import CatalogueSnapshot
from subgraph.routing.index import Reading
from subgraph.routing.skill_entry import SkillEntry

NAME_TENTHS = 50
KEYWORD_TENTHS = 30
REGION_TENTHS = 20
SATURATION_TENTHS = 100
"""A score from which on confidence is 1."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one skill scores for a query, and for what.

    `keywords` are those of its bank that stand in the query, as they are written there, in its order.
    """

    skill: SkillEntry
    named: bool
    keywords: tuple[str, ...]
    regional: bool

    @property
    def tenths(self) -> int:
        """The score in tenths of a point."""
        return NAME_TENTHS * self.named + KEYWORD_TENTHS * len(self.keywords) + REGION_TENTHS * self.regional

    @property
    def percent(self) -> int:
        """Confidence in hundredths: min(score, 10) / 10."""
        return min(self.tenths, SATURATION_TENTHS)

    @property
    def rationale(self) -> str:
        """Say what the score is made of."""
        parts = []
        if self.regional:
            parts += ["VN-diacritic query", "region=VN bonus"]
        if self.keywords:
            parts.append(f"{len(self.keywords)} keyword hit{'s' if len(self.keywords) > 1 else ''}")
        if self.named:
            parts.append("name-substring match")
        return " + ".join(parts)


@dataclass(frozen=True, slots=True)
class Classification:
    """The persona that a query belongs to. `seats` are those that do its work today.

    `persona` is None where nothing speaks for any. `decided`: it has more points than every other one.
    `reasons` are the keywords that stand in the query, and the short names of its skills that do.
    """

    persona: str | None
    seats: tuple[str, ...]
    decided: bool
    tenths: int
    reasons: tuple[str, ...]


def score(
    reading: Reading, snapshot: CatalogueSnapshot, limit: int, seats: Collection[str] | None = None
) -> list[Score]:
    """Return the best skills for a query, at most `limit`; those that score nothing are left out.

    The order is that of the scores, then of the paths. `seats` leaves the skills of other personas out.
    Only skills that a phrase of the query names are looked at: the catalogue may be of any size.
    """
    index, skills = snapshot.index, snapshot.skills
    named: set[int] = set()
    keywords: dict[int, list[str]] = defaultdict(list)
    for phrase in reading.found:
        named.update(index.named.get(phrase, ()))
        for position, keyword in index.keywords.get(phrase, ()):
            keywords[position].append(keyword)
    candidates = {at for at in (*named, *keywords) if _admits(seats, skills[at])}
    if reading.vietnamese and len(candidates) < limit:
        # What scores by its region alone comes after all others, in the order of the paths.
        others = (at for at in index.regional if at not in candidates and _admits(seats, skills[at]))
        candidates.update(list(islice(others, limit - len(candidates))))
    scores = [
        Score(
            skills[at],
            at in named,
            _in_bank_order(keywords.get(at, ()), snapshot, skills[at]),
            reading.vietnamese and skills[at].region == "VN",
        )
        for at in candidates
    ]
    return sorted(scores, key=lambda one: (-one.tenths, one.skill.path))[:limit]


def _admits(seats: Collection[str] | None, skill: SkillEntry) -> bool:
    return seats is None or skill.persona is None or skill.persona in seats


def _in_bank_order(
    keywords: Collection[str], snapshot: CatalogueSnapshot, skill: SkillEntry
) -> tuple[str, ...]:
    if not keywords:
        return ()
    return tuple(keyword for keyword in snapshot.bank.skills[skill.path].keywords if keyword in keywords)


def classify(reading: Reading, snapshot: CatalogueSnapshot) -> Classification:
    """Say which persona a query belongs to: by the personas' keywords, their skills' keywords and names.

    A keyword counts as for a skill, and so does a name, of skills that a bank gives to a persona: one that
    says itself whose it is would take queries to that persona, and so to itself. Of equal ones the first of
    the book is named.
    """
    reasons: dict[str, set[str]] = defaultdict(set)
    tenths: dict[str, int] = defaultdict(int)
    for phrase in reading.found:
        for code, keyword in snapshot.index.personas.get(phrase, {}).items():
            reasons[code].add(keyword)
            tenths[code] += KEYWORD_TENTHS
        named = (snapshot.skills[at] for at in snapshot.index.named.get(phrase, ()))
        banked = (skill for skill in named if skill.path in snapshot.bank.skills)
        for code, name in {(skill.persona, skill.name) for skill in banked if skill.persona is not None}:
            reasons[code].add(name)
            tenths[code] += NAME_TENTHS
    if not tenths:
        return Classification(None, (), decided=False, tenths=0, reasons=())
    most = max(tenths.values())
    first, *others = [code for code in snapshot.personas.personas if tenths.get(code) == most]
    seats = snapshot.personas.personas[first].seats
    return Classification(first, seats, not others, most, tuple(sorted(reasons[first])))
