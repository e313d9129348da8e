"""`python -m subgraph.storage.psql [arguments of psql]`: a shell on the service's database."""

from __future__ import annotations

import asyncio
import signal
import sys

from subgraph.errors import StorageUnavailable
from subgraph.settings import Settings
from subgraph.storage import EmbeddedPostgres
from subgraph.storage.binaries import installed


async def _shell(settings: Settings, arguments: list[str]) -> int:
    if settings.database_url is not None:
        return await _psql(settings.database_url.get_secret_value(), arguments)
    # Joins the server of a service that is running, and starts it when there is none.
    async with EmbeddedPostgres(settings.postgres_dir) as postgres:
        return await _psql(postgres.dsn, arguments)


async def _psql(dsn: str, arguments: list[str]) -> int:
    psql = await asyncio.create_subprocess_exec(installed() / "bin" / "psql", "--dbname", dsn, *arguments)
    return await psql.wait()


def main() -> int:
    """Run psql; return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for psql, which cancels its query
    try:
        return asyncio.run(_shell(Settings(), sys.argv[1:]))
    except StorageUnavailable as error:
        sys.stderr.write(f"{error.message}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
