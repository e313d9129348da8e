"""Deletes what LangGraph kept of consultations once it is old."""

from __future__ import annotations

import logging
from datetime import timedelta

from subgraph.cascade.threads import Threads
from subgraph.repeating import Messages, Repeating

INTERVAL_SECONDS = 3600.0
"""Between two looks at all threads; the shortest age that is asked for is as long."""

LEFT_AFTER = timedelta(hours=1)
"""Age of a thread that nobody works on any more: a consultation takes at most a minute."""

logger = logging.getLogger(__name__)

_MESSAGES = Messages(
    logger, "old consultations have to wait to be deleted", "old consultations were not deleted"
)


class ThreadUpkeep(Repeating):
    """Does it every `INTERVAL_SECONDS`, at first as soon as it is entered, and holds up nobody.

    Each replica does; the one that comes first has the turn. Use it as an async context manager.
    """

    def __init__(self, threads: Threads, age: timedelta) -> None:
        self._threads = threads
        self._age = age
        super().__init__(self._forget, INTERVAL_SECONDS, _MESSAGES)

    async def _forget(self) -> None:
        forgotten = await self._threads.forget_old(self._age)
        if forgotten:
            logger.info("what was kept of %d consultations was deleted: it was old", forgotten)
