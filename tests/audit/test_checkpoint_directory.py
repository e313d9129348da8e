"""The directory of checkpoints is this user's alone, or the log is not signed there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from subgraph.audit.checkpoint_stores import CheckpointsRefused
from tests.audit.signed_log import SignedLog, sizes, with_signed_log
from tests.support.kernel import needs_root


def unsafe_directory(log: SignedLog) -> Path:
    log.directory.chmod(0o775)
    return log.directory


def open_directory(log: SignedLog) -> Path:
    log.directory.chmod(0o1777)  # as that of temporary files, where others may still add a file
    return log.directory


def linked_directory(log: SignedLog) -> Path:
    log.directory.rename(log.directory.with_name("elsewhere"))
    log.directory.symlink_to("elsewhere")
    return log.directory


def unsafe_newest(log: SignedLog) -> Path:
    (log.directory / "checkpoint").chmod(0o664)
    return log.directory / "checkpoint"


def unsafe_day(log: SignedLog) -> Path:
    (day,) = log.directory.glob("*.jsonl")
    day.chmod(0o646)
    return day


def linked_newest(log: SignedLog) -> Path:
    newest = log.directory / "checkpoint"
    newest.rename(log.directory / "moved")
    newest.symlink_to("moved")
    return newest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unsafe_directory, "Others may write"),
        (open_directory, "Others may write"),
        (unsafe_newest, "Others may write"),
        (unsafe_day, "Others may write"),
        (linked_directory, "is a symbolic link"),
        (linked_newest, "is a symbolic link"),
    ],
)
def test_what_others_may_write_to_convicts_nobody_and_is_refused_at_the_start(
    dsn: str, tmp_path: Path, signs_when_told: None, change: Callable[[SignedLog], Path], said: str
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(1)
        async with log.checkpoints():
            pass
        await log.grow(1)
        path = change(log)
        with pytest.raises(CheckpointsRefused, match=said) as refused:
            async with log.checkpoints():
                pass
        assert str(path) in refused.value.message
        assert ("`chmod go-w`" in refused.value.message) == ("write" in said)
        assert sizes(await log.kept()) == [1], "nothing was signed"
        if "write" in said:  # it says what to do
            path.chmod(path.stat().st_mode & ~0o022)
            async with log.checkpoints():
                pass
            assert sizes(await log.kept()) == [1, 2]

    with_signed_log(dsn, tmp_path, scenario)


@needs_root("may give files away")
@pytest.mark.parametrize("name", [".", "checkpoint"])
def test_what_belongs_to_another_user_is_refused(
    dsn: str, tmp_path: Path, signs_when_told: None, name: str
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(1)
        async with log.checkpoints():
            pass
        os.chown(log.directory / name, 12345, 12345)
        with pytest.raises(CheckpointsRefused, match="belongs to another user"):
            async with log.checkpoints():
                pass

    with_signed_log(dsn, tmp_path, scenario)


def test_a_refused_directory_leaves_no_key_and_a_lax_mask_makes_none_that_is(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        log.directory.mkdir()
        log.directory.chmod(0o777)
        with pytest.raises(CheckpointsRefused):
            async with log.checkpoints():
                pass
        assert not log.keys.exists()
        log.directory.rmdir()
        before = os.umask(0)
        try:
            async with log.checkpoints():
                await log.grow(1)
        finally:
            os.umask(before)
        async with log.checkpoints():
            pass

    with_signed_log(dsn, tmp_path, scenario)
