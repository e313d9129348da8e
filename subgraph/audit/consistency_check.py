"""Do the tables of the log agree? What is derived from entries is derived again, and compared.

`verify_log` says whether the entries are those that were signed for. This says whether all that is read in
place of them (columns, hourly counts) still follows from them, and whether the log is still protected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from subgraph.audit.entry import EntryRefused, canonical
from subgraph.audit.findings import Finding, FindingCode, Findings
from subgraph.audit.invocations import (
    FinishedInvocation,
    InterruptedInvocation,
    RefusedInvocation,
    StartedInvocation,
)
from subgraph.audit.merkle import MAX_SIZE
from subgraph.audit.schema_check import check_schema
from subgraph.storage import Database

RANGE_ENTRIES = 512
"""Read by one statement, and compared in some 8 ms, during which the event loop is held."""

_ENDS = frozenset({FinishedInvocation.kind, RefusedInvocation.kind, InterruptedInvocation.kind})
"""Kinds of entries by which a run that was started has ended."""

_SKEW = timedelta(hours=1)
"""By which clocks of replicas may differ: entries of an hour may follow one of the next hour."""

_ENTRIES = {
    "entry_id": "id",
    "kind": "kind",
    "level": "level",
    "recorded_at": "at",
    "actor": "actor",
    "skill_path": "skill",
    "invocation_id": "invocationId",
    "exit_code": "exitCode",
    "elapsed_us": "elapsedUs",
}
"""Columns, and the fields that they are derived from."""

_TYPES: Mapping[str, Any] = {
    "entry_id": str,
    "kind": str,
    "level": str,
    "recorded_at": str,
    "actor": str,
    "skill_path": str | None,
    "invocation_id": str | None,
    "exit_code": int | None,
    "elapsed_us": int | None,
    "executor": str | None,
}

Sort: TypeAlias = tuple[str, str, str, str, int]
"""What the tally counts by, beside the hour: kind, level, executor, outcome and bucket."""


async def check_structure(database: Database) -> tuple[Finding, ...]:
    """Compare columns, hourly counts and the schema of the log with what they must be.

    Columns are derived here and not by SQL: PostgreSQL derived them once, and would repeat its own mistakes.
    The log may grow meanwhile. Raises `StorageUnavailable` if the database cannot be read; whatever it holds
    is a finding.
    """
    findings = Findings()
    await check_schema(database, findings)
    stored = await _read_rollups(database)
    counted = _Rollups(stored.first_kept, stored.size)
    start = stored.first_kept
    while rows := await database.fetch("audit_columns", start, stored.size, RANGE_ENTRIES):
        for row in rows:
            fields = _derive(row["entry"])
            if fields is None:
                text = "its bytes are not a canonical entry."
                findings.add(FindingCode.ENTRY_MALFORMED, text, row["seq"], row["seq"])
                continue
            for column in _ENTRIES:
                if row[column] != fields[column]:
                    text = f"the column {column} is not what its bytes say."
                    findings.add(FindingCode.COLUMN_DIFFERS, text, row["seq"], row["seq"])
            bucket = row["bucket"]
            if row["elapsed_us"] != fields["elapsed_us"]:
                bucket = await database.fetchval("audit_bucket", fields["elapsed_us"])
            counted.count(row["seq"], fields, bucket)
        start = rows[-1]["seq"] + 1
    _compare_rollups(stored, counted, await _first_whole_hour(database, stored.first_kept), findings)
    return findings.listed()


@dataclass(slots=True)
class _Rollups:
    """The hourly counts of a log of one size, stored ones or counted ones.

    `totals` has how many entries there are of a sort, and their microseconds. `invocations` has, by skill and
    hour, how many they are, and their first and last sequence number. `hours` has the first of each hour.
    Runs that were started before the entry `settled` have an end; `started` has those without one.
    """

    first_kept: int
    size: int
    tally: Counter[tuple[datetime, Sort]] = field(default_factory=Counter)
    totals: dict[Sort, tuple[int, int]] = field(default_factory=dict)
    hours: dict[datetime, int] = field(default_factory=dict)
    invocations: dict[tuple[str, datetime], tuple[int, int, int]] = field(default_factory=dict)
    settled: int = 0
    started: dict[UUID, int] = field(default_factory=dict)

    def count(self, seq: int, fields: Mapping[str, Any], bucket: int) -> None:
        hour = fields["recorded_at"].replace(minute=0, second=0, microsecond=0)
        self.hours.setdefault(hour, seq)
        sort = fields["kind"], fields["level"], fields["executor"] or "", fields["outcome"], bucket
        self.tally[hour, sort] += 1
        entries, elapsed_us = self.totals.get(sort, (0, 0))
        self.totals[sort] = entries + 1, elapsed_us + (fields["elapsed_us"] or 0)
        run = fields["invocation_id"]
        if run is not None and fields["kind"] == StartedInvocation.kind:
            self.started.setdefault(run, seq)
        elif fields["kind"] in _ENDS:
            self.started.pop(run, None)
        if fields["kind"] == FinishedInvocation.kind:
            key = fields["skill_path"], hour
            before, first, _ = self.invocations.get(key, (0, seq, seq))
            self.invocations[key] = before + 1, first, seq


async def _read_rollups(database: Database) -> _Rollups:
    """Read all stored counts, and how many entries there were at that moment."""
    async with database.transaction() as snapshot:
        await snapshot.execute("audit_one_snapshot")
        extent = await snapshot.fetchrow("audit_extent")
        tally = await snapshot.fetch("audit_tally_rows")
        totals = await snapshot.fetch("audit_total_rows")
        hours = await snapshot.fetch("audit_hour_rows")
        invocations = await snapshot.fetch("audit_invocation_rows")
        settled = await snapshot.fetchval("audit_settled")
    if extent is None:  # it is the head's outer join, which has a row always
        return _Rollups(0, 0)
    last = -1 if extent["last_seq"] is None else extent["last_seq"]
    return _Rollups(
        first_kept=max(0, extent["first_kept"] or 0),
        size=last + 1 if extent["size"] is None else extent["size"],
        tally=Counter({(_aware(row["hour"]), tuple(row)[1:6]): row["entries"] for row in tally}),
        totals={tuple(row)[:5]: (row["entries"], row["elapsed_us"]) for row in totals},
        hours={_aware(row["hour"]): row["first_seq"] for row in hours},
        invocations={
            (row["skill_path"], _aware(row["hour"])): (row["invocations"], row["first_seq"], row["last_seq"])
            for row in invocations
        },
        settled=settled or 0,
    )


def _aware(moment: datetime) -> datetime:
    """PostgreSQL's `infinity` comes without a zone, and then compares with nothing."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _derive(entry: bytes | None) -> dict[str, Any] | None:
    """The values of an entry's columns, and its executor; None for bytes that `canonical` does not write."""
    try:
        document = orjson.loads(entry or b"")
        if canonical(document) != entry:
            return None
        fields = {column: document.get(name) for column, name in _ENTRIES.items()}
        fields["executor"] = _executor(document)
        fields["outcome"] = _outcome(document)
        if any(not isinstance(fields[name], types) for name, types in _TYPES.items()):
            return None
        fields["entry_id"] = UUID(fields["entry_id"])
        fields["recorded_at"] = datetime.fromisoformat(fields["recorded_at"]).astimezone(UTC)
        if fields["invocation_id"] is not None:
            fields["invocation_id"] = UUID(fields["invocation_id"])
    except (ValueError, TypeError, AttributeError, OverflowError, EntryRefused):
        return None
    return fields


