"""The log is read as a whole and compared with what was kept elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from subgraph.audit import verification
from subgraph.audit.findings import FindingCode as Code
from subgraph.audit.merkle import EMPTY_ROOT
from subgraph.audit.notes import Checkpoint
from subgraph.audit.verification import KeptCheckpoint, Verification, verify_log
from subgraph.storage import Database
from tests.audit.tampering import (
    CHANGE_HASH,
    CHANGE_ROOTS,
    DISARM,
    SIZE,
    SMALL_PARTITIONS,
    Log,
    append,
    copied,
    edited,
    entry,
    keep,
    places,
    tamper,
    verify,
    with_database,
)
from tests.support.postgres import execute


def test_an_untouched_log_has_no_finding(log: Log) -> None:
    told: list[tuple[int, int]] = []
    found = with_database(
        log.dsn, lambda database: verify_log(database, log.kept, lambda done, of: told.append((done, of)))
    )
    assert found.ok
    assert found.findings == ()
    assert (found.size, found.entries, found.dropped, found.checkpoints) == (SIZE, SIZE, 0, 4)
    assert told[-1] == (SIZE, SIZE)


def test_an_empty_log_has_no_finding(dsn: str) -> None:
    found = with_database(
        dsn, lambda database: verify_log(database, [KeptCheckpoint("", Checkpoint("o", 0, EMPTY_ROOT))])
    )
    assert found.ok


def test_every_size_can_have_a_checkpoint(log: Log) -> None:
    async def scenario(database: Database) -> Verification:
        return await verify_log(database, await keep(database, range(1, SIZE + 1)))

    found = with_database(log.dsn, scenario)
    assert found.ok
    assert found.checkpoints == SIZE


def test_a_log_that_grows_meanwhile_has_no_finding(log: Log) -> None:
    async def scenario(database: Database) -> list[Verification]:
        growing = asyncio.create_task(append(database, log.entries * 3, batch=64))
        found = []
        while not growing.done():
            found.append(await verify_log(database, log.kept))
        await growing
        return found

    found = with_database(log.dsn, scenario)
    assert len({item.size for item in found}) > 2
    assert all(item.ok for item in found)


def test_replicas_that_went_apart_are_a_fork(server: str, seeded: Log) -> None:
    async def grow(database: Database, first: int, source: str) -> tuple[KeptCheckpoint, ...]:
        await append(database, [entry(first + number) for number in range(300)])
        return await keep(database, (1400, 1600), source)

    with copied(server, seeded) as one, copied(server, seeded) as other:
        of_one = with_database(one.dsn, lambda database: grow(database, 5000, "one"))
        of_other = with_database(other.dsn, lambda database: grow(database, 6000, "other"))
        for log, own, foreign in ((one, of_one, of_other), (other, of_other, of_one)):
            assert verify(log, log.kept + own).ok
            apart = verify(log, log.kept + foreign)
            assert places(apart.findings) == [(Code.ROOT_DIFFERS, 1300, 1399)]
            both = verify(log, log.kept + own + foreign)
            assert places(both.findings) == [(Code.FORK, 1300, 1399), (Code.FORK, 1300, 1599)]
            assert "one/1400" in both.findings[0].message
            assert "other/1400" in both.findings[0].message


@pytest.fixture
def partitioned(dsn: str) -> Log:
    """A log with small partitions, two of which were dropped."""
    kept: list[KeptCheckpoint] = []

    async def scenario(database: Database) -> None:
        await execute(dsn, *SMALL_PARTITIONS)
        await append(database, [entry(number) for number in range(SIZE)])
        kept.extend(await keep(database, (100, 600, 1100, SIZE)))
        await execute(dsn, "SELECT audit.drop_entries(1100)")

    with_database(dsn, scenario)
    return Log(dsn, (), tuple(kept))


def test_dropped_entries_are_known_by_their_tiles(partitioned: Log) -> None:
    found = verify(partitioned)
    assert found.ok
    assert (found.entries, found.dropped, found.checkpoints) == (SIZE - 1024, 1024, 4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DELETE FROM audit.tile WHERE index = 1", [(Code.TILE_MISSING, 256, 511)]),
        ("DROP TABLE audit.entry_00000002", [(Code.ENTRY_MISSING, 0, 1299)]),
        (
            CHANGE_HASH.format(1, 0) + CHANGE_ROOTS,
            [(Code.HEAD_DIFFERS, 0, 1023), (Code.ROOT_DIFFERS, 100, 599)],
        ),
    ],
)
def test_tampering_with_what_stands_for_dropped_entries_is_found(
    partitioned: Log, change: str, expected: list[tuple[Code, int, int]]
) -> None:
    tamper(partitioned, change)
    found = places(verify(partitioned).findings)
    assert found == expected


def test_all_entries_of_a_log_that_fills_its_partitions_may_be_dropped(dsn: str) -> None:
    async def scenario(database: Database) -> Verification:
        await execute(dsn, *SMALL_PARTITIONS)
        await append(database, [entry(number) for number in range(1024)])
        kept = await keep(database, (700, 1024))
        await execute(dsn, "SELECT audit.drop_entries(5000)")
        return await verify_log(database, kept)

    found = with_database(dsn, scenario)
    assert found.ok
    assert (found.entries, found.dropped, found.checkpoints) == (0, 1024, 2)


def test_entries_dropped_meanwhile_are_no_finding(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "RANGE_ENTRIES", 256)

    async def scenario(database: Database) -> Verification:
        await execute(dsn, *SMALL_PARTITIONS)
        await append(database, [entry(number) for number in range(SIZE)])
        kept = await keep(database, (100, SIZE))
        fetch = database.fetch

        async def dropping(name: str, *args: object) -> Any:
            if name == "audit_leaves" and args[0] == 256:
                await execute(dsn, "SELECT audit.drop_entries(1024)")
            return await fetch(name, *args)

        monkeypatch.setattr(database, "fetch", dropping)
        return await verify_log(database, kept)

    found = with_database(dsn, scenario)
    assert found.ok
    assert (found.entries, found.dropped) == (SIZE - 768, 768)


def test_faults_below_tiles_of_the_second_level_are_told_apart(dsn: str) -> None:
    entries = [entry(number) for number in range(4096)]
    size = 65_536 + 300

    async def scenario(database: Database) -> tuple[Verification, ...]:
        for _ in range(16):
            await append(database, entries, batch=4096)
        await append(database, entries[:300])
        kept = await keep(database, (65_536, size))
        clean = await verify_log(database, kept)
        await execute(
            dsn,
            DISARM,
            edited("40000"),
            "DELETE FROM audit.tile WHERE level = 0 AND index = 7",
            CHANGE_HASH.format("0 AND level = 1", 200),
        )
        return clean, await verify_log(database, kept), await verify_log(database, [])

    clean, *damaged = with_database(dsn, scenario)
    assert clean.ok
    for found in damaged:
        assert places(found.findings) == [
            (Code.TILE_MISSING, 7 * 256, 8 * 256 - 1),
            (Code.ENTRY_CHANGED, 40_000, 40_000),
            (Code.TILE_CHANGED, 200 * 256, 201 * 256 - 1),
        ]


def test_a_log_without_end_is_not_searched_for_ever(
    server: str, seeded: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MAX_EMPTY_RANGES", 3)
    far = (1 << 60) + 5
    with copied(server, seeded) as log:
        tamper(
            log,
            f"CREATE TABLE audit.far PARTITION OF audit.entry FOR VALUES FROM ({far - 5}) TO ({far + 5})",
            f"UPDATE audit.entry SET seq = {far} WHERE seq = 1299",  # noqa: S608
            f"UPDATE audit.log_head SET size = {far + 1}",  # noqa: S608
        )
        found = verify(log).findings
    missing = [finding for finding in found if finding.code is Code.ENTRY_MISSING]
    assert missing[0].first_seq == 1299
    assert "not looked for" in missing[-1].message
    assert missing[-1].last_seq == far
