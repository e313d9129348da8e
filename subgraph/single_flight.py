"""Work that many ask for and one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs one piece of work for each key at a time; whoever asks meanwhile gets the same outcome.

    A caller that goes away does not stop the work, which others may wait for.
    """

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def finished(self, key: K) -> None:
        """Wait until the work that runs for `key`, if any, has ended, however it ended."""
        task = self._tasks.get(key)
        if task is not None:
            await asyncio.wait([task])

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what the work for `key` returns, starting it unless it runs; raises what it raises."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(work())
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return await asyncio.shield(task)
