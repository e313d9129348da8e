"""All skills as they are now: found, read when somebody asks for one, and watched for changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from subgraph.catalog import watching
from subgraph.catalog.activated_skill import ActivatedSkill, read_skill
from subgraph.catalog.discovery import COMPONENT_PATH, PASSED_OVER
from subgraph.catalog.header import SkillHeader, SkillRoot
from subgraph.catalog.problem import MANIFEST_NAME, Problem
from subgraph.catalog.registry import Registry
from subgraph.errors import SourceInvalid
from subgraph.single_flight import SingleFlight

ACTIVE_LIMIT = 256
"""Bound of the activated skills in memory; one that was not asked for longest is read again."""

_SETTLE_SECONDS = 0.1  # longer than `is_settled` asks for
_REST_FACTOR = 10  # at most a tenth of the time goes into scans, however fast files change
_LONGEST_REST_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Catalog:
    """All skills below some roots.

    `async with Catalog(...)` finds them and, until it is left, notices what changes on disk. `index_file` is
    where headers are kept over restarts; None for nowhere.
    """

    def __init__(self, roots: Iterable[SkillRoot], index_file: Path | None = None) -> None:
        self._roots = tuple(roots)
        self._registry = Registry(self._roots, index_file)
        self._active: OrderedDict[str, ActivatedSkill] = OrderedDict()
        self._reading: SingleFlight[str, ActivatedSkill] = SingleFlight()
        self._scanning: SingleFlight[str, None] = SingleFlight()
        self._listeners: list[Callable[[], None]] = []
        self._told = 0  # the generation that listeners know
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.scan()
        self._watching = asyncio.get_running_loop().create_task(self._watch())
        self._watching.add_done_callback(_log_failure)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._watching = self._watching, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    @property
    def generation(self) -> int:
        """A number that is another one whenever a header was added, changed or removed."""
        return self._registry.generation

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` on the event loop after each change of `generation`; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def scan(self) -> None:
        """Find all skills; reads the head of each SKILL.md that is new or has changed."""
        # A scan that runs may have passed the last change; the next one is shared by all who wait.
        await self._scanning.finished("")
        await self._scanning.run("", lambda: asyncio.to_thread(self._registry.scan))
        self._tell()

    def get(self, name: str) -> SkillHeader:
        """Find a skill by path or short name. Raises `SkillNotFound` and `SkillAmbiguous`."""
        return self._registry.get(name)

    def activated_by(self, event: str) -> list[SkillHeader]:
        """Return the skills that ask to be activated by an event, in the order of their paths.

        Events are `onStartup`, `onSkill:<path>`, `onCommand:<id>` and `onKeyword:<word>`; anything else
        activates nothing.
        """
        return self._registry.activated_by(event)

    def problems(self) -> list[Problem]:
        """Return the warnings about skills and why others are left out, in the order of their paths."""
        return self._registry.problems()

    def problems_of(self, path: str) -> list[Problem]:
        """Return the problems of the skill at one path."""
        return self._registry.problems_of(path)

    async def current(self, name: str) -> SkillHeader:
        """Find a skill as `get` does, with its header as its SKILL.md is at this moment."""
        header = self._registry.get(name)
        if self._registry.is_current(header):
            return header
        header = await asyncio.to_thread(self._registry.read_again, header)
        self._tell()
        return header

    def headers(self) -> list[SkillHeader]:
        """Return the skills that are known in the order of their paths; reads nothing."""
        return list(self._registry)

    async def current_headers(self) -> list[SkillHeader]:
        """Return the skills that are there in the order of their paths, as their files are now."""
        await self.scan()
        return list(self._registry)

    async def activate(self, name: str, *, anew: bool = False) -> ActivatedSkill:
        """Return a skill as its files are at this moment, reading them when they have changed.

        `anew` reads them in any case: what a person is about to approve must not rest on time stamps.
        Raises `SkillNotFound`, `SkillAmbiguous`, and `SourceInvalid` when the files are not a skill.
        """
        header = self._registry.get(name)
        if anew:
            await self._reading.finished(header.path)
            return await self._reading.run(header.path, lambda: self._read(header))
        active = self._unchanged(header)
        if active is not None:
            return active
        # A read that runs may have begun before the last change; the next one is shared by all who wait.
        await self._reading.finished(header.path)
        active = self._unchanged(header)
        if active is not None:
            return active
        return await self._reading.run(header.path, lambda: self._read(header))

    def _unchanged(self, header: SkillHeader) -> ActivatedSkill | None:
        active = self._active.get(header.path)
        # A skill of an earlier root may have taken the path.
        if active is None or active.header.root != header.root or not active.tree.unchanged():
            return None
        self._active.move_to_end(header.path)
        return active

    async def _read(self, header: SkillHeader) -> ActivatedSkill:
        try:
            active = await asyncio.to_thread(read_skill, header)
        except SourceInvalid as error:
            raise SourceInvalid(f"{header.path}: {error.message}") from error
        self._active[header.path] = active
        self._active.move_to_end(header.path)
        while len(self._active) > ACTIVE_LIMIT:
            self._active.popitem(last=False)
        self._registry.put(active.header)
        self._tell()
        return active

    def _tell(self) -> None:
        if self._told != self._registry.generation:
            self._told = self._registry.generation
            for listener in tuple(self._listeners):
                listener()

    async def _watch(self) -> None:
        roots = [root.directory for root in self._roots]
        async with contextlib.aclosing(watching.changes(roots, self._concerns)) as changes:
            async for _ in changes:
                started = time.monotonic()
                try:
                    await self.scan()
                    if self._registry.unsettled:
                        await asyncio.sleep(_SETTLE_SECONDS)
                        await self.scan()
                except Exception:
                    # The next change is a new try; what runs is looked at again in any case.
                    logger.exception("skills could not be looked for")
                took = time.monotonic() - started
                await asyncio.sleep(min(_LONGEST_REST_SECONDS, _REST_FACTOR * took))

    def _concerns(self, path: str) -> bool:
        """Whether a change at a path can change a header: most files of a skill cannot."""
        for root in self._roots:
            prefix = f"{os.fspath(root.directory)}/"
            if path.startswith(prefix):
                break
        else:
            return True  # a root itself
        parts = path.removeprefix(prefix).split("/")
        for end in range(1, len(parts)):
            if self._registry.holds("/".join(parts[:end])):
                return "/".join(parts[end:]) in (MANIFEST_NAME, COMPONENT_PATH, COMPONENT_PATH.split("/")[0])
        return PASSED_OVER.isdisjoint(parts)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("changes of skills are no longer noticed", exc_info=error)
