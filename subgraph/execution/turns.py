"""Whose turn it is: calls wait by skill, and skills take turns, so that none can keep the others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Container
from typing import Generic, TypeVar

from subgraph.errors import Overloaded

T = TypeVar("T")

QUEUE_WAIT_SECONDS = 10.0
"""How long a call waits for its turn; longer than the default deadline of the call before it."""


class FairQueue(Generic[T]):
    """Futures that wait for something, by skill: each skill in turn, its own in their order."""

    def __init__(self) -> None:
        self._by_skill: dict[str, deque[asyncio.Future[T]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def make_room(self, skill: str) -> None:
        """Refuse the call that came last of the skill that has most waiting, for one of this skill.

        Raises `Overloaded` when that is this skill itself: nobody fills the queue for others.
        """
        longest = max(self._by_skill, key=lambda name: len(self._by_skill[name]), default=skill)
        if longest == skill or len(self._by_skill[longest]) <= len(self._by_skill.get(skill, ())) + 1:
            raise Overloaded
        turn = self._by_skill[longest][-1]
        self.remove(longest, turn)
        if not turn.done():
            turn.set_exception(Overloaded())

    def add(self, skill: str) -> asyncio.Future[T]:
        """Wait at the end of a skill's own queue."""
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._by_skill.setdefault(skill, deque()).append(turn)
        self._size += 1
        return turn

    def remove(self, skill: str, turn: asyncio.Future[T]) -> None:
        """Stop waiting; does nothing when it was its turn already."""
        queue = self._by_skill.get(skill)
        if queue is not None and turn in queue:
            queue.remove(turn)
            self._size -= 1
            if not queue:
                del self._by_skill[skill]

    async def wait(self, skill: str, give_back: Callable[[T], None]) -> T:
        """Wait for a turn, and return what it brings. Raises `Overloaded` after `QUEUE_WAIT_SECONDS`.

        `give_back` takes what came just as the caller was leaving.
        """
        turn = self.add(skill)
        # A third of the cost of `asyncio.timeout`, and a busy pool pays it for every call.
        expiry = asyncio.get_running_loop().call_later(QUEUE_WAIT_SECONDS, _expire, turn)
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                give_back(turn.result())
            else:
                self.remove(skill, turn)
            raise
        finally:
            expiry.cancel()

    def next(self, full: Container[str] = ()) -> tuple[str, asyncio.Future[T]] | None:
        """Take the first that still waits of the skill whose turn it is; that skill then goes to the end.

        Skills in `full` are passed over. None when nobody else waits.
        """
        for skill in list(self._by_skill):
            if skill in full:
                continue
            queue = self._by_skill.pop(skill)
            while queue:
                turn = queue.popleft()
                self._size -= 1
                if not turn.done():
                    if queue:
                        self._by_skill[skill] = queue  # a dictionary's order is that of insertion
                    return skill, turn
        return None

    def fail(self, error: Exception) -> None:
        """Fail all that wait."""
        while (found := self.next()) is not None:
            found[1].set_exception(error)


class FairSlots:
    """So many at a time. One skill never takes the last slot while there are others to take."""

    def __init__(self, size: int, *, queue_limit: int) -> None:
        self._size = size
        self._queue_limit = queue_limit
        self._each = max(1, size - 1)
        self._taken: Counter[str] = Counter()
        self._waiting: FairQueue[None] = FairQueue()

    def slot(self, skill: str) -> _Slot:
        """Hold a slot, by `async with`. Raises `Overloaded` when too many wait, or for too long."""
        return _Slot(self, skill)

    async def take(self, skill: str) -> None:
        """Wait for a slot, which `give_back` must return; raises as `slot`."""
        if self._taken.total() < self._size and self._taken[skill] < self._each:
            self._taken[skill] += 1
            return
        if len(self._waiting) >= self._queue_limit:
            self._waiting.make_room(skill)
        # Whoever gives the slot counts it.
        await self._waiting.wait(skill, lambda _: self.give_back(skill))

    def give_back(self, skill: str) -> None:
        """Return a slot; whoever is next has it."""
        self._taken[skill] -= 1
        if not self._taken[skill]:
            del self._taken[skill]
        found = self._waiting.next({name for name, taken in self._taken.items() if taken >= self._each})
        if found is not None:
            name, turn = found
            self._taken[name] += 1
            turn.set_result(None)


class _Slot:
    """A slot that is held for as long as a block runs."""

    def __init__(self, slots: FairSlots, skill: str) -> None:
        self._slots = slots
        self._skill = skill

    async def __aenter__(self) -> None:
        await self._slots.take(self._skill)

    async def __aexit__(self, *_: object) -> None:
        self._slots.give_back(self._skill)


def _expire(turn: asyncio.Future[T]) -> None:
    if not turn.done():
        turn.set_exception(Overloaded(f"no worker became free within {QUEUE_WAIT_SECONDS:.0f} s; try again"))
