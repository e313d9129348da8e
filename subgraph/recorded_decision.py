"""A decision about a query as the audit log has it: read back from its entry, and from those that came after.

An entry that this program did not write may hold anything; reading it raises one of `NOT_OURS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from subgraph.audit import AuditRecord, ChainStepNote, ErrorNote, RecordedInvocation
from subgraph.audit.log_tree import LogDamaged
from subgraph.audit.merkle import leaf_hash
from subgraph.audit.payloads import Part, SubjectKey
from subgraph.chain_run import StepStatus
from subgraph.lifecycle import Moment, moments_of
from subgraph.routing import Decision, State
from subgraph.routing.stored import decision_of

NOT_OURS = (LookupError, ValueError, TypeError, AttributeError, LogDamaged)
"""What comes of reading an entry of the router that this program did not write."""


class Transcript(NamedTuple):
    """The canonical bytes of a prompt, and the answer word for word; empty where there was none."""

    prompt: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision as the log has it, and what became of it.

    `transcript` is what was sent to a model and what it answered, None where nobody was asked or nobody can
    read it. Where `is_open` is False the query and the arguments of `decision` are empty: nobody keeps them,
    or can read them any more. `state` is how far it came; `run` and `error` are those of one that was
    invoked, and `steps` what became of its chain. `lifecycle` are the states that it went through, and when.
    """

    record: AuditRecord
    decision: Decision
    is_open: bool
    state: State
    run: RecordedInvocation | None = None
    error: ErrorNote | None = None
    transcript: Transcript | None = None
    steps: tuple[ChainStepNote, ...] = ()
    lifecycle: tuple[Moment, ...] = ()

    @property
    def chain(self) -> str:
        """The hash by which the entry stands in the log's tree, in hex."""
        return leaf_hash(self.record.encoded).hex()


def run_of(outcome: Mapping[str, Any] | None) -> UUID | None:
    """The run that an outcome names; None where it names none, or what is no ID."""
    try:
        return None if outcome is None else UUID(outcome["invocationId"])
    except (LookupError, ValueError, TypeError, AttributeError):
        return None


class Beside(NamedTuple):
    """What other entries say of a decision, None for those that are not there."""

    outcome: Mapping[str, Any] | None
    chain: Mapping[str, Any] | None
    consultation: Mapping[str, Any] | None


def read_decision(
    record: AuditRecord,
    beside: Beside,
    key: SubjectKey | None,
    invocations: Mapping[UUID, RecordedInvocation],
) -> RecordedDecision:
    """Read a decision back; `key` is its caller's, None where that is gone. Raises `NOT_OURS`."""
    body, outcome = record.body, beside.outcome
    opened = _opened(body, key)
    decision = decision_of({**body, "query": "", "arguments": {}} if opened is None else opened)
    run = None if outcome is None or outcome["invocationId"] is None else UUID(outcome["invocationId"])
    error = None if outcome is None else outcome["error"]
    return RecordedDecision(
        record=record,
        decision=decision,
        is_open=opened is not None,
        state=State(body["code"] if outcome is None else outcome["code"]),
        run=None if run is None else invocations.get(run),
        error=None if error is None else ErrorNote(code=error["code"], message=error["message"]),
        transcript=_transcript(beside.consultation, key),
        steps=_steps(beside.chain),
        lifecycle=(*moments_of(body), *moments_of(outcome)),
    )


def _steps(chain: Mapping[str, Any] | None) -> tuple[ChainStepNote, ...]:
    if chain is None:
        return ()
    return tuple(
        ChainStepNote(
            each["step"], each["skill"], StepStatus(each["status"]).value, each["invocationId"], each["code"]
        )
        for each in chain["steps"]
    )


def _opened(body: Mapping[str, Any], key: SubjectKey | None) -> dict[str, Any] | None:
    """Open what was sealed; None where nothing was, or the key is gone."""
    if body["sealed"] is None or key is None or key.key_id != body["keyId"]:
        return None
    try:
        opened: dict[str, Any] = orjson.loads(key.open(body["id"], Part.DECISION, body["sealed"]))
    except (ValueError, LookupError, TypeError) as error:
        raise LogDamaged("What was sealed of a decision cannot be opened by its key.") from error
    return opened


def _transcript(body: Mapping[str, Any] | None, key: SubjectKey | None) -> Transcript | None:
    """Open what was sealed of a consultation; None where nothing was, or the key is gone."""
    if body is None or key is None or key.key_id != body["keyId"]:
        return None
    if body["sealedPrompt"] is None or body["sealedAnswer"] is None:
        return None
    place = body["requestId"]
    try:
        return Transcript(
            key.open(place, Part.PROMPT, body["sealedPrompt"]),
            key.open(place, Part.ANSWER, body["sealedAnswer"]),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise LogDamaged("What was sealed of a consultation cannot be opened by its key.") from error
