"""Callers that append entries of the usual size, each with ids of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from benchmarks.load import run_callers
from benchmarks.samples import Samples
from tests.audit.factory import finished
from tests.support.ledger import Told

_ENTRY_ID, _INVOCATION_ID = uuid4(), uuid4()
_ENCODED = finished(entry_id=str(_ENTRY_ID), invocation_id=str(_INVOCATION_ID)).encode()


class Appender:
    """Appends entries that are new each time, and remembers the numbers that they got."""

    def __init__(self, append: Callable[[bytes], Awaitable[int]]) -> None:
        self._append = append
        self.told = Told()

    async def round(self, callers: int, seconds: float) -> Samples:
        """Measure some callers; making an entry, by replacing two ids, is part of a call."""
        return await run_callers(self._call, self._note, callers=callers, seconds=seconds)

    async def _call(self, _: int) -> tuple[int, UUID]:
        entry_id = uuid4()
        entry = _ENCODED.replace(str(_ENTRY_ID).encode(), str(entry_id).encode())
        entry = entry.replace(str(_INVOCATION_ID).encode(), str(uuid4()).encode())
        return await self._append(entry), entry_id

    def _note(self, _: int, answer: tuple[int, UUID]) -> bool:
        self.told.stored(*answer)
        return not self.told.twice
