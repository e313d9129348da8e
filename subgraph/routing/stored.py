"""A decision read back from its canonical values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subgraph.routing.chains import PlannedStep
from subgraph.routing.consultation import consultation_of
from subgraph.routing.decision import Candidate, Decision, Nudge, RouterPhase, State, Tier
from subgraph.routing.deferral import Deferral
from subgraph.routing.personas import Cause
from subgraph.routing.scoring import Classification, Score
from subgraph.routing.skill_entry import SkillEntry

_TYPES: Mapping[str, Any] = {
    "query": str,
    "askedPersona": str | None,
    "byPersona": bool,
    "cascade": bool,
    "catalogFingerprint": str,
    "personaVersion": str,
    "extractorsVersion": str,
    "persona": str | None,
    "skillName": str | None,
    "arguments": dict,
    "question": str | None,
    "confidence": str,
    "rationale": str,
    "routed": bool,
    "requestId": str | None,
    "actor": str | None,
}
_OF_A_STEP: Mapping[str, Any] = {"index": int, "step": str, "skillName": str}
_OF_A_CANDIDATE: Mapping[str, Any] = {"skillName": str, "rank": int}
_OF_A_SCORE: Mapping[str, Any] = {"name": bool, "region": bool}


def decision_of(data: Mapping[str, Any]) -> Decision:
    """Read what `Decision.as_data` gave: the decision has the same bytes.

    Of its skills it knows the paths alone, and of how the persona was found no points. Raises `LookupError`,
    `ValueError` and `TypeError` for something else.
    """
    _check(data, _TYPES)
    best, deferral = data["best"], data["deferral"]
    return Decision(
        query=data["query"],
        asked_persona=data["askedPersona"],
        by_persona=data["byPersona"],
        cascade=data["cascade"],
        catalog_fingerprint=data["catalogFingerprint"],
        persona_version=data["personaVersion"],
        extractors_version=data["extractorsVersion"],
        classification=Classification(
            data["persona"],
            _texts(data["seats"]),
            decided=True,
            tenths=0,
            reasons=_texts(data["personaReasons"]),
        ),
        best=None if best is None else _candidate(best),
        alternatives=tuple(map(_candidate, data["alternatives"])),
        skill_name=data["skillName"],
        arguments=data["arguments"],
        missing=_texts(data["missing"]),
        ambiguous=_texts(data["ambiguous"]),
        question=data["question"],
        chain=tuple(map(_step, data["chain"])),
        confidence_percent=int(data["confidence"].replace(".", "")),
        rationale=data["rationale"],
        routed=data["routed"],
        router_phase=RouterPhase(data["routerPhase"]),
        tier=Tier(data["tier"]),
        nudge=Nudge(data["nudge"]),
        state=State(data["state"]),
        deferral=None
        if deferral is None
        else Deferral(deferral["action"], deferral["seat"], deferral["held"], Cause(deferral["cause"])),
        request_id=data["requestId"],
        actor=data["actor"],
        consultation=consultation_of(data["model"]) if "model" in data else None,
    )


def _step(data: Mapping[str, Any]) -> PlannedStep:
    _check(data, _OF_A_STEP)
    step = PlannedStep.of(data)
    if not all(type(each) is int for each in step.after):
        raise TypeError("a step comes after others")
    return step


def _candidate(data: Mapping[str, Any]) -> Candidate:
    _check(data, _OF_A_CANDIDATE)
    _check(data["breakdown"], _OF_A_SCORE)
    skill = SkillEntry(data["skillName"], None, None, "", (), "", "", None)
    parts = data["breakdown"]
    return Candidate(
        Score(skill, parts["name"], _texts(parts["keywords"]), parts["region"]),
        data["rank"],
    )


def _check(data: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    for name, expected in types.items():
        if not isinstance(data[name], expected):
            raise TypeError(f"{name} of a decision is of another type")


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise TypeError("a decision has lists of texts")
    return tuple(values)
