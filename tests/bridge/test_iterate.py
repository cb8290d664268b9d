"""Synchronous iterators: they hold their producer back, clean up when closed, never block when forgotten."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aiograph.bridge import blocking_iter, bridge_loop
from aiograph.bridge._iterate import BUFFERED_ITEMS
from tests.bridge.kit import Background, chain, promptly, settled, there, until


class Source:
    """Counts up for ever; knows how far it has come, and whether it was closed."""

    def __init__(self, *, pause: bool = False) -> None:
        self.produced = 0
        self.closed = threading.Event()
        self.closing = threading.Event()
        self.may_close = threading.Event()
        self.may_close.set()
        self._pause = pause

    async def anumbers(self) -> AsyncIterator[int]:
        try:
            while True:
                self.produced += 1
                yield self.produced
                if self._pause:
                    await asyncio.Event().wait()
        finally:
            self.closing.set()
            await asyncio.get_running_loop().run_in_executor(None, self.may_close.wait)
            self.closed.set()

    numbers = blocking_iter(anumbers)


def test_a_slow_consumer_holds_the_producer_back() -> None:
    source = Source()
    with source.numbers() as numbers:
        for expected in range(1, 200):
            assert next(numbers) == expected
            assert source.produced <= expected + 2 * BUFFERED_ITEMS
        until(lambda: source.produced >= 199)
        there(bridge_loop(), asyncio.sleep(0.01))  # it could go on, were it not held back
        assert source.produced <= 199 + 2 * BUFFERED_ITEMS


def test_a_slow_consumer_holds_a_run_back() -> None:
    ran: list[int] = []

    async def node(state: Any) -> dict[str, Any]:
        ran.append(1)
        return {"value": len(ran)}

    with chain(*[node] * 200).stream({"value": 0}) as stream:
        next(stream)
        there(bridge_loop(), asyncio.sleep(0.02))
        assert len(ran) < 100


def test_a_producer_that_is_held_back_goes_on_when_there_is_room() -> None:
    source = Source()
    with source.numbers() as numbers:
        first = [next(numbers) for _ in range(10 * BUFFERED_ITEMS)]
    assert first == list(range(1, 10 * BUFFERED_ITEMS + 1))


@pytest.mark.parametrize("pause", [True, False], ids=["waiting", "held back"])
def test_closing_early_waits_for_the_clean_up(pause: bool) -> None:
    source = Source(pause=pause)
    source.may_close.clear()
    numbers = source.numbers()
    assert next(numbers) == 1
    closing = Background(numbers.close)
    source.closing.wait()
    assert closing.thread.is_alive()
    source.may_close.set()
    closing.result()
    assert source.closed.is_set()
    assert list(numbers) == []


def test_closing_an_early_stream_waits_for_the_clean_up_of_its_nodes() -> None:
    cleaned = threading.Event()

    async def wait(state: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            cleaned.set()

    stream = chain(lambda state: {"value": 1}, wait).stream({"value": 0})
    next(stream)
    stream.close()
    assert cleaned.is_set()


def test_closing_a_stream_waits_for_a_synchronous_node_that_runs() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def wait(state: Any) -> Any:
        begun.set()
        assert release.wait(60)
        ended.set()

    async def other(state: Any) -> Any: ...

    stream = chain(other, wait).stream({"value": 0})
    waiting = Background(lambda: next(stream, None) and next(stream, None))
    begun.wait()
    closing = Background(stream.close)
    assert closing.thread.is_alive()
    release.set()
    closing.result()
    assert ended.is_set()
    waiting.result()


def test_closing_twice_does_nothing_the_second_time() -> None:
    source = Source()
    numbers = source.numbers()
    next(numbers)
    numbers.close()
    numbers.close()


def test_a_forgotten_iterator_asks_for_the_end_and_does_not_wait_for_it() -> None:
    source = Source()
    source.may_close.clear()
    numbers = source.numbers()
    next(numbers)

    def forget() -> None:
        nonlocal numbers
        del numbers
        gc.collect()

    promptly(forget, 10)  # its clean-up cannot end before we let it
    assert source.closing.wait(30)
    source.may_close.set()
    assert source.closed.wait(30)


def test_a_forgotten_iterator_frees_a_producer_that_is_held_back() -> None:
    source = Source()
    numbers = source.numbers()
    next(numbers)
    until(lambda: source.produced > BUFFERED_ITEMS)
    del numbers
    gc.collect()
    assert source.closed.wait(30)


def test_iterators_that_are_forgotten_on_the_loop_itself_do_not_block_it() -> None:
    """The collector runs wherever it likes, on the bridge's loop as well."""
    sources = [Source() for _ in range(20)]
    streams = [source.numbers() for source in sources]
    for stream in streams:
        next(stream)
    del stream

    async def forget() -> None:
        streams.clear()
        gc.collect()

    there(bridge_loop(), forget())
    assert all(source.closed.wait(30) for source in sources)


def test_a_loop_over_a_stream_that_is_left_early_ends_the_run() -> None:
    cleaned = threading.Event()

    async def forever(state: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    for _ in chain(lambda state: {"value": 1}, forever).stream({"value": 0}):
        break
    gc.collect()
    assert cleaned.wait(30)
    settled()


def test_closing_on_one_thread_wakes_the_thread_that_waits_for_an_item() -> None:
    source = Source(pause=True)
    numbers = source.numbers()
    assert next(numbers) == 1
    waiting = Background(lambda: next(numbers, "over"))
    assert waiting.thread.is_alive()
    promptly(numbers.close)
    assert waiting.result() == "over"


def test_many_iterators_at_once_get_their_own_items() -> None:
    def consume(number: int) -> list[int]:
        with Source().numbers() as numbers:
            return [next(numbers) for _ in range(100 + number)]

    consumers = [Background(lambda number=number: consume(number)) for number in range(16)]  # type: ignore[misc]
    for number, consumer in enumerate(consumers):
        assert consumer.result() == list(range(1, 101 + number))


def test_an_iterator_without_a_way_to_close_is_iterated_as_well() -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> "Plain":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    class Owner:
        def aitems(self) -> AsyncIterator[int]:
            return Plain()

        items = blocking_iter(aitems)

    assert list(Owner().items()) == [2, 1, 0]
