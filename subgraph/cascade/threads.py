"""What LangGraph keeps of consultations: in the service's own database, under the key of who asked.

The tables are those of LangGraph's checkpointer and lie in a schema of their own. Whatever a query says is
in columns that hold ciphertexts alone; whoever destroys a caller's key (`audit erase`) ends these as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import orjson

from subgraph.audit.payloads import Part, SubjectKey
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database
from subgraph.storage.database import CALL_SECONDS, SERVER_COMMAND_MILLISECONDS, SERVICE_ROLE

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow
    from psycopg_pool import AsyncConnectionPool

    _Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[DictRow]]

SCHEMA = "consultation"

CONNECTIONS = 4
"""To PostgreSQL, beside those of the service: one is held for milliseconds, never while a model is asked."""

CONNECT_SECONDS = 3
"""For one connection, in whole seconds as libpq has them."""

PAGE_ROWS = 1000
"""Checkpoints that are looked at, and deleted if they are old, in one transaction: twenty milliseconds."""

PAUSE_SECONDS = 0.05
"""Between two such transactions: whoever asks a model meanwhile has the connections and the disk."""

FORGET_LOCK_KEY = 0x6379_6265_726F_7333
"""Of the advisory lock of whoever deletes old threads (`cyberos3` in ASCII): two at once could deadlock."""

LOCK_KEY = 0x6379_6265_726F_7332
"""Of the advisory lock of whoever makes the tables (`cyberos2` in ASCII)."""

LOCK_SECONDS = 30.0
"""How long another process may take to make the tables; it takes a second."""

LOCK_POLL_SECONDS = 0.05

_GRANTS = (
    f"GRANT USAGE ON SCHEMA {SCHEMA} TO {SERVICE_ROLE}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {SERVICE_ROLE}",
)
_TRY_TO_FORGET = "SELECT pg_try_advisory_xact_lock(%s) AS taken"
# By the index of threads and never more than a page, however many there are: no index has their age.
_PAGE = """
WITH page AS (
    SELECT DISTINCT thread_id
    FROM (SELECT thread_id FROM checkpoints WHERE thread_id > %s ORDER BY thread_id LIMIT %s) AS read
)
SELECT thread_id, (
    SELECT max((checkpoint ->> 'ts')::timestamptz) FROM checkpoints WHERE thread_id = page.thread_id
) < now() - %s AS is_old
FROM page ORDER BY thread_id
"""
_FORGET = """
WITH writes AS (DELETE FROM checkpoint_writes WHERE thread_id = ANY(%(old)s)),
    blobs AS (DELETE FROM checkpoint_blobs WHERE thread_id = ANY(%(old)s))
DELETE FROM checkpoints WHERE thread_id = ANY(%(old)s)
"""
_VERSION = "SELECT max(v) AS v FROM checkpoint_migrations"
_IS_MADE = f"SELECT to_regclass('{SCHEMA}.checkpoint_migrations') IS NOT NULL AS made"


class SubjectCipher:
    """Encrypts what LangGraph keeps of one request, under the key of who asked."""

    NAME = "cyberos.subject"

    def __init__(self, key: SubjectKey, request_id: str) -> None:
        self._key = key
        self._request_id = request_id

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Encrypt; return by what, and the ciphertext."""
        return self.NAME, orjson.dumps(self._key.seal(self._request_id, Part.CONSULTATION, plaintext))

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Decrypt. Raises `ValueError` for what another key, or another request's, has encrypted."""
        if ciphername != self.NAME:
            raise ValueError(f"not encrypted by {self.NAME}")
        return self._key.open(self._request_id, Part.CONSULTATION, orjson.loads(ciphertext))


