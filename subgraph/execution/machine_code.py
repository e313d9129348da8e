"""Compiled components on disk, by key. The files are not trusted: the database knows their digests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from subgraph.errors import ExecutionFailed, SourceInvalid
from subgraph.execution.compilation import Compiler
from subgraph.execution.engine import EngineProfile
from subgraph.storage import Database

DIRECTORY_BYTES_LIMIT = 4 * 1024 * 1024 * 1024
"""Bound of all machine code on disk, in bytes: that of hundreds of components with an interpreter each."""

FAILURE_SECONDS = 60.0
"""How long a component that did not compile is not tried again; one that was mended has another key."""

_FAILURES_LIMIT = 1024

logger = logging.getLogger(__name__)


class _Failure(NamedTuple):
    error: SourceInvalid | ExecutionFailed
    until: float


class MachineCodeCache:
    """Machine code of components, compiled when it is not there or not as it was written.

    Whoever can write a file here could otherwise have native code run in every worker.
    """

    def __init__(self, directory: Path, database: Database, compiler: Compiler) -> None:
        self._directory = directory
        self._database = database
        self._compiler = compiler
        self._failures: dict[str, _Failure] = {}

    async def get(self, key: str, component: bytes, profile: EngineProfile) -> bytes:
        """Return the machine code of a component for the engine of a profile.

        Raises `SourceInvalid` and `ExecutionFailed` as `Compiler.compile`, and `StorageUnavailable`.
        """
        path = self._directory / f"{key}.cwasm"
        recorded = await self._database.fetchval("machine_code_get", key)
        if recorded is not None:
            kept = await asyncio.to_thread(_read, path, recorded)
            if kept is not None:
                return kept
        machine_code = await self._compile(key, component, profile)
        try:
            digest = await asyncio.to_thread(_write, path, machine_code)
        except OSError as error:
            logger.warning("machine code is not kept, and will be compiled again: %s", error.strerror)
            return machine_code
        await self._database.execute("machine_code_put", key, digest)
        return machine_code

    async def _compile(self, key: str, component: bytes, profile: EngineProfile) -> bytes:
        """Compile, unless that failed a short while ago: it can take minutes of the one compiler."""
        failed = self._failures.get(key)
        if failed is not None and time.monotonic() < failed.until:
            raise type(failed.error)(failed.error.message)
        try:
            return await self._compiler.compile(component, profile)
        except (SourceInvalid, ExecutionFailed) as error:
            while len(self._failures) >= _FAILURES_LIMIT:
                del self._failures[next(iter(self._failures))]
            self._failures[key] = _Failure(error, time.monotonic() + FAILURE_SECONDS)
            raise


def _read(path: Path, digest: bytes) -> bytes | None:
    """Read a file whose SHA-256 is known; None when it is not there or is another one."""
    try:
        data = path.read_bytes()
        os.utime(path)  # so that what is used is kept
    except OSError:
        return None
    return data if hashlib.sha256(data).digest() == digest else None


def _prune(directory: Path) -> None:
    """Remove the files that were not used for longest, down to the limit."""
    files = sorted(
        ((entry.stat().st_mtime_ns, entry.stat().st_size, entry.path) for entry in os.scandir(directory)),
        reverse=True,
    )
    kept = 0
    for _, size, path in files:
        kept += size
        if kept > DIRECTORY_BYTES_LIMIT:
            Path(path).unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> bytes:
    """Write a file so that it is there whole or not at all; return its SHA-256."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    _prune(path.parent)
    return hashlib.sha256(data).digest()
