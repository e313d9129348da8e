"""Decisions about queries in the audit log: written with what they rest on, read back, made again.

Queries are personal data. The log keeps a commitment to each under its caller's key, and where payloads are
encrypted also the decision's bytes, which hold the query and the arguments that were read out of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from string import hexdigits
from typing import Any, NamedTuple
from uuid import UUID

from subgraph.audit import (
    AuditRecord,
    ConsultedModel,
    DecidedRouting,
    ErrorNote,
    FinishedChain,
    FinishedRouting,
    Ledger,
    ReplayedRouting,
    SubjectKeys,
    chain_id,
    consultation_id,
    find_invocations,
    outcome_id,
    routing_page,
)
from subgraph.audit.log_tree import LogDamaged
from subgraph.audit.pages import PAGE_LIMIT, UNREADABLE_LIMIT
from subgraph.audit.payloads import MAX_SEALED_BYTES, Part, SubjectKey
from subgraph.audit.reader import EntryUnreadable, tell_unreadable
from subgraph.chain_run import ChainRun
from subgraph.errors import InputInvalid
from subgraph.execution.invocation import Invocation
from subgraph.lifecycle import Decided, Lifecycle
from subgraph.principal import Principal, Scope
from subgraph.recorded_decision import NOT_OURS, Beside, RecordedDecision, read_decision, run_of
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
from subgraph.storage import Database

MAX_PROMPT_BYTES = 48 * 1024
"""Bytes of a prompt that an entry holds as ciphertext, in base64 64 KB of its 128: skills are within 24 KB, a
query within 16."""

ID_DIGITS = 8
"""Hexadecimal digits of a request's ID by which it is found at least: of five million few begin alike."""

_PERSONAL = frozenset({"query", "arguments"})
_OF_THE_ENTRY = frozenset({"actor"})


class RoutingPage(NamedTuple):
    """Decisions, newest first; `before` and `unreadable` as in `InvocationPage`."""

    decisions: Sequence[RecordedDecision]
    before: int | None
    unreadable: Sequence[int]


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
        records = (
            AuditRecord(row["seq"], row["entry"]) for row in rows if row["kind"] == DecidedRouting.kind
        )
        found, unreadable = await self._read(list(records))
        tell_unreadable(list(unreadable))
        if unreadable and not found:
            seq, why = unreadable.popitem()
            if isinstance(why, LogDamaged):
                raise why
            raise EntryUnreadable(f"Entry {seq} of the audit log is not a decision of the router.") from why
        return {UUID(each.record.body["id"]): each for each in found}

    async def identify(self, principal: Principal, beginning: str) -> UUID:
        """Find the one request whose ID begins so, with at least `ID_DIGITS` hexadecimal digits.

        Raises `InputInvalid` for anything else, and where no decision is recorded that begins so, or several
        are. A whole ID is not looked up.
        """
        digits = beginning.replace("-", "").lower()
        if not ID_DIGITS <= len(digits) <= 32 or not set(digits) <= set(hexdigits):
            raise InputInvalid(f"an ID of a request has 32 hexadecimal digits; its first {ID_DIGITS} will do")
        principal.require(Scope.AUDIT)
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        if first == last:
            return first
        rows = await self._database.fetch("routing_decisions_between", first, last)
        if len(rows) != 1:
            several = "several requests begin so: give more of the ID"
            raise InputInvalid(several if rows else "no decision with this ID is recorded")
        found: UUID = rows[0]["entry_id"]
        return found

    async def page(
        self,
        principal: Principal,
        *,
        actor: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int,
    ) -> RoutingPage:
        """Read decisions, newest first; see `invocation_page` for what is refused."""
        principal.require(Scope.AUDIT)
        decisions: list[RecordedDecision] = []
        places: list[int] = []
        wanted = limit
        while True:
            page = await routing_page(self._database, actor=actor, since=since, before=before, limit=wanted)
            found, unreadable = await self._read(page.decisions)
            tell_unreadable(list(unreadable))
            places += [*page.unreadable, *unreadable]
            before = page.before
            if len(found) > limit - len(decisions):
                found = found[: limit - len(decisions)]
                before = found[-1].record.seq
                places = [place for place in places if place > before]
            decisions += found
            if len(decisions) == limit or before is None or len(places) >= UNREADABLE_LIMIT:
                break
            wanted = PAGE_LIMIT  # others are taken in the place of those that cannot be read
        if not decisions and before is not None:
            raise EntryUnreadable(
                f"{len(places)} decisions in a row cannot be read; `before: {before}` goes on behind them."
            )
        return RoutingPage(decisions, before, sorted(places, reverse=True))

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

    async def _read(
        self, records: Sequence[AuditRecord]
    ) -> tuple[list[RecordedDecision], dict[int, Exception]]:
        """Read decisions with what became of them, by two look-ups for all; and why some cannot be read."""
        known, unreadable = [each for each in records if each.is_readable], dict[int, Exception]()
        unreadable |= {each.seq: ValueError("no record") for each in records if not each.is_readable}
        identifiers = [UUID(each.body["id"]) for each in known]
        wanted = [name(each) for each in identifiers for name in (outcome_id, chain_id, consultation_id)]
        rows = await self._database.fetch("routing_entries", wanted) if wanted else []
        read = {row["entry_id"]: AuditRecord(row["seq"], row["entry"]) for row in rows}
        entries = {name: each.body for name, each in read.items() if each.is_readable}
        runs = [run for each in identifiers if (run := run_of(entries.get(outcome_id(each)))) is not None]
        try:
            invocations = await find_invocations(self._database, runs) if runs else {}
        except EntryUnreadable:
            invocations = {}  # it was told to the operator
        keys: dict[str, SubjectKey | None] = {}
        found = []
        for each, identifier in zip(known, identifiers, strict=True):
            has_sealed = each.body.get("sealed") is not None or "model" in each.body
            if has_sealed and each.actor not in keys:
                keys[each.actor] = await self._subjects.find(each.actor)
            beside = Beside(
                *(entries.get(name(identifier)) for name in (outcome_id, chain_id, consultation_id))
            )
            try:
                found.append(read_decision(each, beside, keys.get(each.actor), invocations))
            except NOT_OURS as error:
                unreadable[each.seq] = error
        return found, unreadable

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


def _is(one: str, other: str) -> bool:
    return hmac.compare_digest(one, other)
