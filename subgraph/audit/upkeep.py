"""What the log needs now and then: partitions made ahead of its entries, and old batch ids forgotten."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from subgraph.errors import StorageUnavailable
from subgraph.storage import Database

INTERVAL_SECONDS = 30.0
"""The partitions ahead hold eight million entries: four minutes of the fastest load."""

logger = logging.getLogger(__name__)


class Upkeep:
    """Does it at the start and every `INTERVAL_SECONDS`. Use it as an async context manager."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Do it once. Raises `StorageUnavailable`."""
        await self._database.execute("audit_maintain")
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
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self._database.execute("audit_maintain")
            except StorageUnavailable as error:
                logger.warning("the audit log's upkeep has to wait: %s", error.message)
            except Exception:
                logger.exception("the audit log's upkeep failed")
