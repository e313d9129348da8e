"""Files of the workspace and of a skill's own directory.

All functions block, and are for a thread, but for `text_at_hand`, which gives up instead of waiting.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from subgraph.capabilities.patterns import PatternError, normalise_path
from subgraph.execution.host.beneath import open_beneath, open_if_cached
from subgraph.execution.host.errors import HostCallError

READ_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one file that is read. A guest has 64 MiB, and holds text at up to two bytes a character."""

AT_HAND_LIMIT: Final = 64 * 1024
"""Bytes of a file that is read in the service's own thread, where it is in memory: some ten microseconds."""

WRITE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of one file that is written: some thousand pages of text."""

RUN_WRITE_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of disk that one run takes by writing, so that no run fills it: what 20,000 invoices of 12 KB take,
as many as a trusted skill has calls. What it replaces counts too, since a run may write the same file anew
faster than a disk forgets the old one."""

BLOCK: Final = 4096
"""Bytes that a file or a directory takes at least, and by which files grow, on common file systems. Counted
by their content alone, empty files and directories would be free."""

ENTRIES_LIMIT: Final = 10_000
"""Names of one directory: as many as a person keeps at the very most, and well within a frame."""

_TEMPORARY = ".cyberos-write-"
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_READABLE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a pipe without a writer must not hold us

_REASONS = {
    errno.ENOENT: "there is no such file or directory",
    errno.ENOTDIR: "a part of the path is no directory, or a link",
    errno.ELOOP: "the path leads over a link; links are not followed",
    errno.EISDIR: "it is a directory",
    errno.EACCES: "the service may not do that there",
    errno.EPERM: "the service may not do that there",
    errno.EROFS: "it lies on a read-only file system",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.ENXIO: "it is no regular file",
    errno.ENAMETOOLONG: "the name is too long for the file system",
}


@contextmanager
def opened_root(directory: Path, name: str) -> Iterator[int]:
    """A descriptor of a directory that the operator set up; `name` tells the skill which one."""
    try:
        root = os.open(directory, _DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise HostCallError(f"{name} does not exist or cannot be opened") from None
    try:
        yield root
    finally:
        os.close(root)


def read_text(root: int, parts: Sequence[str], byte_limit: int) -> str:
    """Return the text of a regular file of UTF-8. Raises `HostCallError`."""
    limit = min(byte_limit, READ_LIMIT)
    with _explained(), _open(root, parts, _READABLE) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise HostCallError("it is no regular file")
        data = read_bounded(descriptor, limit)
    if len(data) > limit:
        raise HostCallError(f"the file has more than {limit} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise HostCallError("the file is not UTF-8 text") from None


def text_at_hand(root: int, parts: Sequence[str], byte_limit: int) -> str | None:
    """Return the text of a small regular file that is in the kernel's memory; None for any other.

    It does not wait for a disk: a thread for a read that takes microseconds costs more than ten such reads.
    Raises `HostCallError` for what cannot be opened.
    """
    with _explained():
        descriptor = open_if_cached(root, parts, _READABLE)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > min(byte_limit, AT_HAND_LIMIT):
            return None
        data = bytearray(status.st_size + 1)
        count = os.preadv(descriptor, [data], 0, os.RWF_NOWAIT)
        # Anything else: a part of it is on the disk alone, or somebody is writing.
        return data[:count].decode() if count == status.st_size else None
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(descriptor)


def read_bounded(descriptor: int, limit: int) -> bytes:
    """Read to the end, or one byte beyond the limit. Raises `OSError`."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(limit + 1)


def list_names(root: int, parts: Sequence[str], byte_limit: int) -> list[str]:
    """Return the sorted names in a directory, those of directories with a trailing `/`.

    Names that no call could use, because they are not UTF-8 or hold what a path may not, are left out.
    Raises `HostCallError`.
    """
    names: list[str] = []
    size = 0
    with (
        _explained(),
        _open(root, parts, _READABLE | os.O_DIRECTORY) as descriptor,
        os.scandir(descriptor) as entries,
    ):
        for count, entry in enumerate(entries, start=1):
            if count > ENTRIES_LIMIT:
                raise HostCallError(f"the directory has more than {ENTRIES_LIMIT} entries")
            if not _is_usable(entry.name):
                continue
            names.append(entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name)
            size += len(names[-1].encode())
            if size > byte_limit:
                raise HostCallError(f"the names have more than {byte_limit} bytes")
    return sorted(names)


def _is_usable(name: str) -> bool:
    try:
        return normalise_path(name).parts == (name,)
    except PatternError:
        return False


def write_text(
    root: int, parts: Sequence[str], content: str, byte_limit: int, left: int = RUN_WRITE_LIMIT
) -> int:
    """Make or replace a regular file as a whole; directories on the way are made.

    1. Open the directory, making what is missing.
    2. Refuse what takes more of the disk than the run has `left`.
    3. Refuse to replace anything but a regular file.
    4. Write a new file beside it, and wait until it is on disk.
    5. Rename it over the old one, which replaces a name and follows no link.
    6. On any failure, a full disk too, remove the new file and the directories that were made.

    Returns the bytes that it took of the disk, in whole blocks. Raises `HostCallError`.
    """
    if not parts:
        raise HostCallError("it is a directory")
    data = content.encode()
    limit = min(byte_limit, WRITE_LIMIT)
    if len(data) > limit:
        raise HostCallError(f"the content has more than {limit} bytes")
    made: list[tuple[int, str]] = []
    done = False
    try:
        with _explained():
            folder = _make_parents(root, parts[:-1], made)  # 1.
            try:
                taken = (max(1, -(-len(data) // BLOCK)) + len(made)) * BLOCK
                if taken > left:  # 2.
                    raise HostCallError(f"a run writes at most {RUN_WRITE_LIMIT} bytes, in whole blocks")
                _replace(folder, parts[-1], data)  # 3. to 5.
            finally:
                os.close(folder)
        done = True
    finally:
        for above, name in reversed(made):
            if not done:  # 6.
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=above)
            os.close(above)
    return taken


def _make_parents(root: int, parts: Sequence[str], made: list[tuple[int, str]]) -> int:
    """Open a directory that is synchronised after; append each directory made to `made`, with its parent."""
    folder = open_beneath(root, (), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            try:
                following = open_beneath(folder, (part,), os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                    made.append((os.dup(folder), part))
                following = open_beneath(folder, (part,), os.O_RDONLY | os.O_DIRECTORY)
            os.close(folder)
            folder = following
    except BaseException:
        os.close(folder)
        raise
    return folder


def _replace(folder: int, name: str, data: bytes) -> None:
    mode = 0o644
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(old.st_mode):
            raise HostCallError("it is no regular file")
        mode = stat.S_IMODE(old.st_mode) & 0o777  # never set-user-id
    temporary = _TEMPORARY + secrets.token_hex(8)
    new = open_beneath(folder, (temporary,), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


@contextmanager
def _open(root: int, parts: Sequence[str], flags: int) -> Iterator[int]:
    descriptor = open_beneath(root, parts, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the kernel says into words, without the path of the machine."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, os.strerror(error.errno or 0).lower())
        raise HostCallError(reason) from None
