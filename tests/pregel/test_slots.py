"""Slots pass from callers to called and back, and from whoever leaves to whoever waits longest."""

import asyncio

import pytest

from aiograph.pregel._slots import Slots


async def is_held_back(slots: Slots, task: str, caller: str | None = None) -> bool:
    taking = asyncio.create_task(slots.take(task, caller))
    await asyncio.sleep(0)
    waits = not taking.done()
    taking.cancel()
    await asyncio.wait([taking])
    return waits


async def test_as_many_as_there_are_slots_are_let_in() -> None:
    slots = Slots(2)
    await slots.take("a")
    await slots.take("b")
    assert await is_held_back(slots, "c")


async def test_who_leaves_lets_in_who_has_waited_longest() -> None:
    slots, entered = Slots(1), []

    async def enter(task: str) -> None:
        await slots.take(task)
        entered.append(task)

    await slots.take("a")
    waiting = [asyncio.create_task(enter(task)) for task in "bc"]
    await asyncio.sleep(0)
    slots.leave("a")
    await waiting[0]
    assert entered == ["b"]
    slots.leave("b")
    await waiting[1]
    assert entered == ["b", "c"]


async def test_a_caller_hands_its_slot_on_and_gets_it_back() -> None:
    slots = Slots(1)
    await slots.take("caller")
    await slots.take("called", "caller")
    assert await is_held_back(slots, "other")
    assert await is_held_back(slots, "second", "caller")
    slots.leave("called", "caller")
    assert await is_held_back(slots, "other")
    slots.leave("caller")
    assert not await is_held_back(slots, "other")


async def test_who_has_no_slot_gives_none_back() -> None:
    slots = Slots(1)
    await slots.take("a")
    slots.leave("nobody")
    assert await is_held_back(slots, "b")


async def test_who_gives_up_waiting_is_passed_over() -> None:
    slots = Slots(1)
    await slots.take("a")
    first, second = (asyncio.create_task(slots.take(task)) for task in "bc")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    slots.leave("a")
    await second


async def test_who_is_cancelled_in_the_moment_of_being_let_in_passes_the_slot_on() -> None:
    slots = Slots(1)
    await slots.take("a")
    first, second = (asyncio.create_task(slots.take(task)) for task in "bc")
    await asyncio.sleep(0)
    slots.leave("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second


async def test_who_gives_up_waiting_may_hear_of_it_after_a_slot_has_passed_it_over() -> None:
    slots = Slots(1)
    await slots.take("a")
    first, second = (asyncio.create_task(slots.take(task)) for task in "bc")
    await asyncio.sleep(0)
    first.cancel()
    slots.leave("a")
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
