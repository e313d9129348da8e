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


def decision_of(data: Mapping[str, Any]) -> Decision:
    """Read what `Decision.as_data` gave: the decision has the same bytes.

    Of its skills it knows the paths alone, and of how the persona was found no points. Raises `LookupError`
    and `ValueError` for something else.
    """
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
            tuple(data["seats"]),
            decided=True,
            tenths=0,
            reasons=tuple(data["personaReasons"]),
        ),
        best=None if best is None else _candidate(best),
        alternatives=tuple(map(_candidate, data["alternatives"])),
        skill_name=data["skillName"],
        arguments=data["arguments"],
        missing=tuple(data["missing"]),
        ambiguous=tuple(data["ambiguous"]),
        question=data["question"],
        chain=tuple(map(PlannedStep.of, data["chain"])),
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


def _candidate(data: Mapping[str, Any]) -> Candidate:
    skill = SkillEntry(data["skillName"], None, None, "", (), "", "", None)
    parts = data["breakdown"]
    return Candidate(
        Score(skill, parts["name"], tuple(parts["keywords"]), parts["region"]),
        data["rank"],
    )
