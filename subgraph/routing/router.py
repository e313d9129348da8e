"""Route a query: a pure function of the query and a snapshot of the catalogue.

1. The query is checked and put into NFC.
2. It is read once: every phrase of the catalogue that stands in it is found.
3. What only a person does is deferred to that person's seat, whatever it would score.
4. The persona is classified, unless the caller names one.
5. The skills are scored, first those of the persona, then all.
6. The tier of the confidence says whether a skill is picked, a person or a model asked, or nothing done.
7. Arguments are extracted for a skill that is picked; what is missing or ambiguous is asked for.
8. The skills that it has run before it are planned.
9. One that could do what cannot be undone, itself or by its chain, is not picked after all: a seat decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from subgraph.routing.catalogue import CatalogueSnapshot
from subgraph.routing.chains import ChainBroken, PlannedStep, plan_chain
from subgraph.routing.decision import (
    Candidate,
    Decision,
    Extraction,
    Extractor,
    Nudge,
    RouterPhase,
    State,
    Tier,
    encoded,
    fixed,
)
from subgraph.routing.deferral import Deferral, deferral, irreversible_effect
from subgraph.routing.folding import checked
from subgraph.routing.index import Reading
from subgraph.routing.personas import Cause
from subgraph.routing.questions import ALTERNATIVES_LIMIT, nothing_fits, which_skill
from subgraph.routing.scoring import Classification, Score, classify, score
from subgraph.routing.skill_entry import SkillEntry

THRESHOLD_PERCENT = 30
"""Confidence from which on a skill is picked without the cascade; fixed by the protocol."""

INVOKE_PERCENT, ASK_PERCENT, ESCALATE_PERCENT = 70, 50, 10
"""Confidence from which on the cascade invokes, asks a person, and asks a model; below, it defers."""


def route(
    query: str,
    snapshot: CatalogueSnapshot,
    extract: Extractor,
    *,
    persona: str | None = None,
    by_persona: bool = True,
    cascade: bool = False,
) -> Decision:
    """Decide about a query. The same query, snapshot and options give the same bytes.

    `persona` routes within that persona alone. Without one it is classified, and where that is decided and a
    skill of it reaches the threshold, the query is routed within it; `by_persona` switches this off. Skills
    that belong to no persona belong to all. Raises `InputInvalid` for a query that is too long or no text,
    and for a persona that nobody has.
    """
    text = checked(query)  # 1
    reading = snapshot.index.read(text)  # 2
    deferred = deferral(reading, snapshot)  # 3
    classification = _classification(reading, snapshot, persona, deferred)  # 4
    asked_for = persona is not None
    within, scores = _scores(reading, snapshot, classification, asked=asked_for, by_persona=by_persona)  # 5
    candidates = [Candidate(one, rank) for rank, one in enumerate(scores, 1)]
    percent = candidates[0].score.percent if candidates else 0
    outcome = _deferred(deferred) if deferred else _tiered(reading, candidates, cascade=cascade)  # 6
    if outcome.routed:
        classification = settled_by(classification, candidates[0])
        outcome, deferred = with_run(outcome, candidates[0].score.skill, text, snapshot, extract)
    return Decision(
        query=text,
        asked_persona=persona,
        by_persona=by_persona,
        cascade=cascade,
        catalog_fingerprint=snapshot.fingerprint,
        persona_version=snapshot.personas.version,
        extractors_version=snapshot.extractors,
        classification=classification,
        best=candidates[0] if candidates else None,
        alternatives=alternatives_to(outcome, candidates),
        skill_name=candidates[0].skill_name if outcome.routed else None,
        arguments=outcome.arguments,
        missing=outcome.missing,
        ambiguous=outcome.ambiguous,
        question=outcome.question,
        chain=outcome.chain,
        confidence_percent=percent,
        rationale=outcome.rationale,
        routed=outcome.routed,
        router_phase=_phase(outcome, within=within),
        tier=outcome.tier,
        nudge=outcome.nudge,
        state=outcome.state,
        deferral=deferred,
    )


class Outcome(NamedTuple):
    """What is done about a query."""

    state: State
    tier: Tier
    nudge: Nudge
    rationale: str
    question: str | None = None
    arguments: Mapping[str, object] = MappingProxyType({})
    missing: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    chain: tuple[PlannedStep, ...] = ()

    @property
    def routed(self) -> bool:
        """Whether a skill is picked."""
        return self.state is State.PICKED


def alternatives_to(outcome: Outcome, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Give the candidates beside the one that is picked; the first of all where none is."""
    return tuple(candidates[1:] if outcome.routed else candidates[:ALTERNATIVES_LIMIT])


