"""Directories of settings: one that cannot be used is refused by the name of its setting."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from subgraph.directories import prepare_directories
from subgraph.settings import Settings

WRITTEN = {
    "home": "CYBEROS_HOME",
    "workspace": "CYBEROS_WORKSPACE",
    "audit_keys_dir": "CYBEROS_AUDIT_KEYS_DIR",
    "checkpoint_dir": "CYBEROS_CHECKPOINT_DIR",
}
READ = {
    "secrets_dir": "CYBEROS_SECRETS_DIR",
    "memory_dir": "CYBEROS_MEMORY_DIR",
    "commands_dir": "CYBEROS_COMMANDS_DIR",
}
NOBODY = 65534


def settings_with(base: Path, /, **directories: Path) -> Settings:
    return Settings(home=base / "home", database_url="postgresql://h/d").model_copy(  # type: ignore[arg-type]
        update=directories
    )


@contextmanager
def as_an_unprivileged_user() -> Iterator[None]:
    """Root may write anywhere; whoever else runs the tests is unprivileged as it is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_is_not_there_is_made_and_keys_are_private(tmp_path: Path) -> None:
    settings = settings_with(tmp_path / "deep")
    prepare_directories(settings)
    prepare_directories(settings)
    assert settings.checkpoints.is_dir()
    for private in (settings.workspace_dir, settings.audit_keys):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


@pytest.mark.parametrize("field", WRITTEN)
def test_a_file_is_no_directory(tmp_path: Path, field: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match=rf"\A{WRITTEN[field]}: {file} is no directory\Z"):
        prepare_directories(settings_with(tmp_path, **{field: file}))
    with pytest.raises(ValueError, match=rf"\A{WRITTEN[field]}: {file}/below cannot be made: Not a dir"):
        prepare_directories(settings_with(tmp_path, **{field: file / "below"}))


@pytest.mark.parametrize("field", WRITTEN)
def test_one_that_cannot_be_made_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{WRITTEN[field]}: /proc/nope cannot be made: No such file"):
        prepare_directories(settings_with(tmp_path, **{field: Path("/proc/nope")}))


@pytest.mark.parametrize("field", ["home", "audit_keys_dir", "checkpoint_dir"])
def test_one_that_cannot_be_written_to_is_refused(root: Path, field: str) -> None:
    locked = root / "locked"
    locked.mkdir(mode=0o555)
    (root / "home").mkdir()
    (root / "home").chmod(0o777)
    settings = settings_with(root, **{field: locked})
    with as_an_unprivileged_user(), pytest.raises(ValueError, match=rf"\A{WRITTEN[field]}: {locked}"):
        prepare_directories(settings)


def test_keys_that_are_there_need_no_directory_to_write_to(root: Path) -> None:
    keys = root / "keys"
    keys.mkdir()
    (keys / "wrapping.key").touch()
    keys.chmod(0o555)
    (root / "home").mkdir()
    (root / "home").chmod(0o777)
    with as_an_unprivileged_user():
        prepare_directories(settings_with(root, audit_keys_dir=keys))


@pytest.mark.parametrize("field", READ)
def test_one_that_is_read_alone_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    for named in (file, tmp_path / "absent"):
        caplog.clear()
        prepare_directories(settings_with(tmp_path, **{field: named}))
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith(f"{READ[field]}: {named} is no directory: ")


def test_defaults_and_directories_that_are_there_are_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_directories(settings_with(tmp_path))
    prepare_directories(settings_with(tmp_path, **dict.fromkeys(READ, tmp_path)))
    assert caplog.records == []
