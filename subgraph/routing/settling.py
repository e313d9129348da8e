"""What a model's answer makes of a query that rules left open: a pure function, so that it can be replayed.

1. Only a query that the rules escalated is settled: what a person decides, and what the rules are sure of,
   never depends on a model.
2. Without an answer to go by, the rules decide as they do without the cascade, and the rationale says why.
3. A model that picks nothing leaves the query to a person.
4. A pick at 0.70 or more is picked, if the rules alone could have picked that skill: its own score is 0.30 or
   more. A model that was talked into something can so open no skill that no word of the query speaks for.
5. Any other pick is put to a person, first of three.
6. What is picked gets its arguments and its chain as ever, and what cannot be undone goes to a seat as ever.
"""

from __future__ import annotations

import dataclasses

from subgraph.routing.catalogue import CatalogueSnapshot
from subgraph.routing.consultation import EXPLANATIONS, Consultation
from subgraph.routing.decision import (
    Candidate,
    Decision,
    Extractor,
    Nudge,
    RouterPhase,
    State,
    Tier,
    fixed,
)
from subgraph.routing.folding import has_vietnamese_diacritics
from subgraph.routing.questions import ALTERNATIVES_LIMIT, nothing_fits, which_of
from subgraph.routing.router import (
    INVOKE_PERCENT,
    THRESHOLD_PERCENT,
    Outcome,
    alternatives_to,
    route,
    settled_by,
    with_run,
)
from subgraph.routing.scoring import Score, score


def settle(
    decision: Decision, snapshot: CatalogueSnapshot, consultation: Consultation, extract: Extractor
) -> Decision:
    """Settle a decision that `route` gave for this snapshot. The same consultation gives the same bytes.

    Raises `LookupError` for a pick that the snapshot does not have; the reader of answers lets none through.
    """
    if decision.state is not State.ESCALATED:  # 1
        return decision
    if not consultation.answered:  # 2
        return _by_rules(decision, snapshot, consultation, extract)
    asked = dataclasses.replace(decision, consultation=consultation, router_phase=RouterPhase.PHASE2_LLM)
    percent = consultation.confidence_percent or 0
    if consultation.pick is None:  # 3
        return _left_to_a_person(asked)
    candidates = _ranked(asked, snapshot, consultation.pick)
    said = f"{asked.rationale}; a model picked {candidates[0].score.skill.name} with {fixed(percent)}"
    asked = dataclasses.replace(asked, best=candidates[0], confidence_percent=percent)
    if percent < INVOKE_PERCENT:  # 5
        return _asked_for(asked, candidates, f"{said}, which is below {fixed(INVOKE_PERCENT)}")
    own = candidates[0].score.percent
    if own < THRESHOLD_PERCENT:  # 4
        why = f"{said}, but the query's words speak for that skill with {fixed(own)} alone"
        return _asked_for(asked, candidates, why)
    return _picked(dataclasses.replace(asked, rationale=said), snapshot, candidates, extract)


def _by_rules(
    decision: Decision, snapshot: CatalogueSnapshot, consultation: Consultation, extract: Extractor
) -> Decision:
    alone = route(
        decision.query, snapshot, extract, persona=decision.asked_persona, by_persona=decision.by_persona
    )
    return dataclasses.replace(
        alone,
        cascade=True,
        rationale=f"{alone.rationale}; {EXPLANATIONS[consultation.outcome]}",
        consultation=consultation,
        request_id=decision.request_id,
        actor=decision.actor,
    )


def _left_to_a_person(decision: Decision) -> Decision:
    return dataclasses.replace(
        decision,
        state=State.DEFERRED,
        tier=Tier.DEFER,
        nudge=Nudge.REVIEW,
        rationale=f"{decision.rationale}; a model found no skill that fits",
        question=nothing_fits(vietnamese=has_vietnamese_diacritics(decision.query)),
    )


def _asked_for(decision: Decision, candidates: list[Candidate], rationale: str) -> Decision:
    """Put the model's pick to a person, with what else a word of the query speaks for."""
    pick, *others = candidates[:ALTERNATIVES_LIMIT]
    spoken = [pick, *(each for each in others if each.score.named or each.score.keywords)]
    return dataclasses.replace(
        decision,
        state=State.DEFERRED,
        tier=Tier.ASK,
        nudge=Nudge.QUESTION,
        rationale=rationale,
        alternatives=tuple(candidates[:ALTERNATIVES_LIMIT]),
        question=which_of(
            [each.score.skill.name for each in spoken],
            vietnamese=has_vietnamese_diacritics(decision.query),
        ),
    )


def _picked(
    decision: Decision, snapshot: CatalogueSnapshot, candidates: list[Candidate], extract: Extractor
) -> Decision:
    picked = Outcome(State.PICKED, Tier.INVOKE, Nudge.NOTIFY, decision.rationale)
    outcome, deferred = with_run(picked, candidates[0].score.skill, decision.query, snapshot, extract)  # 6
    return dataclasses.replace(
        decision,
        state=outcome.state,
        routed=outcome.routed,
        tier=outcome.tier,
        nudge=outcome.nudge,
        rationale=outcome.rationale,
        classification=settled_by(decision.classification, candidates[0]),
        alternatives=alternatives_to(outcome, candidates),
        skill_name=candidates[0].skill_name if outcome.routed else None,
        arguments=outcome.arguments,
        missing=outcome.missing,
        ambiguous=outcome.ambiguous,
        question=outcome.question,
        chain=outcome.chain,
        deferral=deferred,
    )


def _ranked(decision: Decision, snapshot: CatalogueSnapshot, pick: str) -> list[Candidate]:
    """Rank the pick first, then what the rules scored, in their order."""
    scores = score(snapshot.index.read(decision.query), snapshot, len(snapshot.skills))
    found = [each for each in scores if each.skill.path == pick]
    others = [each.score for each in decision.alternatives if each.skill_name != pick]
    first = found[0] if found else Score(snapshot.by_path[pick], named=False, keywords=(), regional=False)
    ranked = [first, *others][: ALTERNATIVES_LIMIT + 1]
    return [Candidate(each, rank) for rank, each in enumerate(ranked, 1)]
