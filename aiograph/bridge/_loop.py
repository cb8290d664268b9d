"""The one daemon thread that owns an event loop for the process.

Started by the first synchronous call, ended at exit, replaced after a fork.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import cast

from aiograph import _threads
from aiograph.errors import BridgeClosedError

SHUTDOWN_SECONDS = 5.0
"""How long the end of the process waits for the clean-up of work that still runs."""

_DESCRIPTORS = 16
"""More than an event loop opens at once."""

Loop = asyncio.AbstractEventLoop

errands: "set[asyncio.Task[None]]" = set()
"""The tasks that loops, this one or others, run for somebody elsewhere. A loop refers to its tasks weakly;
these must live even if nobody waits for them any more."""

ended_with_the_interpreter: set[Loop] = set()
"""Whoever still waits for one of these is a daemon thread, about to vanish: waking it would only have it
complain."""


class _LoopThread:
    """An event loop and the daemon thread that runs it."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self.patience = SHUTDOWN_SECONDS
        self.has_started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aiograph-bridge", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self.loop.close()
            raise BridgeClosedError(
                "no thread can be started for synchronous calls, as the interpreter shuts down or the system "
                f"has none left: {error}"
            ) from error

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self.has_started.set)
        try:
            self._run_until_stopped()
            self.loop.run_until_complete(self._drain())
        finally:
            self.loop.close()

    def _run_until_stopped(self) -> None:
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # it escaped from a task that user code made, and which keeps it for whoever awaits it
                continue
            return

    async def _drain(self) -> None:
        _threads.give_up_on(self.loop)
        loop, me = self.loop, asyncio.current_task()
        deadline = loop.time() + self.patience
        # again and again, as calls may still arrive
        while (tasks := asyncio.all_tasks() - {me}) and loop.time() < deadline:
            # these cancel what they have started; to cancel that as well would break off its clean-up
            wave = tasks & errands or tasks
            for task in wave:
                task.cancel()
            await asyncio.wait(wave, timeout=deadline - loop.time())
        await loop.shutdown_asyncgens()
        with suppress(RuntimeError):  # late in the interpreter's life there is no thread for it
            await loop.shutdown_default_executor()

    def close(self, patience: float) -> None:
        """Cancels what runs, waits up to `patience` seconds for its clean-up, and ends the thread."""
        self.patience = patience
        with suppress(RuntimeError):  # it is closed already
            self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(patience + 1)


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
            _require_descriptors()
            return cast(Loop, uvloop.new_event_loop())
    return asyncio.SelectorEventLoop()


def _require_descriptors() -> None:
    """Has there be as many as a loop of uvloop's needs: where there are not, libuv aborts the process.

    Raises:
        OSError: There are not.
    """
    with ExitStack() as spare:
        for _ in range(_DESCRIPTORS):
            spare.enter_context(open(os.devnull, "rb", buffering=0))


_lock = threading.Lock()
_loop_thread: _LoopThread | None = None
_parents: list[_LoopThread] = []
"""In a forked child: kept, as neither asyncio nor uvloop likes a loop to vanish that seems to run."""


def bridge_loop() -> Loop:
    """The loop that serves synchronous calls; started when first asked for, replaced if it was stopped.

    Raises:
        BridgeClosedError: The interpreter shuts down, or the system has no thread left to give.
        OSError: The process may open no more files.
    """
    global _loop_thread
    with _lock:
        if _loop_thread is None or not _loop_thread.is_alive:
            _loop_thread = _LoopThread()
        thread = _loop_thread
    if not thread.has_started.is_set():
        thread.has_started.wait()
    return thread.loop


def shutdown(patience: float = SHUTDOWN_SECONDS) -> None:
    """Ends the loop thread; the next synchronous call starts a new one.

    Work that still runs is cancelled, and its callers get `BridgeClosedError`. Synchronous node code
    cannot be cancelled: nobody waits for it.

    Args:
        patience: Seconds to wait for the clean-up of asynchronous work.
    """
    global _loop_thread
    with _lock:
        thread, _loop_thread = _loop_thread, None
    if thread is not None:
        thread.close(patience)


_last_acts: list[Callable[[], object]] = []


def at_the_very_end(act: Callable[[], object]) -> None:
    """Has something done as the interpreter ends, once the work on the loop has ended, which may need it."""
    _last_acts.append(act)


def _end_with_the_interpreter() -> None:
    if _loop_thread is not None:
        ended_with_the_interpreter.add(_loop_thread.loop)
    try:
        shutdown()
    finally:
        for act in _last_acts:
            act()


def _forget_loop_thread() -> None:
    """In a forked child: the parent's loop is not ours to close, as the two share its selector."""
    global _lock, _loop_thread
    _lock = threading.Lock()
    if _loop_thread is not None:
        _parents.append(_loop_thread)
    _loop_thread = None
    asyncio._set_running_loop(None)


atexit.register(_end_with_the_interpreter)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop_thread)
