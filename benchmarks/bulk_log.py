"""A long audit log, loaded in a minute or two: rows as `audit.append` derives them, without its tree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

import asyncpg

from subgraph.audit.entry import SCHEMA
from subgraph.settings import Settings

SKILLS = 1000
ACTORS = 50
DAYS = 30

_LOAD_SECONDS = 900.0
_CHUNK = 250_000

# A narrow table says what each entry is. The log is made of it, and answers are held to scans of it. Skills
# are asked for unevenly (the busiest has 3 % of all runs, the rarest 0.05 %); times run back by up to 2 s.
_SOURCE = f"""
CREATE SCHEMA bulk;
CREATE UNLOGGED TABLE bulk.source AS
SELECT
    seq, kind, at, actor, skill_path, elapsed_us,
    CASE WHEN kind = 'invocation.finished' AND seq % 100 = 0 THEN 1 ELSE 0 END AS exit_code,
    CASE WHEN seq % 10 < 7 THEN 'WASM' ELSE 'SCRIPT' END AS executor
FROM (
    SELECT
        seq,
        CASE
            WHEN seq % 100 < 90 THEN 'invocation.finished' WHEN seq % 100 < 92 THEN 'invocation.started'
            WHEN seq % 100 < 95 THEN 'invocation.refused' WHEN seq % 100 < 99 THEN 'host.call'
            WHEN seq % 200 = 99 THEN 'grant.created' ELSE 'skill.revoked'
        END AS kind,
        $1::timestamptz - make_interval(secs =>
            {DAYS * 86400}::double precision * ($2 - seq) / $2 + 2 * ((hashint8(seq + 3) & 1023) / 1023.0)
        ) AS at,
        'actor-' || (hashint8(seq + 1) & 65535) % {ACTORS} AS actor,
        'team-' || skill % 20 || '/skill-' || skill AS skill_path,
        (300 * exp(5 * ((hashint8(seq + 2) & 65535) / 65536.0)))::bigint AS elapsed_us
    FROM (
        SELECT seq, floor({SKILLS} * power((hashint8(seq) & 65535) / 65536.0, 2))::integer AS skill
        FROM generate_series(0, $2::bigint - 1) AS seq
    ) AS numbered
) AS described
"""

_STAMP = """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_ENTRIES = f"""
INSERT INTO audit.entry (
    seq, entry_id, kind, level, recorded_at, actor, skill_path, invocation_id, exit_code, elapsed_us, entry
)
SELECT
    seq, entry_id, kind, level, at, actor, skill_path,
    CASE WHEN starts_with(kind, 'invocation.') OR starts_with(kind, 'host.') THEN run_id END,
    CASE WHEN finished THEN exit_code END,
    CASE WHEN finished THEN elapsed_us END,
    convert_to(
        CASE
            WHEN finished THEN
                format(
                    '{{"actor":"%s","at":"%s","capabilities":["read_file"],"contentHash":"%s","elapsedUs":%s,'
                    '"endedAt":"%s","error":%s,"executor":"%s","exitCode":%s,"hostCallCount":0,"hostCalls":[],'
                    '"id":"%s","inputSha256":"%s","invocationId":"%s","kind":"%s","level":"%s","limitsHit":[],'
                    '"memoryBytes":1048576,"outputSha256":"%s","schema":"{SCHEMA}","skill":"%s","startedAt":"%s"}}',
                    actor, stamp, digest, elapsed_us, stamp,
                    CASE WHEN exit_code = 0 THEN 'null' ELSE '{{"code":"EXECUTION_FAILED","message":"no"}}' END,
                    executor, exit_code, entry_id, digest, run_id, kind, level, digest, skill_path, stamp
                )
            ELSE
                format(
                    '{{"actor":"%s","at":"%s","capability":"read_file","contentHash":"%s","id":"%s","kind":"%s",'
                    '"level":"%s","note":"","schema":"{SCHEMA}","skill":"%s"}}',
                    actor, stamp, digest, entry_id, kind, level, skill_path
                )
        END,
        'UTF8'
    )
FROM (
    SELECT
        *, gen_random_uuid() AS entry_id, gen_random_uuid() AS run_id, {_STAMP.format("at")} AS stamp,
        kind = 'invocation.finished' AS finished,
        encode(sha256(int8send(seq)), 'hex') AS digest,
        CASE WHEN exit_code = 0 THEN 'info' ELSE 'warn' END AS level
    FROM bulk.source
    WHERE seq >= $1 AND seq < $2
) AS item
"""

