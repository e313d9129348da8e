"""What the audit log tells of the past: runs, decisions, and figures over both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from subgraph.audit import (
    AuditRecord,
    DecisionPage,
    InvocationPage,
    Kpi,
    RecordedInvocation,
    count_invocations,
    decision_page,
    find_invocations,
    find_outcome,
    find_record,
    find_taken_back,
    invocation_page,
    read_kpis,
)
from subgraph.catalog import Catalog
from subgraph.errors import SkillNotFound
from subgraph.principal import Principal, Scope
from subgraph.storage import Database


class History:
    """Reads of the audit log. Each method names the scope that it needs."""

    def __init__(self, catalog: Catalog, database: Database) -> None:
        self._catalog = catalog
        self._database = database

    async def past_invocations(
        self,
        principal: Principal,
        *,
        skill: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int,
    ) -> InvocationPage:
        """Read what the ledger keeps of runs, newest first (`skill:audit`); see `invocation_page`.

        A skill that is gone is found by its path.
        """
        principal.require(Scope.AUDIT)
        path = None if skill is None else self._path_then(skill)
        return await invocation_page(
            self._database, skill_path=path, actor=actor, since=since, before=before, limit=limit
        )

    async def invocations(
        self, principal: Principal, invocation_ids: Sequence[UUID]
    ) -> dict[UUID, RecordedInvocation]:
        """Find what the ledger keeps of runs, in one query (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await find_invocations(self._database, invocation_ids)

    async def count_last_day(self, principal: Principal, paths: Sequence[str]) -> dict[str, int]:
        """Count the runs of skills in the last 24 hours, in one query (`skill:read`)."""
        principal.require(Scope.READ)
        return await count_invocations(self._database, paths, datetime.now(UTC) - timedelta(hours=24))

    async def decisions(
        self,
        principal: Principal,
        *,
        actor: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int,
    ) -> DecisionPage:
        """Read what was decided, newest first (`skill:audit`); see `decision_page`."""
        principal.require(Scope.AUDIT)
        return await decision_page(self._database, actor=actor, since=since, before=before, limit=limit)

    async def records(self, principal: Principal, address: str) -> list[AuditRecord]:
        """Find the records of a `brain://` address (`skill:audit`). Raises `InputInvalid`."""
        principal.require(Scope.AUDIT)
        return await find_record(self._database, address)

    async def outcome(self, principal: Principal, record: AuditRecord) -> AuditRecord | None:
        """Find the later record of what became of a decision about a query (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await find_outcome(self._database, record)

    async def taken_back(self, principal: Principal, since: datetime | None = None) -> list[AuditRecord]:
        """Find the newest records of capabilities that were taken back (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await find_taken_back(self._database, since)

    async def kpis(self, principal: Principal, since: datetime | None = None) -> list[Kpi]:
        """Compute the key figures since an hour, of a week by default (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await read_kpis(self._database, since)

    def _path_then(self, name: str) -> str:
        """Return the path of a skill that is there, or was. Raises `SkillAmbiguous`."""
        try:
            return self._catalog.get(name).path
        except SkillNotFound:
            return name