def _executor(document: Mapping[str, Any]) -> Any:
    """What ran a skill, or the confidence of a decision about a query; None for all else."""
    executor = document.get("executor")
    return document.get("confidence") if executor is None else executor


def _outcome(document: Mapping[str, Any]) -> str:
    """The exit code of a run, the code of a refusal, or what became of a host call; empty for all else."""
    if document.get("exitCode") is not None:
        return str(document["exitCode"])
    if document.get("code") is not None:
        return str(document["code"])
    return str((document.get("call") or {}).get("outcome") or "")


async def _first_whole_hour(database: Database, first_kept: int) -> datetime | None:
    """The time up to which entries of an hour may have been dropped; None if none were, to this moment."""
    extent = await database.fetchrow("audit_extent")
    if extent is not None:
        first_kept = max(first_kept, extent["first_kept"] or 0)
    if first_kept == 0:
        return None
    rows = await database.fetch("audit_columns", first_kept, MAX_SIZE, 1)
    if not rows:
        return datetime.max.replace(tzinfo=UTC)
    recorded = _aware(rows[0]["recorded_at"])
    return min(recorded, datetime.max.replace(tzinfo=UTC) - _SKEW) + _SKEW


def _compare_rollups(stored: _Rollups, counted: _Rollups, whole: datetime | None, findings: Findings) -> None:
    """Compare counts: exactly where all entries of an hour are kept, else they are no fewer than the kept."""
    for hour, sort in sorted(stored.tally.keys() | counted.tally.keys()):
        said, is_so = stored.tally[hour, sort], counted.tally[hour, sort]
        if said != is_so and (said < is_so or whole is None or hour > whole):
            text = f"The tally of {hour:%Y-%m-%d %H:%M} ({_spoken(sort)}) says {said}, the entries {is_so}."
            findings.add(FindingCode.ROLLUP_DIFFERS, text)
    for sort in sorted(stored.totals.keys() | counted.totals.keys()):
        total, kept_total = stored.totals.get(sort, (0, 0)), counted.totals.get(sort, (0, 0))
        fewer = total[0] < kept_total[0] or total[1] < kept_total[1]
        if total != kept_total and (fewer or whole is None):
            text = f"The tally of all hours ({_spoken(sort)}) is not that of the entries."
            findings.add(FindingCode.ROLLUP_DIFFERS, text)
    for hour in sorted(stored.hours.keys() | counted.hours.keys()):
        first, first_kept = stored.hours.get(hour), counted.hours.get(hour)
        dropped = whole is not None and first is not None and first < stored.first_kept
        if first != first_kept and not dropped:
            text = f"The first entry of the hour of {hour:%Y-%m-%d %H:%M} is another one than is noted."
            findings.add(FindingCode.ROLLUP_DIFFERS, text)
    _compare_invocations(stored, counted, findings, dropped=whole is not None)
    for seq in sorted(counted.started.values()):
        if seq < stored.settled:
            text = "the run that it starts has no end, and is noted as one that has."
            findings.add(FindingCode.ROLLUP_DIFFERS, text, seq, seq)


def _compare_invocations(stored: _Rollups, counted: _Rollups, findings: Findings, *, dropped: bool) -> None:
    for key in sorted(stored.invocations.keys() | counted.invocations.keys()):
        row, kept = stored.invocations.get(key), counted.invocations.get(key)
        if row == kept or _may_have_more(row, kept, stored.first_kept, dropped=dropped):
            continue
        text = f"the count of {key[0]} in the hour of {key[1]:%Y-%m-%d %H:%M} is not that of its entries."
        _, first, last = kept or row or (0, 0, 0)
        findings.add(FindingCode.ROLLUP_DIFFERS, text, first, last)


def _may_have_more(
    row: tuple[int, int, int] | None, kept: tuple[int, int, int] | None, first_kept: int, *, dropped: bool
) -> bool:
    """Whether a row also counts entries that were dropped, and has those that are kept."""
    if not dropped or row is None or row[1] >= first_kept:
        return False
    if kept is None:
        return row[2] < first_kept
    return row[0] > kept[0] and row[2] == kept[2]


def _spoken(sort: Sort) -> str:
    kind, level, executor, outcome, bucket = sort
    return f"{kind}, {level}, executor {executor or 'none'}, outcome {outcome or 'none'}, bucket {bucket}"
