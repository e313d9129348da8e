"""Compiled components on disk, by key. The files are not trusted: the database knows their digests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

from subgraph.execution.compilation import Compiler
from subgraph.storage import Database

logger = logging.getLogger(__name__)


class MachineCodeCache:
    """Machine code of components, compiled when it is not there or not as it was written.

    Whoever can write a file here could otherwise have native code run in every worker.
    """

    def __init__(self, directory: Path, database: Database, compiler: Compiler) -> None:
        self._directory = directory
        self._database = database
        self._compiler = compiler

    async def get(self, key: str, component: bytes) -> bytes:
        """Return the machine code of a component.

        Raises `SourceInvalid` and `ExecutionFailed` as `Compiler.compile`, and `StorageUnavailable`.
        """
        path = self._directory / f"{key}.cwasm"
        recorded = await self._database.fetchval("machine_code_get", key)
        if recorded is not None:
            kept = await asyncio.to_thread(_read, path)
            if kept is not None and hashlib.sha256(kept).digest() == recorded:
                return kept
        machine_code = await self._compiler.compile(component)
        try:
            await asyncio.to_thread(_write, path, machine_code)
        except OSError as error:
            logger.warning("machine code is not kept, and will be compiled again: %s", error.strerror)
            return machine_code
        await self._database.execute("machine_code_put", key, hashlib.sha256(machine_code).digest())
        return machine_code


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
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
