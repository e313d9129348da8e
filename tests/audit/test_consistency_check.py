"""Whatever is derived from entries, and whatever protects them, is compared with what it must be."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import orjson
import pytest

from subgraph.audit.consistency_check import check_structure
from subgraph.audit.entry import canonical
from subgraph.audit.findings import Finding
from subgraph.audit.findings import FindingCode as Code
from subgraph.audit.schema_check import defined_functions
from subgraph.audit.verification import verify_log
from subgraph.settings import Settings
from subgraph.storage import Database
from subgraph.storage.database import SERVICE_ROLE
from subgraph.storage.migrations import Migration, read_migrations
from tests.audit.factory import finished
from tests.audit.tampering import (
    SIZE,
    SMALL_PARTITIONS,
    Log,
    append,
    edited,
    entry,
    places,
    rewrite,
    tamper,
    with_database,
)
from tests.support.postgres import execute


def check(dsn: str) -> tuple[Finding, ...]:
    return with_database(dsn, check_structure)


def test_an_untouched_log_has_no_finding(log: Log) -> None:
    assert check(log.dsn) == ()


def test_an_empty_log_has_no_finding(dsn: str) -> None:
    assert check(dsn) == ()


def test_a_log_that_grows_meanwhile_has_no_finding(log: Log) -> None:
    async def scenario(database: Database) -> None:
        growing = asyncio.create_task(append(database, log.entries * 3, batch=64))
        while not growing.done():
            assert await check_structure(database) == ()
        await growing

    with_database(log.dsn, scenario)


def test_times_of_all_sizes_are_tallied_as_postgresql_does(dsn: str) -> None:
    """At and beside each bound of a bucket, none among them, and beyond what a double holds exactly."""
    times = {2**power + more for power in range(53) for more in (-1, 0, 1)}
    times |= {round(2 ** (eighth / 8)) + more for eighth in range(8 * 50) for more in (-1, 0, 1)}

    async def scenario(database: Database) -> tuple[Finding, ...]:
        await append(database, [finished(elapsed_us=time).encode() for time in sorted(times) if time < 2**53])
        return await check_structure(database)

    assert with_database(dsn, scenario) == ()


REPLACED = "entry = convert_to(replace(convert_from(entry, 'UTF8'), '{}', '{}'), 'UTF8')"

COLUMNS = {
    "entry_id": "gen_random_uuid()",
    "kind": "'invocation.started'",
    "level": "CASE level WHEN 'info' THEN 'warn' ELSE 'info' END",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "actor": "'somebody else'",
    "skill_path": "NULL",
    "invocation_id": "NULL",
    "exit_code": "NULL",
    "elapsed_us": "elapsed_us + 1",
}


def test_a_column_changed_alone_is_found(log: Log) -> None:
    """It is no part of the tree: `verify_log` cannot see it."""
    tamper(
        log,
        *(
            f"UPDATE audit.entry SET {column} = {value} WHERE seq = {10 * number}"  # noqa: S608
            for number, (column, value) in enumerate(COLUMNS.items())
        ),
        "UPDATE audit.entry SET exit_code = 0, elapsed_us = 5 WHERE seq = 103",
    )
    findings = check(log.dsn)
    assert places(findings) == [
        *((Code.COLUMN_DIFFERS, 10 * number, 10 * number) for number in range(len(COLUMNS))),
        (Code.COLUMN_DIFFERS, 103, 103),
        (Code.COLUMN_DIFFERS, 103, 103),
    ]
    for column, finding in zip(COLUMNS, findings, strict=False):
        assert f" {column} " in finding.message
    assert with_database(log.dsn, lambda database: verify_log(database, log.kept)).ok


@pytest.mark.parametrize(
    "change",
    [
        "entry = entry || ' '",
        REPLACED.format('"exitCode":', '"exitCode": '),
        REPLACED.format('"elapsedUs":', '"elapsedUs":0.'),
        REPLACED.format('"local"', "17"),
        REPLACED.format('"id"', '"ie"'),
        "entry = ''",
        "entry = '[]'",
        "entry = '\\xff'",
    ],
)
def test_bytes_that_are_not_canonical_are_found(log: Log, change: str) -> None:
    tamper(log, f"UPDATE audit.entry SET {change} WHERE seq = 700")  # noqa: S608
    assert (Code.ENTRY_MALFORMED, 700, 700) in places(check(log.dsn))


def test_an_edited_entry_contradicts_its_column(log: Log) -> None:
    tamper(log, edited("700"))
    assert places(check(log.dsn)) == [(Code.COLUMN_DIFFERS, 700, 700)]


def test_a_rewritten_log_agrees_with_itself(log: Log) -> None:
    """What only checkpoints can find is none of this check's findings."""
    rewrite(log, log.entries[:900])
    assert check(log.dsn) == ()


