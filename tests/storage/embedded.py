"""What tests ask of a server of the service's own."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from subgraph.storage import EmbeddedPostgres
from tests.support.postgres import postmaster_pid


async def select(dsn: str, query: str) -> object:
    """Ask the server for one value."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        connection.terminate()  # the server may have gone


async def answer(data_dir: Path) -> object:
    """Start the server, ask it for 1 and leave."""
    async with EmbeddedPostgres(data_dir) as postgres:
        return await select(postgres.dsn, "SELECT 1")


def process_file(data_dir: Path, name: str) -> Path:
    """A file of the server in `/proc`."""
    return Path(f"/proc/{postmaster_pid(data_dir)}/{name}")


def runs(data_dir: Path) -> bool:
    """Whether the server is there, by its own lock file."""
    return (data_dir / "postmaster.pid").exists()
