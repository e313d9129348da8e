"""Deletes what LangGraph kept of consultations once it is old."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from types import TracebackType
from typing import Self

from subgraph.cascade.threads import Threads
from subgraph.errors import StorageUnavailable

INTERVAL_SECONDS = 3600.0
"""Between two looks at all threads; the shortest age that is asked for is as long."""

LEFT_AFTER = timedelta(hours=1)
"""Age of a thread that nobody works on any more: a consultation takes at most a minute."""

logger = logging.getLogger(__name__)


class ThreadUpkeep:
    """Does it every `INTERVAL_SECONDS`, at first as soon as it is entered, and holds up nobody.

    Each replica does; the one that comes first has the turn. Use it as an async context manager.
    """

    def __init__(self, threads: Threads, age: timedelta) -> None:
        self._threads = threads
        self._age = age
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._repeat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _repeat(self) -> None:
        while True:
            try:
                forgotten = await self._threads.forget_old(self._age)
                if forgotten:
                    logger.info("what was kept of %d consultations was deleted: it was old", forgotten)
            except StorageUnavailable as error:
                logger.warning("old consultations have to wait to be deleted: %s", error.message)
            except Exception:
                logger.exception("old consultations were not deleted")
            await asyncio.sleep(INTERVAL_SECONDS)
