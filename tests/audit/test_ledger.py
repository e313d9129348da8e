"""The ledger appends: densely, in batches, within bounds, and each entry once."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest

from subgraph.audit import Entry, EntryRefused, Ledger, RevokedSkill, ledger
from subgraph.audit.entry import MAX_ENTRY_BYTES
from subgraph.errors import Overloaded, StorageUnavailable
from subgraph.storage import Database
from subgraph.storage.migrations import Connection
from tests.audit.factory import finished
from tests.audit.ledgers import padded, stored, with_ledger
from tests.support.postgres import run, settings_for


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
