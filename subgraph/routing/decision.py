"""What the router decided about one query: a frozen value with canonical bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import orjson

from subgraph.errors import InputInvalid
from subgraph.routing.chains import PlannedStep
from subgraph.routing.consultation import Consultation
from subgraph.routing.deferral import Deferral
from subgraph.routing.scoring import Classification, Score

_FORMAT = "cuo-decision-1"


class RouterPhase(Enum):
    """Which part of the router picked."""

    PHASE1_RULE = "phase1_rule"
    PHASE2_LLM = "phase2_llm"
    PHASE3_CHAIN = "phase3_chain"
    PHASE4_PERSONA = "phase4_persona"


class Tier(Enum):
    """What confidence leads to."""

    INVOKE = "invoke"
    ASK = "ask"
    ESCALATE = "escalate"
    DEFER = "defer"


class State(Enum):
    """Where a decision is in its life."""

    RECEIVED = "received"
    ROUTING = "routing"
    PICKED = "picked"
    DEFERRED = "deferred"
    ESCALATED = "escalated"
    INVOKING = "invoking"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RECORDED = "recorded"


class Nudge(Enum):
    """How a person hears of it: told, asked something, or given it to judge."""

    NOTIFY = "notify"
    QUESTION = "question"
    REVIEW = "review"


class Extraction(Protocol):
    """What an extractor found in a query: fields of a skill's input, those it needs and did not find, and
    those that can be read in two ways. `question` asks a person for both.
    """

    @property
    def arguments(self) -> Mapping[str, object]:
        """Values by the names of the skill's input fields."""

    @property
    def missing(self) -> Sequence[str]:
        """The names of required fields that the query does not give."""

    @property
    def ambiguous(self) -> Sequence[str]:
        """The names of fields that the query gives in more than one way."""

    @property
    def question(self) -> str | None:
        """What to ask a person; None where nothing is missing, nor ambiguous."""


class Extractor(Protocol):
    """Finds the arguments of a skill, by its short name, in a query in NFC."""

    def __call__(self, skill_name: str, query: str, /) -> Extraction:
        """Extract."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A skill with its rank, from 1, and what its score is made of."""

    score: Score
    rank: int

    @property
    def skill_name(self) -> str:
        """The skill's path."""
        return self.score.skill.path

    @property
    def confidence(self) -> float:
        """The score as the documents print it for a candidate: 0.0 to 1.0."""
        return self.score.percent / 100

    def as_data(self) -> dict[str, Any]:
        """Give it as JSON values. Points are text, so that they print the same everywhere."""
        return {
            "skillName": self.skill_name,
            "rank": self.rank,
            "score": fixed(self.score.percent),
            "breakdown": {
                "points": f"{self.score.tenths // 10}.{self.score.tenths % 10}",
                "name": self.score.named,
                "keywords": list(self.score.keywords),
                "region": self.score.regional,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision. `skill_name` is the path of the skill that was picked, None where `routed` is false.

    `best` is the first candidate, picked or not; `alternatives` are those that were not picked, in the order
    of their ranks. `chain` are the runs that it takes, the last one that of the skill itself; empty where it
    runs alone. `asked_persona`, `by_persona` and `cascade` are what the caller asked for: with the query
    and the snapshot of `catalog_fingerprint` they make the decision again. `consultation` is how a model was
    asked, where one was to be: it is an input as well.
    """

    query: str
    asked_persona: str | None
    by_persona: bool
    cascade: bool
    catalog_fingerprint: str
    persona_version: str
    extractors_version: str
    classification: Classification
    best: Candidate | None
    alternatives: tuple[Candidate, ...]
    skill_name: str | None
    arguments: Mapping[str, object]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]
    question: str | None
    chain: tuple[PlannedStep, ...]
    confidence_percent: int
    rationale: str
    routed: bool
    router_phase: RouterPhase
    tier: Tier
    nudge: Nudge
    state: State
    deferral: Deferral | None
    request_id: str | None = None
    actor: str | None = None
    consultation: Consultation | None = None

    @property
    def confidence(self) -> float:
        """From 0.0 to 1.0."""
        return self.confidence_percent / 100

    @property
    def persona(self) -> str | None:
        """The code of the persona that the query belongs to; an emerging seat keeps its own."""
        return self.classification.persona

    @property
    def may_invoke(self) -> bool:
        """Whether a caller who wants it invoked may go on: nothing is to be asked of a person first."""
        return self.state is State.PICKED and self.tier is Tier.INVOKE

    @property
    def stamp(self) -> tuple[str, str]:
        """The ID of its request, and who asked. Raises `ValueError` for a decision that has none."""
        if self.request_id is None or self.actor is None:
            raise ValueError("the decision is of no request")
        return self.request_id, self.actor

    def stamped(self, request_id: str, actor: str) -> Decision:
        """Say which request it answers, and whose."""
        return dataclasses.replace(self, request_id=request_id, actor=actor)

    def as_data(self) -> dict[str, Any]:
        """Give it as JSON values, by the names of the documents; `model` where one was to be asked."""
        return {
            **({} if self.consultation is None else {"model": self.consultation.as_data()}),
            "format": _FORMAT,
            "requestId": self.request_id,
            "actor": self.actor,
            "query": self.query,
            "askedPersona": self.asked_persona,
            "byPersona": self.by_persona,
            "cascade": self.cascade,
            "catalogFingerprint": self.catalog_fingerprint,
            "personaVersion": self.persona_version,
            "extractorsVersion": self.extractors_version,
            "persona": self.persona,
            "seats": list(self.classification.seats),
            "personaReasons": list(self.classification.reasons),
            "best": None if self.best is None else self.best.as_data(),
            "alternatives": [candidate.as_data() for candidate in self.alternatives],
            "skillName": self.skill_name,
            "arguments": dict(self.arguments),
            "missing": list(self.missing),
            "ambiguous": list(self.ambiguous),
            "question": self.question,
            "chain": [step.as_data() for step in self.chain],
            "confidence": fixed(self.confidence_percent),
            "rationale": self.rationale,
            "routed": self.routed,
            "routerPhase": self.router_phase.value,
            "tier": self.tier.value,
            "nudge": self.nudge.value,
            "state": self.state.value,
            "deferral": None if self.deferral is None else _deferral_data(self.deferral),
        }

    def encode(self) -> bytes:
        """Give the canonical bytes: JSON with sorted keys and without spaces.

        Raises `InputInvalid` for arguments that JSON cannot hold as they are.
        """
        return encoded(self.as_data())


def encoded(data: Mapping[str, object]) -> bytes:
    """Encode JSON values canonically. Raises `InputInvalid` for what JSON has no value for."""
    try:
        return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise InputInvalid(f"a value of the decision is beyond what can be recorded: {error}") from None


def fixed(percent: int) -> str:
    """Print hundredths with two decimals: floats would print differently in other languages."""
    return f"{percent // 100}.{percent % 100:02}"


def _deferral_data(deferral: Deferral) -> dict[str, str]:
    return {
        "action": deferral.action,
        "seat": deferral.seat,
        "held": deferral.held,
        "cause": deferral.cause.value,
    }