ROLLUPS = {
    "UPDATE audit.tally_hour SET entries = entries + 1 WHERE (hour, kind, bucket) = "
    "(SELECT hour, kind, bucket FROM audit.tally_hour ORDER BY entries DESC LIMIT 1)": None,
    "DELETE FROM audit.tally_hour WHERE kind = 'skill.revoked'": None,
    "INSERT INTO audit.tally_hour SELECT hour, 'host.call', level, executor, '', bucket, 1 "
    "FROM audit.tally_hour LIMIT 1": None,
    "UPDATE audit.tally_total SET entries = entries - 1 WHERE kind = 'skill.revoked'": None,
    "UPDATE audit.tally_total SET elapsed_us = elapsed_us + 1 WHERE kind = 'invocation.finished'": None,
    "DELETE FROM audit.tally_total WHERE kind = 'skill.revoked'": None,
    "UPDATE audit.entry_hour SET first_seq = first_seq + 1": None,
    "DELETE FROM audit.entry_hour": None,
    "UPDATE audit.invocation_hour SET invocations = invocations - 1 WHERE first_seq = 0": 0,
    "UPDATE audit.invocation_hour SET first_seq = first_seq + 1 WHERE first_seq = 0": 0,
    "UPDATE audit.invocation_hour SET last_seq = last_seq + 1 WHERE first_seq = 0": 0,
    "DELETE FROM audit.invocation_hour WHERE first_seq = 0": 0,
    "INSERT INTO audit.invocation_hour SELECT 'x/y', hour, 3, 0, 9 FROM audit.invocation_hour LIMIT 1": 0,
}


@pytest.mark.parametrize("change", ROLLUPS)
def test_a_count_changed_is_found(log: Log, change: str) -> None:
    tamper(log, change)
    findings = check(log.dsn)
    assert {finding.code for finding in findings} == {Code.ROLLUP_DIFFERS}
    assert {finding.first_seq for finding in findings} == {ROLLUPS[change]}


def test_counts_of_hours_whose_entries_were_dropped_are_left_as_they_are(dsn: str) -> None:
    async def scenario(database: Database) -> None:
        await execute(dsn, *SMALL_PARTITIONS)
        await append(database, [entry(number) for number in range(3 * SIZE)])
        await execute(dsn, "SELECT audit.drop_entries(1100)")
        # The tests' own change of the partitions' width is found, and nothing else.
        assert [finding.code for finding in await check_structure(database)] == [Code.FUNCTION_DIFFERS]
        await execute(
            dsn,
            "UPDATE audit.invocation_hour SET invocations = 1 WHERE first_seq <= 1023 AND last_seq > 1023",
            "UPDATE audit.tally_hour SET entries = entries + 1 "
            "WHERE hour = (SELECT max(hour) FROM audit.tally_hour) AND kind = 'skill.revoked'",
        )
        found = [
            finding for finding in await check_structure(database) if finding.code is Code.ROLLUP_DIFFERS
        ]
        assert [finding.first_seq is None for finding in found] == [False] * 4 + [True]

    with_database(dsn, scenario)


