"""PostgreSQL as the rest of the service sees it: named queries, transactions and one kind of failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Self, TypeAlias

import asyncpg

from subgraph.errors import StorageUnavailable
from subgraph.settings import Settings
from subgraph.storage.embedded import EmbeddedPostgres
from subgraph.storage.failures import UNAVAILABLE, is_outage, unavailable
from subgraph.storage.migrations import Connection, Migration, migrate, read_migrations
from subgraph.storage.queries import Query, load_queries

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
"""For one connection, a TLS handshake across a region included."""

COMMAND_SECONDS = 5.0
"""For one statement; every named query is a look-up by index or a write of few rows."""

CALL_SECONDS = 8.0
"""For one call altogether: a wait for a free connection, or for a new one, and the statement."""

SERVER_COMMAND_MILLISECONDS = 10_000
"""After which the server ends a statement that its client no longer waits for."""

MAX_STATEMENTS = 256
"""Prepared statements kept a connection: more than there are named queries."""

SERVICE_ROLE = "cyberos_service"
"""The role that the service works as: it appends to the audit log, and changes nothing of it."""

_OWNER_SESSION = {
    "application_name": "cyberos",
    "timezone": "UTC",
    "synchronous_commit": "on",  # an answer means that its entry is on disk, whatever the server's default
    "statement_timeout": str(SERVER_COMMAND_MILLISECONDS),
    "idle_in_transaction_session_timeout": str(SERVER_COMMAND_MILLISECONDS),
}
_SESSION = _OWNER_SESSION | {"role": SERVICE_ROLE}

PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class Transaction:
    """Named queries inside one transaction. It must not be used after its block has ended."""

    def __init__(self, database: Database, connection: PooledConnection) -> None:
        self._database = database
        self._connection = connection

    async def fetch(self, name: str, *args: object) -> list[asyncpg.Record]:
        """Run a named query; all rows."""
        with self._database.guard():
            return await self._connection.fetch(self._database.sql(name), *args)

    async def fetchrow(self, name: str, *args: object) -> asyncpg.Record | None:
        """Run a named query; its first row."""
        with self._database.guard():
            return await self._connection.fetchrow(self._database.sql(name), *args)

    async def fetchval(self, name: str, *args: object) -> Any:
        """Run a named query; the first column of its first row."""
        with self._database.guard():
            return await self._connection.fetchval(self._database.sql(name), *args)

    async def execute(self, name: str, *args: object) -> str:
        """Run a named query; PostgreSQL's status, such as `INSERT 0 1`."""
        with self._database.guard():
            return await self._connection.execute(self._database.sql(name), *args)


