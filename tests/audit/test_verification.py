"""Whoever may change everything in the database is found out by what was kept elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.audit import verification
from subgraph.audit.findings import MAX_FINDINGS, FindingCode, Findings
from subgraph.audit.findings import FindingCode as Code
from subgraph.audit.merkle import EMPTY_ROOT
from subgraph.audit.notes import Checkpoint
from subgraph.audit.verification import KeptCheckpoint, Verification, verify_log
from subgraph.storage import Database
from tests.audit.tampering import (
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
    restore,
    rewrite,
    seeded_log,
    tamper,
    with_database,
)
from tests.support.postgres import execute, settings_for


@pytest.fixture(scope="module")
def seeded(server: str) -> Iterator[Log]:
    with seeded_log(server) as log:
        yield log


@pytest.fixture
def log(seeded: Log) -> Iterator[Log]:
    yield seeded
    restore(seeded)


def verify(log: Log, kept: Sequence[KeptCheckpoint] | None = None) -> Verification:
    return with_database(log.dsn, lambda database: verify_log(database, log.kept if kept is None else kept))


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


ADD_AT = """
    CREATE TEMPORARY TABLE made AS SELECT * FROM audit.entry WHERE seq = 7;
    UPDATE made SET seq = {};
    INSERT INTO audit.entry SELECT * FROM made;
