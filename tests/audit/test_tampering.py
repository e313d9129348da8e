"""Whoever may change everything in the database is found out, and where he did it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.audit.findings import FindingCode
from subgraph.audit.findings import FindingCode as Code
from subgraph.audit.verification import verify_log
from subgraph.storage import Database
from tests.audit.tampering import (
    ADD_AT,
    CHANGE_HASH,
    CHANGE_ROOTS,
    DISARM,
    SIZE,
    Log,
    copied,
    edited,
    entry,
    places,
    rewrite,
    tamper,
    verify,
)
from tests.support.postgres import execute, settings_for

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

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
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
