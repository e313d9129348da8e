"""The files of a skill: their content hash, and whether they are still what was hashed.

The content hash names the exact bytes that a person approves. It covers every file of the directory, so
nothing that could be run or read lies outside an approval.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from subgraph.errors import SourceInvalid

TREE_BYTES_LIMIT = 64 * 1024 * 1024
FILE_BYTES_LIMIT = 32 * 1024 * 1024
ENTRIES_LIMIT = 1000
DEPTH_LIMIT = 12
"""Bounds of one skill. The largest component that its toolchains make has 20 MiB."""

REREAD_SECONDS = 30.0
"""After which files are read again although no stamp has moved: a write through a shared mapping moves one
only when the page goes to disk."""

_SETTLED_NS = 50_000_000
"""A file changed this shortly before it was read may change again within the same tick of the clock of
its file system, and look unchanged. Such a tree is read again until it is older."""

_VERSION_LINE = b"agent-skill-tree-v1\n"


Stamp = tuple[int, int, int, int]
"""What any write to a file or directory changes of its `stat`; changed ctime comes first."""


def _stamp(status: os.stat_result) -> Stamp:
    return (status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino)


def is_settled(ctime_ns: int, now_ns: int) -> bool:
    """Whether a file changed long enough ago that a further change will show in its stamp."""
    # Any write changes ctime, which nobody can set; mtime may lie in the future for good.
    return ctime_ns + _SETTLED_NS < now_ns


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a skill: hash of its bytes, size in bytes, and whether it is executable."""

    sha256: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class SkillTree:
    """A skill's files as they were read once. `content_hash` is `sha256:` and 64 hex digits."""

    directory: Path
    content_hash: str
    files: Mapping[str, FileEntry]
    _stamps: tuple[tuple[str, Stamp], ...]
    _settled: bool
    _read_at: float

    def unchanged(self) -> bool:
        """Whether the directory still holds what was hashed; costs one `stat` a file, reads nothing."""
        if not self._settled or time.monotonic() > self._read_at + REREAD_SECONDS:
            return False
        try:
            return all(_stamp(os.lstat(path)) == stamp for path, stamp in self._stamps)
        except OSError:
            return False

    def read(self, path: str) -> bytes:
        """Read a file again and check that its bytes are those that were hashed.

        Raises `SourceInvalid` when the skill has no such file or its bytes have changed.
        """
        entry = self.files.get(path)
        if entry is None:
            raise SourceInvalid(f"the skill has no file {path}")
        data = _contents(self.directory / path, entry.size + 1)
        if data is None or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise SourceInvalid(f"{path} changed while it was read; try again")
        return data


def read_head(path: Path, size: int) -> bytes:
    """Read the first bytes of a file. Raises `SourceInvalid` for anything but a file."""
    data = _contents(path, size)
    if data is None:
        raise SourceInvalid(f"{path.name} cannot be read: it is no file, or nobody may read it")
    return data


def _contents(path: Path, size: int) -> bytes | None:
    """Read up to so many bytes of a file; None for a link, a pipe or anything else that is no file."""
    try:
        with _open(path, None) as descriptor:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(size)
    except OSError:
        return None


def read_tree(directory: Path) -> SkillTree:
    """Read and hash every file of a skill.

    Links and anything but files and directories are refused. Raises `SourceInvalid`.
    """
    started_ns = time.time_ns()
    reader = _Reader()
    try:
        with _open(directory, None) as descriptor:
            reader.directory(descriptor, directory, "", depth=0)
    except OSError as error:
        raise SourceInvalid(f"the skill cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(_VERSION_LINE)
    for path in sorted(reader.files, key=os.fsencode):
        entry = reader.files[path]
        mode = "100755" if entry.executable else "100644"
        digest.update(f"{mode} {entry.sha256} {entry.size} {path}\n".encode())
    return SkillTree(
        directory=directory,
        content_hash=f"sha256:{digest.hexdigest()}",
        files=reader.files,
        _stamps=tuple(reader.stamps),
        _read_at=time.monotonic(),
        _settled=all(is_settled(stamp[0], started_ns) for _, stamp in reader.stamps),
    )


@contextmanager
def _open(path: str | Path, parent: int | None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Reader:
    """Walks a directory by descriptors, so that no part of a path can be swapped for a link."""

    def __init__(self) -> None:
        self.files: dict[str, FileEntry] = {}
        self.stamps: list[tuple[str, Stamp]] = []
        self._bytes = 0

    def directory(self, descriptor: int, where: Path, prefix: str, *, depth: int) -> None:
        if depth > DEPTH_LIMIT:
            raise SourceInvalid(f"{prefix}: directories are nested deeper than {DEPTH_LIMIT}")
        self.stamps.append((str(where), _stamp(os.fstat(descriptor))))
        for name in os.listdir(descriptor):
            path = f"{prefix}{name}"
            check_name(name, path)
            if len(self.stamps) > ENTRIES_LIMIT:
                raise SourceInvalid(f"the skill has more than {ENTRIES_LIMIT} files and directories")
            try:
                with _open(name, descriptor) as child:
                    if stat.S_ISDIR(os.fstat(child).st_mode):
                        self.directory(child, where / name, f"{path}/", depth=depth + 1)
                    else:
                        self._file(child, where / name, path)
            except OSError as error:
                raise SourceInvalid(f"{path}: cannot be read (a link?): {error.strerror}") from error

    def _file(self, descriptor: int, where: Path, path: str) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceInvalid(f"{path}: neither a file nor a directory")
        if status.st_size > FILE_BYTES_LIMIT:
            raise SourceInvalid(f"{path}: over {FILE_BYTES_LIMIT} bytes")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(FILE_BYTES_LIMIT + 1)
        self._bytes += len(data)
        if len(data) > FILE_BYTES_LIMIT or self._bytes > TREE_BYTES_LIMIT:
            raise SourceInvalid(f"the skill is over {TREE_BYTES_LIMIT} bytes")
        self.stamps.append((str(where), _stamp(status)))
        executable = bool(status.st_mode & stat.S_IXUSR)
        self.files[path] = FileEntry(hashlib.sha256(data).hexdigest(), len(data), executable)


def check_name(name: str, path: str) -> None:
    """Refuse names that would make two different trees hash alike, or that are not text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceInvalid("a file name is not UTF-8") from None
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in name):
        raise SourceInvalid(f"{path!r}: control characters in a file name")
