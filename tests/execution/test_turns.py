"""Whose turn it is, and what becomes of a turn whose call has gone."""

from __future__ import annotations

import asyncio

import pytest

from subgraph.errors import Overloaded
from subgraph.execution import turns
from subgraph.execution.turns import FairSlots
from tests.support.postgres import run


async def settle() -> None:
    """Let every task go on as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_skill_leaves_the_last_slot_to_others() -> None:
    async def scenario() -> None:
        slots = FairSlots(3, queue_limit=9)
        await slots.take("a")
        await slots.take("a")
        third = asyncio.create_task(slots.take("a"))
        await settle()
        assert not third.done()
        await slots.take("b")
        slots.give_back("b")
        await settle()
        assert not third.done()
        slots.give_back("a")
        await third

    run(scenario())


def test_skills_take_turns_and_each_keeps_its_own_order() -> None:
    async def scenario() -> None:
        slots, order = FairSlots(1, queue_limit=9), list[str]()
        await slots.take("busy")

        async def call(name: str) -> None:
            async with slots.slot(name[0]):
                order.append(name)

        waiting = []
        for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
            waiting.append(asyncio.create_task(call(name)))
            await settle()
        slots.give_back("busy")
        await asyncio.gather(*waiting)
        assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]

    run(scenario())


def test_too_many_that_wait_are_refused_and_cost_nobody_else() -> None:
    async def scenario() -> None:
        slots = FairSlots(1, queue_limit=1)
        await slots.take("a")
        waiting = asyncio.create_task(slots.take("b"))
        await settle()
        with pytest.raises(Overloaded):
            await slots.take("c")
        slots.give_back("a")
        await waiting

    run(scenario())


def test_who_waits_too_long_is_refused_and_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "QUEUE_WAIT_SECONDS", 0.01)

    async def scenario() -> None:
        slots = FairSlots(1, queue_limit=1)
        await slots.take("a")
        for _ in range(3):
            with pytest.raises(Overloaded, match="no worker became free"):
                await slots.take("b")
        slots.give_back("a")
        await slots.take("b")

    run(scenario())


@pytest.mark.parametrize("has_its_turn", [False, True], ids=["before its turn", "in its turn"])
def test_who_goes_away_leaves_the_slot_to_the_next(has_its_turn: bool) -> None:
    async def scenario() -> None:
        slots = FairSlots(1, queue_limit=9)
        await slots.take("a")
        leaving = asyncio.create_task(slots.take("b"))
        await settle()
        if has_its_turn:
            slots.give_back("a")  # `leaving` has not gone on yet
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        if not has_its_turn:
            slots.give_back("a")
        await slots.take("c")

    run(scenario())


def test_a_slot_is_given_back_when_the_call_fails() -> None:
    async def scenario() -> None:
        slots = FairSlots(1, queue_limit=1)
        for _ in range(3):
            with pytest.raises(ValueError, match="failed"):
                async with slots.slot("a"):
                    raise ValueError("failed")

    run(scenario())


def test_a_full_queue_refuses_the_skill_that_fills_it() -> None:
    async def scenario() -> None:
        slots = FairSlots(1, queue_limit=4)
        await slots.take("a")
        hog = [asyncio.create_task(slots.take("hog")) for _ in range(4)]
        await settle()
        with pytest.raises(Overloaded):
            await slots.take("hog")
        meek = asyncio.create_task(slots.take("meek"))
        await asyncio.wait([hog[-1]], timeout=5)
        assert isinstance(hog[-1].exception(), Overloaded)
        assert not any(each.done() for each in hog[:-1])
        for skill in ("a", "hog"):
            slots.give_back(skill)
            await settle()
        await meek
        for each in hog:
            each.cancel()
        await asyncio.gather(*hog, return_exceptions=True)

    run(scenario())


def test_a_full_queue_of_many_skills_is_full() -> None:
    async def scenario() -> None:
        slots = FairSlots(1, queue_limit=3)
        await slots.take("a")
        waiting = [asyncio.create_task(slots.take(skill)) for skill in "bcd"]
        await settle()
        for skill in "eb":
            with pytest.raises(Overloaded):
                await slots.take(skill)
        assert not any(each.done() for each in waiting)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(scenario())
