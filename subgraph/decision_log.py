"""Decisions about queries in the audit log: written with what they rest on, read back, made again.

Queries are personal data. The log keeps a commitment to each under its caller's key, and where payloads are
encrypted also the decision's bytes, which hold the query and the arguments that were read out of it.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from subgraph.audit import (
    AuditRecord,
    ChainStepNote,
    ConsultedModel,
    DecidedRouting,
    ErrorNote,
    FinishedChain,
    FinishedRouting,
    Ledger,
    RecordedInvocation,
    ReplayedRouting,
    SubjectKeys,
    chain_id,
    consultation_id,
    find_invocations,
    outcome_id,
    routing_page,
)
from subgraph.audit.log_tree import LogDamaged
from subgraph.audit.merkle import leaf_hash
from subgraph.audit.payloads import MAX_SEALED_BYTES, Part, SubjectKey
from subgraph.chain_run import ChainRun
from subgraph.errors import InputInvalid
from subgraph.execution.invocation import Invocation
from subgraph.lifecycle import Decided, Lifecycle, Moment, moments_of
from subgraph.principal import Principal, Scope
from subgraph.routing import (
    CatalogueSnapshot,
    Consultation,
    Decision,
    RoutingDataInvalid,
    State,
    route,
    settle,
)
from subgraph.routing.extractors import extract
from subgraph.routing.stored import decision_of
from subgraph.storage import Database

MAX_PROMPT_BYTES = 48 * 1024
"""Bytes of a prompt that an entry holds as ciphertext, in base64 64 KB of its 128: skills are within 24 KB, a
query within 16."""

_PERSONAL = frozenset({"query", "arguments"})
_OF_THE_ENTRY = frozenset({"actor"})


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


@dataclass(frozen=True, slots=True)
class Replay:
    """A decision made again on the catalogue that it was made on. `same` says whether its bytes are."""

    recorded: RecordedDecision
    again: Decision
    same: bool


class DecisionLog:
    """Writes decisions and reads them. Reads need `skill:audit`; all raise `StorageUnavailable`."""

    def __init__(self, database: Database, ledger: Ledger, subjects: SubjectKeys) -> None:
        self._database = database
        self._ledger = ledger
        self._subjects = subjects
        self._kept: str | None = None  # the fingerprint of the snapshot that was stored last

    async def record(self, decided: Decided, state: State) -> RecordedDecision:
        """Write a stamped decision, after what it rests on. Also raises `Overloaded`."""
        decision, snapshot, lifecycle = decided
        if state is not State.INVOKING:
            lifecycle.reach(State.RECORDED)
        request_id, actor = decision.stamp
        key = await self._subjects.of(actor)
        if self._kept != snapshot.fingerprint:
            await self._database.execute("snapshot_put", snapshot.fingerprint, snapshot.encode())
            self._kept = snapshot.fingerprint
        if decision.consultation is not None:
            await self._ledger.append(self._consulted(decision.consultation, request_id, actor, key))
        encoded = decision.encode()
        entry = DecidedRouting(
            actor=actor,
            entry_id=request_id,
            state=state.value,
            lifecycle=lifecycle.notes,
            skill=decision.skill_name,
            facts={
                name: value
                for name, value in decision.as_data().items()
                if name not in _PERSONAL and name not in _OF_THE_ENTRY
            },
            key_id=key.key_id,
            query_commitment=key.commitment(request_id, Part.QUERY, decision.query.encode()),
            decision_commitment=key.commitment(request_id, Part.DECISION, encoded),
            sealed=key.seal(request_id, Part.DECISION, encoded)
            if self._subjects.encrypts and len(encoded) <= MAX_SEALED_BYTES
            else None,
        ).encode()
        seq = await self._ledger.append(entry)
        moments = tuple(lifecycle.moments)
        return RecordedDecision(
            AuditRecord(seq, entry), decision, is_open=True, state=state, lifecycle=moments
        )

    def _consulted(self, asked: Consultation, request_id: str, actor: str, key: SubjectKey) -> ConsultedModel:
        def sealed(part: Part, data: bytes, limit: int) -> dict[str, object] | None:
            fits = self._subjects.encrypts and len(data) <= limit
            return key.seal(request_id, part, data) if fits else None

        return ConsultedModel(
            actor=actor,
            entry_id=str(consultation_id(UUID(request_id))),
            request_id=request_id,
            outcome=asked.outcome.value,
            pick=asked.pick,
            facts=asked.as_data(),
            key_id=key.key_id,
            prompt_commitment=key.commitment(request_id, Part.PROMPT, asked.prompt),
            answer_commitment=key.commitment(request_id, Part.ANSWER, asked.answer),
            sealed_prompt=sealed(Part.PROMPT, asked.prompt, MAX_PROMPT_BYTES),
            sealed_answer=sealed(Part.ANSWER, asked.answer, MAX_SEALED_BYTES),
        )

    async def finish_chain(self, actor: str, request_id: str, run: ChainRun) -> None:
        """Write what became of a chain. Also raises `Overloaded`."""
        await self._ledger.append(
            FinishedChain(
                actor=actor,
                entry_id=str(chain_id(UUID(request_id))),
                request_id=request_id,
                state=(State.SUCCEEDED if run.error is None else State.FAILED).value,
                skill=run.steps[-1].planned.skill_path,
                steps=[step.note for step in run.steps],
                elapsed_us=run.elapsed_us,
            )
        )

    async def finish(
        self, recorded: RecordedDecision, invocation: Invocation | None, error: ErrorNote | None
    ) -> Lifecycle:
        """Write what became of a decision that was invoked; return its last states.

        Also raises `Overloaded`.
        """
        decision = recorded.decision
        request_id, actor = decision.stamp
        state = State.SUCCEEDED if error is None else State.FAILED
        ended = Lifecycle.of(state, State.RECORDED)
        await self._ledger.append(
            FinishedRouting(
                actor=actor,
                entry_id=str(outcome_id(UUID(request_id))),
                request_id=request_id,
                state=state.value,
                lifecycle=ended.notes,
                skill=decision.skill_name or "",
                invocation_id=None if invocation is None else str(invocation.invocation_id),
                error=error,
            )
        )
        return ended

    async def find(self, principal: Principal, request_ids: Sequence[UUID]) -> dict[UUID, RecordedDecision]:
        """Find decisions by the IDs of their requests; those that are not there are left out."""
        principal.require(Scope.AUDIT)
        rows = await self._database.fetch("routing_entries", list(request_ids))
        records = (AuditRecord(row["seq"], row["entry"]) for row in rows)
        found = await self._read([each for each in records if each.kind == DecidedRouting.kind])
        return {UUID(each.record.body["id"]): each for each in found}

    async def page(
        self,
        principal: Principal,
        *,
        actor: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int,
    ) -> list[RecordedDecision]:
        """Read decisions, newest first; see `invocation_page` for what is refused."""
        principal.require(Scope.AUDIT)
        page = await routing_page(self._database, actor=actor, since=since, before=before, limit=limit)
        return await self._read(page.decisions)

    async def replay(self, principal: Principal, request_id: UUID, query: str | None = None) -> Replay:
        """Make a decision again on its own catalogue, and compare the bytes; that is recorded.

        `query` is needed where the log holds a commitment to it alone. Raises `InputInvalid` for a request
        that nobody recorded, without a query, for another one than it was, and where the caller's key was
        destroyed; `RoutingDataInvalid` where the catalogue is not kept.
        """
        recorded = (await self.find(principal, [request_id])).get(request_id)
        if recorded is None:
            raise InputInvalid("no decision with this ID is recorded")
        body = recorded.record.body
        key = await self._key_of(body)
        if key is None:
            raise InputInvalid("the key of its caller was destroyed: nobody can tell any more what was asked")
        if query is None:
            if not recorded.is_open:
                raise InputInvalid("the log holds a commitment to its query alone: give the query")
            query = recorded.decision.query
        old = recorded.decision
        snapshot = await self._snapshot(old.catalog_fingerprint)
        again = route(
            query,
            snapshot,
            extract,
            persona=old.asked_persona,
            by_persona=old.by_persona,
            cascade=old.cascade,
        ).stamped(body["id"], body["actor"])
        if old.consultation is not None:
            # What a model answered is an input, as the query is: nobody is asked again.
            again = settle(again, snapshot, old.consultation, extract)
        if not _is(key.commitment(body["id"], Part.QUERY, again.query.encode()), body["queryCommitment"]):
            raise InputInvalid("this is not the query that was decided about")
        commitment = key.commitment(body["id"], Part.DECISION, again.encode())
        same = _is(commitment, body["decisionCommitment"])
        await self._ledger.append(
            ReplayedRouting(
                actor=principal.actor, request_id=body["id"], skill=old.skill_name, identical=same
            )
        )
        return Replay(recorded, again, same=same)

    async def _read(self, records: Sequence[AuditRecord]) -> list[RecordedDecision]:
        """Read decisions with what became of them, by two look-ups for all."""
        identifiers = [UUID(each.body["id"]) for each in records]
        wanted = [name(each) for each in identifiers for name in (outcome_id, chain_id, consultation_id)]
        rows = await self._database.fetch("routing_entries", wanted) if wanted else []
        entries = {row["entry_id"]: orjson.loads(row["entry"]) for row in rows}
        outcomes = {each: entries.get(outcome_id(each)) for each in identifiers}
        known = (each["invocationId"] for each in outcomes.values() if each is not None)
        runs = [UUID(each) for each in known if each is not None]
        invocations = await find_invocations(self._database, runs) if runs else {}
        keys: dict[str, SubjectKey | None] = {}
        for each in records:
            has_sealed = each.body["sealed"] is not None or "model" in each.body
            if has_sealed and each.actor not in keys:
                keys[each.actor] = await self._subjects.find(each.actor)
        return [
            dataclasses.replace(
                _recorded(each, keys.get(each.actor), outcomes[identifier], invocations),
                lifecycle=(*moments_of(each.body), *moments_of(outcomes[identifier])),
                steps=_steps(entries.get(chain_id(identifier))),
                transcript=_transcript(entries.get(consultation_id(identifier)), keys.get(each.actor)),
            )
            for each, identifier in zip(records, identifiers, strict=True)
        ]

    async def _key_of(self, body: Mapping[str, Any]) -> SubjectKey | None:
        """Find the key that an entry was written under; None when it was destroyed."""
        key = await self._subjects.find(body["actor"])
        return key if key is not None and key.key_id == body["keyId"] else None

    async def _snapshot(self, fingerprint: str) -> CatalogueSnapshot:
        encoded = await self._database.fetchval("snapshot_get", fingerprint)
        if encoded is None:
            raise RoutingDataInvalid(f"the catalogue {fingerprint} is not kept")
        snapshot = CatalogueSnapshot.decode(encoded)
        if snapshot.fingerprint != fingerprint:
            raise RoutingDataInvalid(f"what is kept as the catalogue {fingerprint} is another one")
        return snapshot


def _recorded(
    record: AuditRecord,
    key: SubjectKey | None,
    outcome: Mapping[str, Any] | None,
    invocations: Mapping[UUID, RecordedInvocation],
) -> RecordedDecision:
    body = record.body
    opened = _opened(body, key)
    decision = decision_of({**body, "query": "", "arguments": {}} if opened is None else opened)
    if outcome is None:
        return RecordedDecision(record, decision, opened is not None, State(body["code"]))
    invocation_id, error = outcome["invocationId"], outcome["error"]
    return RecordedDecision(
        record,
        decision,
        opened is not None,
        State(outcome["code"]),
        None if invocation_id is None else invocations.get(UUID(invocation_id)),
        None if error is None else ErrorNote(code=error["code"], message=error["message"]),
    )


def _steps(chain: Mapping[str, Any] | None) -> tuple[ChainStepNote, ...]:
    if chain is None:
        return ()
    return tuple(
        ChainStepNote(each["step"], each["skill"], each["status"], each["invocationId"], each["code"])
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


def _is(one: str, other: str) -> bool:
    return hmac.compare_digest(one, other)