class Threads:
    """The checkpoints of consultations. Methods raise `StorageUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool: _Pool | None = None
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the tables if they are not there, and connect as the service's role."""
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        await self._make_tables()
        pool: _Pool = AsyncConnectionPool(
            self._database.address,
            kwargs=_session(f"-c role={SERVICE_ROLE} -c statement_timeout={SERVER_COMMAND_MILLISECONDS}")
            | {"row_factory": dict_row},
            min_size=0,
            max_size=CONNECTIONS,
            timeout=CALL_SECONDS,
            open=False,
        )
        async with AsyncExitStack() as stack:
            with _guard():
                await stack.enter_async_context(pool)
            self._pool = pool
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool = None
        await self._resources.aclose()

    def saver(self, key: SubjectKey, request_id: str) -> AsyncPostgresSaver:
        """Return the checkpointer of one request; what it raises is for `guarded`."""
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

        return AsyncPostgresSaver(self._opened(), serde=EncryptedSerializer(SubjectCipher(key, request_id)))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn failures of the database into `StorageUnavailable`."""
        with _guard():
            yield

    async def forget_old(self, age: timedelta) -> int:
        """Delete the threads whose last checkpoint is older, page by page; return how many.

        What is being asked has checkpoints of the last minute. Leaves the rest to another process that does
        the same at this moment.
        """
        forgotten, last = 0, ""
        while True:
            with _guard():
                async with self._opened().connection() as connection, connection.transaction():
                    lock = await (await connection.execute(_TRY_TO_FORGET, (FORGET_LOCK_KEY,))).fetchone()
                    if lock is None or not lock["taken"]:
                        return forgotten
                    page = await (await connection.execute(_PAGE, (last, PAGE_ROWS, age))).fetchall()
                    old = [row["thread_id"] for row in page if row["is_old"]]
                    if old:
                        await connection.execute(_FORGET, {"old": old})
            if not page:
                return forgotten
            forgotten, last = forgotten + len(old), page[-1]["thread_id"]
            await asyncio.sleep(PAUSE_SECONDS)

    def _opened(self) -> _Pool:
        if self._pool is None:
            raise StorageUnavailable("The database is closed.")
        return self._pool

    async def _make_tables(self) -> None:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg import AsyncConnection
        from psycopg.rows import dict_row

        with _guard():
            connection = await AsyncConnection.connect(
                self._database.address, row_factory=dict_row, **_session("")
            )
            async with connection:
                if await _is_current(connection, len(AsyncPostgresSaver.MIGRATIONS)):
                    return  # the usual start takes no lock
                async with _lock(connection):
                    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                    await AsyncPostgresSaver(connection).setup()
                    for grant in _GRANTS:
                        await connection.execute(grant.encode())


def _session(options: str) -> dict[str, Any]:
    return {
        "autocommit": True,
        "prepare_threshold": 0,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "cyberos",
        "options": f"-c search_path={SCHEMA} -c timezone=UTC {options}",
    }


async def _is_current(connection: AsyncConnection[DictRow], migrations: int) -> bool:
    made = await (await connection.execute(_IS_MADE.encode())).fetchone()
    if made is None or not made["made"]:
        return False
    row = await (await connection.execute(_VERSION)).fetchone()
    return row is not None and row["v"] == migrations - 1


@asynccontextmanager
async def _lock(connection: AsyncConnection[DictRow]) -> AsyncIterator[None]:
    # Polled, as for migrations: CREATE INDEX CONCURRENTLY would wait for whoever waits in the server.
    async with asyncio.timeout(LOCK_SECONDS):
        while True:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS taken", (LOCK_KEY,))
            row = await cursor.fetchone()
            if row is not None and row["taken"]:
                break
            await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))


@contextmanager
def _guard() -> Iterator[None]:
    from psycopg import Error
    from psycopg_pool import PoolTimeout

    try:
        yield
    except (Error, PoolTimeout, TimeoutError, OSError) as error:
        # Without the message: it may quote the address, and a password may be in it.
        raise StorageUnavailable(
            f"What is kept of consultations cannot be reached ({type(error).__name__})."
        ) from None
