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
from typing import Any
from uuid import UUID

import orjson

from subgraph.audit import (
    AuditRecord,
    ChainStepNote,
    DecidedRouting,
    ErrorNote,
    FinishedChain,
    FinishedRouting,
    Ledger,
    RecordedInvocation,
    ReplayedRouting,
    SubjectKeys,
    chain_id,
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
from subgraph.principal import Principal, Scope
from subgraph.routing import CatalogueSnapshot, Decision, RoutingDataInvalid, State, route
from subgraph.routing.extractors import extract
from subgraph.routing.stored import decision_of
from subgraph.storage import Database

_PERSONAL = frozenset({"query", "arguments"})
_OF_THE_ENTRY = frozenset({"actor"})


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision as the log has it, and what became of it.

    Where `is_open` is False the query and the arguments of `decision` are empty: nobody keeps them, or can
    read them any more. `state` is how far it came; `run` and `error` are those of one that was invoked, and
    `steps` what became of its chain.
    """

    record: AuditRecord
    decision: Decision
    is_open: bool
    state: State
    run: RecordedInvocation | None = None
    error: ErrorNote | None = None
    steps: tuple[ChainStepNote, ...] = ()

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

    async def record(self, decision: Decision, snapshot: CatalogueSnapshot, state: State) -> RecordedDecision:
        """Write a stamped decision, after what it rests on. Also raises `Overloaded`."""
        request_id, actor = decision.request_id or "", decision.actor or ""
        key = await self._subjects.of(actor)
        if self._kept != snapshot.fingerprint:
            await self._database.execute("snapshot_put", snapshot.fingerprint, snapshot.encode())
            self._kept = snapshot.fingerprint
        encoded = decision.encode()
        entry = DecidedRouting(
            actor=actor,
            entry_id=request_id,
            state=state.value,
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
        return RecordedDecision(AuditRecord(seq, entry), decision, is_open=True, state=state)

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
    ) -> State:
        """Write what became of a decision that was invoked. Also raises `Overloaded`."""
        decision = recorded.decision
        request_id = decision.request_id or ""
        state = State.SUCCEEDED if error is None else State.FAILED
        await self._ledger.append(
            FinishedRouting(
                actor=decision.actor or "",
                entry_id=str(outcome_id(UUID(request_id))),
                request_id=request_id,
                state=state.value,
                skill=decision.skill_name or "",
                invocation_id=None if invocation is None else str(invocation.invocation_id),
                error=error,
            )
        )
        return state

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
        wanted = [name(each) for each in identifiers for name in (outcome_id, chain_id)]
        rows = await self._database.fetch("routing_entries", wanted) if wanted else []
        entries = {row["entry_id"]: orjson.loads(row["entry"]) for row in rows}
        outcomes = {each: entries.get(outcome_id(each)) for each in identifiers}
        known = (each["invocationId"] for each in outcomes.values() if each is not None)
        runs = [UUID(each) for each in known if each is not None]
        invocations = await find_invocations(self._database, runs) if runs else {}
        keys: dict[str, SubjectKey | None] = {}
        for each in records:
            if each.body["sealed"] is not None and each.actor not in keys:
                keys[each.actor] = await self._subjects.find(each.actor)
        return [
            dataclasses.replace(
                _recorded(each, keys.get(each.actor), outcomes[identifier], invocations),
                steps=_steps(entries.get(chain_id(identifier))),
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


def _is(one: str, other: str) -> bool:
    return hmac.compare_digest(one, other)
