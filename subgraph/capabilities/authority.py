"""What people decided about skills: kept in PostgreSQL, read from memory, coherent over several replicas."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from subgraph.audit import (
    ChangedBank,
    ChangedLimits,
    ChangedTrust,
    CreatedGrant,
    DeniedCapability,
    Entry,
    ReinstatedSkill,
    RequestedCapability,
    RevokedGrant,
    RevokedSkill,
)
from subgraph.capabilities.decisions import (
    LIMIT_NAMES,
    CapabilityRequest,
    Grant,
    LimitDecision,
    OperatorBank,
    RequestState,
    Revocation,
    TrustDecision,
)
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database, Transaction

POLL_SECONDS = 1.0
"""How often a replica asks whether another one has changed a grant or a revocation."""

STALE_SECONDS = 3.0
"""Age of the last good answer from which on this replica no longer trusts its memory."""

REQUESTS_LIMIT = 1000
"""Requests for capabilities that may wait at once: an operator is to read them all."""

REQUESTS_PER_SKILL = 64
"""Of these for one skill: as many as its calls may ask for at once, and no more, so that others find room."""

REQUESTS_KEPT = 2 * REQUESTS_LIMIT
"""Requests that are kept in memory: all that wait, and as many at least of the last answers."""

logger = logging.getLogger(__name__)

_NO_DECISIONS: Mapping[str, Grant] = {}


@dataclass(frozen=True, slots=True)
class _Decisions:
    """All decisions as they were at one version."""

    grants: Mapping[str, Mapping[str, Grant]] = field(default_factory=dict)
    revocations: Mapping[str, Revocation] = field(default_factory=dict)
    trust: Mapping[str, TrustDecision] = field(default_factory=dict)
    limits: Mapping[str, LimitDecision] = field(default_factory=dict)
    requests: Mapping[tuple[str, str, str], CapabilityRequest] = field(default_factory=dict)
    bank: OperatorBank | None = None


class Authority:
    """What people have granted, refused, revoked, trusted and limited, and by what words skills are found.

    Look-ups come from memory. Changes go through PostgreSQL, in one transaction with the audit entry
    that tells of them. Use it as an async context manager; it polls for changes that others make.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version = -1
        self._checked_at = float("-inf")
        self._known = _Decisions()
        self._listeners: list[Callable[[], None]] = []
        self._polling: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.refresh()
        self._polling = asyncio.create_task(self._poll())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])

    @property
    def version(self) -> int:
        """The version of the decisions that are known here: another number after each change."""
        return self._version

    def ensure_current(self) -> None:
        """Raise `StorageUnavailable` when a revocation elsewhere could have gone unnoticed."""
        if time.monotonic() - self._checked_at > STALE_SECONDS:
            raise StorageUnavailable

    def grants_of(self, skill_path: str) -> Mapping[str, Grant]:
        """Return the newest grant of each capability of a skill, whatever content hash it is for."""
        return self._known.grants.get(skill_path, _NO_DECISIONS)

    def all_grants(self) -> list[Grant]:
        """Return the newest grant of each skill and capability, ordered by both."""
        return [grant for grants in self._known.grants.values() for grant in grants.values()]

    def revocation_of(self, skill_path: str) -> Revocation | None:
        """Return the revocation of a skill, None when it is not revoked."""
        return self._known.revocations.get(skill_path)

    def trust_of(self, skill_path: str) -> TrustDecision | None:
        """Return the newest decision about trust in a skill, whatever content hash it is for."""
        return self._known.trust.get(skill_path)

    def limits_of(self, skill_path: str) -> LimitDecision | None:
        """Return what was decided about the limits of a skill."""
        return self._known.limits.get(skill_path)

    @property
    def bank(self) -> OperatorBank | None:
        """The operator's keyword bank, None where none is set."""
        return self._known.bank

    def requests(self) -> list[CapabilityRequest]:
        """Return the newest requests for capabilities, those that wait first."""
        return list(self._known.requests.values())

    def request_for(self, skill_path: str, capability: str, content_hash: str) -> CapabilityRequest | None:
        """Return the request for a capability of a skill with these bytes, if one was made."""
        return self._known.requests.get((skill_path, capability, content_hash))

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Have a listener told of every change, made here or by another replica, once it is known here."""
        self._listeners.append(listener)

    async def grant(
        self, skill_path: str, capabilities: Sequence[str], content_hash: str, actor: str
    ) -> None:
        """Record grants, all or none, and answer the requests for them.

        Raises `StorageUnavailable`, and then they may or may not be recorded.
        """
        async with self._changing() as transaction:
            for capability in capabilities:
                await transaction.execute(
                    "request_answer_granted", skill_path, capability, content_hash, actor
                )
                await _put_grant(transaction, skill_path, capability, content_hash, actor)

    async def revoke_capability(self, skill_path: str, capability: str, actor: str) -> Grant | None:
        """Take a grant back; return it, None when there was none. Raises as `grant`."""
        async with self._changing() as transaction:
            row = await transaction.fetchrow("grant_delete", skill_path, capability)
            if row is None:
                return None
            entry = RevokedGrant(
                actor=actor, skill=skill_path, content_hash=row["content_hash"], capability=capability
            )
            await transaction.execute("audit_append", uuid.uuid4(), [entry.encode()])
        return Grant.of(row)

    async def request(
        self, skill_path: str, capability: str, content_hash: str, actor: str
    ) -> CapabilityRequest | None:
        """Ask an operator for a capability, once for these bytes; return the request.

        None when too many wait already (`REQUESTS_LIMIT`, `REQUESTS_PER_SKILL`): then nobody is asked.
        Raises as `grant`.
        """
        known = self.request_for(skill_path, capability, content_hash)
        if known is not None:
            return known
        if not self._has_room(skill_path):
            return None
        # One that was answered long ago is no longer in memory.
        found = await self._database.fetchrow("request_find", skill_path, capability, content_hash)
        if found is not None:
            return CapabilityRequest.of(found)
        identifier = uuid.uuid4()
        async with self._changing() as transaction:
            row = await transaction.fetchrow(
                "request_put",
                identifier,
                skill_path,
                capability,
                content_hash,
                actor,
                REQUESTS_LIMIT,
                REQUESTS_PER_SKILL,
            )
            if row is not None:
                entry = RequestedCapability(
                    actor=actor,
                    skill=skill_path,
                    content_hash=content_hash,
                    capability=capability,
                    request_id=str(identifier),
                )
                await transaction.execute("audit_append", uuid.uuid4(), [entry.encode()])
        return self.request_for(skill_path, capability, content_hash)

    def _has_room(self, skill_path: str) -> bool:
        waiting = [each for each in self._known.requests.values() if each.state is RequestState.PENDING]
        return len(waiting) < REQUESTS_LIMIT and (
            sum(each.skill_path == skill_path for each in waiting) < REQUESTS_PER_SKILL
        )

    async def approve(self, request: CapabilityRequest, note: str, actor: str) -> CapabilityRequest | None:
        """Grant what a request asks for; None when it was answered meanwhile. Raises as `grant`."""
        async with self._changing() as transaction:
            row = await transaction.fetchrow(
                "request_answer", request.request_id, RequestState.APPROVED.value, actor, note
            )
            if row is None:
                return None
            await _put_grant(transaction, request.skill_path, request.capability, request.content_hash, actor)
        return CapabilityRequest.of(row)

    async def deny(self, request: CapabilityRequest, note: str, actor: str) -> CapabilityRequest | None:
        """Say no to a request; None when it was answered meanwhile. Raises as `grant`."""
        async with self._changing() as transaction:
            row = await transaction.fetchrow(
                "request_answer", request.request_id, RequestState.DENIED.value, actor, note
            )
            if row is None:
                return None
            entry = DeniedCapability(
                actor=actor,
                skill=request.skill_path,
                content_hash=request.content_hash,
                capability=request.capability,
                request_id=str(request.request_id),
                note=note,
            )
            await transaction.execute("audit_append", uuid.uuid4(), [entry.encode()])
        return CapabilityRequest.of(row)

    async def revoke(self, skill_path: str, note: str, content_hash: str, actor: str) -> None:
        """Revoke a skill; again keeps the first note. Raises as `grant`."""
        entry = RevokedSkill(actor=actor, skill=skill_path, content_hash=content_hash, note=note)
        await self._decide(entry, "revocation_put", skill_path, note, actor)

    async def reinstate(self, skill_path: str, note: str, content_hash: str, actor: str) -> None:
        """Take a revocation back; does nothing when there is none. Raises as `grant`."""
        entry = ReinstatedSkill(actor=actor, skill=skill_path, content_hash=content_hash, note=note)
        await self._decide(entry, "revocation_delete", skill_path)

    async def trust(self, change: ChangedTrust) -> None:
        """Trust a skill with these bytes as the entry says. Raises as `grant`."""
        await self._decide(change, "trust_put", change.skill, change.after, change.content_hash, change.actor)

    async def limit(self, change: ChangedLimits) -> None:
        """Set the limits of a skill as the entry says, in place of all before. Raises as `grant`."""
        executors = None if change.executors is None else list(change.executors)
        limits = [change.limits.get(name) for name in LIMIT_NAMES]
        await self._decide(
            change, "limits_put", change.skill, *limits, executors, change.content_hash, change.actor
        )

    async def set_bank(self, change: ChangedBank, text: str | None) -> None:
        """Set the operator's keyword bank as the entry says, None to have none. Raises as `grant`."""
        if text is None:
            await self._decide(change, "bank_delete")
        else:
            await self._decide(change, "bank_put", text, change.actor)

    async def _decide(self, entry: Entry, query: str, *arguments: object) -> None:
        """Make a change and its entry durable together. A query that changes no row leaves no entry."""
        async with self._changing() as transaction:
            if await transaction.fetchrow(query, *arguments) is not None:
                await transaction.execute("audit_append", uuid.uuid4(), [entry.encode()])

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Transaction]:
        """Open the transaction of a change: with the new version, and known here once it is durable."""
        async with self._database.transaction() as transaction:
            await transaction.execute("authority_version_bump")
            yield transaction
        await self.refresh()

    async def refresh(self) -> None:
        """Read what has changed since the last time. Raises `StorageUnavailable`."""
        # One at a time: one that began before a change must not end after one that has read it.
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        asked_at = time.monotonic()
        version = await self._database.fetchval("authority_version_get")
        if version != self._version:
            # The version is read first: a change in between is read twice, never missed.
            self._known = await self._read()
            self._version = version
            for listener in self._listeners:
                listener()
        self._checked_at = asked_at

    async def _read(self) -> _Decisions:
        grants: dict[str, dict[str, Grant]] = {}
        for row in await self._database.fetch("grant_list_newest"):
            grants.setdefault(row["skill_path"], {})[row["capability"]] = Grant.of(row)
        revocations = map(Revocation.of, await self._database.fetch("revocation_list"))
        trust = map(TrustDecision.of, await self._database.fetch("trust_list"))
        limits = map(LimitDecision.of, await self._database.fetch("limits_list"))
        requests = map(CapabilityRequest.of, await self._database.fetch("request_list", REQUESTS_KEPT))
        bank = await self._database.fetchrow("bank_get")
        return _Decisions(
            grants=grants,
            revocations={decision.skill_path: decision for decision in revocations},
            trust={decision.skill_path: decision for decision in trust},
            limits={decision.skill_path: decision for decision in limits},
            requests={(each.skill_path, each.capability, each.content_hash): each for each in requests},
            bank=None if bank is None else OperatorBank.of(bank),
        )

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
            except StorageUnavailable as error:
                logger.warning("grants and revocations could not be checked: %s", error)
            except Exception:
                # Whatever it was, calls are refused while it lasts, and the next look may find it mended.
                logger.exception("grants and revocations could not be checked")


async def _put_grant(
    transaction: Transaction, skill_path: str, capability: str, content_hash: str, actor: str
) -> None:
    await transaction.fetchrow("grant_put", skill_path, capability, content_hash, actor)
    entry = CreatedGrant(actor=actor, skill=skill_path, content_hash=content_hash, capability=capability)
    await transaction.execute("audit_append", uuid.uuid4(), [entry.encode()])
