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
    finally:
        os.close(descriptor)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        # Not chained: the cause would hold the file's bytes.
        raise KeyFileRefused(f"The key file {path} is malformed: {error.reason}.") from None
    if len(content) > MAX_KEY_FILE_BYTES or not text.endswith("\n"):
        raise KeyFileRefused(f"The key file {path} is malformed: it is not one line.")
    return text[:-1]


def create_private(path: Path, line: str) -> None:
    """Make a private key file, unless another process was first: then its key is everybody's.

    The line is written to a file of its own, flushed, and linked to its name: nobody ever sees half a key.
    Raises `OSError`.
    """
    unfinished = _write(path, line, _PRIVATE_MODE)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return
    finally:
        unfinished.unlink()
    _flush(path.parent)


def publish(path: Path, line: str) -> None:
    """Write the public key of a private one, for everybody to read. Raises `OSError`."""
    _write(path, line, _PUBLIC_MODE).replace(path)


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
