"""Entries about queries: what the router decided, and what became of what it invoked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid5

from subgraph.audit.entry import Entry, timestamp
from subgraph.audit.invocations import ErrorNote


@dataclass(frozen=True, slots=True)
class StateNote:
    """A state that a query reached, and when."""

    state: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedRouting(Entry):
    """What the router decided about a query; its `entry_id` is the ID of the request.

    `facts` are the fields of the decision that do not repeat the query. The query, and the decision's
    canonical bytes, which hold it, are committed to under the caller's key; `sealed` is what
    `SubjectKey.seal` made of those bytes, None without encryption and for bytes that were too long. `state`
    is how far the decision had come: `picked`, `deferred`, `escalated`, or `invoking` before a run.
    `lifecycle` are the states up to it, and `recorded` after one that is the last.
    """

    kind: ClassVar[str] = "routing.decision"

    state: str
    lifecycle: Sequence[StateNote]
    skill: str | None
    facts: Mapping[str, Any]
    key_id: str
    query_commitment: str
    decision_commitment: str
    sealed: Mapping[str, Any] | None

    def _subject(self) -> dict[str, object]:
        return {"skill": self.skill}

    def _details(self) -> dict[str, object]:
        return {
            **self.facts,
            "code": self.state,  # by which the log counts entries
            "lifecycle": _lifecycle(self.lifecycle),
            "keyId": self.key_id,
            "queryCommitment": self.query_commitment,
            "decisionCommitment": self.decision_commitment,
            "sealed": self.sealed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsultedModel(Entry):
    """A model was to be asked about a query; its decision comes next. `entry_id` is `consultation_id`.

    `facts` are the fields of the consultation that everybody may read. What was sent and what came back is
    committed to under the caller's key, and sealed where payloads are encrypted: `sealed_prompt` and
    `sealed_answer` are None without, and for what was too long. `outcome` is `answered`, or why there is no
    answer to go by; `pick` is the skill that it picked.
    """

    kind: ClassVar[str] = "routing.consultation"

    request_id: str
    outcome: str
    pick: str | None
    facts: Mapping[str, Any]
    key_id: str
    prompt_commitment: str
    answer_commitment: str
    sealed_prompt: Mapping[str, Any] | None
    sealed_answer: Mapping[str, Any] | None

    def _level(self) -> str:
        return "info" if self.outcome == "answered" else "warn"

    def _subject(self) -> dict[str, object]:
        return {"skill": self.pick}

    def _details(self) -> dict[str, object]:
        return {
            **self.facts,
            "requestId": self.request_id,
            "code": self.outcome,
            "keyId": self.key_id,
            "promptCommitment": self.prompt_commitment,
            "answerCommitment": self.answer_commitment,
            "sealedPrompt": self.sealed_prompt,
            "sealedAnswer": self.sealed_answer,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRouting(Entry):
    """What became of a decision that was to be invoked: `succeeded`, or `failed` with an error.

    `invocation_id` is that of the run, None when it was refused before it began. `lifecycle` are the states
    since it was started.
    """

    kind: ClassVar[str] = "routing.outcome"

    request_id: str
    state: str
    lifecycle: Sequence[StateNote]
    skill: str
    invocation_id: str | None
    error: ErrorNote | None

    def _level(self) -> str:
        return "info" if self.error is None else "warn"

    def _subject(self) -> dict[str, object]:
        return {"skill": self.skill}

    def _details(self) -> dict[str, object]:
        return {
            "requestId": self.request_id,
            "code": self.state,
            "lifecycle": _lifecycle(self.lifecycle),
            "invocationId": self.invocation_id,
            "error": self.error and self.error.fields(),
        }


@dataclass(frozen=True, slots=True)
class ChainStepNote:
    """One run of a chain: `status` is `ok`, `failed` or `skipped`, `code` that of what it failed for."""

    step: str
    skill: str
    status: str
    invocation_id: str | None
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedChain(Entry):
    """What became of a chain; each run of it has an entry of its own.

    `request_id` is that of the decision or the dispatch that it was run for, `elapsed_us` the time of all.
    """

    kind: ClassVar[str] = "routing.chain"

    request_id: str
    state: str
    skill: str
    steps: Sequence[ChainStepNote]
    elapsed_us: int

    def _level(self) -> str:
        return "warn" if any(each.status == "failed" for each in self.steps) else "info"

    def _subject(self) -> dict[str, object]:
        return {"skill": self.skill}

    def _details(self) -> dict[str, object]:
        return {
            "requestId": self.request_id,
            "code": self.state,
            "elapsedUs": self.elapsed_us,
            "steps": [
                {
                    "step": each.step,
                    "skill": each.skill,
                    "status": each.status,
                    "invocationId": each.invocation_id,
                    "code": each.code,
                }
                for each in self.steps
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedRouting(Entry):
    """A decision was made again on its own catalogue; `identical` says whether its bytes were the same."""

    kind: ClassVar[str] = "routing.replay"

    request_id: str
    skill: str | None
    identical: bool

    def _level(self) -> str:
        return "info" if self.identical else "warn"

    def _subject(self) -> dict[str, object]:
        return {"skill": self.skill}

    def _details(self) -> dict[str, object]:
        return {"requestId": self.request_id, "code": "identical" if self.identical else "different"}


def _lifecycle(notes: Sequence[StateNote]) -> list[dict[str, str]]:
    return [{"state": each.state, "at": timestamp(each.at)} for each in notes]


def outcome_id(request_id: UUID) -> UUID:
    """Name the entry that tells what became of a decision: it is found without being looked for."""
    return uuid5(request_id, "outcome")


def consultation_id(request_id: UUID) -> UUID:
    """Name the entry that tells how a model was asked about a query."""
    return uuid5(request_id, "consultation")


def chain_id(request_id: UUID) -> UUID:
    """Name the entry that tells what became of the chain of a decision."""
    return uuid5(request_id, "chain")