class Database:
    """The database of `settings`: a configured one, or the embedded PostgreSQL that it starts and stops.

    `async with Database(settings) as database:` connects and migrates. Every method raises
    `StorageUnavailable` within bounded time when the server cannot be reached, and works again as soon
    as it can; an embedded server that died is started again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queries: Mapping[str, Query] = {}
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._embedded: EmbeddedPostgres | None = None
        self._revival: asyncio.Task[None] | None = None
        self._resources = AsyncExitStack()
        self._dsn = ""

    async def start(self) -> None:
        """Start the embedded server if no DSN is set, migrate, and open the pool.

        Raises `StorageUnavailable`, and `SchemaRefused` for a schema of another version.
        """
        async with AsyncExitStack() as stack:
            self._queries = load_queries(self._settings.sql_dir / "queries")
            self._dsn = await self._find_server(stack)
            await self._migrate()
            with self.guard():
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=1,
                    max_size=self._settings.database_connections,
                    timeout=CONNECT_SECONDS,
                    command_timeout=COMMAND_SECONDS,
                    statement_cache_size=MAX_STATEMENTS,
                    server_settings=_SESSION,
                    reset=_keep_session,
                )
            stack.push_async_callback(self._close_pool, self._pool)
            self._resources = stack.pop_all()

    async def close(self) -> None:
        """End all connections, waiting up to `CALL_SECONDS` for calls under way; stop an embedded server."""
        self._pool = None  # from here on calls are refused
        await self._resources.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fetch(self, name: str, *args: object) -> list[asyncpg.Record]:
        """Run a named query; all rows."""
        async with self._session() as session:
            return await session.fetch(name, *args)

    async def fetchrow(self, name: str, *args: object) -> asyncpg.Record | None:
        """Run a named query; its first row."""
        async with self._session() as session:
            return await session.fetchrow(name, *args)

    async def fetchval(self, name: str, *args: object) -> Any:
        """Run a named query; the first column of its first row."""
        async with self._session() as session:
            return await session.fetchval(name, *args)

    async def execute(self, name: str, *args: object) -> str:
        """Run a named query; PostgreSQL's status, such as `INSERT 0 1`."""
        async with self._session() as session:
            return await session.execute(name, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Run a block in one transaction: committed at its end, rolled back if it raises."""
        async with self._session() as session:
            transaction = session._connection.transaction()  # noqa: SLF001 -- a class of this module
            with self.guard():
                await transaction.start()
            try:
                yield session
            except BaseException:
                await self._roll_back(transaction)
                raise
            with self.guard():
                await transaction.commit()

    async def connect(self) -> Connection:
        """Open a connection of the caller's own, outside of the pool; the caller closes it."""
        return await self._connect(_SESSION)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[Connection]:
        """Connect with all the rights of the configured user, for what the service itself may not do."""
        connection = await self._connect(_OWNER_SESSION)
        try:
            with self.guard():
                yield connection
        finally:
            await _close(connection)

    async def _connect(self, session: Mapping[str, str]) -> Connection:
        with self.guard():
            return await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=COMMAND_SECONDS,
                statement_cache_size=MAX_STATEMENTS,
                server_settings=dict(session),
            )

    async def ping(self, timeout: float) -> None:  # noqa: ASYNC109 -- part of the health check's contract
        """Return if the server answers within `timeout` seconds, raise `StorageUnavailable` if not."""
        with self.guard():
            async with asyncio.timeout(timeout), self._session() as session:
                await session._connection.fetchval("SELECT 1")  # noqa: SLF001 -- a class of this module

    @property
    def address(self) -> str:
        """DSN of the server, for a client of another kind; it may hold a password."""
        return self._dsn

    def migrations(self) -> tuple[Migration, ...]:
        """The files that the schema was made by: `start` has compared them with what was applied."""
        return read_migrations(self._settings.sql_dir)

    def sql(self, name: str) -> str:
        """Text of a named query. Raises `KeyError` for a name that no file defines."""
        return self._queries[name].sql

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn failures of the server into `StorageUnavailable`, and have a dead embedded one revived."""
        try:
            yield
        except UNAVAILABLE as error:
            if not is_outage(error):
                raise
            self._revive()
            raise unavailable(error) from error

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Transaction]:
        pool = self._pool
        if pool is None:
            raise StorageUnavailable("The database is closed.")
        with self.guard():
            connection = await pool.acquire(timeout=CALL_SECONDS - COMMAND_SECONDS)
        try:
            yield Transaction(self, connection)
        finally:
            with self.guard():
                await pool.release(connection)

    async def _close_pool(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await pool.close()
        except UNAVAILABLE as error:
            log.warning("connections were cut at close: %s", type(error).__name__)
            pool.terminate()
        if self._revival is not None:
            await asyncio.wait([self._revival])

    async def _find_server(self, stack: AsyncExitStack) -> str:
        if self._settings.database_url is not None:
            return self._settings.database_url.get_secret_value()
        self._embedded = EmbeddedPostgres(self._settings.postgres_dir)
        return (await stack.enter_async_context(self._embedded)).dsn

    async def _migrate(self) -> None:
        migrations = read_migrations(self._settings.sql_dir)
        try:
            async with self.owner() as connection:
                await migrate(connection, migrations)
        except ValueError:
            # Without the cause: asyncpg quotes the address, and a password may be in it.
            raise StorageUnavailable("CYBEROS_DATABASE_URL is not a PostgreSQL address.") from None

    async def _roll_back(self, transaction: asyncpg.transaction.Transaction) -> None:
        try:
            await transaction.rollback()
        except UNAVAILABLE as error:
            # The server rolls back by itself when the connection is gone; what the block raised matters.
            log.info("the connection was lost before a rollback: %s", type(error).__name__)

    def _revive(self) -> None:
        if self._embedded is None or self._pool is None:
            return
        if self._revival is None or self._revival.done():
            self._revival = asyncio.create_task(self._revive_embedded(self._embedded))

    async def _revive_embedded(self, embedded: EmbeddedPostgres) -> None:
        try:
            await embedded.revive()
        except StorageUnavailable as error:
            log.warning("the embedded PostgreSQL was not revived: %s", error)


async def _keep_session(_: Connection) -> None:
    """Reset nothing between two uses: named queries leave no session state, and it costs a round trip."""


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=CONNECT_SECONDS)
    except UNAVAILABLE as error:
        log.info("a connection was cut: %s", type(error).__name__)
