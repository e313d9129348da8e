"""The log's private key: a file that one process makes and all of the service's processes read.

It holds one line, the text of `Signer.skey`, so that other implementations of signed-note read it too. The
public key lies beside it (`.pub`) for those who verify. Whoever can read the private key can forge the log,
and whoever can replace it can make verification fail: the file is refused where others could do either.
"""

from __future__ import annotations

import os
from pathlib import Path

from subgraph.audit.key_files import (
    KeyFileRefused,
    create_private,
    create_public,
    make_directory,
    publish,
    read_private,
    replace_private,
)
from subgraph.audit.notes import Signer, Verifier
from subgraph.storage.filelock import FileLock

PUBLIC_SUFFIX = ".pub"

LOCK_NAME = ".lock"
"""Held by whoever rotates; without it two at once would leave a pair that does not belong together."""

LOCK_SECONDS = 5.0
"""How long one process waits for another that rotates, which takes a few flushes of a disk."""


def load_signing_key(path: Path, name: str) -> Signer:
    """Read the key file, or make it if there is none; write the public key beside it.

    Of processes that start at once, all get the same key. Raises `KeyFileRefused`, and `ValueError` for a
    name that no key may have.

    1. The directory is made for this user alone. One that others may write to is refused.
    2. An existing file is read if it is a regular one of this user, which nobody else may read or write.
    3. Else a new key is written to a file of its own, flushed, and linked to its name: the link fails if
       another process was first, and nobody ever sees half a key. Not if there is a public key: it came
       after the private one, so that one was lost, and a new one must not take its place unnoticed.
    4. What lies there then is read as in 2.
    5. It must be the key of this name, and of the public key beside it, which is written if there is none.
       One that was retired is written anew: a rotation has not, or not yet, come to its end.
    """
    try:
        make_directory(path.parent)  # 1
        while True:
            signer = _read_or_make(path, name)
            if signer.name != name:  # 5
                raise _of_another_log(path, signer.name, name)
            published = _public_beside(path)
            if published == signer.verifier.vkey:
                return signer
            if published is None:
                create_public(_public_of(path), signer.verifier.vkey)
                continue
            if _read(path).verifier != signer.verifier:
                continue  # it was rotated at this moment
            if not _is_retired(path, published):
                raise KeyFileRefused(
                    f"{_public_of(path)} is not the public key of the signing key beside it."
                )
            publish(_public_of(path), signer.verifier.vkey)
    except FileNotFoundError as error:
        raise KeyFileRefused(
            f"The signing key {path} is gone, while {_public_of(path)} is there. Restore it; or keep the "
            "public key elsewhere, for what was signed, and start with a new pair."
        ) from error
    except OSError as error:
        raise KeyFileRefused(f"The signing key {path} cannot be used: {error.strerror}.") from error


def reload_signing_key(path: Path, name: str) -> Signer:
    """Read the key file again, which may have been rotated; nothing is made. Raises `KeyFileRefused`."""
    try:
        signer = _read(path)
    except OSError as error:
        raise KeyFileRefused(f"The signing key {path} cannot be used: {error.strerror}.") from error
    if signer.name != name:
        raise _of_another_log(path, signer.name, name)
    return signer


def rotate_signing_key(path: Path) -> tuple[Verifier, Verifier]:
    """Put a new key in the place of the present one, which is destroyed; return both public keys.

    After a crash at any point `load_signing_key` finds the old pair or the new one. Of processes that rotate
    at once, one follows the other: each key that ever signed is kept as a public one. Raises
    `KeyFileRefused`.

    1. The public key of the present one is kept as `<stem>-<key id>.pub`, so that what it signed verifies.
    2. The new private key takes the name of the old one, whose bytes are overwritten.
    3. The new `.pub` is written.
    """
    try:
        with FileLock(path.parent / LOCK_NAME) as lock:
            if not lock.exclusive(LOCK_SECONDS):
                raise KeyFileRefused(f"Another process rotates the signing key {path}.")
            retired = _read(path)
            fresh = Signer.generate(retired.name)
            publish(_kept_of(path, retired.verifier), retired.verifier.vkey)  # 1
            replace_private(path, fresh.skey)  # 2
            publish(_public_of(path), fresh.verifier.vkey)  # 3
    except OSError as error:
        raise KeyFileRefused(f"The signing key {path} cannot be rotated: {error.strerror}.") from error
    return retired.verifier, fresh.verifier


def known_keys(directory: Path) -> tuple[Verifier, ...]:
    """Read all public keys of a directory, those of retired keys too. Raises `KeyFileRefused`."""
    keys = []
    for path in sorted(directory.glob(f"[!.]*{PUBLIC_SUFFIX}")):
        try:
            keys.append(Verifier.parse(path.read_text(encoding="utf-8").rstrip("\n")))
        except FileNotFoundError:
            continue  # it is being rotated at this moment
        except (OSError, ValueError) as error:
            raise KeyFileRefused(f"The public key {path} cannot be used: {error}.") from error
    return tuple(keys)


def keys_state(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Say what the directory holds, so that a change is noticed without reading keys."""
    try:
        with os.scandir(directory) as found:
            names = [each for each in found if not each.name.startswith(".")]
            states = [(each.name, each.stat()) for each in names]
    except OSError as error:
        raise KeyFileRefused(f"The keys in {directory} cannot be read: {error.strerror}.") from error
    return tuple(sorted((name, state.st_ino, state.st_mtime_ns) for name, state in states))


def _read(path: Path) -> Signer:
    line = read_private(path)
    try:
        return Signer.parse(line)
    except ValueError as error:
        raise KeyFileRefused(f"The signing key {path} is malformed: {error}.") from error


def _read_or_make(path: Path, name: str) -> Signer:
    try:
        return _read(path)  # 2
    except FileNotFoundError:
        if not _public_of(path).exists():
            create_private(path, Signer.generate(name).skey)  # 3
        return _read(path)  # 4


def _public_of(path: Path) -> Path:
    return path.with_name(path.name + PUBLIC_SUFFIX)


def _public_beside(path: Path) -> str | None:
    """The text of the public key beside a private one."""
    try:
        return _public_of(path).read_bytes().decode("utf-8", "replace").removesuffix("\n")
    except FileNotFoundError:
        return None


def _kept_of(path: Path, retired: Verifier) -> Path:
    return path.with_name(f"{path.stem}-{retired.key_id.hex()}{PUBLIC_SUFFIX}")


def _is_retired(path: Path, vkey: str) -> bool:
    """Whether a public key is one that the private key had before."""
    try:
        kept = _kept_of(path, Verifier.parse(vkey))
        return kept.read_text(encoding="utf-8") == f"{vkey}\n"
    except (FileNotFoundError, ValueError):
        return False


def _of_another_log(path: Path, signs: str, name: str) -> KeyFileRefused:
    return KeyFileRefused(
        f"The signing key {path} is of {signs!r}, not of {name!r}: this is another database, or its log was "
        "replaced. Use the database that the key belongs to; or, to begin another log, move the keys "
        "and the checkpoints away and keep them (docs/audit.md)."
    )
