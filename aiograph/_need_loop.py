"""Work that begins on the thread that waits for it, without an event loop, and goes to one when it needs it.

Whoever is about to use a loop awaits `need_loop` first. Who forgets it hears from asyncio that none runs.
"""

import asyncio
import types
from collections.abc import Generator
from typing import Any


def is_on_loop() -> bool:
    """Whether an event loop runs on this thread."""
    return asyncio._get_running_loop() is not None


@types.coroutine
def need_loop() -> Generator[None, None, None]:
    """Goes on on a loop: nothing happens if it is one that runs here."""
    if asyncio._get_running_loop() is None:
        yield  # to the call that has begun the work here, which sends the rest to its loop


def task_here() -> "asyncio.Task[Any] | None":
    """The task that runs here; `None` if there is none, or no loop."""
    return asyncio.current_task() if is_on_loop() else None
