"""The embedded PostgreSQL: the database of a fresh clone, without an installation or a setting.

Several processes may use one data directory (the service and its command line). The first starts the
server, the last to leave stops it:

1. `<data_dir>.start.lock` is held alone while anybody starts, revives or stops the server.
2. `<data_dir>.users.lock` is shared by all who use the server. Who can take it alone is the only one.
   Locks vanish with their process, so a crash leaves no stale list of users.
3. A server that a crashed process left running is found by its socket and used again.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from subgraph.errors import StorageUnavailable
from subgraph.storage import binaries
from subgraph.storage.account import choose_account, make_directories
from subgraph.storage.filelock import FileLock
from subgraph.storage.postmaster import INITIALISE_SECONDS, START_SECONDS, Postmaster

COPIES_DIR = Path("/var/lib/cyberos")
"""Where root keeps a copy of the programs if the unprivileged account cannot reach the installed ones."""

LOCK_SECONDS = INITIALISE_SECONDS + START_SECONDS
"""Longest wait for another process that starts or stops the server: as long as that may take."""

REVIVE_SECONDS = 1.0
"""Least time between two attempts to bring a dead server back, so that a broken one is not hammered."""

T = TypeVar("T")


class EmbeddedPostgres:
    """A user of the PostgreSQL server in `data_dir`, which starts with the first and stops with the last.

    `async with EmbeddedPostgres(path) as postgres: … postgres.dsn …`, or `start()` and `stop()`. All
    raise `StorageUnavailable`, with what to do about it, if the server cannot be run.
    """

    def __init__(self, data_dir: Path, *, copies_dir: Path = COPIES_DIR) -> None:
        self._data_dir = data_dir.absolute()
        self._copies_dir = copies_dir
        self._users: FileLock | None = None
        self._server: Postmaster | None = None
        self._reviving = asyncio.Lock()
        self._next_revival = 0.0

    @property
    def dsn(self) -> str:
        """Address of the running server. Raises `StorageUnavailable` before `start` and after `stop`."""
        return self._started().dsn

    async def start(self) -> str:
        """Start the server, or join one that runs, and return its DSN."""
        try:
            return await _in_thread(self._join)
        except BaseException:
            await _in_thread(self._leave)
            raise

    async def stop(self) -> None:
        """Leave the server and stop it if nobody else uses it; calling it twice is harmless."""
        await _in_thread(self._leave)

    async def revive(self) -> None:
        """Bring a server that died back; does nothing if it answers or was tried a moment ago."""
        async with self._reviving:
            if time.monotonic() >= self._next_revival:
                self._next_revival = time.monotonic() + REVIVE_SECONDS
                await _in_thread(self._bring_back)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _join(self) -> str:
        if self._users is not None:
            raise RuntimeError("this EmbeddedPostgres is already started")
        with _explained(self._data_dir):
            make_directories(self._data_dir.parent)
            with self._start_lock():
                self._users = FileLock(self._lock_path("users"))
                account = choose_account(self._data_dir)
                bin_dir = binaries.usable_by(account, self._copies_dir)
                server = Postmaster(self._data_dir, bin_dir, account)
                server.initialise()
                server.bring_up(alone=self._become_user())
                self._server = server
        return server.dsn

    def _leave(self) -> None:
        users, server = self._users, self._server
        self._users = self._server = None
        if users is None:
            return
        with users, _explained(self._data_dir), self._start_lock():
            if server is not None and users.try_exclusive():
                server.shut_down()

    def _bring_back(self) -> None:
        server = self._started()
        with _explained(self._data_dir), self._start_lock():
            server.bring_up(alone=self._become_user())

    def _become_user(self) -> bool:
        """Take our share of the users lock, and tell whether nobody else has one."""
        if self._users is None:
            raise StorageUnavailable("The embedded PostgreSQL was stopped.")
        alone = self._users.try_exclusive()
        self._users.share()
        return alone

    def _started(self) -> Postmaster:
        if self._server is None:
            raise StorageUnavailable("The embedded PostgreSQL is not started.")
        return self._server

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        with FileLock(self._lock_path("start")) as lock:
            if not lock.exclusive(LOCK_SECONDS):
                raise StorageUnavailable(
                    f"Another process has been starting or stopping the database in {self._data_dir} for "
                    f"{LOCK_SECONDS:.0f} seconds; end it and try again."
                )
            yield

    def _lock_path(self, purpose: str) -> Path:
        return self._data_dir.with_name(f"{self._data_dir.name}.{purpose}.lock")


@contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        detail = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise StorageUnavailable(
            f"The embedded PostgreSQL in {data_dir} cannot be run ({detail}); repair the cause or set "
            "CYBEROS_DATABASE_URL."
        ) from error


async def _in_thread(work: Callable[[], T]) -> T:
    """Run blocking `work` to its end in a thread, even if the caller is cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        # A lock or a server half-way up must not be left to a thread that nobody waits for.
        await asyncio.wait([running])
        raise
