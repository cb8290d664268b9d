"""The one daemon thread that owns an event loop for the process.

Started by the first synchronous call, ended at exit, replaced after a fork.
"""

import asyncio
import atexit
import os
import threading
from typing import cast

SHUTDOWN_SECONDS = 5.0
"""How long the end of the process waits for the clean-up of work that still runs."""

Loop = asyncio.AbstractEventLoop


class _LoopThread:
    """An event loop and the daemon thread that runs it."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name="aiograph-bridge", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def close(self, patience: float) -> None:
        """Cancels what runs, waits up to `patience` seconds for its clean-up, and ends the thread."""
        if self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self._drain(patience)))
        self._thread.join(patience + 1)
        if not self._thread.is_alive():
            self.loop.close()

    async def _drain(self, patience: float) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()
        self.loop.stop()


def _new_loop() -> Loop:
    """uvloop's when it is installed (`AIOGRAPH_LOOP=asyncio` says no), else a selector loop.

    A selector loop on Windows too: psycopg cannot use the Proactor loop.
    """
    choice = os.environ.get("AIOGRAPH_LOOP", "auto")
    if choice not in ("auto", "uvloop", "asyncio"):
        raise ValueError(f"AIOGRAPH_LOOP is {choice!r}; it may be 'auto', 'uvloop' or 'asyncio'")
    if choice != "asyncio":
        try:
            import uvloop
        except ImportError:
            if choice == "uvloop":
                raise
        else:
            return cast(Loop, uvloop.new_event_loop())
    return asyncio.SelectorEventLoop()


_lock = threading.Lock()
_loop_thread: _LoopThread | None = None


def bridge_loop() -> Loop:
    """The loop that serves synchronous calls; started when first asked for."""
    global _loop_thread
    with _lock:
        if _loop_thread is None:
            _loop_thread = _LoopThread()
        return _loop_thread.loop


def shutdown(patience: float = SHUTDOWN_SECONDS) -> None:
    """Ends the loop thread; the next synchronous call starts a new one.

    Args:
        patience: Seconds to wait for the clean-up of work that still runs.
    """
    global _loop_thread
    with _lock:
        thread, _loop_thread = _loop_thread, None
    if thread is not None:
        thread.close(patience)


def _forget_loop_thread() -> None:
    """In a forked child: the parent's loop is not ours to close, as the two share its selector."""
    global _lock, _loop_thread
    _lock = threading.Lock()
    _loop_thread = None
    asyncio._set_running_loop(None)


atexit.register(shutdown)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop_thread)
