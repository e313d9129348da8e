"""Key files: private ones that nobody else may read, made once however many processes start at once."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from subgraph.errors import StorageUnavailable

MAX_KEY_FILE_BYTES = 1024
"""Of a key file: a signing key with a name of 255 bytes makes 325."""

_DIRECTORY_MODE = 0o700
_PRIVATE_MODE = 0o600
_PUBLIC_MODE = 0o644
_OTHERS = 0o077
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class KeyFileRefused(StorageUnavailable):
    """A key of the audit log cannot be used."""


def make_directory(directory: Path) -> None:
    """Make a directory for keys, for this user alone. Raises `KeyFileRefused`, and `OSError`."""
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    if directory.stat().st_mode & _OTHERS_MAY_WRITE:
        raise KeyFileRefused(f"Others may write to {directory}, where keys of the audit log lie.")


def read_private(path: Path) -> str:
    """Read the one line of a private key file: a regular one of this user, which nobody else may read.

    Raises `KeyFileRefused`, and `OSError` when it cannot be read.
    """
    if path.is_symlink():
        raise KeyFileRefused(f"The key file {path} is a symbolic link.")
    content = None
    while content is None:  # a file that was replaced while it was read is read anew
        content = _read_once(path)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        # Not chained: the cause would hold the file's bytes.
        raise KeyFileRefused(f"The key file {path} is malformed: {error.reason}.") from None
    if len(content) > MAX_KEY_FILE_BYTES or not text.endswith("\n"):
        raise KeyFileRefused(f"The key file {path} is malformed: it is not one line.")
    return text[:-1]


def _read_once(path: Path) -> bytes | None:
    """The bytes of a private key file; None when its name was given to another one meanwhile."""
    # Opened as no link all the same, should it become one now; without waiting, should it be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileRefused(f"The key file {path} is no regular file.")
        if status.st_uid != os.geteuid():
            raise KeyFileRefused(f"The key file {path} belongs to another user.")
        if status.st_mode & _OTHERS:
            raise KeyFileRefused(f"Others may read or write the key file {path}: `chmod 600` it.")
        content = os.read(descriptor, MAX_KEY_FILE_BYTES + 1)
        return content if os.fstat(descriptor).st_nlink else None
    finally:
        os.close(descriptor)


def create_private(path: Path, line: str) -> None:
    """Make a private key file, unless another process was first: then its key is everybody's.

    The line is written to a file of its own, flushed, and linked to its name: nobody ever sees half a key.
    Raises `OSError`.
    """
    _create(path, line, _PRIVATE_MODE)


def replace_private(path: Path, line: str) -> None:
    """Put another private key in the place of one, and overwrite the bytes of that. Raises `OSError`.

    A file system that copies on write, or a disk that spreads its wear, may still hold them for a while.
    """
    replaced = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _write(path, line, _PRIVATE_MODE).replace(path)
        _flush(path.parent)
        os.pwrite(replaced, bytes(os.fstat(replaced).st_size), 0)
        os.fsync(replaced)
    finally:
        os.close(replaced)


def create_public(path: Path, line: str) -> None:
    """Make a public key file for everybody to read, unless there is one. Raises `OSError`."""
    _create(path, line, _PUBLIC_MODE)


def publish(path: Path, line: str) -> None:
    """Write a public key file, in the place of another if there is one. Raises `OSError`."""
    _write(path, line, _PUBLIC_MODE).replace(path)
    _flush(path.parent)


def _create(path: Path, line: str, mode: int) -> None:
    unfinished = _write(path, line, mode)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return
    finally:
        unfinished.unlink()
    _flush(path.parent)


def _write(path: Path, line: str, mode: int) -> Path:
    """Write a line to a new file beside `path`, flushed to the disk."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def _flush(directory: Path) -> None:
    """Make a new name in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
