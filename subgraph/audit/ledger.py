"""The ledger: audit entries that are durable before their caller goes on.

One flush is in flight at a time and takes all that queued meanwhile (up to a bound), so that the cost of
a disk flush is shared without any timer. What can go wrong with a batch, in this order:

1. It is stored: each caller gets its sequence number.
2. PostgreSQL refuses it for an entry's sake: it is halved until the entry at fault stands alone. That
   entry's caller gets `EntryRefused`; its neighbours are stored.
3. The connection is lost meanwhile, so nobody knows. A batch is stored whole or not at all: after
   reconnecting, the ids of its entries tell which. Absent entries are sent again. Entry ids are unique in
   the database, so even if the first attempt is still under way there, one of the two fails.
4. No connection comes back in time: the callers get `StorageUnavailable`, for entries that may or may
   not be stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import asyncpg
import orjson

from subgraph.audit.entry import MAX_ENTRY_BYTES, Entry, EntryRefused
from subgraph.errors import Overloaded, StorageUnavailable
from subgraph.storage import Database
from subgraph.storage.failures import UNAVAILABLE, unavailable
from subgraph.storage.migrations import Connection

log = logging.getLogger(__name__)

QUEUE_LIMIT = 4096
"""Entries that may wait: a fifth of a second's work at the measured rate, 3 MB of usual entries."""

BATCH_LIMIT = 256
"""Entries of one flush: beyond it throughput gains little and the first caller waits for the last row."""

WAIT_SECONDS = 5.0
"""Longest wait of a caller, so that an outage is an error and not a hang."""

FLUSH_SECONDS = 2.0
"""For one append of at most `BATCH_LIMIT` rows, which takes milliseconds; then the connection is dropped,
early enough to learn the outcome within `WAIT_SECONDS`."""

EXPIRY_SECONDS = 0.25
"""How often waiting callers are looked at for `WAIT_SECONDS`."""

FIRST_PAUSE_SECONDS = 0.02
LAST_PAUSE_SECONDS = 0.5
"""Pause before connecting again, doubled until a flush succeeds: a database that recovered is in use again
within half a second, and one that fails every flush is not hammered."""

# An entry at fault: bad data (class 22), a broken constraint (23), over a limit of PostgreSQL (54).
_REFUSALS = ("22", "23", "54")

_FAILURES: tuple[type[Exception], ...] = (*UNAVAILABLE, asyncpg.PostgresError)
_CONNECT_FAILURES: tuple[type[Exception], ...] = (StorageUnavailable, *_FAILURES)


