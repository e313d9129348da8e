"""What came of asking a model about one query: a frozen value, and the strict reader of its answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

ANSWER_LIMIT = 4096
"""Characters of an answer: a path, a number and a sentence. What is longer is none."""

_FIELDS = frozenset({"pick", "confidence", "reason"})


class ConsultationOutcome(Enum):
    """How asking a model ended. With all but the first, rules decide alone."""

    ANSWERED = "answered"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    GATEWAY_ERROR = "gateway_error"
    GATEWAY_REFUSED = "gateway_refused"
    BAD_ANSWER = "bad_answer"
    UNKNOWN_SKILL = "unknown_skill"
    CIRCUIT_OPEN = "circuit_open"


EXPLANATIONS: Mapping[ConsultationOutcome, str] = {
    ConsultationOutcome.TIMEOUT: "no model could be asked: the gateway did not answer in time",
    ConsultationOutcome.RATE_LIMITED: "no model could be asked: the gateway asks for fewer requests",
    ConsultationOutcome.GATEWAY_ERROR: "no model could be asked: the gateway failed",
    ConsultationOutcome.GATEWAY_REFUSED: "no model could be asked: the gateway refused the request",
    ConsultationOutcome.BAD_ANSWER: "a model was asked and gave no answer of the form that is asked for",
    ConsultationOutcome.UNKNOWN_SKILL: "a model was asked and named a skill that it was not offered",
    ConsultationOutcome.CIRCUIT_OPEN: "no model was asked: the gateway failed several times just now",
}
"""What the rationale of a decision says of a model that did not decide it."""


class Answer(NamedTuple):
    """What a model answered, of the form that is asked for. `percent` is its confidence in hundredths."""

    pick: str | None
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultation:
    """How a model was asked, and what it picked.

    `temperature` and `cost`, in US dollars, are decimal texts: the log holds no floats. `tokens_in`,
    `tokens_out` and `cost` are as the gateway says, None where it says nothing. `pick` is None for no
    skill, and both it and `confidence_percent` where there is no answer.

    `prompt` and `answer` are what was sent and what came back, word for word. They are personal data and in
    none of the data that is compared or written in clear: a decision read back from the log lacks them.
    """

    model: str
    temperature: str
    seed: int
    prompt_version: str
    outcome: ConsultationOutcome
    attempts: int
    elapsed_us: int
    pick: str | None = None
    confidence_percent: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: str | None = None
    prompt: bytes = field(default=b"", repr=False)
    answer: bytes = field(default=b"", repr=False)

    @property
    def answered(self) -> bool:
        """Whether there is an answer to go by."""
        return self.outcome is ConsultationOutcome.ANSWERED

    def as_data(self) -> dict[str, Any]:
        """Give what may be read by everybody as JSON values."""
        return {
            "model": self.model,
            "temperature": self.temperature,
            "seed": self.seed,
            "promptVersion": self.prompt_version,
            "outcome": self.outcome.value,
            "attempts": self.attempts,
            "elapsedUs": self.elapsed_us,
            "pick": self.pick,
            "confidencePercent": self.confidence_percent,
            "tokensIn": self.tokens_in,
            "tokensOut": self.tokens_out,
            "cost": self.cost,
        }


def consultation_of(data: Mapping[str, Any]) -> Consultation:
    """Read what `Consultation.as_data` gave. Raises `LookupError` and `ValueError` for something else."""
    return Consultation(
        model=data["model"],
        temperature=data["temperature"],
        seed=data["seed"],
        prompt_version=data["promptVersion"],
        outcome=ConsultationOutcome(data["outcome"]),
        attempts=data["attempts"],
        elapsed_us=data["elapsedUs"],
        pick=data["pick"],
        confidence_percent=data["confidencePercent"],
        tokens_in=data["tokensIn"],
        tokens_out=data["tokensOut"],
        cost=data["cost"],
    )


def read_answer(text: str, candidates: Collection[str]) -> Answer | ConsultationOutcome:
    """Read an answer: one JSON object of exactly a pick, a confidence and a reason, and nothing round it.

    Anything else is `BAD_ANSWER`, also a confidence that is no number from 0 to 1 and a field that stands
    twice; a pick that is not among the candidates is `UNKNOWN_SKILL`. Hundredths are cut, never rounded up.
    """
    if len(text) > ANSWER_LIMIT:
        return ConsultationOutcome.BAD_ANSWER
    try:
        answer = json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_object)
    except (ValueError, RecursionError, ArithmeticError):
        return ConsultationOutcome.BAD_ANSWER
    if not isinstance(answer, dict) or answer.keys() != _FIELDS or not isinstance(answer["reason"], str):
        return ConsultationOutcome.BAD_ANSWER
    pick, confidence = answer["pick"], answer["confidence"]
    if not isinstance(confidence, int | Decimal) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
        return ConsultationOutcome.BAD_ANSWER
    if pick is not None and not isinstance(pick, str):
        return ConsultationOutcome.BAD_ANSWER
    if pick is not None and pick not in candidates:
        return ConsultationOutcome.UNKNOWN_SKILL
    return Answer(pick, int(confidence * 100))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field stands twice")
    return found
