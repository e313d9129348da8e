"""Grants and revocations: kept in PostgreSQL, read from memory, coherent over several replicas."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import asyncpg

from subgraph.audit import CreatedGrant, Entry, ReinstatedSkill, RevokedSkill
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database

POLL_SECONDS = 1.0
"""How often a replica asks whether another one has changed a grant or a revocation."""

STALE_SECONDS = 3.0
"""Age of the last good answer from which on this replica no longer trusts its memory."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's approval of one capability, for the bytes of a skill that had this content hash."""

    skill_path: str
    capability: str
    content_hash: str
    granted_by: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation of a skill."""

    skill_path: str
    note: str
    revoked_by: str
    revoked_at: datetime


class Authority:
    """What people have granted and revoked.

    Look-ups come from memory. Changes go through PostgreSQL, in one transaction with the audit entry
    that tells of them. Use it as an async context manager; it polls for changes that others make.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version = -1
        self._checked_at = float("-inf")
        self._grants: Mapping[str, Mapping[str, Grant]] = {}
        self._revocations: Mapping[str, Revocation] = {}
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
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    def ensure_current(self) -> None:
        """Raise `StorageUnavailable` when a revocation elsewhere could have gone unnoticed."""
        if time.monotonic() - self._checked_at > STALE_SECONDS:
            raise StorageUnavailable

    def grants_of(self, skill_path: str) -> Mapping[str, Grant]:
        """Return the newest grant of each capability of a skill, whatever content hash it is for."""
        return self._grants.get(skill_path, {})

    def all_grants(self) -> list[Grant]:
        """Return the newest grant of each skill and capability, ordered by both."""
        return [grant for grants in self._grants.values() for grant in grants.values()]

    def revocation_of(self, skill_path: str) -> Revocation | None:
        """Return the revocation of a skill, None when it is not revoked."""
        return self._revocations.get(skill_path)

    async def grant(self, skill_path: str, capability: str, content_hash: str, actor: str) -> Grant:
        """Record a grant. Raises `StorageUnavailable`, and then it may or may not be recorded."""
        entry = CreatedGrant(actor=actor, skill=skill_path, content_hash=content_hash, capability=capability)
        return _grant(
            _row(await self._decide(entry, "grant_put", skill_path, capability, content_hash, actor))
        )

    async def revoke(self, skill_path: str, note: str, content_hash: str, actor: str) -> Revocation:
        """Revoke a skill. Raises `StorageUnavailable`, and then it may or may not be recorded."""
        entry = RevokedSkill(actor=actor, skill=skill_path, content_hash=content_hash, note=note)
        return _revocation(_row(await self._decide(entry, "revocation_put", skill_path, note, actor)))

    async def reinstate(self, skill_path: str, note: str, content_hash: str, actor: str) -> None:
        """Take a revocation back; does nothing when there is none. Raises as `revoke`."""
        entry = ReinstatedSkill(actor=actor, skill=skill_path, content_hash=content_hash, note=note)
        await self._decide(entry, "revocation_delete", skill_path)

    async def _decide(self, entry: Entry, query: str, *arguments: str) -> asyncpg.Record | None:
        """Make a change, its audit entry and the new version durable together; return the changed row.

        A query that changes no row leaves no entry.
        """
        async with self._database.transaction() as transaction:
            await transaction.execute("authority_version_bump")
            row = await transaction.fetchrow(query, *arguments)
            if row is not None:
                await transaction.execute("audit_append", [entry.encode()])
        await self.refresh()
        return row

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
            grants: dict[str, dict[str, Grant]] = {}
            for row in await self._database.fetch("grant_list_newest"):
                grants.setdefault(row["skill_path"], {})[row["capability"]] = _grant(row)
            revocations = await self._database.fetch("revocation_list")
            self._grants = grants
            self._revocations = {row["skill_path"]: _revocation(row) for row in revocations}
            self._version = version
        self._checked_at = asked_at

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
            except StorageUnavailable as error:
                logger.warning("grants and revocations could not be checked: %s", error)


def _row(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise StorageUnavailable("the database did not return what it wrote")
    return row


def _grant(row: asyncpg.Record) -> Grant:
    return Grant(
        row["skill_path"], row["capability"], row["content_hash"], row["granted_by"], row["granted_at"]
    )


def _revocation(row: asyncpg.Record) -> Revocation:
    return Revocation(row["skill_path"], row["note"], row["revoked_by"], row["revoked_at"])