SCHEMA = {
    "ALTER TABLE audit.entry DISABLE TRIGGER append_only": Code.TRIGGER_DIFFERS,
    "ALTER TABLE audit.entry_00000003 DISABLE TRIGGER append_only": Code.TRIGGER_DIFFERS,
    "ALTER TABLE audit.entry_00000000 ENABLE TRIGGER append_only": Code.TRIGGER_DIFFERS,
    "ALTER TABLE audit.tile DISABLE TRIGGER ALL": Code.TRIGGER_DIFFERS,
    "DROP TRIGGER only_grows ON audit.log_head": Code.TRIGGER_DIFFERS,
    "DROP TRIGGER append_only ON audit.entry_00000001; "
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
    "ON audit.entry_00000001 FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION audit.refuse_change(); "
    "ALTER TABLE audit.entry_00000001 ENABLE ALWAYS TRIGGER append_only": Code.TRIGGER_DIFFERS,
    "DROP TRIGGER append_only ON audit.entry_00000002; CREATE TRIGGER append_only BEFORE UPDATE OR DELETE "
    "ON audit.entry_00000002 FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change(); "
    "ALTER TABLE audit.entry_00000002 ENABLE ALWAYS TRIGGER append_only": Code.TRIGGER_DIFFERS,
    "CREATE TRIGGER other BEFORE INSERT ON audit.entry_00000000 "
    "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()": Code.TRIGGER_DIFFERS,
    "CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql "
    "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'": Code.FUNCTION_DIFFERS,
    "CREATE OR REPLACE FUNCTION audit.append(batch uuid, entries bytea[]) RETURNS bigint LANGUAGE sql "
    "AS 'SELECT 0::bigint'": Code.FUNCTION_DIFFERS,
    "ALTER FUNCTION audit.keep_tiles(bigint, bigint) RESET search_path": Code.FUNCTION_DIFFERS,
    "ALTER FUNCTION audit.maintain() SECURITY INVOKER": Code.FUNCTION_DIFFERS,
    f"GRANT INSERT ON audit.entry TO {SERVICE_ROLE}": Code.PRIVILEGE_EXCESSIVE,
    f"GRANT UPDATE (entry) ON audit.entry_00000000 TO {SERVICE_ROLE}": Code.PRIVILEGE_EXCESSIVE,
    "GRANT DELETE ON audit.batch TO PUBLIC": Code.PRIVILEGE_EXCESSIVE,
    f"GRANT CREATE ON SCHEMA audit TO {SERVICE_ROLE}": Code.PRIVILEGE_EXCESSIVE,
    f"GRANT EXECUTE ON FUNCTION audit.drop_entries(bigint) TO {SERVICE_ROLE}": Code.PRIVILEGE_EXCESSIVE,
    "DROP FUNCTION audit.drop_entries(bigint)": Code.FUNCTION_DIFFERS,
    "CREATE RULE quiet AS ON UPDATE TO audit.tile DO INSTEAD NOTHING": Code.TABLE_DIFFERS,
    "ALTER TABLE audit.entry ENABLE ROW LEVEL SECURITY": Code.TABLE_DIFFERS,
    "CREATE TABLE audit.other (seq bigint)": Code.TABLE_DIFFERS,
    "CREATE TABLE public.more_heads () INHERITS (audit.log_head)": Code.TABLE_DIFFERS,
    "DROP TABLE audit.entry_00000004": Code.PARTITION_MISSING,
    "DROP TABLE audit.entry_00000005, audit.entry_00000006, audit.entry_00000007, audit.entry_00000008, "
    "audit.entry_00000002, audit.entry_00000003, audit.entry_00000001": Code.PARTITION_MISSING,
}


def test_protection_that_was_taken_away_is_found(dsn: str) -> None:
    async def scenario(database: Database) -> None:
        before: set[Finding] = set()
        for change, expected in SCHEMA.items():
            await execute(dsn, change)
            after = set(await check_structure(database))
            assert {finding.code for finding in after - before} == {expected}, change
            before = after

    with_database(dsn, scenario)


def test_a_missing_partition_is_named_by_its_entries(dsn: str) -> None:
    async def scenario(database: Database) -> tuple[Finding, ...]:
        await execute(dsn, "DROP TABLE audit.entry_00000004")
        return await check_structure(database)

    width = 1_048_576
    assert places(with_database(dsn, scenario)) == [(Code.PARTITION_MISSING, 4 * width, 5 * width - 1)]


def test_the_service_appends_and_maintains_without_a_finding(dsn: str) -> None:
    async def scenario(database: Database) -> tuple[Finding, ...]:
        await database.fetchval("audit_append", uuid.uuid4(), [entry(1)])
        await database.execute("audit_maintain")
        return await check_structure(database)

    assert with_database(dsn, scenario) == ()


@pytest.mark.parametrize(
    "at",
    [
        "infinity",
        "-infinity",
        "12026-11-20T12:00:00Z",
        "4713-01-02 BC",
        "0001-01-01T00:00:00+14:00",
        "9999-12-30Z",
    ],
)
def test_an_entry_of_no_time_that_readers_know_is_a_finding_and_not_a_failure(dsn: str, at: str) -> None:
    odd = canonical(orjson.loads(finished().encode()) | {"at": at})

    async def scenario(database: Database) -> tuple[Finding, ...]:
        with pytest.raises(asyncpg.CheckViolationError):
            await append(database, [odd])
        for constraint in ("entry_recorded_at_check", "entry_recorded_within_the_calendar"):
            await execute(dsn, f"ALTER TABLE audit.entry DROP CONSTRAINT {constraint}")
        await append(database, [entry(0), odd, entry(2)])
        return await check_structure(database)

    found = with_database(dsn, scenario)
    assert (Code.ENTRY_MALFORMED, 1, 1) in places(found)


def test_every_function_of_the_migrations_is_read() -> None:
    functions = defined_functions(read_migrations(Settings().sql_dir))
    assert ("append", "uuid, bytea[]") in functions
    assert ("append", "bytea[]") not in functions  # dropped by a later migration
    assert "log_id" in functions["refuse_shrinking", ""].body  # the newer of two


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION audit.f() RETURNS int\nAS 'SELECT 1' LANGUAGE sql;",
        "CREATE FUNCTION audit.f() RETURNS int\nLANGUAGE sql\nRETURN 1;",
    ],
)
def test_a_function_in_a_form_that_is_not_read_is_no_silent_pass(sql: str) -> None:
    with pytest.raises(ValueError, match="migration 0007"):
        defined_functions([Migration(7, "x", "", sql)])
