"""The ledger: audit entries that are durable before their caller goes on.

One flush is in flight at a time and takes all that queued meanwhile (up to a bound), so that the cost of
a disk flush is shared without any timer. What can go wrong with a batch, in this order:

1. It is stored: each caller gets its sequence number.
2. PostgreSQL refuses it for an entry's sake: it is halved until the entry at fault stands alone. That
   entry's caller gets `EntryRefused`; its neighbours are stored.
3. The connection is lost meanwhile, so nobody knows. A batch is stored whole or not at all, and has an id:
   after reconnecting it is sent again, and PostgreSQL stores it then, or says where it stands already.
4. No connection comes back in time: the callers get `StorageUnavailable`, for entries that may or may
   not be stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID, uuid4

import asyncpg

from subgraph.audit.entry import MAX_ENTRY_BYTES, Entry, EntryRefused
from subgraph.errors import Overloaded, StorageUnavailable
from subgraph.storage import Database
from subgraph.storage.failures import UNAVAILABLE, unavailable
from subgraph.storage.migrations import Connection

log = logging.getLogger(__name__)

QUEUE_LIMIT = 4096
"""Entries that may wait: a fifth of a second's work at the measured rate, 3 MB of usual entries."""

QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait, for larger entries: 3 s of work on a busy machine, so within `WAIT_SECONDS`."""

BATCH_LIMIT = 256
"""Entries of one flush: beyond it throughput gains little and the first caller waits for the last row."""

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of one flush: 0.4 s of work on a busy machine, so within `FLUSH_SECONDS` on one that is slower."""

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

    def store(self, seq: int) -> None:
        if not self.done.done():
            self.done.set_result(seq)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Entries that are stored together; whatever was sent under its id is what is sent again."""

    entries: Sequence[_Waiting]
    batch_id: UUID = field(default_factory=uuid4)

    def store(self, first: int) -> None:
        for seq, waiting in enumerate(self.entries, start=first):
            waiting.store(seq)

    def halves(self) -> tuple[_Batch, _Batch]:
        middle = len(self.entries) // 2
        return _Batch(self.entries[:middle]), _Batch(self.entries[middle:])


class Ledger:
    """The one writer of a process. `async with Ledger(database) as ledger: await ledger.append(entry)`.

    It has a connection of its own and connects again by itself whenever that is lost.
    """

    def __init__(
        self,
        database: Database,
        *,
        queue_limit: int = QUEUE_LIMIT,
        queue_bytes: int = QUEUE_BYTES,
        batch_limit: int = BATCH_LIMIT,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._database = database
        self._queue_limit = queue_limit
        self._queue_bytes = queue_bytes
        self._batch_limit = batch_limit
        self._batch_bytes = batch_bytes
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._in_flight: deque[_Batch] = deque()
        self._connection: Connection | None = None
        self._failing = False  # the last flush failed, and no other has succeeded since
        self._wake = asyncio.Event()
        self._pause = FIRST_PAUSE_SECONDS
        self._distrusted: StorageUnavailable | None = None
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

        Raises `StorageUnavailable` if the connection is gone, the last flush failed or the log is not to be
        trusted, `Overloaded` if the queue is full: if it has no room for one more entry of any size.
        """
        if self._distrusted is not None:
            raise self._distrusted.with_traceback(None)  # or each raise would hold on to one more frame
        self._ensure_open()

    def distrust(self, reason: StorageUnavailable) -> None:
        """Let no more skills run: the log was changed. What runs is still recorded."""
        self._distrusted = reason

    def _ensure_open(self) -> None:
        if self._closing or self._connection is None or self._writer is None or self._writer.done():
            raise StorageUnavailable
        if self._failing:  # connected, but a disk may be full: the batch in flight finds out
            raise StorageUnavailable
        if len(self._queue) >= self._queue_limit or self._queued_bytes > self._queue_bytes - MAX_ENTRY_BYTES:
            raise Overloaded

    @property
    def queued(self) -> int:
        """How many entries wait for a flush to take them."""
        return len(self._queue)

    @property
    def queue_limit(self) -> int:
        """How many may wait at most."""
        return self._queue_limit

    async def append(self, entry: Entry | bytes) -> int:
        """Store an entry (canonical bytes, or one to encode); return its sequence number once durable.

        Raises `StorageUnavailable` if it is not known to be stored after `WAIT_SECONDS`, `Overloaded` if
        the queue is full, `EntryRefused` if it can never be stored. A caller that is cancelled stops
        waiting; its entry is stored all the same.
        """
        encoded = entry if isinstance(entry, bytes) else entry.encode()
        if len(encoded) > MAX_ENTRY_BYTES:
            raise EntryRefused(f"An audit entry of {len(encoded)} bytes exceeds {MAX_ENTRY_BYTES}.")
        self._ensure_open()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(encoded, loop.create_future(), loop.time() + WAIT_SECONDS)
        self._queue.append(waiting)
        self._queued_bytes += len(encoded)
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
                await self._attempt(self._connection, self._in_flight[0])
            elif self._queue:
                self._in_flight.append(self._next_batch())
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _next_batch(self) -> _Batch:
        """Take what waits, in its order: one entry, and more of them while they fit."""
        entries = [self._take()]
        room = self._batch_bytes - len(entries[0].encoded)
        while self._queue and len(entries) < self._batch_limit:
            room -= len(self._queue[0].encoded)
            if room < 0:
                break
            entries.append(self._take())
        return _Batch(entries)

    def _take(self) -> _Waiting:
        waiting = self._queue.popleft()
        self._queued_bytes -= len(waiting.encoded)
        return waiting

    async def _attempt(self, connection: Connection, batch: _Batch) -> None:
        """Store the first batch in flight; it stays there while nobody knows what became of it."""
        try:
            first = await connection.fetchval(
                self._database.sql("audit_append"),
                batch.batch_id,
                [waiting.encoded for waiting in batch.entries],
                timeout=FLUSH_SECONDS,
            )
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _REFUSALS:
                self._isolate(batch, error)
            else:
                self._lose(connection, error)
        except UNAVAILABLE as error:
            self._lose(connection, error)
        else:
            batch.store(first)
            self._in_flight.popleft()
            self._pause = FIRST_PAUSE_SECONDS
            self._recovered()

    def _isolate(self, batch: _Batch, error: asyncpg.PostgresError) -> None:
        """Replace a batch that was refused by its halves, or fail the entry that stands alone."""
        self._recovered()
        self._in_flight.popleft()
        if len(batch.entries) > 1:
            self._in_flight.extendleft(reversed(batch.halves()))
            return
        log.error("the audit log refused an entry: %s", error)
        refusal = EntryRefused(f"The audit log refused an entry (SQLSTATE {error.sqlstate}).")
        refusal.__cause__ = error
        batch.entries[0].fail(refusal)

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
            if not self._failing:
                log.info("the ledger is connected again")

    def _lose(self, connection: Connection, error: Exception) -> None:
        if not self._failing:  # once an outage, not at each attempt
            log.warning("the ledger cannot flush: %s", type(error).__name__)
        self._failing = True
        self._terminated(connection)
        connection.terminate()

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            log.info("the ledger can flush again")

    def _terminated(self, connection: object) -> None:
        if connection is self._connection:
            self._connection = None
            self._wake.set()

    def _anybody_waits(self) -> bool:
        in_flight = (waiting for batch in self._in_flight for waiting in batch.entries)
        return any(not waiting.done.done() for waiting in (*in_flight, *self._queue))

    def _expire(self) -> None:
        """Fail callers that waited too long; comes again while there are any."""
        self._expiry = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for batch in self._in_flight:
            for waiting in batch.entries:
                if waiting.expires <= now:
                    waiting.fail(unavailable(TimeoutError()))
        while self._queue and self._queue[0].expires <= now:
            self._take().fail(unavailable(TimeoutError()))
        if self._queue or self._in_flight:
            self._expiry = loop.call_later(EXPIRY_SECONDS, self._expire)
