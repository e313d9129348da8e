"""The log is signed as it grows: while it runs, among replicas, and when what keeps notes fails."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path

import pytest

from subgraph.audit import checkpoint_stores
from subgraph.audit.checkpoint_stores import DirectoryStore
from subgraph.audit.checkpoints import Checkpoints
from subgraph.audit.log_tree import LogTree
from subgraph.audit.merkle import verify_consistency
from subgraph.audit.notes import Checkpoint, Signer, open_note
from subgraph.errors import StorageUnavailable
from subgraph.storage.filelock import FileLock
from tests.audit.signed_log import SignedLog, sign_three, sizes, with_signed_log
from tests.support.postgres import run, until


def test_the_log_is_signed_by_itself_as_it_grows(dsn: str, tmp_path: Path, signs_often: None) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            first = await signing.newest()
            assert first[0].size == 0
            for expected in (1, 4, 300):
                await log.grow(expected - await log.size())
                await until(lambda expected=expected: log.newest().size == expected)  # type: ignore[misc]
            assert open_note((log.directory / "checkpoint").read_text(), signing.verifiers).size == 300
            assert signing.age_seconds < 5

    with_signed_log(dsn, tmp_path, scenario)
    assert sizes(SignedLog(None, dsn, tmp_path).notes())[-1] == 300  # type: ignore[arg-type]


def test_what_was_not_signed_when_the_service_stops_is_signed_then(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints():
            await log.grow(3)
        assert log.newest().size == 3

    with_signed_log(dsn, tmp_path, scenario)


def test_where_nothing_is_new_the_note_is_the_same_also_after_a_restart(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(5)
        async with log.checkpoints() as signing:
            notes = {await signing.publish() for _ in range(5)}
            vkey = signing.vkey
        async with log.checkpoints() as signing:
            notes.add(await signing.publish())
            assert signing.vkey == vkey
        assert len(notes) == 1
        (day,) = log.directory.glob("*.jsonl")
        assert len(day.read_text().splitlines()) == 1

    with_signed_log(dsn, tmp_path, scenario)


def test_replicas_of_one_directory_neither_go_back_nor_fork(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> list[int]:
        seen: list[int] = []
        note = ""
        ended = asyncio.Event()

        async def watch() -> None:
            while not ended.is_set():
                seen.append(log.newest().size)
                await asyncio.sleep(0)

        async def sign(signing: Checkpoints) -> None:
            for _ in range(25):
                await signing.publish()

        async def write() -> None:
            for _ in range(40):
                await log.grow(3)

        async with log.checkpoints() as one, log.checkpoints() as two, log.checkpoints() as three:
            watching = asyncio.create_task(watch())
            await asyncio.gather(sign(one), sign(two), sign(three), write())
            for each in (one, two, three):
                note = await each.publish()
                assert each.opened(note).size == 120
            ended.set()
            await watching
            assert one.verifiers == two.verifiers
            tree, last = LogTree(log.database), open_note(note, one.verifiers)
            for older in {open_note(each, one.verifiers) for each in await log.kept()}:
                proof = await tree.consistency(older.size, last.size)
                verify_consistency(older.size, older.root, last.size, last.root, proof)
        assert log.damage == []
        return seen

    seen = with_signed_log(dsn, tmp_path, scenario)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


def test_a_running_service_keeps_again_what_its_directory_has_lost(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            await log.grow(2)
            older = await signing.publish()
            await log.grow(1)
            newer = await signing.publish()
            for path in log.directory.iterdir():
                path.unlink()
            assert await signing.publish() == newer
            assert (log.directory / "checkpoint").read_text() == newer
            (log.directory / "checkpoint").write_text(older)
            assert await signing.publish() == newer
            assert (log.directory / "checkpoint").read_text() == newer

    with_signed_log(dsn, tmp_path, scenario)


def test_no_checkpoint_is_signed_while_the_disk_is_full_and_then_again(
    dsn: str,
    tmp_path: Path,
    signs_often: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(log: SignedLog) -> None:
        caplog.set_level(logging.INFO, "subgraph.audit.checkpoints")
        async with log.checkpoints() as signing:
            for name, failing in (("fsync", full), ("pwrite", full), ("pwrite", lambda *_: 5)):
                caplog.clear()
                with monkeypatch.context() as patch:
                    patch.setattr(os, name, failing)
                    await log.grow(1)
                    with pytest.raises(StorageUnavailable, match="No space left"):
                        await signing.publish()
                    await asyncio.sleep(0.15)
                await until(lambda: log.newest().size == signing._last[0].size)  # type: ignore[index]
                messages = [record.getMessage() for record in caplog.records]
                assert sum("No space left" in message for message in messages) <= 1, "once an outage"
            await until(lambda: log.newest().size == 3)
        assert sizes(await log.kept()) == sorted(sizes(await log.kept()))
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_a_directory_that_cannot_be_made_is_an_error_at_the_start(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        log.directory.write_text("a file")
        with pytest.raises(StorageUnavailable, match="cannot be kept"):
            async with log.checkpoints():
                pass

    with_signed_log(dsn, tmp_path, scenario)


def test_who_waits_for_the_lock_of_another_process_goes_on_when_it_is_free(
    dsn: str, tmp_path: Path, signs_when_told: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_stores, "LOCK_SECONDS", 0.05)

    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            await log.grow(1)
            with FileLock(log.directory / ".lock") as lock:
                assert lock.try_exclusive()
                with pytest.raises(StorageUnavailable, match="Another process holds"):
                    await signing.publish()
            assert signing.opened(await signing.publish()).size == 1

    with_signed_log(dsn, tmp_path, scenario)


def test_a_line_that_a_crash_has_cut_off_is_passed_over_and_then_gone(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await sign_three(log)
        (day,) = log.directory.glob("*.jsonl")
        whole = day.read_bytes()
        line = whole.splitlines(keepends=True)[-1]
        for cut in (1, len(line) // 2, len(line) - 1):
            day.write_bytes(whole + line[:cut])
            assert sizes(await log.kept())[-1] == 3
        async with log.checkpoints() as signing:
            await log.grow(1)
            await signing.publish()
        assert (sizes(await log.kept()))[-2:] == [3, 4]
        assert all(line.endswith(b"}") for line in day.read_bytes().splitlines())

    with_signed_log(dsn, tmp_path, scenario)


def test_the_newest_is_never_seen_half_written_whichever_step_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call to the system that keeping makes fails once; what is read then is one whole note."""
    signer = Signer.generate("log.example/audit")
    old, new = (signer.sign(Checkpoint(signer.name, size, bytes([size]) * 32)) for size in (1, 2))

    class Crash(BaseException):
        """The process dies here."""

    steps = ("open", "pwrite", "fsync", "replace", "ftruncate", "lseek")
    failures = 0
    for number in range(40):
        store = DirectoryStore(tmp_path / str(number))
        run(store.keep(1, old))
        countdown = number

        def counted(real: object, countdown_of: list[int]) -> object:
            def call(*args: object, **named: object) -> object:
                countdown_of[0] -= 1
                if countdown_of[0] < 0:
                    raise Crash
                return real(*args, **named)  # type: ignore[operator]

            return call

        left = [countdown]
        with monkeypatch.context() as patch:
            for name in steps:
                patch.setattr(os, name, counted(getattr(os, name), left))
            try:
                store._keep(2, new)
            except Crash:
                failures += 1
        assert (tmp_path / str(number) / "checkpoint").read_text() in (old, new)
        run(store.keep(3, new.replace("\n2\n", "\n3\n")))
        assert (tmp_path / str(number) / "checkpoint").read_text().startswith("log.example/audit\n3\n")
    assert 5 < failures < 40
