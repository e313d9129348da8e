"""The files of a skill: what its content hash covers, and when it must be computed again."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from subgraph.catalog import tree
from subgraph.catalog.tree import SkillTree, read_tree
from subgraph.errors import SourceInvalid


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    directory = tmp_path / "a-skill"
    (directory / "scripts" / "deep").mkdir(parents=True)
    (directory / "SKILL.md").write_bytes(b"---\nname: a-skill\n---\n")
    (directory / "scripts" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (directory / "scripts" / "run.sh").chmod(0o755)
    (directory / "scripts" / "deep" / "empty").write_bytes(b"")
    (directory / "tài-liệu.md").write_bytes("đ".encode())
    return directory


def settled(directory: Path) -> SkillTree:
    """Read a tree when its files are old enough for `unchanged` to trust their times."""
    deadline = time.monotonic() + 5
    while not (read := read_tree(directory)).unchanged():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return read


def documented_hash(directory: Path) -> str:
    """`agent-skill-tree-v1`, written independently of the code."""
    files = {
        path.relative_to(directory).as_posix().encode(): path
        for path in directory.rglob("*")
        if path.is_file()
    }
    text = b"agent-skill-tree-v1\n"
    for name in sorted(files):
        data = files[name].read_bytes()
        mode = b"100755" if files[name].stat().st_mode & 0o100 else b"100644"
        digest = hashlib.sha256(data).hexdigest().encode()
        text += b"%s %s %d %s\n" % (mode, digest, len(data), name)
    return "sha256:" + hashlib.sha256(text).hexdigest()


def test_content_hash_has_the_documented_form(skill: Path) -> None:
    read = read_tree(skill)
    assert read.content_hash == documented_hash(skill)
    assert set(read.files) == {"SKILL.md", "scripts/run.sh", "scripts/deep/empty", "tài-liệu.md"}
    assert read.files["scripts/run.sh"].executable
    assert not read.files["SKILL.md"].executable
    assert read.files["tài-liệu.md"].size == 2


def test_files_are_hashed_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a-b", "a.b", "Z", "é", "\U0001f600", "\uffee"):
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / name).write_text(name, encoding="utf-8")
    assert read_tree(tmp_path / "s").content_hash == documented_hash(tmp_path / "s")


def test_a_hash_that_was_once_given_out_stays(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "f").write_bytes(b"x")
    (tmp_path / "s" / "f").chmod(0o640)
    digest = hashlib.sha256(b"x").hexdigest()
    expected = hashlib.sha256(f"agent-skill-tree-v1\n100644 {digest} 1 f\n".encode()).hexdigest()
    assert read_tree(tmp_path / "s").content_hash == f"sha256:{expected}"


def rewrite_in_the_same_size(skill: Path) -> None:
    path = skill / "SKILL.md"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"name", b"NAME"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_by_rename(skill: Path) -> None:
    path = skill / "SKILL.md"
    other = skill.parent / "other"
    other.write_bytes(path.read_bytes().replace(b"name", b"NAME"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def swap_the_directory(skill: Path) -> None:
    other = skill.parent / "copy"
    (other / "scripts" / "deep").mkdir(parents=True)
    (other / "SKILL.md").write_bytes(b"---\nname: b-skill\n---\n")
    skill.rename(skill.parent / "old")
    other.rename(skill)


def make_not_executable(skill: Path) -> None:
    (skill / "scripts" / "run.sh").chmod(0o644)


def make_executable(skill: Path) -> None:
    (skill / "SKILL.md").chmod(0o755)


def add_below(skill: Path) -> None:
    (skill / "scripts" / "deep" / "new").write_bytes(b"")


def remove(skill: Path) -> None:
    (skill / "scripts" / "deep" / "empty").unlink()


def rename(skill: Path) -> None:
    (skill / "scripts" / "run.sh").rename(skill / "scripts" / "run2.sh")


def move(skill: Path) -> None:
    (skill / "scripts" / "deep" / "empty").rename(skill / "scripts" / "empty")


def append(skill: Path) -> None:
    with (skill / "SKILL.md").open("ab") as file:
        file.write(b"\n")


CHANGES = [
    rewrite_in_the_same_size, swap_by_rename, swap_the_directory, make_not_executable, make_executable,
    add_below, remove, rename, move, append,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed_and_changes_the_hash(skill: Path, change: Callable[[Path], None]) -> None:
    before = settled(skill)
    assert before.unchanged()
    change(skill)
    assert not before.unchanged()
    after = read_tree(skill)
    assert after.content_hash != before.content_hash
    assert after.content_hash == documented_hash(skill)


def test_one_flipped_bit_changes_the_hash(skill: Path) -> None:
    before = read_tree(skill).content_hash
    for path in ("SKILL.md", "scripts/run.sh", "tài-liệu.md"):
        data = bytearray((skill / path).read_bytes())
        data[0] ^= 1
        (skill / path).write_bytes(data)
        assert read_tree(skill).content_hash != before
        data[0] ^= 1
        (skill / path).write_bytes(data)
    assert read_tree(skill).content_hash == before


def test_names_and_contents_cannot_be_confused(tmp_path: Path) -> None:
    hashes = set()
    for name, files in {
        "1": {"ab": "c"},
        "2": {"a": "bc"},
        "3": {"a/b": "c"},
        "4": {"a": "", "b": "c"},
    }.items():
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        hashes.add(read_tree(tmp_path / name).content_hash)
    assert len(hashes) == 4


def test_a_tree_that_is_gone_has_changed(skill: Path) -> None:
    before = settled(skill)
    skill.rename(skill.with_name("elsewhere"))
    assert not before.unchanged()
    with pytest.raises(SourceInvalid, match="cannot be read"):
        read_tree(skill)


def test_a_write_right_after_hashing_is_not_missed(skill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a file system whose clock stood still in between: the times of the file tell nothing.
    monkeypatch.setattr(tree, "_stamp", lambda status: (status.st_ctime_ns, 0, 0, 0))
    path = skill / "SKILL.md"
    path.write_bytes(b"before")
    before = read_tree(skill)
    assert not before.unchanged()
    path.write_bytes(b"behind")
    assert read_tree(skill).content_hash != before.content_hash


def test_times_in_the_future_do_not_have_a_tree_read_for_ever(skill: Path) -> None:
    os.utime(skill / "SKILL.md", (4e9, 4e9))
    assert settled(skill).unchanged()


@pytest.mark.parametrize("target", ["SKILL.md", "/etc/hostname", "nowhere", ".."])
def test_links_are_refused(skill: Path, target: str) -> None:
    (skill / "link").symlink_to(target)
    with pytest.raises(SourceInvalid, match=r"link: cannot be read \(a link\?\)"):
        read_tree(skill)


def test_a_skill_that_is_a_link_is_refused(skill: Path) -> None:
    link = skill.with_name("link")
    link.symlink_to(skill)
    with pytest.raises(SourceInvalid):
        read_tree(link)


def test_a_pipe_is_refused_and_hangs_nobody(skill: Path) -> None:
    os.mkfifo(skill / "pipe")
    with pytest.raises(SourceInvalid, match="pipe: neither a file nor a directory"):
        read_tree(skill)


def test_a_socket_is_refused(skill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(skill)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(SourceInvalid, match="socket"):
            read_tree(skill)


def test_a_device_is_refused(skill: Path) -> None:
    try:
        os.mknod(skill / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(SourceInvalid, match="zero: "):
        read_tree(skill)


def test_a_file_instead_of_a_directory_is_refused(skill: Path) -> None:
    with pytest.raises(SourceInvalid):
        read_tree(skill / "SKILL.md")


def test_depth_has_a_limit(tmp_path: Path) -> None:
    deepest = tmp_path / "s" / "/".join(["d"] * tree.DEPTH_LIMIT)
    deepest.mkdir(parents=True)
    (deepest / "f").write_bytes(b"")
    assert len(read_tree(tmp_path / "s").files) == 1
    (deepest / "d").mkdir()
    with pytest.raises(SourceInvalid, match="nested deeper than 12"):
        read_tree(tmp_path / "s")


def test_number_of_entries_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "ENTRIES_LIMIT", 5)
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"")
    assert len(read_tree(tmp_path).files) == 5
    (tmp_path / "d").mkdir()
    with pytest.raises(SourceInvalid, match="more than 5 files and directories"):
        read_tree(tmp_path)


def test_sizes_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "FILE_BYTES_LIMIT", 10)
    monkeypatch.setattr(tree, "TREE_BYTES_LIMIT", 25)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(10))
    (tmp_path / "c").write_bytes(bytes(5))
    assert len(read_tree(tmp_path).files) == 3
    (tmp_path / "d").write_bytes(b"x")
    with pytest.raises(SourceInvalid, match="the skill is over 25 bytes"):
        read_tree(tmp_path)
    (tmp_path / "d").write_bytes(bytes(11))
    with pytest.raises(SourceInvalid, match="d: over 10 bytes"):
        read_tree(tmp_path)


def test_a_sparse_file_of_a_terabyte_is_refused_before_it_is_read(skill: Path) -> None:
    os.truncate(skill / "SKILL.md", 1 << 40)
    with pytest.raises(SourceInvalid, match=r"SKILL\.md: over "):
        read_tree(skill)


@pytest.mark.parametrize("name", [b"\xff", b"a\xc3"])
def test_names_that_are_not_utf8_are_refused(skill: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(skill) + b"/" + name)).write_bytes(b"")
    with pytest.raises(SourceInvalid, match="not UTF-8"):
        read_tree(skill)


@pytest.mark.parametrize("name", ["a\nb", "\x7f", "\x1b[31m", "\t"])
def test_control_characters_in_names_are_refused(skill: Path, name: str) -> None:
    (skill / name).write_bytes(b"")
    with pytest.raises(SourceInvalid, match="control characters"):
        read_tree(skill)


def test_read_returns_the_bytes_that_were_hashed(skill: Path) -> None:
    assert read_tree(skill).read("scripts/run.sh") == b"#!/bin/sh\n"
    assert read_tree(skill).read("scripts/deep/empty") == b""


@pytest.mark.parametrize("path", ["nothing", "scripts", "../a-skill/SKILL.md", "/etc/hostname", ""])
def test_read_knows_hashed_files_alone(skill: Path, path: str) -> None:
    with pytest.raises(SourceInvalid, match="has no file"):
        read_tree(skill).read(path)


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_a_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"other"),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        replace_by_a_pipe,
        replace_by_a_link,
    ],
)
def test_read_refuses_what_is_no_longer_the_file(skill: Path, change: Callable[[Path], object]) -> None:
    read = read_tree(skill)
    change(skill / "SKILL.md")
    with pytest.raises(SourceInvalid, match=r"SKILL\.md changed while it was read"):
        read.read("SKILL.md")


def test_reading_leaves_no_descriptor_open(skill: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        read_tree(skill).read("SKILL.md")
    (skill / "link").symlink_to("SKILL.md")
    with pytest.raises(SourceInvalid):
        read_tree(skill)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
