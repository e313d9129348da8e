"""Callers that append entries of the usual size, each with ids of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from benchmarks.load import run_callers
from benchmarks.samples import Samples
from tests.audit.factory import finished
from tests.support.ledger import Told

_ENTRY_ID, _INVOCATION_ID = str(uuid4()), str(uuid4())
_ENCODED = finished(entry_id=_ENTRY_ID, invocation_id=_INVOCATION_ID).encode()


class Appender:
    """Appends entries that are new each time, and remembers the numbers that they got."""

    def __init__(self, append: Callable[[bytes], Awaitable[int]]) -> None:
        self._append = append
        self._made = 0
        # Ids count up behind something random: making them must cost next to nothing beside what is measured.
        self._prefix = str(uuid4())[:24]
        self._template = _ENCODED.replace(b"%", b"%%")
        for an_id in (_ENTRY_ID, _INVOCATION_ID):
            self._template = self._template.replace(an_id.encode(), self._prefix.encode() + b"%012x")
        self._numbers: dict[int, int] = {}
        self.told = Told()

    async def round(self, callers: int, seconds: float) -> Samples:
        """Measure some callers, and note what they were told."""
        samples = await run_callers(self._call, self._note, callers=callers, seconds=seconds)
        for seq, number in self._numbers.items():
            self.told.stored(seq, UUID(f"{self._prefix}{number:012x}"))
        self._numbers.clear()
        return samples

    async def _call(self, _: int) -> tuple[int, int]:
        self._made = number = self._made + 1
        return await self._append(self._template % (number, number)), number

    def _note(self, _: int, answer: tuple[int, int]) -> bool:
        seq, number = answer
        return self._numbers.setdefault(seq, number) == number
