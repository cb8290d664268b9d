"""The sequencer keeps an order, or says why it cannot."""

import asyncio

import pytest

from aiograph.testing.clock import StuckLoopError, run_virtual
from aiograph.testing.sequencer import SequenceError, Sequencer


class Scene:
    """Tasks whose blocks are numbered, and what they did."""

    def __init__(self) -> None:
        self.sequence = Sequencer()
        self.done: list[int] = []

    async def block(self, number: int) -> None:
        async with self.sequence(number):
            await asyncio.sleep(0)
            self.done.append(number)

    def start(self, *numbers: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.block(number)) for number in numbers]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def turns(count: int = 5) -> None:
    """Lets everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_blocks_run_in_the_order_of_their_numbers(scene: Scene) -> None:
    await asyncio.gather(*scene.start(3, 1, 4, 0, 2))
    assert scene.done == [0, 1, 2, 3, 4]


async def test_one_task_may_hold_several_numbers(scene: Scene) -> None:
    async def odd() -> None:
        await scene.block(1)
        await scene.block(3)

    await asyncio.gather(odd(), *scene.start(2, 0))
    assert scene.done == [0, 1, 2, 3]


async def test_a_block_waits_until_the_one_before_has_been_left(scene: Scene) -> None:
    gate = asyncio.Event()

    async def holding() -> None:
        async with scene.sequence(0):
            await gate.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(holding())
        tasks.create_task(scene.block(1))
        await turns()
        assert scene.done == []
        gate.set()
    assert scene.done == [1]


async def test_a_number_that_is_used_twice_is_an_error(scene: Scene) -> None:
    await scene.block(0)
    with pytest.raises(SequenceError, match="number 0 of the sequence is used twice"):
        await scene.block(0)
    await scene.block(1)
    assert scene.done == [0, 1]


async def test_a_number_that_still_waits_counts_as_used(scene: Scene) -> None:
    (waiting,) = scene.start(1)
    await turns()
    with pytest.raises(SequenceError, match=r"number 1 .* used twice"):
        await scene.block(1)
    await scene.block(0)
    await waiting


async def test_numbers_start_at_zero(scene: Scene) -> None:
    with pytest.raises(ValueError, match="-1 would never have its turn"):
        await scene.block(-1)


async def test_a_block_that_fails_hands_on_its_turn(scene: Scene) -> None:
    async def failing() -> None:
        async with scene.sequence(0):
            raise LookupError

    (waiting,) = scene.start(1)
    with pytest.raises(LookupError):
        await failing()
    await waiting


async def test_a_block_that_is_cancelled_hands_on_its_turn(scene: Scene) -> None:
    async def holding() -> None:
        async with scene.sequence(0):
            await asyncio.Event().wait()

    holder = asyncio.create_task(holding())
    (waiting,) = scene.start(1)
    await turns()
    holder.cancel()
    await waiting
    assert scene.done == [1]


async def test_whoever_waits_behind_a_task_that_was_cancelled_before_its_turn_is_told(scene: Scene) -> None:
    first, second, third = scene.start(1, 2, 3)
    await turns()
    second.cancel()
    with pytest.raises(SequenceError, match=r"number 3 .* for ever: the task with number 2 was cancelled"):
        await third
    with pytest.raises(SequenceError, match="number 4"):
        await scene.block(4)
    await scene.block(0)
    await first
    assert scene.done == [0, 1]


async def test_a_task_that_is_cancelled_just_as_its_turn_comes_breaks_the_sequence(scene: Scene) -> None:
    second, third = scene.start(1, 2)
    await turns()
    async with scene.sequence(0):
        pass
    second.cancel()
    with pytest.raises(SequenceError, match="number 1 was cancelled"):
        await third
    assert second.cancelled()


def test_a_number_that_nobody_uses_makes_a_virtual_loop_stuck() -> None:
    with pytest.raises(StuckLoopError, match=r"Scene.block \(test_sequencer.py:\d+\)"):
        run_virtual(Scene().block(1))
