"""What every test gets: one plain asyncio loop, a real PostgreSQL on request, and a clean-up check.

A test fails if it leaves behind a task on its loop, a thread of its own, or something unclosed.
"""

import asyncio
import functools
import gc
import inspect
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from aiograph.testing.postgres import PostgresServer, PostgresUnavailableError, locate, postgres_server

# Machines that run tests are shared and slow at times, so examples have no deadline; and continuous
# integration judges a change, not its luck: there the same examples are drawn each time.
settings.register_profile("aiograph", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("aiograph")

POOLED_THREADS = ("aiograph-bridge", "aiograph-worker", "asyncio_", "uvloop_", "AnyIO worker thread")
"""First words of the names of threads that outlive a test on purpose: they are kept for the next one."""


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop of async tests: stock asyncio; debug mode only where PYTHONASYNCIODEBUG asks for it."""
    options: dict[str, Any] = {"use_uvloop": False}
    if sys.platform == "win32":
        # psycopg needs a loop that can watch sockets
        options["loop_factory"] = asyncio.SelectorEventLoop
    return "asyncio", options


# -- PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server, one for the whole session. Fails, and never skips, where there is none."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """The connection string of an empty database that this test has to itself."""
    with postgres.create_database() as conninfo:
        yield conninfo


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "leave out the tests that need a PostgreSQL server"
    parser.addoption("--no-postgres", action="store_true", help=text)


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--no-postgres"):
        return "postgres: left out (--no-postgres)"
    try:
        return f"postgres: {locate()}"
    except PostgresUnavailableError as error:
        return f"postgres: tests that need it will fail, or use --no-postgres: {error}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--no-postgres"):
        left_out = [item for item in items if _needs_postgres(item)]
        items[:] = [item for item in items if not _needs_postgres(item)]
        config.hook.pytest_deselected(items=left_out)


def _needs_postgres(item: pytest.Item) -> bool:
    return "postgres" in getattr(item, "fixturenames", ()) or item.get_closest_marker("postgres") is not None


# -- nothing left behind ---------------------------------------------------------------------------


def pytest_collection_finish() -> None:
    """Takes what exists by now out of the collector's sight, so that a collection per test is cheap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test whose threads live on; makes the test that forgot to close something see the warning.

    Set up before, and so torn down after, every other fixture of the test.
    """
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [thread for thread in threading.enumerate() if thread not in before and _lives_on(thread)]
    if left:
        pytest.fail(f"threads left running: {left}")


def _lives_on(thread: threading.Thread) -> bool:
    if thread.name.startswith(POOLED_THREADS):
        return False
    thread.join(1.0)  # at once, unless it is a leak
    return thread.is_alive()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Looks for left tasks while the test's loop still stands: closing it would cancel them unseen."""
    test = pyfuncitem.obj
    handle = getattr(test, "hypothesis", None)
    if handle is not None and inspect.iscoroutinefunction(handle.inner_test):
        handle.inner_test = _leaving_no_task(handle.inner_test)
    elif inspect.iscoroutinefunction(test):
        pyfuncitem.obj = _leaving_no_task(test)
    return (yield)


def _leaving_no_task(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        left = asyncio.all_tasks() - before
        closing = {task for task in left if _closes_a_generator(task)}
        if closing:
            await asyncio.wait(closing, timeout=5.0)
        left = {task for task in left if not task.done()}
        for task in left:
            task.cancel()
        if left:
            pytest.fail(f"tasks left running: {left}")

    return checked


def _closes_a_generator(task: "asyncio.Task[Any]") -> bool:
    """Whether the loop has made it for a generator that was collected: a library's, or another test's.

    The collector comes when it likes, in the last step of a test as well.
    """
    return type(task.get_coro()).__name__ == "async_generator_athrow"
