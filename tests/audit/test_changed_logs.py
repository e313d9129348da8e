"""What was signed convicts whoever changes the log: at a start, while it runs, and among replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from subgraph.audit import Ledger
from subgraph.audit.checkpoint_stores import DirectoryStore
from subgraph.audit.checkpoints import Checkpoints
from subgraph.audit.log_tree import LogDamaged, LogTree
from subgraph.audit.notes import Checkpoint, Signer
from subgraph.errors import InputInvalid
from tests.audit.factory import finished
from tests.audit.signed_log import CUT, REWRITTEN, SignedLog, damage_of, sign_three, with_signed_log
from tests.support.postgres import until

ROOT_OF_ANOTHER = "UPDATE audit.log_head SET frontier = ARRAY[sha256('another')]"


@pytest.mark.parametrize(
    ("change", "said"),
    [(CUT, "its end was cut off"), (REWRITTEN, "has not grown out")],
    ids=["cut", "rewritten"],
)
def test_a_changed_log_is_found_at_the_start(
    dsn: str, tmp_path: Path, signs_when_told: None, change: tuple[str, ...], said: str
) -> None:
    async def scenario(log: SignedLog) -> None:
        await sign_three(log)
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
    dsn: str, tmp_path: Path, signs_often: None, change: tuple[str, ...]
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with Ledger(log.database) as ledger:
            refused: list[LogDamaged] = []
            signing = log.checkpoints()
            signing._on_damage = lambda error: (refused.append(error), ledger.distrust(error))  # type: ignore[assignment, func-returns-value]
            async with signing:
                await log.grow(3)
                await until(lambda: log.newest().size == 3)
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
            assert log.newest().size == 3

    with_signed_log(dsn, tmp_path, scenario)


def test_a_changed_log_that_has_grown_since_is_found(dsn: str, tmp_path: Path, signs_when_told: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await sign_three(log)
        await log.tamper(*REWRITTEN)
        await log.grow(600)
        async with log.checkpoints():
            assert "has not grown out of what was signed when it had 3" in log.damage[0]

    with_signed_log(dsn, tmp_path, scenario)


def test_an_older_backup_is_found_also_when_it_has_grown_again(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
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


def test_a_backup_that_has_all_that_was_signed_is_good(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
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
    dsn: str, tmp_path: Path, signs_when_told: None
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
                assert log.newest().size == 5
                assert "has not grown" in await damage_of(running)
                assert other.opened(await other.publish()).size == 5  # it cannot know

    with_signed_log(dsn, tmp_path, scenario)


def test_where_all_checkpoints_are_gone_the_log_begins_anew_and_this_is_said(
    dsn: str, tmp_path: Path, signs_when_told: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints():
            pass
        assert caplog.records == [], "the first start is as it should be"
        for path in log.directory.iterdir():
            path.unlink()
        async with log.checkpoints():
            assert log.newest().size == 3
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "No checkpoint is kept of an audit log of 3 entries" in record.getMessage()

    with_signed_log(dsn, tmp_path, scenario)


def test_what_the_days_hold_convicts_when_the_newest_alone_was_removed(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await sign_three(log)
        (log.directory / "checkpoint").unlink()
        await log.tamper(*CUT)
        async with log.checkpoints():
            assert "its end was cut off" in log.damage[0]

    with_signed_log(dsn, tmp_path, scenario)


def test_a_note_that_somebody_kept_convicts_the_log(dsn: str, tmp_path: Path, signs_when_told: None) -> None:
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


def test_a_checkpoint_that_is_none_of_this_log_is_refused(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await sign_three(log)
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


def test_another_name_and_a_new_key_begin_a_log_anew(dsn: str, tmp_path: Path, signs_when_told: None) -> None:
    """The way out that docs/audit.md tells, for who has to go on with a log that was changed."""

    async def scenario(log: SignedLog) -> None:
        await sign_three(log)
        await log.tamper(*CUT)
        log.directory.rename(tmp_path / "evidence")
        log.keys.rename(tmp_path / "old-keys")
        store = DirectoryStore(log.directory)
        async with Checkpoints(LogTree(log.database), [store], log.keys, "skills.example/2") as signing:
            assert signing.opened(await signing.publish()).origin == "skills.example/2"
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)
