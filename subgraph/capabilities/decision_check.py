"""Do the decisions that hold stand in the log? What people decided is replayed, and compared with the tables.

The tables of decisions can be changed by whoever works as the service's role, and no hash is over them. Each
decision has its entry in the log, which cannot: the two must tell the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
import orjson

from subgraph.audit import (
    ChangedBank,
    ChangedLimits,
    ChangedTrust,
    CreatedGrant,
    ReinstatedSkill,
    RevokedGrant,
    RevokedSkill,
)
from subgraph.audit.entry import MAX_ACTOR_CHARACTERS, text
from subgraph.audit.findings import Finding, FindingCode
from subgraph.capabilities.decisions import LIMIT_NAMES, OperatorBank
from subgraph.storage import Database

Key: TypeAlias = tuple[str, ...]

_BANK: Key = ("keywords",)
"""What a bank is about: there is one."""

_TIMES = {
    "grants": "granted_at",
    "revocations": "revoked_at",
    "trust": "decided_at",
    "limits": "decided_at",
    "banks": "decided_at",
}


@dataclass(slots=True)
class _Decisions:
    """What holds: by what it is about, what was decided and by whom."""

    grants: dict[Key, object] = field(default_factory=dict)
    revocations: dict[Key, object] = field(default_factory=dict)
    trust: dict[Key, object] = field(default_factory=dict)
    limits: dict[Key, object] = field(default_factory=dict)
    banks: dict[Key, object] = field(default_factory=dict)

    def replay(self, entry: Mapping[str, Any]) -> None:
        """Do again what an entry tells."""
        kind, skill, actor = entry["kind"], entry.get("skill", ""), entry["actor"]
        if kind == CreatedGrant.kind:
            self.grants[skill, entry["capability"], entry["contentHash"]] = actor
        elif kind == RevokedGrant.kind:
            for key in [key for key in self.grants if key[:2] == (skill, entry["capability"])]:
                del self.grants[key]
        elif kind == RevokedSkill.kind:
            self.revocations.setdefault((skill,), actor)
        elif kind == ReinstatedSkill.kind:
            self.revocations.pop((skill,), None)
        elif kind == ChangedTrust.kind:
            self.trust[skill,] = entry["after"], entry["contentHash"], actor
        elif kind == ChangedLimits.kind:
            executors = entry["executors"]
            names = None if executors is None else tuple(sorted(executors))
            self.limits[skill,] = entry["limits"], names, entry["contentHash"], actor
        elif kind == ChangedBank.kind:
            self.banks = {} if entry["sha256"] is None else {_BANK: (entry["sha256"], actor)}


async def check_decisions(database: Database) -> tuple[Finding, ...]:
    """Compare the tables of decisions with the log. Raises `StorageUnavailable`.

    Decisions from before the first entry that is kept have none to be compared with, and are passed over.
    """
    async with database.transaction() as snapshot:
        await snapshot.execute("audit_one_snapshot")
        oldest = await snapshot.fetchrow("decisions_oldest_entry")
        entries = await snapshot.fetch("decisions_entries")
        tables = {
            "grants": await snapshot.fetch("decisions_grants"),
            "revocations": await snapshot.fetch("revocation_list"),
            "trust": await snapshot.fetch("trust_list"),
            "limits": await snapshot.fetch("limits_list"),
            "banks": await snapshot.fetch("bank_get"),
        }
    told = _Decisions()
    for row in entries:
        told.replay(orjson.loads(row["entry"]))
    since = oldest["recorded_at"] if oldest is not None and oldest["seq"] > 0 else None
    findings: list[Finding] = []
    for table, rows in tables.items():
        kept = [row for row in rows if since is None or row[_TIMES[table]] >= since]
        findings += _compared(table, getattr(told, table), dict(map(_READERS[table], kept)))
    return tuple(findings)


def _compared(table: str, told: Mapping[Key, object], kept: Mapping[Key, object]) -> Iterable[Finding]:
    for key in sorted(told.keys() | kept.keys()):
        if told.get(key) == kept.get(key):
            continue
        what = "is in no entry of the log" if key not in told else "is not what the log tells"
        if key not in kept:
            what = "is missing, and the log tells of it"
        message = f"In the table of {table}, the decision about {' '.join(key)} {what}."
        yield Finding(FindingCode.DECISION_DIFFERS, message)


def _actor(name: str) -> str:
    return text(name, MAX_ACTOR_CHARACTERS)


def _grant(row: asyncpg.Record) -> tuple[Key, object]:
    return (row["skill_path"], row["capability"], row["content_hash"]), _actor(row["granted_by"])


def _revocation(row: asyncpg.Record) -> tuple[Key, object]:
    return (row["skill_path"],), _actor(row["revoked_by"])


def _trust(row: asyncpg.Record) -> tuple[Key, object]:
    return (row["skill_path"],), (row["tier"], row["content_hash"], _actor(row["decided_by"]))


def _limits(row: asyncpg.Record) -> tuple[Key, object]:
    limits = {name: row[name] for name in LIMIT_NAMES if row[name] is not None}
    executors = None if row["executors"] is None else tuple(sorted(row["executors"]))
    return (row["skill_path"],), (limits, executors, row["content_hash"], _actor(row["decided_by"]))


def _bank(row: asyncpg.Record) -> tuple[Key, object]:
    bank = OperatorBank.of(row)
    return _BANK, (bank.sha256, _actor(bank.decided_by))


_READERS = {
    "grants": _grant,
    "revocations": _revocation,
    "trust": _trust,
    "limits": _limits,
    "banks": _bank,
}
