"""What the tests of the bridge share: small graphs, calls that must not hang, scripts run on their own."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import pytest

from aiograph import _threads
from aiograph.graph import END, START, StateGraph
from aiograph.graph.state import CompiledStateGraph

T = TypeVar("T")

HOME = Path(__file__).parent.parent.parent

PATIENCE = 30.0
"""Seconds after which something counts as hanging. Long, as machines are slow at times; never waited for."""

Graph = CompiledStateGraph[Any, Any, Any, Any]


class State(TypedDict, total=False):
    n: int


class Box(TypedDict):
    """A state of one key, for nodes that hand on anything."""

    value: Any


def chain(*nodes: Callable[..., Any], schema: type = Box, inline: bool = False, **options: Any) -> Graph:
    """A graph whose nodes run one after the other."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(schema)
    names = [START, *(f"node_{number}" for number in range(len(nodes))), END]
    for name, node in zip(names[1:], nodes, strict=False):
        builder.add_node(name, node, inline=inline)
    for name, following in pairwise(names):
        builder.add_edge(name, following)
    return builder.compile(**options)


def fan(*nodes: Callable[..., Any], schema: type, **options: Any) -> Graph:
    """A graph whose nodes run side by side, in one superstep."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(schema)
    for number, node in enumerate(nodes):
        name = f"node_{number:03}"
        builder.add_node(name, node)
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile(**options)


class Background(Generic[T]):
    """A call on a thread of its own, which must not hang."""

    def __init__(self, fn: Callable[[], T]) -> None:
        self._fn = fn
        self._result: T | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="background", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._result = self._fn()
        except BaseException as error:
            self.error = error

    def result(self, patience: float = PATIENCE) -> T:
        self.thread.join(patience)
        if self.thread.is_alive():
            pytest.fail(f"{self._fn} hangs")
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # set, as there was no error


def promptly(fn: Callable[[], T], patience: float = PATIENCE) -> T:
    """What `fn` returns or raises, on a thread of its own; fails where it hangs."""
    return Background(fn).result(patience)


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Waits for what another thread is about to do, and nobody tells of."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never became true: {condition}")
        time.sleep(0.001)


def settled() -> _threads.ThreadStatistics:
    """The statistics of threads, once none is busy; a thread says so just after its answer has arrived."""
    until(lambda: _threads.thread_statistics().busy == 0)
    return _threads.thread_statistics()


@contextmanager
def live_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs on a thread of its own, as that of a web server does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="live-loop")
    thread.start()
    until(loop.is_running)
    try:
        yield loop
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def there(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    """What a coroutine returns on another thread's loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)


# -- scripts ---------------------------------------------------------------------------------------

PROLOGUE = """
import asyncio, os, signal, sys, threading, time
from typing import Any, TypedDict
from aiograph.bridge import bridge_loop, shutdown
from aiograph._threads import thread_statistics
from aiograph.graph import END, START, StateGraph
from tests.bridge.kit import Box, chain, fan, until

def say(*words):
    # in one piece: a parent and its child may speak at once
    print(" ".join(map(str, words)) + chr(10), end="", flush=True)

def ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

def main_thread_waits():
    # and not on its way into a synchronous call, or out of one
    return sys._current_frames()[threading.main_thread().ident].f_code.co_name == "_receive"
"""


class Done:
    """How a script ended."""

    def __init__(self, process: "subprocess.CompletedProcess[str]", seconds: float) -> None:
        self.code = process.returncode
        self.said = process.stdout.splitlines()
        self.complaints = process.stderr
        self.seconds = seconds


def script(*parts: str, patience: float = 60, **environment: str) -> Done:
    """Runs code in a process of its own, warnings being errors; fails where it hangs."""
    started = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(map(textwrap.dedent, (PROLOGUE, *parts)))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HOME), *sys.path]), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=patience,
    )
    return Done(process, time.monotonic() - started)
