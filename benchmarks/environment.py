"""Where the benchmarks run: a database and a home of their own, on disk, and settings as a user has them."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from benchmarks.subjects import Subject, install
from subgraph.settings import Settings
from subgraph.storage import EmbeddedPostgres
from tests.support.postgres import empty_database

DISK = Path("/var/tmp")  # noqa: S108 - kept over restarts, so a disk, which /tmp often is not
"""Parent of the temporary directory: a database in memory would be durable at no cost."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds, whose median counts, and the length of one in seconds."""

    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Environment:
    """What every section gets. `postgres` is the DSN of a running embedded server."""

    plan: Plan
    directory: Path
    postgres: str
    small: Subject
    typescript: Subject

    @property
    def subjects(self) -> tuple[Subject, Subject]:
        """The skills that every section measures."""
        return (self.small, self.typescript)

    @contextmanager
    def settings(self) -> Iterator[Settings]:
        """Default settings but for the directories, with an empty database and a home of its own."""
        with empty_database(self.postgres) as dsn:
            yield Settings(
                home=self.directory / f"home-{uuid.uuid4().hex[:8]}",  # a log and its keys belong together
                database_url=SecretStr(dsn),
                skill_roots=(self.directory / "skills",),
            )


@contextmanager
def running_environment(plan: Plan, small: Subject, typescript: Subject) -> Iterator[Environment]:
    """Start the database and write the skills of the benchmarks; the end removes everything."""
    _forget_settings()
    with disk_directory() as directory:
        install((small, typescript), directory / "skills")
        server = EmbeddedPostgres(directory / "postgres")
        try:
            yield Environment(plan, directory, asyncio.run(server.start()), small, typescript)
        finally:
            asyncio.run(server.stop())


def as_environment_variables(settings: Settings) -> dict[str, str]:
    """Write what `Environment.settings` sets for a service in a process of its own."""
    assert settings.database_url is not None
    return {
        "CYBEROS_HOME": os.fspath(settings.home),
        "CYBEROS_DATABASE_URL": settings.database_url.get_secret_value(),
        "CYBEROS_SKILL_ROOTS": os.pathsep.join(map(os.fspath, settings.skill_roots)),
    }


async def finished_invocations(settings: Settings) -> list[UUID]:
    """Read the invocation ids of all finished entries, over a connection of its own."""
    assert settings.database_url is not None
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        rows = await connection.fetch(
            "SELECT invocation_id FROM audit.entry WHERE kind = 'invocation.finished'"
        )
    finally:
        await connection.close()
    return [row["invocation_id"] for row in rows]


async def server_version(dsn: str) -> str:
    """Ask PostgreSQL for its version."""
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


def _forget_settings() -> None:
    """Drop the user's settings: figures are for the defaults."""
    for name in [name for name in os.environ if name.startswith("CYBEROS_")]:
        del os.environ[name]


@contextmanager
def disk_directory() -> Iterator[Path]:
    """A temporary directory on disk, which the unprivileged database user may pass through."""
    directory = Path(tempfile.mkdtemp(prefix="cyberos-bench-", dir=DISK))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
