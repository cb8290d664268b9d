"""Outlasting a cancellation of either kind."""

import asyncio

import anyio
import pytest

from aiograph._cancel import outlast, until_done


async def test_it_returns_what_the_future_holds() -> None:
    assert await outlast(asyncio.ensure_future(asyncio.sleep(0, "result"))) == "result"


async def test_it_raises_what_the_future_holds() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError("held"))
    with pytest.raises(ValueError, match="held"):
        await outlast(future)


@pytest.mark.parametrize("times", [1, 30])
async def test_a_cancellation_is_raised_once_the_future_is_done(times: int) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(outlast(future))
    await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    assert not future.done()
    future.set_result("kept")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.result() == "kept"


async def test_the_cancellation_of_a_scope_is_raised_once_the_future_is_done() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with anyio.CancelScope() as scope:
        scope.cancel()
        asyncio.get_running_loop().call_later(0.01, future.set_result, "kept")
        await outlast(future)
    assert scope.cancelled_caught
    assert future.result() == "kept"


async def test_an_error_meanwhile_is_the_cause_of_the_cancellation() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(outlast(future))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    future.set_exception(ValueError("meanwhile"))
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert repr(caught.value.__cause__) == "ValueError('meanwhile')"


async def test_a_future_that_is_cancelled_itself_cancels_whoever_waits() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(outlast(future))
    await asyncio.sleep(0)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_round_it_is_a_timeout() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, future.set_result, None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await outlast(future)


async def test_waiting_for_the_end_swallows_cancellations_and_errors() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(until_done(future))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    future.set_exception(ValueError("nobody's business"))
    await task
    future.exception()
