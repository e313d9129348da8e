"""Reading, listing and writing text below a root."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.execution.host import files
from subgraph.execution.host.errors import HostCallError
from subgraph.execution.host.files import (
    BLOCK,
    RUN_WRITE_LIMIT,
    WRITE_LIMIT,
    list_names,
    opened_root,
    read_text,
    write_text,
)
from tests.support.kernel import needs_root

LIMIT = 1000


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "workspace").mkdir()
    with opened_root(tmp_path / "workspace", "the workspace") as descriptor:
        yield descriptor


@pytest.fixture
def work(tmp_path: Path, root: int) -> Path:
    return tmp_path / "workspace"


def test_text_is_read_up_to_the_limit(root: int, work: Path) -> None:
    (work / "full").write_text("đ" * (LIMIT // 2))
    assert read_text(root, ("full",), LIMIT) == "đ" * (LIMIT // 2)
    (work / "over").write_text("x" * (LIMIT + 1))
    with pytest.raises(HostCallError, match=f"more than {LIMIT} bytes"):
        read_text(root, ("over",), LIMIT)
    (work / "empty").touch()
    assert read_text(root, ("empty",), LIMIT) == ""


def test_what_is_no_text_is_not_read(root: int, work: Path) -> None:
    (work / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(HostCallError, match="not UTF-8"):
        read_text(root, ("binary",), LIMIT)


def test_only_regular_files_are_read_and_nothing_hangs(root: int, work: Path) -> None:
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(work)  # a socket's path is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        (work / "folder").mkdir()
        for name in ("pipe", "socket", "folder"):
            with pytest.raises(HostCallError, match="no regular file"):
                read_text(root, (name,), LIMIT)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (("none",), "there is no such file"),
        (("file", "x"), "no directory"),
        (("link",), "over a link"),
        (("x" * 256,), "too long"),
    ],
)
def test_reasons_hold_no_path_of_the_machine(
    root: int, work: Path, parts: tuple[str, ...], reason: str
) -> None:
    (work / "file").touch()
    (work / "link").symlink_to("file")
    with pytest.raises(HostCallError, match=reason) as caught:
        read_text(root, parts, LIMIT)
    assert str(work) not in caught.value.message
    assert caught.value.__cause__ is None


def test_a_root_that_is_gone_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(HostCallError, match="the workspace does not exist"),
        opened_root(tmp_path / "none", "the workspace"),
    ):
        pass


def test_names_are_sorted_and_directories_marked(root: int, work: Path) -> None:
    for name in ("b.txt", "a b", "ç", ".hidden"):
        (work / name).touch()
    (work / "dir").mkdir()
    (work / "link").symlink_to("dir")
    assert list_names(root, (), LIMIT) == [".hidden", "a b", "b.txt", "dir/", "link", "ç"]
    assert list_names(root, ("dir",), LIMIT) == []
    with pytest.raises(HostCallError):
        list_names(root, ("link",), LIMIT)
    with pytest.raises(HostCallError, match="no directory"):
        list_names(root, ("b.txt",), LIMIT)


def test_names_that_no_call_can_use_are_left_out(root: int, work: Path) -> None:
    for name in (b"\xff", b"a\nb", b"a\\b", b"ok"):
        (Path(os.fsdecode(os.fsencode(work) + b"/" + name))).touch()
    assert list_names(root, (), LIMIT) == ["ok"]


def test_names_are_bounded(root: int, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        (work / f"{number}").touch()
    assert len(list_names(root, (), 4)) == 4
    with pytest.raises(HostCallError, match="more than 3 bytes"):
        list_names(root, (), 3)
    monkeypatch.setattr(files, "ENTRIES_LIMIT", 4)
    assert len(list_names(root, (), LIMIT)) == 4
    monkeypatch.setattr(files, "ENTRIES_LIMIT", 3)
    with pytest.raises(HostCallError, match="more than 3 entries"):
        list_names(root, (), LIMIT)


def test_files_are_written_with_the_directories_on_their_way(root: int, work: Path) -> None:
    write_text(root, ("a", "b", "c.txt"), "đ", LIMIT)
    assert (work / "a" / "b" / "c.txt").read_text() == "đ"
    assert (work / "a" / "b" / "c.txt").stat().st_mode & 0o777 == 0o644
    write_text(root, ("a", "b", "c.txt"), "", LIMIT)
    assert (work / "a" / "b" / "c.txt").read_text() == ""
    assert os.listdir(work / "a" / "b") == ["c.txt"]


def test_a_replaced_file_keeps_its_permissions_but_no_special_ones(root: int, work: Path) -> None:
    (work / "tool").touch()
    (work / "tool").chmod(0o4750)
    write_text(root, ("tool",), "x", LIMIT)
    assert (work / "tool").stat().st_mode & 0o7777 == 0o750


def test_content_is_bounded(root: int, work: Path) -> None:
    write_text(root, ("a",), "x" * LIMIT, LIMIT)
    for content, limit in (("x" * (LIMIT + 1), LIMIT), ("x" * (WRITE_LIMIT + 1), WRITE_LIMIT * 2)):
        with pytest.raises(HostCallError, match="more than"):
            write_text(root, ("folder", "b"), content, limit)
    assert os.listdir(work) == ["a"]


@pytest.mark.parametrize(
    ("parts", "size", "blocks"),
    [(("a",), 0, 1), (("a",), 1, 1), (("a",), BLOCK, 1), (("a",), BLOCK + 1, 2), (("x", "y", "a"), BLOCK, 3),
     (("there", "a"), 1, 1), (("there", "x", "a"), 1, 2)],
)  # fmt: skip
def test_what_a_run_writes_is_bounded_in_whole_blocks(
    root: int, work: Path, parts: tuple[str, ...], size: int, blocks: int
) -> None:
    (work / "there").mkdir()
    (work / "there" / "a").write_text("old")
    with pytest.raises(HostCallError, match=f"a run writes at most {RUN_WRITE_LIMIT} bytes"):
        write_text(root, parts, "x" * size, WRITE_LIMIT, blocks * BLOCK - 1)
    assert sorted(str(path.relative_to(work)) for path in work.rglob("*")) == ["there", "there/a"]
    assert (work / "there" / "a").read_text() == "old"
    assert write_text(root, parts, "x" * size, WRITE_LIMIT, blocks * BLOCK) == blocks * BLOCK
    assert work.joinpath(*parts).read_text() == "x" * size


def test_nothing_is_replaced_but_regular_files(root: int, work: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (work / "link").symlink_to(tmp_path / "outside")
    (work / "hanging").symlink_to(tmp_path / "new")
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")
    (work / "out").symlink_to(tmp_path)
    before = sorted(os.listdir(work))
    for parts in (("link",), ("hanging",), ("folder",), ("pipe",), ("out", "outside"), ("out", "x", "y"), ()):
        with pytest.raises(HostCallError):
            write_text(root, parts, "changed", LIMIT)
    assert (tmp_path / "outside").read_text() == "kept"
    assert sorted(os.listdir(work)) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "workspace"]


@pytest.mark.parametrize("step", ["fsync", "rename", "fchmod"])
def test_a_failure_leaves_nothing_behind(
    root: int, work: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (work / "kept").mkdir()
    (work / "kept" / "old").write_text("old")

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(28, "no space", "/secret/path")

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        for parts in (("kept", "old"), ("kept", "new", "deeper", "x"), ("y",)):
            with pytest.raises(HostCallError, match="disk is full"):
                write_text(root, parts, "x", LIMIT)
    assert [str(path.relative_to(work)) for path in sorted(work.rglob("*"))] == ["kept", "kept/old"]
    assert (work / "kept" / "old").read_text() == "old"
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def small_disk(work: Path) -> Iterator[Path]:
    """A file system of 64 KiB and ten files, mounted in the workspace as an operator would."""
    disk = work / "disk"
    disk.mkdir()
    options = "size=64k,nr_inodes=10,mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "cyberos-test", os.fspath(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"needs a container that may mount: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@needs_root("may mount a file system")
def test_a_full_disk_is_an_error_that_leaves_the_old_file_whole(root: int, small_disk: Path) -> None:
    write_text(root, ("disk", "file"), "a" * 30_000, WRITE_LIMIT)
    before = len(os.listdir("/proc/self/fd"))
    for parts in (("disk", "file"), ("disk", "new"), ("disk", "deep", "er", "new")):
        with pytest.raises(HostCallError, match="the disk is full"):
            write_text(root, parts, "b" * 40_000, WRITE_LIMIT)
        assert os.listdir(small_disk) == ["file"]
        assert (small_disk / "file").read_text() == "a" * 30_000
    for count in range(7):
        write_text(root, ("disk", f"small-{count}"), "", WRITE_LIMIT)
    with pytest.raises(HostCallError, match="the disk is full"):  # of names
        write_text(root, ("disk", "x", "y", "z"), "", WRITE_LIMIT)
    assert len(os.listdir(small_disk)) == 8
    assert len(os.listdir("/proc/self/fd")) == before
    write_text(root, ("disk", "file"), "b" * 30_000, WRITE_LIMIT)
    assert (small_disk / "file").read_text() == "b" * 30_000


def test_a_directory_that_a_failure_did_not_make_stays(root: int, work: Path) -> None:
    (work / "a").mkdir()
    with pytest.raises(HostCallError):
        write_text(root, ("a", "b", "x" * 256), "x", LIMIT)
    assert os.listdir(work) == ["a"]
    assert os.listdir(work / "a") == []


def test_readers_see_the_old_file_or_the_new_one(root: int, work: Path) -> None:
    (work / "file").write_text("a" * LIMIT)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for letter in "ab":
                write_text(root, ("file",), letter * LIMIT, LIMIT)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        seen = {read_text(root, ("file",), LIMIT) for _ in range(1000)}
    finally:
        stop.set()
        writing.join()
    assert seen <= {"a" * LIMIT, "b" * LIMIT}