"""

CHANGE_HASH = (
    "UPDATE audit.tile SET hashes = overlay(hashes PLACING sha256('') FROM 1 + 32 * {1}) WHERE index = {0};"
)
CHANGE_ROOTS = "UPDATE audit.tile SET root = audit.subtree_root(hashes);"

DRILLS: dict[str, tuple[str, list[tuple[Code, int | None, int | None]]]] = {
    "an entry edited": (edited("700"), [(Code.ENTRY_CHANGED, 700, 700)]),
    "entries edited before each checkpoint": (
        edited("0, 99, 100, 599, 600, 1279"),
        [
            (Code.ENTRY_CHANGED, 0, 0),
            (Code.ENTRY_CHANGED, 99, 100),
            (Code.ENTRY_CHANGED, 599, 600),
            (Code.ENTRY_CHANGED, 1279, 1279),
        ],
    ),
    "an entry edited that no tile has yet": (
        edited("1290"),
        [(Code.ROOT_DIFFERS, 1000, 1299), (Code.HEAD_DIFFERS, 1280, 1295)],
    ),
    "an entry made longer than any may be": (
        "UPDATE audit.entry SET entry = entry || convert_to(repeat(' ', 1000000), 'UTF8') WHERE seq = 700",
        [(Code.ENTRY_CHANGED, 700, 700)],
    ),
    "an entry deleted": ("DELETE FROM audit.entry WHERE seq = 700", [(Code.ENTRY_MISSING, 700, 700)]),
    "an entry deleted that no tile has yet": (
        "DELETE FROM audit.entry WHERE seq = 1290",
        [(Code.ENTRY_MISSING, 1290, 1290)],
    ),
    "the last entry deleted": (
        "DELETE FROM audit.entry WHERE seq = 1299",
        [(Code.ENTRY_MISSING, 1299, 1299)],
    ),
    "a whole partition gone but for its place": (
        "TRUNCATE audit.entry_00000000",
        [(Code.ENTRY_MISSING, 0, 1299)],
    ),
    "two entries swapped": (
        """
        UPDATE audit.entry AS e SET entry = o.entry FROM audit.entry AS o
        WHERE e.seq IN (700, 900) AND o.seq = 1600 - e.seq
        """,
        [(Code.ENTRY_CHANGED, 700, 700), (Code.ENTRY_CHANGED, 900, 900)],
    ),
    "entries in another order": (
        """
        UPDATE audit.entry AS e SET entry = o.entry FROM audit.entry AS o
        WHERE e.seq BETWEEN 700 AND 704 AND o.seq = 700 + (e.seq - 699) % 5
        """,
        [(Code.ENTRY_CHANGED, 700, 704)],
    ),
    "an entry added at the end": (
        ADD_AT.format(1300),
        [(Code.ENTRY_UNEXPECTED, 1300, 1300)],
    ),
    "a hash of a tile changed": (
        CHANGE_HASH.format(2, 5),
        [(Code.TILE_CHANGED, 517, 517)],
    ),
    "a hash of a tile and its root changed": (
        CHANGE_HASH.format(2, 5) + CHANGE_ROOTS,
        [(Code.TILE_CHANGED, 517, 517)],
    ),
    "the root of a tile changed": (
        "UPDATE audit.tile SET root = sha256('') WHERE index = 2",
        [(Code.TILE_CHANGED, 512, 767)],
    ),
    "a tile removed": ("DELETE FROM audit.tile WHERE index = 2", [(Code.TILE_MISSING, 512, 767)]),
    "tiles added": (
        """
        INSERT INTO audit.tile SELECT made.level, made.index, hashes, root
        FROM audit.tile, (VALUES (0, 5), (1, 0), (0, -1), (9, 0)) AS made (level, index)
        WHERE tile.index = 2
        """,
        [
            (Code.TILE_UNEXPECTED, 0, 65535),
            (Code.TILE_UNEXPECTED, 1280, 1535),
            (Code.TILE_UNEXPECTED, None, None),
            (Code.TILE_UNEXPECTED, None, None),
        ],
    ),
    "a hash of the head changed": (
        "UPDATE audit.log_head SET frontier[2] = sha256('')",
        [(Code.HEAD_DIFFERS, 1024, 1279)],
    ),
    "a hash of the head removed": (
        "UPDATE audit.log_head SET frontier = frontier[1:3]",
        [(Code.HEAD_DIFFERS, 0, 1299)],
    ),
    "a smaller head": (
        "UPDATE audit.log_head SET size = 1280, frontier = frontier[1:2]",
        [(Code.ENTRY_UNEXPECTED, 1280, 1299), (Code.TAIL_CUT, 1280, 1299)],
    ),
    "a head beyond all bounds": (
        "UPDATE audit.log_head SET size = 1::bigint << 60",
        [(Code.HEAD_DIFFERS, 0, (1 << 60) - 1), (Code.ENTRY_MISSING, 1300, (1 << 60) - 1)],
    ),
    "no head": ("DELETE FROM audit.log_head", [(Code.HEAD_MISSING, None, None)]),
    "entries of the end deleted": (
        "DELETE FROM audit.entry WHERE seq >= 1200",
        [(Code.ENTRY_MISSING, 1200, 1299)],
    ),
}

WITH_THE_SCHEMA: dict[str, tuple[str, list[tuple[Code, int | None, int | None]]]] = {
    "an entry without bytes": (
        """
        ALTER TABLE audit.entry ALTER entry DROP NOT NULL;
        UPDATE audit.entry SET entry = NULL WHERE seq = 700
        """,
        [(Code.ENTRY_MISSING, 700, 700)],
    ),
    "a tile without hashes": (
        """
        ALTER TABLE audit.tile DROP CONSTRAINT tile_hashes_check;
        UPDATE audit.tile SET hashes = '' WHERE index = 2
        """,
        [(Code.TILE_CHANGED, 512, 767)],
    ),
}


@pytest.mark.parametrize("drill", DRILLS)
def test_tampering_is_found_where_it_was_done(log: Log, drill: str) -> None:
    statements, expected = DRILLS[drill]
    tamper(log, statements)
    assert places(verify(log).findings) == expected


@pytest.mark.parametrize("drill", WITH_THE_SCHEMA)
def test_tampering_with_rows_that_the_schema_forbids_is_found(server: str, seeded: Log, drill: str) -> None:
    statements, expected = WITH_THE_SCHEMA[drill]
    with copied(server, seeded) as log:
        tamper(log, statements)
        assert places(verify(log).findings) == expected


def test_an_entry_inserted_in_the_middle_moves_all_after_it(log: Log) -> None:
    tamper(
        log,
        "UPDATE audit.entry SET seq = seq + 1000001 WHERE seq >= 700",
        "UPDATE audit.entry SET seq = seq - 1000000 WHERE seq >= 1000000",
        ADD_AT.format(700),
    )
    assert places(verify(log).findings) == [
        (Code.ENTRY_CHANGED, 700, 1279),
        (Code.ROOT_DIFFERS, 1000, 1299),
        (Code.HEAD_DIFFERS, 1280, 1299),
        (Code.ENTRY_UNEXPECTED, 1300, 1300),
    ]


def test_the_stored_hashes_name_an_entry_without_any_checkpoint(log: Log) -> None:
    tamper(log, edited("700"))
    assert places(verify(log, []).findings) == [(Code.ENTRY_CHANGED, 700, 700)]


def test_a_tile_and_an_entry_changed_between_the_same_checkpoints_are_told_apart(log: Log) -> None:
    tamper(log, edited("700"), CHANGE_HASH.format(3, 5))
    assert places(verify(log).findings) == [(Code.ENTRY_CHANGED, 700, 700), (Code.TILE_CHANGED, 773, 773)]


def test_a_checkpoint_within_a_tile_decides_for_what_stands_before_it(log: Log) -> None:
    """An entry edited before size 600, and after it the same tile forged so that its root fits."""
    tamper(log, edited("520"), CHANGE_HASH.format(2, 100), CHANGE_ROOTS)
    assert places(verify(log).findings) == [(Code.ENTRY_CHANGED, 520, 520), (Code.TILE_CHANGED, 612, 612)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda old: (*old[:700], entry(9999), *old[701:]), (Code.ROOT_DIFFERS, 600, 999)),
        (lambda old: (*old[:1290], entry(9999), *old[1291:]), (Code.ROOT_DIFFERS, 1000, 1299)),
        (lambda old: (*old[:5], entry(9999), *old[5:-1]), (Code.ROOT_DIFFERS, 0, 99)),
        (lambda old: (*old[:700], *old[701:], entry(9999)), (Code.ROOT_DIFFERS, 600, 999)),
        (lambda old: (*old[:700], old[701], old[700], *old[702:]), (Code.ROOT_DIFFERS, 600, 999)),
        (lambda old: old[:1200], (Code.TAIL_CUT, 1200, 1299)),
        (lambda old: old[:1280], (Code.TAIL_CUT, 1280, 1299)),
        (lambda _: (), (Code.TAIL_CUT, 0, 1299)),
    ],
    ids=["edit", "edit at the end", "insert", "delete", "swap", "cut", "cut at a tile", "nothing left"],
)
def test_a_log_rewritten_with_all_its_hashes_is_found_by_checkpoints(
    log: Log, change: Any, expected: tuple[Code, int, int]
) -> None:
    rewrite(log, change(log.entries))
    assert verify(log, []).ok  # nothing inside of the database contradicts it
    assert places(verify(log).findings) == [expected]


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


def test_any_edit_of_any_entries_is_found(log: Log) -> None:
    """In a tile by its number, behind the last tile between two checkpoints."""
    edits = st.dictionaries(
        st.integers(0, SIZE - 1),
        st.tuples(st.integers(0, 190), st.integers(1, 255)),
        min_size=1,
        max_size=4,
    )
    change = "UPDATE audit.entry SET entry = set_byte(entry, {1}, get_byte(entry, {1}) # {2}) WHERE seq = {0}"

    with asyncio.Runner() as runner:
        database = Database(settings_for(log.dsn))
        runner.run(database.start())
        runner.run(execute(log.dsn, DISARM))

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(edits)
        def check(changes: dict[int, tuple[int, int]]) -> None:
            statements = [change.format(seq, *what) for seq, what in changes.items()]
            runner.run(execute(log.dsn, *statements))
            try:
                found = runner.run(verify_log(database, log.kept))
            finally:
                runner.run(execute(log.dsn, *statements))  # the same bits again
            named = {
                seq
                for code, first, last in places(found.findings)
                if code is FindingCode.ENTRY_CHANGED and first is not None and last is not None
                for seq in range(first, last + 1)
            }
            assert named == {seq for seq in changes if seq < 1280}
            at_the_end = (Code.ROOT_DIFFERS, 1000, 1299) in places(found.findings)
            assert at_the_end == any(seq >= 1280 for seq in changes)

        check()
        assert runner.run(verify_log(database, log.kept)).ok
        runner.run(database.close())


def test_findings_are_bounded_and_those_that_adjoin_are_one() -> None:
    findings = Findings()
    for seq in range(3 * MAX_FINDINGS):
        findings.add(Code.ENTRY_CHANGED, "changed.", 2 * seq, 2 * seq)
    listed = findings.listed()
    assert len(listed) == MAX_FINDINGS + 1
    assert listed[-1].code is Code.MORE
    assert listed[-1].message.startswith("2000 ")
    findings = Findings()
    for first, last in ((5, 9), (0, 4), (10, 10)):
        findings.add(Code.ENTRY_CHANGED, "changed.", first, last)
    (only,) = findings.listed()
    assert (only.first_seq, only.last_seq, only.message) == (0, 10, "Entries 0 to 10: changed.")
