"""A further place for checkpoints, which gets the newest one whenever it can be reached."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from subgraph.audit.checkpoint_stores import BUCKET_SECONDS, CheckpointStore
from subgraph.audit.log_tree import LogDamaged
from subgraph.errors import StorageUnavailable

RETRY_SECONDS = 5.0
"""Between two attempts at a place that cannot be reached."""

CLOSE_SECONDS = 2 * BUCKET_SECONDS
"""For the last note at the end: a place that answers at all takes it in a fraction of that."""

logger = logging.getLogger(__name__)


class Mirror:
    """Keeps what is offered in a store, in the background: a bucket that is slow or gone holds up nobody.

    `compare` is given what the store has for the newest before that is replaced, and raises when it is not of
    this log; then nothing is written there any more.
    """

    def __init__(self, store: CheckpointStore, compare: Callable[[str, str], Awaitable[None]]) -> None:
        self._store = store
        self._compare = compare
        self._offered: tuple[int, str] | None = None
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._unreachable = False
        self._task: asyncio.Task[None] | None = None

    @property
    def reachable(self) -> bool:
        """Whether the last attempt succeeded."""
        return not self._unreachable

    async def newest(self) -> str | None:
        """Return the newest note of the store; None when there is none, or it cannot be reached now."""
        try:
            return await self._store.newest()
        except StorageUnavailable as error:
            self._note(error)
            return None

    def offer(self, size: int, note: str) -> None:
        """Have a note kept; one that was offered before and still waits is left out."""
        self._offered = size, note
        self._wanted.set()
        self._settled.clear()
        if self._task is None:
            self._task = asyncio.create_task(self._keep_offered())

    async def close(self) -> None:
        """Keep what was offered last, within `CLOSE_SECONDS`, unless the store could not be reached."""
        if self._task is None:
            return
        if self._offered is not None and not self._unreachable:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._settled.wait()
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        if self._offered is not None:
            logger.warning("the newest checkpoint is not in %s", self._store.name)

    async def _keep_offered(self) -> None:
        while True:
            await self._wanted.wait()
            offered = self._offered
            assert offered is not None  # noqa: S101 -- set before the event
            try:
                there = await self._store.newest()
                if there is not None:
                    await self._compare(self._store.name, there)
                await self._store.keep(*offered)
            except LogDamaged:  # whoever compares has said so
                self._settled.set()
                return
            except StorageUnavailable as error:
                self._note(error)
                self._settled.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:  # whatever it is, the next attempt may do better
                logger.exception("no checkpoint in %s", self._store.name)
                self._settled.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._unreachable:
                logger.info("checkpoints are kept in %s again", self._store.name)
                self._unreachable = False
            if self._offered is offered:
                self._offered = None
                self._wanted.clear()
                self._settled.set()

    def _note(self, error: StorageUnavailable) -> None:
        """Say it once an outage."""
        if not self._unreachable:
            self._unreachable = True
            logger.error("%s", error.message)
