from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, cast

import asyncpg
import pytest

from subgraph.audit import Entry, EntryRefused, Ledger, RevokedSkill, ledger
from subgraph.audit.entry import MAX_ENTRY_BYTES
from subgraph.errors import Overloaded, StorageUnavailable
from subgraph.storage import Database, EmbeddedPostgres
from subgraph.storage.migrations import Connection
from tests.audit.factory import finished
from tests.support.ledger import Load, LogCheck
from tests.support.postgres import EmbeddedSettings, execute, kill_postmaster, run, settings_for, until

T = TypeVar("T")


def with_ledger(dsn: str, scenario: Callable[[Database, Ledger], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Database(settings_for(dsn)) as db, Ledger(db) as writer:
            return await scenario(db, writer)

    return run(opened())


async def stored(db: Database) -> list[tuple[int, bytes]]:
    """Every entry of the log, by sequence number."""
    connection = await db.connect()
    try:
        return [
            tuple(row) for row in await connection.fetch("SELECT seq, entry FROM audit.entry ORDER BY seq")
        ]
    finally:
        await connection.close()


def cut(writer: Ledger) -> str:
    """A statement that ends the ledger's connection."""
    assert writer._connection is not None
    return f"SELECT pg_terminate_backend({writer._connection.get_server_pid()})"


def padded(size: int) -> bytes:
    """An entry of `size` bytes."""
    note = RevokedSkill(actor="ann", skill="a/b", content_hash="a", note="").encode()
    return note + b" " * (size - len(note))


def test_sequence_numbers_are_dense_under_64_callers(dsn: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        entries = [finished().encode() for _ in range(2000)]
        remaining = iter(entries)
        numbers: dict[int, bytes] = {}

        async def call() -> None:
            for encoded in remaining:
                numbers[await writer.append(encoded)] = encoded

        await asyncio.gather(*(call() for _ in range(64)))
        assert sorted(numbers) == list(range(2000))
        assert dict(await stored(db)) == numbers
        assert await db.fetchval("audit_size") == 2000

    with_ledger(dsn, scenario)


def test_columns_are_derived_from_the_entry(dsn: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        done = finished(exit_code=124)
        revoked = RevokedSkill(actor="ann", skill="a/b", content_hash="a", note="\0 leaks")
        assert [await writer.append(entry) for entry in (done, revoked)] == [0, 1]
        connection = await db.connect()
        first, second = await connection.fetch("SELECT * FROM audit.entry ORDER BY seq")
        await connection.close()
        assert dict(first) | {
            "entry_id": str(first["entry_id"]),
            "invocation_id": str(first["invocation_id"]),
        } == {
            "seq": 0,
            "entry_id": done.entry_id,
            "kind": "invocation.finished",
            "level": "warn",
            "recorded_at": done.at,
            "actor": "local",
            "skill_path": "cuo/cpo/prd-author",
            "invocation_id": done.invocation_id,
            "exit_code": 124,
            "elapsed_us": 812,
            "entry": done.encode(),
        }
        assert second["invocation_id"] is None
        assert second["entry"] == revoked.encode()

    with_ledger(dsn, scenario)


def test_entries_that_wait_together_share_a_flush(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    attempt = Ledger._attempt

    async def counted(self: Ledger, connection: Connection, batch: ledger._Batch) -> None:
        batches.append(len(batch.entries))
        await attempt(self, connection, batch)

    monkeypatch.setattr(Ledger, "_attempt", counted)

    async def scenario(_: Database, writer: Ledger) -> None:
        numbers = await asyncio.gather(*(writer.append(finished()) for _ in range(600)))
        assert numbers == list(range(600))  # in the order of the calls

    with_ledger(dsn, scenario)
    assert batches == [256, 256, 88]


def test_a_flush_is_bounded_by_bytes(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[int]] = []
    attempt = Ledger._attempt

    async def noted(self: Ledger, connection: Connection, batch: ledger._Batch) -> None:
        batches.append([len(waiting.encoded) for waiting in batch.entries])
        await attempt(self, connection, batch)

    monkeypatch.setattr(Ledger, "_attempt", noted)

    async def scenario() -> None:
        sizes = (1000, 1000, 1000, 1001, 1000, 5000, 1000)
        async with Database(settings_for(dsn)) as db, Ledger(db, batch_bytes=3000) as writer:
            numbers = await asyncio.gather(*(writer.append(padded(size)) for size in sizes))
        assert numbers == list(range(len(sizes)))

    run(scenario())
    # Exactly full; one byte too many; larger than a batch may be, so alone.
    assert batches == [[1000, 1000, 1000], [1001, 1000], [5000], [1000]]


@pytest.mark.parametrize(
    "poison",
    [
        b"not json",
        b"{}",
        b"\xff\xfe",
        finished(entry_id="not-a-uuid").encode(),
        finished().encode().replace(b"local", rb"\u0000"),
        finished(exit_code=2**40).encode(),
    ],
)
def test_a_poison_entry_fails_alone(dsn: str, poison: bytes) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        entries: list[bytes | Entry] = [finished() for _ in range(30)]
        entries[17] = poison
        results = await asyncio.gather(*map(writer.append, entries), return_exceptions=True)
        assert isinstance(results.pop(17), EntryRefused)
        assert results == list(range(29))
        assert await db.fetchval("audit_size") == 29
        assert await writer.append(finished()) == 29

    with_ledger(dsn, scenario)


def test_a_batch_that_is_sent_again_is_stored_once(dsn: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        await writer.append(finished())
        batch, entries = uuid.uuid4(), [finished().encode() for _ in range(3)]
        for _ in range(2):
            assert await db.fetchval("audit_append", batch, entries) == 1
        assert await db.fetchval("audit_size") == 4
        with pytest.raises(asyncpg.UniqueViolationError):
            await db.fetchval("audit_append", batch, entries[:2])

    with_ledger(dsn, scenario)


@pytest.mark.parametrize("entries", [[], [None], [finished().encode(), None], None])
def test_a_batch_has_entries(dsn: str, entries: list[bytes | None] | None) -> None:
    async def scenario(db: Database, _: Ledger) -> None:
        with pytest.raises(asyncpg.DataError):
            await db.fetchval("audit_append", uuid.uuid4(), entries)
        assert await db.fetchval("audit_size") == 0

    with_ledger(dsn, scenario)


def test_an_oversized_entry_is_refused(dsn: str) -> None:
    async def scenario(_: Database, writer: Ledger) -> None:
        with pytest.raises(EntryRefused, match="exceeds"):
            await writer.append(b" " * 140_000)

    with_ledger(dsn, scenario)


def test_a_full_queue_is_overload(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db, queue_limit=4) as writer:
            callers = [asyncio.create_task(writer.append(finished())) for _ in range(4)]
            writer.ensure_writable()
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                writer.ensure_writable()
            with pytest.raises(Overloaded):
                await writer.append(finished())
            assert await asyncio.gather(*callers) == [0, 1, 2, 3]
            writer.ensure_writable()

    run(scenario())


@pytest.mark.parametrize("extra", [0, 1])
def test_a_queue_without_room_for_the_largest_entry_is_overload(dsn: str, extra: int) -> None:
    sizes = [MAX_ENTRY_BYTES, 1000 + extra]

    async def scenario() -> None:
        room = 2 * MAX_ENTRY_BYTES + 1000
        async with Database(settings_for(dsn)) as db, Ledger(db, queue_bytes=room) as writer:
            callers = [asyncio.create_task(writer.append(padded(size))) for size in sizes]
            await asyncio.sleep(0)  # all of them wait, and the writer has not begun
            if extra:
                with pytest.raises(Overloaded):
                    writer.ensure_writable()
                with pytest.raises(Overloaded):
                    await writer.append(padded(500))
            else:
                writer.ensure_writable()
            assert await asyncio.gather(*callers) == [0, 1]
            assert writer._queued_bytes == 0
            writer.ensure_writable()

    run(scenario())


def test_an_entry_that_expires_in_the_queue_makes_room(dsn: str) -> None:
    async def scenario(_: Database, writer: Ledger) -> None:
        caller = asyncio.create_task(writer.append(padded(500)))
        await asyncio.sleep(0)  # it waits, and the writer has not begun
        writer._queue[0].expires = 0.0
        writer._expire()
        assert writer._queued_bytes == 0
        with pytest.raises(StorageUnavailable):
            await caller

    with_ledger(dsn, scenario)


def test_a_cancelled_caller_does_not_disturb_its_batch(dsn: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        callers = [asyncio.create_task(writer.append(finished())) for _ in range(20)]
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert results[1::2] == list(range(1, 20, 2))
        assert await db.fetchval("audit_size") == 20

    with_ledger(dsn, scenario)


def test_a_lost_connection_is_known_at_once_and_replaced(dsn: str) -> None:
    async def scenario(_: Database, writer: Ledger) -> None:
        await execute(dsn, cut(writer))
        await until(lambda: writer._connection is None)
        with pytest.raises(StorageUnavailable):
            writer.ensure_writable()
        with pytest.raises(StorageUnavailable):
            await writer.append(finished())
        await until(lambda: writer._connection is not None, seconds=1)
        assert await writer.append(finished()) == 0

    with_ledger(dsn, scenario)


def test_connections_cut_under_load_lose_and_double_nothing(dsn: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        load = Load(writer, callers=32)
        for _ in range(6):
            await asyncio.sleep(0.15)
            await until(lambda: writer._connection is not None)
            await execute(dsn, cut(writer))
        await load.stop()
        assert len(load.told.acknowledged) > 100
        assert await LogCheck().violations(db, load.told) == []

    with_ledger(dsn, scenario)


class LossyConnection:
    """A connection that breaks before (or, if `late`, after) the server did what it was asked."""

    def __init__(self, connection: Connection, *, late: bool) -> None:
        self._connection = connection
        self._late = late

    async def fetchval(self, query: str, *args: object, timeout: float) -> object:  # noqa: ASYNC109 -- asyncpg's
        if self._late:
            await self._connection.fetchval(query, *args, timeout=timeout)
        raise ConnectionResetError

    def terminate(self) -> None:
        self._connection.terminate()


@pytest.mark.parametrize("late", [True, False])
def test_a_batch_whose_answer_is_lost_is_looked_up(dsn: str, late: bool) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        assert writer._connection is not None
        writer._connection = cast("Connection", LossyConnection(writer._connection, late=late))
        assert await asyncio.gather(*(writer.append(finished()) for _ in range(3))) == [0, 1, 2]
        assert await db.fetchval("audit_size") == 3

    with_ledger(dsn, scenario)


def test_a_first_attempt_that_commits_late_is_not_doubled(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server still works on a batch that the ledger gave up: both attempts wait for one lock."""
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.3)

    async def scenario(db: Database, writer: Ledger) -> None:
        blocker = await asyncpg.connect(dsn, timeout=5)
        block = blocker.transaction()
        await block.start()
        await blocker.execute("SELECT * FROM audit.log_head FOR UPDATE")
        callers = [asyncio.create_task(writer.append(finished())) for _ in range(5)]
        await asyncio.sleep(1)
        await block.rollback()
        assert sorted(await asyncio.gather(*callers)) == [0, 1, 2, 3, 4]
        assert await db.fetchval("audit_size") == 5
        await blocker.close()

    with_ledger(dsn, scenario)


def test_a_ledger_whose_last_flush_failed_is_not_writable(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new connection proves little: a server whose disk is full accepts it."""
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.2)

    async def scenario(_: Database, writer: Ledger) -> None:
        blocker = await asyncpg.connect(dsn, timeout=5)
        block = blocker.transaction()
        await block.start()
        await blocker.execute("SELECT * FROM audit.log_head FOR UPDATE")
        caller = asyncio.create_task(writer.append(finished()))
        await until(lambda: writer._connection is None)
        await until(lambda: writer._connection is not None)
        with pytest.raises(StorageUnavailable):
            writer.ensure_writable()
        await block.rollback()
        await blocker.close()
        assert await caller == 0
        writer.ensure_writable()

    with_ledger(dsn, scenario)


def test_callers_get_an_error_when_the_log_stays_locked(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.6)
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.2)

    async def scenario(db: Database, writer: Ledger) -> None:
        blocker = await asyncpg.connect(dsn, timeout=5)
        block = blocker.transaction()
        await block.start()
        await blocker.execute("SELECT * FROM audit.log_head FOR UPDATE")
        begin = time.monotonic()
        callers = [writer.append(finished()) for _ in range(3)]
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(result, StorageUnavailable) for result in results)
        assert time.monotonic() - begin < 2
        await block.rollback()
        await blocker.close()
        await until(lambda: writer._connection is not None and not writer._in_flight)
        load = Load(writer, callers=2)
        await asyncio.sleep(0.1)
        await load.stop()
        assert load.told.acknowledged

    with_ledger(dsn, scenario)


def test_a_server_killed_under_load_loses_and_doubles_nothing(root: Path) -> None:
    settings = EmbeddedSettings(home=root)

    async def scenario() -> None:
        async with Database(settings) as db, Ledger(db) as writer:
            load = Load(writer, callers=32)
            for _ in range(2):
                await asyncio.sleep(0.3)
                before = len(load.told.acknowledged)
                kill_postmaster(settings.postgres_dir)
                await until(lambda: writer._connection is None)
                await until(lambda before=before: len(load.told.acknowledged) > before + 64, seconds=10)  # type: ignore[misc]
            await load.stop()
            assert await LogCheck().violations(db, load.told) == []

    run(scenario())


def test_close_flushes_what_is_queued_and_then_refuses(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            writer = Ledger(db)
            with pytest.raises(StorageUnavailable):
                writer.ensure_writable()
            await writer.start()
            callers = [asyncio.create_task(writer.append(finished())) for _ in range(600)]
            await asyncio.sleep(0)
            await writer.close()
            await writer.close()
            assert await asyncio.gather(*callers) == list(range(600))
            with pytest.raises(StorageUnavailable):
                await writer.append(finished())

    run(scenario())


def test_close_ends_while_the_server_is_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.5)

    async def scenario() -> None:
        postgres = EmbeddedPostgres(root / "postgres")
        async with Database(settings_for(await postgres.start())) as db, Ledger(db) as writer:
            await execute(postgres.dsn, "ALTER TABLE audit.log_head RENAME TO away")
            caller = asyncio.create_task(writer.append(finished()))
            await asyncio.sleep(0.05)
            await postgres.stop()
            with pytest.raises(StorageUnavailable):
                await caller

    run(scenario())


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit.entry SET actor = 'somebody else'",
        "UPDATE audit.entry_00000000 SET actor = 'somebody else'",
        "TRUNCATE audit.entry_00000007",
        "UPDATE audit.tile SET root = root",
        "UPDATE audit.log_head SET log_id = gen_random_uuid(), size = size + 1",
        "DELETE FROM audit.entry",
        "DELETE FROM audit.entry WHERE false",
        "TRUNCATE audit.entry",
        "UPDATE audit.log_head SET size = size - 1",
        "UPDATE audit.log_head SET size = size",
        "DELETE FROM audit.log_head",
        "TRUNCATE audit.log_head",
        "INSERT INTO audit.log_head (only_row, size) VALUES (false, 0)",
    ],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_the_log_refuses_any_change_but_growth(dsn: str, change: str, role: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        await writer.append(finished())
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"append-only|only grows"):
            await execute(dsn, f"SET session_replication_role = {role}", change)
        assert len(await stored(db)) == 1

    with_ledger(dsn, scenario)


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO audit.entry SELECT * FROM audit.entry",
        "INSERT INTO audit.entry_00000001 SELECT * FROM audit.entry",
        "UPDATE audit.entry SET actor = 'somebody else'",
        "DELETE FROM audit.entry",
        "TRUNCATE audit.entry",
        "UPDATE audit.log_head SET size = size + 1",
        "SELECT * FROM audit.log_head FOR UPDATE",
        "DELETE FROM audit.batch",
        "INSERT INTO audit.tile SELECT * FROM audit.tile",
        "UPDATE audit.tally_hour SET entries = 0",
        "UPDATE audit.tally_total SET entries = 0",
        "UPDATE audit.entry_hour SET first_seq = 0",
        "UPDATE audit.invocation_hour SET invocations = 0",
        "ALTER TABLE audit.entry DISABLE TRIGGER append_only",
        "ALTER TABLE audit.entry ADD COLUMN note text",
        "DROP TABLE audit.entry_00000000",
        "CREATE TABLE audit.other (seq bigint)",
        "CREATE OR REPLACE FUNCTION audit.append(uuid, bytea[]) RETURNS bigint LANGUAGE sql AS 'SELECT 0'",
        "SELECT audit.make_partitions(64)",
        "SELECT audit.keep_tiles(0, 256)",
        "SELECT audit.drop_entries(1048576)",
        "SET session_replication_role = replica",
        "DELETE FROM public.schema_migration",
    ],
)
def test_the_role_of_the_service_appends_and_nothing_else(dsn: str, change: str) -> None:
    async def scenario(db: Database, writer: Ledger) -> None:
        await writer.append(finished())
        connection = await db.connect()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
        await connection.close()
        assert len(await stored(db)) == 1

    with_ledger(dsn, scenario)