_SORTS = """
    kind, CASE WHEN exit_code = 0 THEN 'info' ELSE 'warn' END AS level,
    CASE WHEN kind = 'invocation.finished' THEN executor ELSE '' END AS executor,
    CASE kind
        WHEN 'invocation.finished' THEN exit_code::text WHEN 'invocation.refused' THEN 'GRANT_REQUIRED'
        WHEN 'host.call' THEN 'denied' ELSE ''
    END AS outcome,
    CASE WHEN kind = 'invocation.finished'
        THEN floor(8 * ln(elapsed_us::double precision) / ln(2::double precision)) ELSE -1
    END AS bucket
"""

_ROLLUPS = (
    """
    INSERT INTO audit.invocation_hour
    SELECT skill_path, date_trunc('hour', at, 'UTC'), count(*), min(seq), max(seq)
    FROM bulk.source WHERE kind = 'invocation.finished' GROUP BY 1, 2
    """,
    "INSERT INTO audit.entry_hour SELECT date_trunc('hour', at, 'UTC'), min(seq) FROM bulk.source GROUP BY 1",
    f"""
    INSERT INTO audit.tally_hour
    SELECT date_trunc('hour', at, 'UTC'), {_SORTS}, count(*) FROM bulk.source GROUP BY 1, 2, 3, 4, 5, 6
    """,
    f"""
    INSERT INTO audit.tally_total
    SELECT {_SORTS}, count(*), sum(CASE WHEN kind = 'invocation.finished' THEN elapsed_us ELSE 0 END)
    FROM bulk.source GROUP BY 1, 2, 3, 4, 5
    """,
)


class BulkLog:
    """The database as superuser. `async with BulkLog(settings) as log: await load(log, entries)`."""

    def __init__(self, settings: Settings) -> None:
        assert settings.database_url is not None
        self._dsn = settings.database_url.get_secret_value()
        self.end = datetime.now(UTC)
        self.entries = 0

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(self._dsn, command_timeout=_LOAD_SECONDS)
        await self._connection.execute(
            "SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; SET timezone = 'UTC'"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def fetch(self, statement: str, *args: object) -> list[Any]:
        """Read rows."""
        return list(await self._connection.fetch(statement, *args))

    async def execute(self, statement: str, *args: object) -> None:
        """Run a statement."""
        await self._connection.execute(statement, *args)


def skill_path(number: int) -> str:
    """Name a skill of the log."""
    return f"team-{number % 20}/skill-{number}"


async def load(log: BulkLog, entries: int) -> None:
    """Fill an empty log, its indexes built last, and gather what the planner knows of a log of that age."""
    await log.execute("SELECT audit.make_partitions(16)")
    await log.execute(_SOURCE, log.end, entries)
    indexes = await log.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index "
        "WHERE indrelid = 'audit.entry'::regclass AND NOT indisprimary"
    )
    for index in indexes:
        await log.execute(f"DROP INDEX {index['name']}")
    for first in range(0, entries, _CHUNK):
        await log.execute(_ENTRIES, first, min(first + _CHUNK, entries))
    for index in indexes:
        # As it is printed the definition names the parent alone, whose partitions would stay without one.
        await log.execute(index["definition"].replace(" ON ONLY ", " ON "))
    for statement in _ROLLUPS:
        await log.execute(statement)
    await log.execute(f"UPDATE audit.log_head SET size = {entries}")
    # As autovacuum does in time, which leaves partitions alone that nothing was inserted into.
    filled = range((entries - 1) // 1_048_576 + 1)
    names = [f"audit.entry_{number:08d}" for number in filled]
    rollups = ["audit.invocation_hour", "audit.entry_hour", "audit.tally_hour", "audit.tally_total"]
    await log.execute(f"VACUUM (ANALYZE) {', '.join([*names, *rollups])}")
    log.entries = entries
