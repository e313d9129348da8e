"""Work that is done in the background, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, Self

from subgraph.errors import SubgraphError


class Messages(NamedTuple):
    """What is logged: by whom, where the work has to wait for the next time, and where it failed."""

    logger: logging.Logger
    waits: str
    fails: str


class Repeating:
    """Does some work every so many seconds, until it is left, and holds up nobody.

    It is done as soon as this is entered, unless it `rests_first`. What it is refused for, such as a database
    that is away, and whatever else it fails of, ends one turn alone.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[object]],
        seconds: float,
        messages: Messages,
        *,
        rests_first: bool = False,
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._messages = messages
        self._rests_first = rests_first
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
        logger, waits, fails = self._messages
        if self._rests_first:
            await asyncio.sleep(self._seconds)
        while True:
            try:
                await self._work()
            except SubgraphError as refusal:
                logger.warning("%s: %s", waits, refusal.message)
            except Exception:
                logger.exception("%s", fails)
            await asyncio.sleep(self._seconds)
