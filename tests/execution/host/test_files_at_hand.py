"""Reading in the service's own thread what the kernel has in memory, and nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.execution.host import beneath
from subgraph.execution.host.beneath import open_if_cached
from subgraph.execution.host.errors import HostCallError
from subgraph.execution.host.files import AT_HAND_LIMIT, opened_root, read_text, text_at_hand

LIMIT = 1_000_000


@pytest.fixture
def work() -> Iterator[Path]:
    # On a disk: the file system of a temporary directory may have no notion of what is in memory.
    directory = Path("/var/tmp") / f"cyberos-at-hand-{os.getpid()}"  # noqa: S108
    directory.mkdir()
    try:
        yield directory
    finally:
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        directory.rmdir()


def at_hand(work: Path, name: str, limit: int = LIMIT) -> str | None:
    with opened_root(work, "the workspace") as root:
        return text_at_hand(root, tuple(name.split("/")), limit)


def test_it_is_the_text_that_reading_in_a_thread_gives(work: Path) -> None:
    (work / "folder").mkdir()
    for name, text in {"a.txt": "đọc\r\n\x00", "folder/empty": "", "most": "x" * AT_HAND_LIMIT}.items():
        (work / name).write_bytes(text.encode())
        with opened_root(work, "the workspace") as root:
            assert read_text(root, tuple(name.split("/")), LIMIT) == text
        assert at_hand(work, name) == text


def test_a_change_is_seen_at_once(work: Path) -> None:
    for text in ("one", "three", ""):
        (work / "a.txt").write_text(text)
        assert at_hand(work, "a.txt") == text


def test_what_is_large_or_over_the_limit_is_left_to_the_thread(work: Path) -> None:
    (work / "large").write_text("x" * (AT_HAND_LIMIT + 1))
    assert at_hand(work, "large") is None
    (work / "small").write_text("x" * 11)
    assert at_hand(work, "small", 10) is None
    assert at_hand(work, "small", 11) == "x" * 11


def test_what_is_no_text_or_no_file_is_left_to_the_thread(work: Path) -> None:
    (work / "binary").write_bytes(b"\xff")
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")
    for name in ("binary", "folder", "pipe"):
        assert at_hand(work, name) is None, name


def test_what_cannot_be_opened_is_refused_in_the_same_words_or_left_to_the_thread(work: Path) -> None:
    (work / "folder").mkdir()
    (work / "target").write_text("reached")
    (work / "link").symlink_to("target")
    (work / "folder" / "up").symlink_to("..")
    for name in ("link", "folder/up/target", "missing", "target/below"):
        with opened_root(work, "the workspace") as root, pytest.raises(HostCallError) as due:
            read_text(root, tuple(name.split("/")), LIMIT)
        # What the kernel would have to look for on the disk is left to the thread.
        said = None
        try:
            assert at_hand(work, name) is None
        except HostCallError as refused:
            said = refused.message
        assert said in {None, due.value.message}


def test_what_is_on_the_disk_alone_is_left_to_the_thread(work: Path) -> None:
    path = work / "a.txt"
    path.write_text("x" * 8192)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        assert at_hand(work, "a.txt") is None
        os.read(descriptor, 8192)
        assert at_hand(work, "a.txt") == "x" * 8192
    finally:
        os.close(descriptor)


def test_without_openat2_everything_is_left_to_the_thread(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "a.txt").write_text("x")
    monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    assert at_hand(work, "a.txt") is None


@pytest.mark.parametrize("number", ["EAGAIN", "EINTR", "EINVAL"])
def test_a_kernel_that_would_wait_or_knows_no_flag_opens_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(getattr(errno, number), number)

    monkeypatch.setattr(beneath, "_openat2", refuse)
    monkeypatch.setattr(beneath, "has_openat2", lambda: True)
    with opened_root(work, "the workspace") as root:
        assert open_if_cached(root, ("a",), os.O_RDONLY) is None
