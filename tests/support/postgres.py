"""A real embedded PostgreSQL for tests: one server for many tests, an empty database for each."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from pydantic import SecretStr

from subgraph.settings import Settings
from subgraph.storage import EmbeddedPostgres

T = TypeVar("T")

TEST_SECONDS = 30.0
"""After which a test that hangs is a failure."""


class EmbeddedSettings(Settings):
    """Settings whose embedded server lies in `home`, under root too."""

    @property
    def postgres_dir(self) -> Path:
        return self.home / "postgres"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine to its end, within `TEST_SECONDS`."""
    return asyncio.run(asyncio.wait_for(coroutine, TEST_SECONDS))


@contextmanager
def open_directory() -> Iterator[Path]:
    """A temporary directory that the unprivileged database user may pass through, unlike pytest's."""
    root = Path(tempfile.mkdtemp(prefix="cyberos-test-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


@contextmanager
def postgres_server() -> Iterator[str]:
    """A running server; the DSN of its maintenance database."""
    with open_directory() as root:
        server = EmbeddedPostgres(root / "home" / "postgres")
        try:
            yield asyncio.run(server.start())
        finally:
            asyncio.run(server.stop())


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """The DSN of a new, empty database on `server`."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(execute(server, f"CREATE DATABASE {name} STRATEGY file_copy"))
    try:
        yield server.replace("@/postgres?", f"@/{name}?")
    finally:
        asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


def settings_for(dsn: str) -> Settings:
    """Settings that use the database at `dsn`."""
    return Settings(database_url=SecretStr(dsn))


async def execute(dsn: str, *statements: str) -> None:
    """Run statements on a connection of their own, one transaction each."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def postmaster_pid(data_dir: Path) -> int:
    """Process id of the server in `data_dir`."""
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


def kill_postmaster(data_dir: Path) -> None:
    """Kill the server as the kernel does when memory runs out."""
    os.kill(postmaster_pid(data_dir), signal.SIGKILL)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until `condition()` holds; fail if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)
