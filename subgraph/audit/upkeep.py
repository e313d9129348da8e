"""What the log needs now and then: partitions made ahead of its entries, and old batch ids forgotten."""

from __future__ import annotations

import logging
from typing import Self

from subgraph.repeating import Messages, Repeating
from subgraph.storage import Database

INTERVAL_SECONDS = 30.0
"""The partitions ahead hold eight million entries: four minutes of the fastest load."""

_MESSAGES = Messages(
    logging.getLogger(__name__), "the audit log's upkeep has to wait", "the audit log's upkeep failed"
)


class Upkeep(Repeating):
    """Does it at the start and every `INTERVAL_SECONDS`. Use it as an async context manager."""

    def __init__(self, database: Database) -> None:
        self._database = database
        super().__init__(self._maintain, INTERVAL_SECONDS, _MESSAGES, rests_first=True)

    async def __aenter__(self) -> Self:
        """Do it once. Raises `StorageUnavailable`."""
        await self._maintain()
        return await super().__aenter__()

    async def _maintain(self) -> None:
        await self._database.execute("audit_maintain")
