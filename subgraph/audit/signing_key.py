"""The log's private key: a file that one process makes and all of the service's processes read.

It holds one line, the text of `Signer.skey`, so that other implementations of signed-note read it too. The
public key lies beside it (`.pub`) for those who verify. Whoever can read the private key can forge the log,
and whoever can replace it can make verification fail: the file is refused where others could do either.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from subgraph.audit.notes import Signer
from subgraph.errors import StorageUnavailable

MAX_KEY_FILE_BYTES = 1024
"""Read of a key file: one with a name of 255 bytes has 325. What is cut off is not missed silently: whatever
follows a key makes it malformed."""

PUBLIC_SUFFIX = ".pub"

_DIRECTORY_MODE = 0o700
_KEY_MODE = 0o600
_PUBLIC_MODE = 0o644
_OTHERS = 0o077
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class SigningKeyRefused(StorageUnavailable):
    """The key that signs the audit log's checkpoints cannot be used."""


def load_signing_key(path: Path, name: str) -> Signer:
    """Read the key file, or make it if there is none; write the public key beside it.

    Of processes that start at once, all get the same key. Raises `SigningKeyRefused`, and `ValueError` for a
    name that no key may have.

    1. The directory is made for this user alone. One that others may write to is refused.
    2. An existing file is read if it is a regular one of this user, which nobody else may read or write.
    3. Else a new key is written to a file of its own, flushed, and linked to its name: the link fails if
       another process was first, and nobody ever sees half a key. Not if there is a public key: it came
       after the private one, so that one was lost, and a new one must not take its place unnoticed.
    4. What lies there then is read as in 2.
    5. It must be the key of this name, and of the public key beside it, which is written if there is none.
    """
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    try:
        path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)  # 1
        if path.parent.stat().st_mode & _OTHERS_MAY_WRITE:
            raise SigningKeyRefused(f"Others may write to {path.parent}, where the signing key lies.")
        try:
            signer = _read(path)  # 2
        except FileNotFoundError:
            if not public.exists():
                _create(path, Signer.generate(name))  # 3
            signer = _read(path)  # 4
        if signer.name != name:  # 5
            raise SigningKeyRefused(f"The signing key {path} is of {signer.name!r}, not of {name!r}.")
        _publish(public, signer.verifier.vkey)
    except FileNotFoundError as error:
        raise SigningKeyRefused(
            f"The signing key {path} is gone, while {public} is there. Restore it; or keep the public key "
            "elsewhere, for what was signed, and start with a new pair."
        ) from error
    except OSError as error:
        raise SigningKeyRefused(f"The signing key {path} cannot be used: {error.strerror}.") from error
    return signer


def _read(path: Path) -> Signer:
    if path.is_symlink():
        raise SigningKeyRefused(f"The signing key {path} is a symbolic link.")
    # Opened as no link all the same, should it become one now; without waiting, should it be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SigningKeyRefused(f"The signing key {path} is no regular file.")
        if status.st_uid != os.geteuid():
            raise SigningKeyRefused(f"The signing key {path} belongs to another user.")
        if status.st_mode & _OTHERS:
            raise SigningKeyRefused(f"Others may read or write the signing key {path}: `chmod 600` it.")
        content = os.read(descriptor, MAX_KEY_FILE_BYTES)
    finally:
        os.close(descriptor)
    try:
        text = content.decode()
        if not text.endswith("\n"):
            raise ValueError("it is not a line")
        return Signer.parse(text[:-1])
    except UnicodeDecodeError as error:
        # Not chained: the cause would hold the file's bytes.
        raise SigningKeyRefused(f"The signing key {path} is malformed: {error.reason}.") from None
    except ValueError as error:
        raise SigningKeyRefused(f"The signing key {path} is malformed: {error}.") from error


def _create(path: Path, signer: Signer) -> None:
    unfinished = _write(path, signer.skey, _KEY_MODE)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return  # another process was first: its key is everybody's
    finally:
        unfinished.unlink()
    _flush(path.parent)


def _publish(path: Path, vkey: str) -> None:
    try:
        published = path.read_bytes()
    except FileNotFoundError:
        _write(path, vkey, _PUBLIC_MODE).replace(path)
        return
    if published != f"{vkey}\n".encode():
        raise SigningKeyRefused(f"{path} is not the public key of the signing key beside it.")


def _write(path: Path, line: str, mode: int) -> Path:
    """Write a line to a new file beside `path`, flushed to the disk."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _KEY_MODE)
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
