"""Short drills of `benchmarks/outages.py`, and the check that it relies on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from subgraph.audit import Ledger, ledger
from subgraph.storage import Database
from tests.audit.factory import finished
from tests.support.kernel import needs_root
from tests.support.ledger import Load, LogCheck, Told
from tests.support.outages import Disk, disk_that_fills, paused
from tests.support.postgres import EmbeddedSettings, execute, run, settings_for, until

WAIT_SECONDS = 1.5
LONGEST_SECONDS = WAIT_SECONDS + 3.0
"""Far below a hang, and above what a busy machine adds."""

as_root = needs_root("may mount a file system")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.5)


def test_a_paused_server_is_an_error_and_loses_nothing(root: Path) -> None:
    settings = EmbeddedSettings(home=root)

    async def scenario() -> None:
        async with Database(settings) as db, Ledger(db) as writer:
            load = Load(writer, callers=32)
            await asyncio.sleep(0.3)
            with paused(settings.postgres_dir):
                await asyncio.sleep(2 * WAIT_SECONDS)
                assert load.told.errors >= 32  # every caller was told, while it lasted
            before = len(load.told.acknowledged)
            await until(lambda: len(load.told.acknowledged) > before + 64)
            await load.stop()
            assert load.told.longest_seconds < LONGEST_SECONDS
            assert await LogCheck().violations(db, load.told) == []

    run(scenario())


@pytest.mark.parametrize(
    ("mount", "room"),
    [
        pytest.param(True, 4 << 20, id="tables cannot grow", marks=as_root),
        pytest.param(True, 20 << 20, id="the write-ahead log cannot grow", marks=as_root),
        pytest.param(False, 0, id="files are limited"),
    ],
)
def test_a_full_disk_is_an_error_and_loses_nothing(root: Path, mount: bool, room: int) -> None:
    async def scenario(settings: EmbeddedSettings, disk: Disk) -> None:
        async with Database(settings) as db, Ledger(db) as writer:
            load = Load(writer, callers=32)
            await asyncio.sleep(0.3)
            disk.fill(room)
            await until(lambda: load.told.errors >= 32, seconds=15)
            disk.free()
            before = len(load.told.acknowledged)
            await until(lambda: len(load.told.acknowledged) > before + 64, seconds=10)
            await load.stop()
            assert load.told.longest_seconds < LONGEST_SECONDS
            assert await LogCheck().violations(db, load.told) == []

    with disk_that_fills(root, 192 << 20, mount=mount) as disk:
        run(scenario(EmbeddedSettings(home=disk.directory), disk))


FIRST = "audit.entry_00000000"


def tampered(table: str, change: str) -> list[str]:
    """What somebody does who owns the database."""
    trigger = f"ALTER TABLE {table} {{}} TRIGGER append_only"
    return [trigger.format("DISABLE"), change.format(table=table), trigger.format("ENABLE ALWAYS")]


CHANGES = {
    "entry 7 is missing: 8 follows": tampered(FIRST, "DELETE FROM {table} WHERE seq = 7"),
    "10 entries were acknowledged and are lost, the first at 290": tampered(
        FIRST, "DELETE FROM {table} WHERE seq >= 290"
    ),
    "the head, of 300 entries, is not the tree of the 300 stored": tampered(
        FIRST, "UPDATE {table} SET entry = '' WHERE seq = 7"
    ),
    "1 entries are stored twice, the first at 7": tampered(
        FIRST,
        "UPDATE {table} SET entry_id = (SELECT entry_id FROM {table} WHERE seq = 6) WHERE seq = 7",
    ),
    "1 entries are not those that their callers were told of, the first at 7": tampered(
        FIRST, "UPDATE {table} SET entry_id = gen_random_uuid() WHERE seq = 7"
    ),
    "tile 0 does not hold the hashes of its entries": tampered(
        "audit.tile", "UPDATE {table} SET hashes = sha256('') || substr(hashes, 33)"
    ),
    "the roots of the stored tiles do not lead to the head": tampered(
        "audit.tile", "UPDATE {table} SET root = sha256('')"
    ),
}


@pytest.mark.parametrize("said", CHANGES)
def test_the_check_names_what_was_changed(dsn: str, said: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as writer:
            told = await filled(writer)
            assert await LogCheck().violations(db, told) == []
            await execute(dsn, *CHANGES[said])
            assert said in await LogCheck().violations(db, told)

    run(scenario())


def test_the_check_names_a_number_that_was_given_twice_and_an_entry_of_nobody(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as writer:
            told = await filled(writer)
            await writer.append(finished())
            told.stored(7, told.acknowledged[7])
            assert await LogCheck().violations(db, told) == [
                "1 entries have the number of another, the first at 7",
                "1 entries are not those that their callers were told of, the first at 300",
            ]

    run(scenario())


async def filled(writer: Ledger) -> Told:
    told = Told()
    entries = [finished() for _ in range(300)]
    for entry, seq in zip(entries, await asyncio.gather(*map(writer.append, entries)), strict=True):
        told.stored(seq, UUID(entry.entry_id))
    return told
