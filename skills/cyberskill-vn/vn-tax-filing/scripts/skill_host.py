"""Files, through the host where there is one.

Under the service every call is checked against what a person granted. Where the script is run by itself, it
has the files of whoever runs it; paths are then relative to the current directory, and `/skill/` is the
skill's own directory. Errors are for the skill: a text of a host says nothing to a caller.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import cyberos_host
except ImportError:
    cyberos_host = None


class FileError(Exception):
    """A file or directory that cannot be used."""


def read_file(path: str) -> str:
    """Return the text of a file (UTF-8); raises FileError."""
    if cyberos_host is not None:
        try:
            return cyberos_host.read_file(path)
        except cyberos_host.HostError as error:
            raise FileError(str(error)) from None
    try:
        return _located(path).read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise FileError(str(error)) from None


def write_file(path: str, content: str) -> None:
    """Replace a file, or make it, whole or not at all; raises FileError."""
    if cyberos_host is not None:
        try:
            cyberos_host.write_file(path, content)
        except cyberos_host.HostError as error:
            raise FileError(str(error)) from None
        return
    target = _located(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode("utf-8"))
        temporary.replace(target)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise FileError(str(error)) from None


def list_dir(path: str) -> list[str]:
    """Return the names in a directory, sorted; directories end with `/`. Raises FileError."""
    if cyberos_host is not None:
        try:
            return list(cyberos_host.list_dir(path))
        except cyberos_host.HostError as error:
            raise FileError(str(error)) from None
    try:
        entries = list(_located(path).iterdir())
    except (OSError, ValueError) as error:
        raise FileError(str(error)) from None
    return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)


def _located(path: str) -> Path:
    own = "/skill/"
    return Path(__file__).parents[1] / path[len(own) :] if path.startswith(own) else Path(path)
