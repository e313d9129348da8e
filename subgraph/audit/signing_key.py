"""The log's private key: a file that one process makes and all of the service's processes read.

It holds one line, the text of `Signer.skey`, so that other implementations of signed-note read it too. The
public key lies beside it (`.pub`) for those who verify. Whoever can read the private key can forge the log,
and whoever can replace it can make verification fail: the file is refused where others could do either.
"""

from __future__ import annotations

from pathlib import Path

from subgraph.audit.key_files import KeyFileRefused, create_private, make_directory, publish, read_private
from subgraph.audit.notes import Signer

PUBLIC_SUFFIX = ".pub"


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
    """
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    try:
        make_directory(path.parent)  # 1
        try:
            signer = _read(path)  # 2
        except FileNotFoundError:
            if not public.exists():
                create_private(path, Signer.generate(name).skey)  # 3
            signer = _read(path)  # 4
        if signer.name != name:  # 5
            raise KeyFileRefused(f"The signing key {path} is of {signer.name!r}, not of {name!r}.")
        _publish(public, signer.verifier.vkey)
    except FileNotFoundError as error:
        raise KeyFileRefused(
            f"The signing key {path} is gone, while {public} is there. Restore it; or keep the public key "
            "elsewhere, for what was signed, and start with a new pair."
        ) from error
    except OSError as error:
        raise KeyFileRefused(f"The signing key {path} cannot be used: {error.strerror}.") from error
    return signer


def _read(path: Path) -> Signer:
    line = read_private(path)
    try:
        return Signer.parse(line)
    except ValueError as error:
        raise KeyFileRefused(f"The signing key {path} is malformed: {error}.") from error


def _publish(path: Path, vkey: str) -> None:
    try:
        published = path.read_bytes()
    except FileNotFoundError:
        publish(path, vkey)
        return
    if published != f"{vkey}\n".encode():
        raise KeyFileRefused(f"{path} is not the public key of the signing key beside it.")
