"""The key that wraps the keys of subjects: a file like that of the signing key, for all replicas the same."""

from __future__ import annotations

import secrets
from pathlib import Path

from subgraph.audit import base64_text
from subgraph.audit.key_files import KeyFileRefused, create_private, make_directory, read_private

KEY_BYTES = 32

_PREFIX = "cyberos-wrapping-key/1 "


def load_wrapping_key(path: Path) -> bytes:
    """Read the key file, or make it if there is none. Raises `KeyFileRefused`.

    Of processes that start at once, all get the same key.
    """
    try:
        make_directory(path.parent)
        try:
            line = read_private(path)
        except FileNotFoundError:
            create_private(path, _PREFIX + base64_text.encode(secrets.token_bytes(KEY_BYTES)))
            line = read_private(path)
    except OSError as error:
        raise KeyFileRefused(f"The key file {path} cannot be used: {error.strerror}.") from error
    try:
        key = base64_text.decode(line.removeprefix(_PREFIX))
    except ValueError:
        key = b""
    if not line.startswith(_PREFIX) or len(key) != KEY_BYTES:
        raise KeyFileRefused(f"The key file {path} is malformed.")
    return key