@dataclass(slots=True, eq=False)
class _Waiting:
    """An entry whose caller waits. `done` gets the sequence number."""

    encoded: bytes
    done: asyncio.Future[int]
    expires: float

    def wanted(self) -> bool:
        """Whether it should be stored: not if it is, or if its caller was told that it may not be."""
        return not self.done.done() or self.done.cancelled()

    def store(self, seq: int) -> None:
        if not self.done.done():
            self.done.set_result(seq)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Ledger:
    """The one writer of a process. `async with Ledger(database) as ledger: await ledger.append(entry)`.

    It has a connection of its own and connects again by itself whenever that is lost.
    """

    def __init__(
        self, database: Database, *, queue_limit: int = QUEUE_LIMIT, batch_limit: int = BATCH_LIMIT
    ) -> None:
        self._database = database
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._queue: deque[_Waiting] = deque()
        self._in_flight: list[_Waiting] = []
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._pause = FIRST_PAUSE_SECONDS
        self._closing = True
        self._writer: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Connect and begin to write. Raises `StorageUnavailable`."""
        await self._connect()
        self._closing = False
        self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Flush what is queued (for up to `WAIT_SECONDS`), then refuse; calling it twice is harmless."""
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            await asyncio.wait([self._writer])
            self._writer.result()
            self._writer = None
        if self._expiry is not None:
            self._expiry.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def ensure_writable(self) -> None:
        """Check before a skill runs that its entry could be written; costs nothing.

        Raises `StorageUnavailable` if the connection is gone, `Overloaded` if the queue is full.
        """
        if self._closing or self._connection is None or self._writer is None or self._writer.done():
            raise StorageUnavailable
        if len(self._queue) >= self._queue_limit:
            raise Overloaded

    async def append(self, entry: Entry | bytes) -> int:
        """Store an entry (canonical bytes, or one to encode); return its sequence number once durable.

        Raises `StorageUnavailable` if it is not known to be stored after `WAIT_SECONDS`, `Overloaded` if
        the queue is full, `EntryRefused` if it can never be stored. A caller that is cancelled stops
        waiting; its entry is stored all the same.
        """
        encoded = entry if isinstance(entry, bytes) else entry.encode()
        if len(encoded) > MAX_ENTRY_BYTES:
            raise EntryRefused(f"An audit entry of {len(encoded)} bytes exceeds {MAX_ENTRY_BYTES}.")
        self.ensure_writable()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(encoded, loop.create_future(), loop.time() + WAIT_SECONDS)
        self._queue.append(waiting)
        self._wake.set()
        if self._expiry is None:
            self._expiry = loop.call_later(EXPIRY_SECONDS, self._expire)
        return await waiting.done

    async def _write(self) -> None:
        """Write batch after batch until closed and empty; connect again whenever needed."""
        while True:
            if self._connection is None:
                if self._closing and not self._anybody_waits():
                    return
                await self._reconnect()
            elif self._in_flight:
                await self._settle(self._connection)
            elif self._queue:
                await self._flush(self._connection)
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _flush(self, connection: Connection) -> None:
        count = min(len(self._queue), self._batch_limit)
        self._in_flight = [self._queue.popleft() for _ in range(count)]
        await self._attempt(connection, self._in_flight)

    async def _attempt(
        self, connection: Connection, batch: Sequence[_Waiting], *, again: bool = False
    ) -> None:
        """Store a batch; what is settled leaves `_in_flight`, what is left there is in doubt."""
        try:
            rows = await connection.fetch(
                self._database.sql("audit_append"),
                [waiting.encoded for waiting in batch],
                timeout=FLUSH_SECONDS,
            )
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _REFUSALS:
                await self._isolate(connection, batch, error, again=again)
            else:
                self._lose(connection, error)
        except UNAVAILABLE as error:
            self._lose(connection, error)
        else:
            for waiting, row in zip(batch, rows, strict=True):
                waiting.store(row[0])
            self._settled(batch)
            self._pause = FIRST_PAUSE_SECONDS

    async def _isolate(
        self,
        connection: Connection,
        batch: Sequence[_Waiting],
        error: asyncpg.PostgresError,
        *,
        again: bool,
    ) -> None:
        if len(batch) == 1:
            if again and isinstance(error, asyncpg.UniqueViolationError):
                return  # the first attempt was stored after we looked: looking again finds it
            log.error("the audit log refused an entry: %s", error)
            refusal = EntryRefused(f"The audit log refused an entry (SQLSTATE {error.sqlstate}).")
            refusal.__cause__ = error
            batch[0].fail(refusal)
            self._settled(batch)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if self._connection is connection:
                await self._attempt(connection, half, again=again)

    async def _settle(self, connection: Connection) -> None:
        """Learn what became of entries in doubt, and send those again that are absent."""
        ids = [_entry_id(waiting.encoded) for waiting in self._in_flight]
        try:
            rows = await connection.fetch(
                self._database.sql("audit_present"), [i for i in ids if i is not None], timeout=FLUSH_SECONDS
            )
        except _FAILURES as error:
            self._lose(connection, error)
            return
        stored: dict[UUID | None, Any] = {row["entry_id"]: row["seq"] for row in rows}
        for waiting, entry_id in zip(self._in_flight, ids, strict=True):
            if entry_id in stored:
                waiting.store(stored[entry_id])
        self._in_flight = [waiting for waiting in self._in_flight if waiting.wanted()]
        if self._in_flight:
            await self._attempt(connection, self._in_flight, again=True)

    def _settled(self, batch: Sequence[_Waiting]) -> None:
        if len(batch) == len(self._in_flight):
            self._in_flight = []
        else:
            self._in_flight = [waiting for waiting in self._in_flight if waiting not in batch]

    async def _connect(self) -> None:
        connection = await self._database.connect()
        connection.add_termination_listener(self._terminated)
        self._connection = connection

    async def _reconnect(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LAST_PAUSE_SECONDS)
        try:
            await self._connect()
        except _CONNECT_FAILURES as error:  # whatever it is, the next attempt may do better
            log.debug("the ledger is not connected yet: %s", error)
        else:
            log.info("the ledger is connected again")

    def _lose(self, connection: Connection, error: Exception) -> None:
        log.warning("the ledger lost its connection: %s", type(error).__name__)
        self._terminated(connection)
        connection.terminate()

    def _terminated(self, connection: object) -> None:
        if connection is self._connection:
            self._connection = None
            self._wake.set()

    def _anybody_waits(self) -> bool:
        return any(not waiting.done.done() for waiting in (*self._in_flight, *self._queue))

    def _expire(self) -> None:
        """Fail callers that waited too long; comes again while there are any."""
        self._expiry = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiting in self._in_flight:
            if waiting.expires <= now:
                waiting.fail(unavailable(TimeoutError()))
        while self._queue and self._queue[0].expires <= now:
            self._queue.popleft().fail(unavailable(TimeoutError()))
        if self._queue or self._in_flight:
            self._expiry = loop.call_later(EXPIRY_SECONDS, self._expire)


def _entry_id(encoded: bytes) -> UUID | None:
    """The id of an entry as PostgreSQL would read it; None if it has none, and so cannot be stored."""
    try:
        return UUID(orjson.loads(encoded)["id"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
