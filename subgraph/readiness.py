"""Skills that are made ready before anybody calls them, when an event comes that they wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from subgraph.catalog import Catalog, SkillHeader, exact_name
from subgraph.catalog.activation_events import normalised
from subgraph.errors import InputInvalid, SubgraphError
from subgraph.execution.invoker import Invoker

logger = logging.getLogger(__name__)


class Readiness:
    """Makes skills ready. Use it as an async context manager: at its end, what it does is stopped."""

    def __init__(self, catalog: Catalog, invoker: Invoker) -> None:
        self._catalog = catalog
        self._invoker = invoker
        self._activating: dict[str, asyncio.Task[list[SkillHeader]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = list(self._activating.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def activate(self, event: str) -> list[SkillHeader]:
        """Make the skills ready that wait for an event, such as `onCommand:pay`.

        Their files are read and their components compiled before anybody calls them. Returns those that are
        ready now. Raises `InputInvalid` for what is no event.
        """
        if normalised(event) is None:
            raise InputInvalid(
                "no such event; there are onStartup, onSkill:<path>, onCommand:<id> and onKeyword:<word>"
            )
        return await self._make_ready(self._catalog.activated_by(event), event)

    def notice(self, event: str) -> None:
        """Make ready, in the background, the operator's own skills that wait for an event that has come.

        Skills from elsewhere are made ready when somebody says so: nobody chose to have them take time here.
        """
        waiting = [each for each in self._catalog.activated_by(event) if each.trusted]
        if event in self._activating or not waiting:
            return
        task = asyncio.create_task(self._make_ready(waiting, event))
        self._activating[event] = task
        task.add_done_callback(lambda _: self._activating.pop(event, None))

    async def _make_ready(self, waiting: Sequence[SkillHeader], event: str) -> list[SkillHeader]:
        """Make skills ready that wait for an event; one that cannot be does not keep others from it."""
        ready = []
        for header in waiting:
            try:
                if await self._invoker.make_ready(exact_name(header.path)):
                    ready.append(header)
            except SubgraphError as error:
                logger.warning("skill %r could not be made ready for %s: %s", header.path, event, error)
        return ready
