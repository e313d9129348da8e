"""What was signed convicts whoever changes the log: at a start, while it runs, and among replicas."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from subgraph.audit import Ledger, checkpoint_stores, checkpoints
from subgraph.audit.checkpoint_stores import DirectoryStore
from subgraph.audit.checkpoints import KEY_NAME, Checkpoints
from subgraph.audit.evidence import verify_evidence
from subgraph.audit.key_files import KeyFileRefused
from subgraph.audit.log_tree import Head, LogDamaged, LogTree
from subgraph.audit.merkle import verify_consistency
from subgraph.audit.notes import Checkpoint, Signer, Verifier, open_note
from subgraph.audit.signing_key import known_keys, load_signing_key, rotate_signing_key
from subgraph.errors import InputInvalid, StorageUnavailable, SubgraphError
from subgraph.storage.filelock import FileLock
from tests.audit.factory import finished
from tests.audit.signed_log import SignedLog, damage_of, narrow_partitions, sizes, with_signed_log
from tests.support.postgres import execute, run, until

ROOT_OF_ANOTHER = "UPDATE audit.log_head SET frontier = ARRAY[sha256('another')]"

ROOT_OF_TWO = (
    "(SELECT sha256('\\x01'::bytea || string_agg(sha256('\\x00'::bytea || entry), ''::bytea ORDER BY seq))"
    " FROM audit.entry WHERE seq < 2)"
)

CUT = (
    "DELETE FROM audit.entry WHERE seq >= 2",
    f"UPDATE audit.log_head SET size = 2, frontier = ARRAY[{ROOT_OF_TWO}]",  # noqa: S608
)
"""The log as it was with two entries, without a fault in itself."""

OTHER_ACTOR = (
    "UPDATE audit.entry SET entry = convert_to("
    "replace(convert_from(entry, 'UTF8'), '\"actor\":\"local\"', '\"actor\":\"other\"'), 'UTF8')"
    " WHERE seq = 1"
)
REWRITTEN = (
    OTHER_ACTOR,
    f"UPDATE audit.log_head SET frontier = ARRAY[{ROOT_OF_TWO}] || frontier[2:]",  # noqa: S608
)
"""An entry of a log of three was changed, and its tree with it."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second takes a fiftieth."""
    monkeypatch.setattr(checkpoints, "INTERVAL_SECONDS", 0.02)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is signed but by the test."""
    monkeypatch.setattr(checkpoints, "INTERVAL_SECONDS", 3600.0)


def test_the_log_is_signed_by_itself_as_it_grows(dsn: str, tmp_path: Path, quick: None) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            first = await signing.newest()
            assert first[0].size == 0
            for expected in (1, 4, 300):
                await log.grow(expected - await log.size())
                await until(lambda expected=expected: _newest(log).size == expected)  # type: ignore[misc]
            assert open_note((log.directory / "checkpoint").read_text(), signing.verifiers).size == 300
            assert signing.age_seconds < 5

    with_signed_log(dsn, tmp_path, scenario)
    assert sizes(SignedLog(None, dsn, tmp_path).notes())[-1] == 300  # type: ignore[arg-type]


def _newest(log: SignedLog) -> Checkpoint:
    return Checkpoint.parse((log.directory / "checkpoint").read_text().rpartition("\n\n")[0] + "\n")


def test_what_was_not_signed_when_the_service_stops_is_signed_then(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints():
            await log.grow(3)
        assert _newest(log).size == 3

    with_signed_log(dsn, tmp_path, scenario)


def test_where_nothing_is_new_the_note_is_the_same_also_after_a_restart(
    dsn: str, tmp_path: Path, slow: None
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


def test_replicas_of_one_directory_neither_go_back_nor_fork(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> list[int]:
        seen: list[int] = []
        note = ""
        ended = asyncio.Event()

        async def watch() -> None:
            while not ended.is_set():
                seen.append(_newest(log).size)
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
            for older in {open_note(each, one.verifiers) for each in await _kept(log)}:
                proof = await tree.consistency(older.size, last.size)
                verify_consistency(older.size, older.root, last.size, last.root, proof)
        assert log.damage == []
        return seen

    seen = with_signed_log(dsn, tmp_path, scenario)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


async def _kept(log: SignedLog) -> list[str]:
    return [note async for note in DirectoryStore(log.directory).notes()]


async def _three(log: SignedLog) -> None:
    await log.grow(2)
    async with log.checkpoints():
        await log.grow(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [(CUT, "its end was cut off"), (REWRITTEN, "has not grown out")],
    ids=["cut", "rewritten"],
)
def test_a_changed_log_is_found_at_the_start(
    dsn: str, tmp_path: Path, slow: None, change: tuple[str, ...], said: str
) -> None:
    async def scenario(log: SignedLog) -> None:
        await _three(log)
        await log.tamper(*change)
        before = (log.directory / "checkpoint").read_text()
        async with log.checkpoints() as signing:
            assert len(log.damage) == 1
            assert said in log.damage[0]
            assert said in await damage_of(signing)
            await log.grow(5)
            assert said in await damage_of(signing)
            with pytest.raises(LogDamaged):
                await signing.prove(7)
        assert len(log.damage) == 1
        assert (log.directory / "checkpoint").read_text() == before

    with_signed_log(dsn, tmp_path, scenario)


@pytest.mark.parametrize("change", [CUT, REWRITTEN, (ROOT_OF_ANOTHER,)], ids=["cut", "rewritten", "hash"])
def test_a_log_that_is_changed_while_it_runs_is_found_within_an_interval(
    dsn: str, tmp_path: Path, quick: None, change: tuple[str, ...]
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with Ledger(log.database) as ledger:
            refused: list[LogDamaged] = []
            signing = log.checkpoints()
            signing._on_damage = lambda error: (refused.append(error), ledger.distrust(error))  # type: ignore[assignment, func-returns-value]
            async with signing:
                await log.grow(3)
                await until(lambda: _newest(log).size == 3)
                ledger.ensure_writable()
                await log.tamper(*change)
                await until(lambda: bool(refused))
                depths = set()
                for _ in range(3):
                    with pytest.raises(LogDamaged) as refusal:
                        ledger.ensure_writable()
                    depths.add(len(refusal.traceback))
                assert len(depths) == 1, "what is raised again and again does not grow"
                size = await log.size()
                assert await ledger.append(finished()) == size, "what was under way is still recorded"
                await asyncio.sleep(0.1)
            assert len(refused) == 1
            assert _newest(log).size == 3

    with_signed_log(dsn, tmp_path, scenario)


def test_a_changed_log_that_has_grown_since_is_found(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await _three(log)
        await log.tamper(*REWRITTEN)
        await log.grow(600)
        async with log.checkpoints():
            assert "has not grown out of what was signed when it had 3" in log.damage[0]

    with_signed_log(dsn, tmp_path, scenario)


def test_an_older_backup_is_found_also_when_it_has_grown_again(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            await log.grow(300)
            await signing.publish()
            await log.copy()
            await log.grow(20)
            await signing.publish()
            await log.restore()
            assert "an older copy of the database was restored" in await damage_of(signing)
        await log.grow(40)
        async with log.checkpoints() as signing:
            assert "had 320 entries" in await damage_of(signing)

    with_signed_log(dsn, tmp_path, scenario)


def test_a_backup_that_has_all_that_was_signed_is_good(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints():
            await log.grow(300)
        await log.copy()
        await log.grow(20)
        await log.restore()
        await log.grow(1)
        async with log.checkpoints() as signing:
            assert signing.opened(await signing.publish()).size == 301
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_a_rewritten_log_is_found_though_another_replica_has_signed_it(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    """Whoever restarts one replica on a new directory cannot have the others take that over."""

    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints() as running:
            for path in log.directory.iterdir():
                path.unlink()
            await log.tamper(*REWRITTEN)
            await log.grow(2)
            async with log.checkpoints() as other:
                assert _newest(log).size == 5
                assert "has not grown" in await damage_of(running)
                assert other.opened(await other.publish()).size == 5  # it cannot know

    with_signed_log(dsn, tmp_path, scenario)


def test_where_all_checkpoints_are_gone_the_log_begins_anew_and_this_is_said(
    dsn: str, tmp_path: Path, slow: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints():
            pass
        assert caplog.records == [], "the first start is as it should be"
        for path in log.directory.iterdir():
            path.unlink()
        async with log.checkpoints():
            assert _newest(log).size == 3
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "No checkpoint is kept of an audit log of 3 entries" in record.getMessage()

    with_signed_log(dsn, tmp_path, scenario)


def test_what_the_days_hold_convicts_when_the_newest_alone_was_removed(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await _three(log)
        (log.directory / "checkpoint").unlink()
        await log.tamper(*CUT)
        async with log.checkpoints():
            assert "its end was cut off" in log.damage[0]

    with_signed_log(dsn, tmp_path, scenario)


def test_a_running_service_keeps_again_what_its_directory_has_lost(
    dsn: str, tmp_path: Path, slow: None
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


def _of_another_log(note: str, keys: Path) -> str:
    signer = Signer.generate("another.example/log")
    (keys / "another.pub").write_text(f"{signer.verifier.vkey}\n")
    return signer.sign(Checkpoint(signer.name, 2, b"a" * 32))


def _by_an_unknown_key(note: str, keys: Path) -> str:
    checkpoint = Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")
    return Signer.generate(checkpoint.origin).sign(checkpoint)


FORGERIES: dict[str, Callable[[str, Path], str]] = {
    "smaller": lambda note, _: note.replace("\n3\n", "\n2\n"),
    "larger": lambda note, _: note.replace("\n3\n", "\n4\n"),
    "of another log": _of_another_log,
    "by an unknown key": _by_an_unknown_key,
    "garbage": lambda note, _: "garbage",
    "empty": lambda note, _: "",
    "cut in half": lambda note, _: note[: len(note) // 2],
    "without its end": lambda note, _: note[:-1],
    "of a huge size": lambda note, _: f"log\n{'9' * 6000}\nroot\n",
    "not text": lambda note, _: "\x00\xff" * 500,
    "too long": lambda note, _: note * 3000,
}


def test_a_checkpoint_that_is_none_of_this_log_is_refused(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await _three(log)
        file = log.directory / "checkpoint"
        genuine = file.read_text()
        for name, forged in FORGERIES.items():
            file.write_text(forged(genuine, log.keys), encoding="utf-8")
            log.damage.clear()
            async with log.checkpoints() as signing:
                assert "is refused" in await damage_of(signing), name
                assert "is refused" in log.damage[0], name
        # The way out: without it, what the days hold is the newest.
        file.unlink()
        await log.grow(1)
        async with log.checkpoints() as signing:
            assert signing.opened(await signing.publish()).size == 4

    with_signed_log(dsn, tmp_path, scenario)


def test_no_checkpoint_is_signed_while_the_disk_is_full_and_then_again(
    dsn: str, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
                await until(lambda: _newest(log).size == signing._last[0].size)  # type: ignore[index]
                messages = [record.getMessage() for record in caplog.records]
                assert sum("No space left" in message for message in messages) <= 1, "once an outage"
            await until(lambda: _newest(log).size == 3)
        assert await _sizes(log) == sorted(await _sizes(log))
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


async def _sizes(log: SignedLog) -> list[int]:
    return sizes(await _kept(log))


def test_a_directory_that_cannot_be_made_is_an_error_at_the_start(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        log.directory.write_text("a file")
        with pytest.raises(StorageUnavailable, match="cannot be kept"):
            async with log.checkpoints():
                pass

    with_signed_log(dsn, tmp_path, scenario)


def test_who_waits_for_the_lock_of_another_process_goes_on_when_it_is_free(
    dsn: str, tmp_path: Path, slow: None, monkeypatch: pytest.MonkeyPatch
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
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await _three(log)
        (day,) = log.directory.glob("*.jsonl")
        whole = day.read_bytes()
        line = whole.splitlines(keepends=True)[-1]
        for cut in (1, len(line) // 2, len(line) - 1):
            day.write_bytes(whole + line[:cut])
            assert sizes(await _kept(log))[-1] == 3
        async with log.checkpoints() as signing:
            await log.grow(1)
            await signing.publish()
        assert (await _sizes(log))[-2:] == [3, 4]
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


def test_an_entry_is_proved_and_what_was_changed_is_not(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints() as signing:
            older = await signing.publish()
            await log.grow(300)
            entry, evidence = await signing.prove(302, older)
            verdict = verify_evidence(evidence.encode(), [Verifier.parse(signing.vkey)])
            assert (verdict.entry, verdict.seq, verdict.checkpoint.size) == (entry, 302, 303)
            assert verdict.older is not None
            assert verdict.older.size == 3
            for seq in (-1, 303, 2**53, 2**63):
                with pytest.raises(InputInvalid, match="there is no entry"):
                    await signing.prove(seq)
            await log.tamper("UPDATE audit.entry SET entry = '{}' WHERE seq = 302")
            with pytest.raises(LogDamaged, match="Entry 302 of the audit log is not the one"):
                await signing.prove(302)
            assert len(log.damage) == 1
            await damage_of(signing)

    with_signed_log(dsn, tmp_path, scenario)


def test_growth_is_proved_out_of_what_another_replica_has_just_signed(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as one, log.checkpoints() as two:
            await log.grow(2)
            await one.publish()
            await log.grow(5)
            newer = await two.publish()
            _, evidence = await one.prove(1, newer)
            assert verify_evidence(evidence.encode(), one.verifiers).checkpoint.size == 7
            assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_a_note_that_somebody_kept_convicts_the_log(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints() as signing:
            kept = await signing.publish()
        for path in log.directory.iterdir():
            path.unlink()
        await log.tamper(*REWRITTEN)
        async with log.checkpoints() as signing:
            assert log.damage == []
            with pytest.raises(LogDamaged, match="has not grown"):
                await signing.prove(0, kept)
            assert len(log.damage) == 1
            with pytest.raises(InputInvalid):
                await signing.prove(0, kept.replace("\n3\n", "\n2\n"))

    with_signed_log(dsn, tmp_path, scenario)


def test_a_rotated_key_signs_at_the_next_checkpoint_of_a_process_that_runs(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints() as running, log.checkpoints() as operator:
            old_private = (log.keys / KEY_NAME).read_text()
            older, before = await running.publish(), Verifier.parse(running.vkey)
            retired, current = await operator.rotate_key()
            assert (retired, Verifier.parse(operator.vkey)) == (before, current)
            assert (log.keys / f"checkpoint-{retired.key_id.hex()}.pub").read_text() == f"{retired.vkey}\n"
            assert (log.keys / f"{KEY_NAME}.pub").read_text() == f"{current.vkey}\n"
            seed = old_private.strip().rpartition("+")[2]
            assert not [path for path in log.keys.iterdir() if seed in path.read_text()]
            assert await running.publish() == older, "what was signed stays signed"
            await log.grow(1)
            newer = await running.publish()
            assert open_note(newer, [current]).size == 4
            _, evidence = await running.prove(2, older)
            assert verify_evidence(evidence.encode(), [retired, current]).older is not None
        async with log.checkpoints() as signing:
            assert set(signing.verifiers) == {retired, current}
            await signing.rotate_key()
            assert len(signing.verifiers) == 3
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_a_retired_key_signs_nothing_that_holds_its_rotation(dsn: str, tmp_path: Path, slow: None) -> None:
    class Rotated(LogTree):
        """The log of a process beside which the key is rotated before it reads how large the log is."""

        rotate = False

        async def head(self) -> Head:
            if self.rotate:
                self.rotate = False
                rotate_signing_key(log_of[0].keys / KEY_NAME)
                await log_of[0].grow(1)  # as `key.rotated` is appended
            return await super().head()

    log_of: list[SignedLog] = []

    async def scenario(log: SignedLog) -> None:
        log_of.append(log)
        tree = Rotated(log.database)
        async with Checkpoints(tree, [DirectoryStore(log.directory)], log.keys) as signing:
            before = Verifier.parse(signing.vkey)
            tree.rotate = True
            note = await signing.publish()
            assert Verifier.parse(signing.vkey) != before
            assert open_note(note, [Verifier.parse(signing.vkey)]).size == 1

    with_signed_log(dsn, tmp_path, scenario)


def test_a_rotation_that_is_cut_short_anywhere_leaves_a_key_that_signs(
    dsn: str, tmp_path: Path, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(1)
        async with log.checkpoints():
            pass
        failures = 0
        for number in range(30):
            left = [number]

            def failing(real: object, left: list[int] = left) -> object:
                def call(*args: object, **named: object) -> object:
                    left[0] -= 1
                    if left[0] < 0:
                        raise OSError(errno.EIO, "the disk")
                    return real(*args, **named)  # type: ignore[operator]

                return call

            async with log.checkpoints() as signing:
                await signing.publish()
                with monkeypatch.context() as patch:
                    for name in ("open", "fsync", "replace", "unlink", "pwrite"):
                        patch.setattr(os, name, failing(getattr(os, name)))
                    try:
                        signing_key = rotate_signing_key(log.keys / KEY_NAME)
                    except KeyFileRefused:
                        failures += 1
                    else:
                        assert signing_key
            await log.grow(1)
            async with log.checkpoints() as signing:
                assert signing.opened(await signing.publish()).size == await log.size()
        assert 5 < failures < 30
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_processes_that_start_while_the_key_is_rotated_get_one_that_is_there(tmp_path: Path) -> None:
    path, name = tmp_path / "keys" / KEY_NAME, "log.example/audit"
    load_signing_key(path, name)
    ended = threading.Event()
    failures: list[Exception] = []

    def start() -> None:
        while not ended.is_set():
            try:
                load_signing_key(path, name)
            except SubgraphError as error:
                failures.append(error)

    starting = [threading.Thread(target=start) for _ in range(3)]
    for each in starting:
        each.start()
    try:
        rotated = [rotate_signing_key(path) for _ in range(25)]
    finally:
        ended.set()
        for each in starting:
            each.join()
    assert failures == []
    assert load_signing_key(path, name).verifier == rotated[-1][1]
    assert len(known_keys(path.parent)) == 26


def test_a_running_service_makes_no_key_where_its_keys_have_vanished(
    dsn: str, tmp_path: Path, slow: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            vkey = signing.vkey
            (log.keys / KEY_NAME).unlink()
            await log.grow(1)
            assert open_note(await signing.publish(), [Verifier.parse(vkey)]).size == 1
            assert not (log.keys / KEY_NAME).exists()
            log.keys.rename(log.keys.with_name("moved"))
            with pytest.raises(KeyFileRefused):
                await signing.publish()
            log.keys.with_name("moved").rename(log.keys)
            await signing.publish()
        with pytest.raises(KeyFileRefused, match="is gone"):
            async with log.checkpoints():
                pass

    with_signed_log(dsn, tmp_path, scenario)


def test_another_name_and_a_new_key_begin_a_log_anew(dsn: str, tmp_path: Path, slow: None) -> None:
    """The way out that docs/audit.md tells, for who has to go on with a log that was changed."""

    async def scenario(log: SignedLog) -> None:
        await _three(log)
        await log.tamper(*CUT)
        log.directory.rename(tmp_path / "evidence")
        log.keys.rename(tmp_path / "old-keys")
        store = DirectoryStore(log.directory)
        async with Checkpoints(LogTree(log.database), [store], log.keys, "skills.example/2") as signing:
            assert signing.opened(await signing.publish()).origin == "skills.example/2"
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_proofs_hold_when_old_entries_are_dropped(dsn: str, tmp_path: Path, slow: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await execute(dsn, *narrow_partitions(512))
        async with log.checkpoints() as signing:
            await log.grow(300)
            older = await signing.publish()
            await log.grow(1500)
            early = (await signing.prove(100, older))[1].encode()
            assert await log.database.fetchval("audit_size") == 1800
            async with log.database.owner() as owner:
                assert await owner.fetchval(log.database.sql("audit_drop"), 1100) == 1024
            assert verify_evidence(early, signing.verifiers).seq == 100
            for seq in (1024, 1100, 1799):
                _, evidence = await signing.prove(seq, older)
                verdict = verify_evidence(evidence.encode(), signing.verifiers)
                assert verdict.older is not None
                assert (verdict.seq, verdict.older.size) == (seq, 300)
            with pytest.raises(InputInvalid, match="was dropped"):
                await signing.prove(1023)
            await log.grow(700)
            await signing.publish()
            for size in range(1, 2500, 37):
                await LogTree(log.database).root(size)
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)