def _classification(
    reading: Reading, snapshot: CatalogueSnapshot, persona: str | None, deferred: Deferral | None
) -> Classification:
    """Take the persona that is asked for, else whose list an action is on, else what the words speak for."""
    if persona is not None:
        asked = snapshot.personas.resolve(persona)
        return Classification(asked.code, asked.seats, decided=True, tenths=0, reasons=())
    if deferred is not None and deferred.cause is Cause.DEFERS:
        seat, action = deferred.seat, deferred.action
        return Classification(seat, (seat,), decided=True, tenths=0, reasons=(action,))
    return classify(reading, snapshot)


def settled_by(classification: Classification, picked: Candidate) -> Classification:
    """Where the words leave the persona open, the skill that is picked settles it."""
    skill = picked.score.skill
    if classification.decided or skill.persona is None:
        return classification
    return Classification(skill.persona, (skill.persona,), decided=False, tenths=0, reasons=(skill.name,))


def _scores(
    reading: Reading,
    snapshot: CatalogueSnapshot,
    classification: Classification,
    *,
    asked: bool,
    by_persona: bool,
) -> tuple[bool, list[Score]]:
    """Score the skills, and say whether it was done within the persona."""
    limit = ALTERNATIVES_LIMIT + 1
    if asked or (by_persona and classification.decided):
        scores = score(reading, snapshot, limit, classification.seats)
        if asked or (scores and scores[0].percent >= THRESHOLD_PERCENT):
            return True, scores
    return False, score(reading, snapshot, limit)


def tier_of(percent: int, *, cascade: bool) -> Tier:
    """Say what a confidence, in hundredths, leads to."""
    if not cascade:
        return Tier.INVOKE if percent >= THRESHOLD_PERCENT else Tier.DEFER
    if percent >= INVOKE_PERCENT:
        return Tier.INVOKE
    if percent >= ASK_PERCENT:
        return Tier.ASK
    return Tier.ESCALATE if percent >= ESCALATE_PERCENT else Tier.DEFER


def _tiered(reading: Reading, candidates: Sequence[Candidate], *, cascade: bool) -> Outcome:
    if not candidates:
        question = nothing_fits(vietnamese=reading.vietnamese)
        return Outcome(State.DEFERRED, Tier.DEFER, Nudge.REVIEW, "no skill matches the query", question)
    percent, why = candidates[0].score.percent, candidates[0].score.rationale
    tier = tier_of(percent, cascade=cascade)
    if tier is Tier.INVOKE:
        return Outcome(State.PICKED, tier, Nudge.NOTIFY, why)
    why += f"; confidence {fixed(percent)} is below {fixed(INVOKE_PERCENT if cascade else THRESHOLD_PERCENT)}"
    question = which_skill(candidates, vietnamese=reading.vietnamese)
    state = State.ESCALATED if tier is Tier.ESCALATE else State.DEFERRED
    return Outcome(state, tier, Nudge.QUESTION, why, question)


def _deferred(found: Deferral) -> Outcome:
    return Outcome(State.DEFERRED, Tier.DEFER, Nudge.REVIEW, found.rationale)


def with_run(
    outcome: Outcome, picked: SkillEntry, query: str, snapshot: CatalogueSnapshot, extract: Extractor
) -> tuple[Outcome, Deferral | None]:
    """Give a skill that is picked its arguments and its chain, or leave it to a seat."""
    extraction = extract(picked.name, query)  # 7
    encoded(dict(extraction.arguments))  # what cannot be recorded must not be decided
    outcome = _with_chain(_with_arguments(outcome, extraction), picked, snapshot)  # 8
    run = dict.fromkeys([picked, *(snapshot.by_path[step.skill_path] for step in outcome.chain)])
    deferred = irreversible_effect(run, snapshot)  # 9
    return (_deferred(deferred), deferred) if deferred else (outcome, None)


def _with_arguments(outcome: Outcome, extraction: Extraction) -> Outcome:
    """Give what was extracted to a skill that is picked; with a hole or a doubt in it, a person is asked."""
    given = outcome._replace(
        arguments=dict(extraction.arguments),
        missing=tuple(extraction.missing),
        ambiguous=tuple(extraction.ambiguous),
        question=extraction.question,
    )
    if not given.missing and not given.ambiguous and given.question is None:
        return given
    return given._replace(tier=Tier.ASK, nudge=Nudge.QUESTION)


def _with_chain(outcome: Outcome, picked: SkillEntry, snapshot: CatalogueSnapshot) -> Outcome:
    """Plan the runs of the skill that is picked; a person looks at one whose chain cannot be run."""
    try:
        return outcome._replace(chain=plan_chain(picked, snapshot).steps)
    except ChainBroken as broken:
        rationale = f"{outcome.rationale}; it cannot be run: {broken}"
        return outcome._replace(tier=Tier.ASK, nudge=Nudge.REVIEW, rationale=rationale)


def _phase(outcome: Outcome, *, within: bool) -> RouterPhase:
    if outcome.chain:
        return RouterPhase.PHASE3_CHAIN
    return RouterPhase.PHASE4_PERSONA if within else RouterPhase.PHASE1_RULE
