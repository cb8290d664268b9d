"""A piece of work on another loop: sent, cancelled and watched from any thread."""

import asyncio
import contextlib
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar, cast

from aiograph.bridge._admit import Verb
from aiograph.bridge._loop import Loop, ended_with_the_interpreter, errands
from aiograph.errors import BridgeClosedError

T = TypeVar("T")

LIVENESS_SECONDS = 1.0
"""How often whoever waits makes sure that the loop still runs: nobody tells when it stops."""

PAUSES_ALLOWED = 1
"""A loop that does not run at more looks in a row than this has stopped; some pause between two tasks."""


class Errand(ABC, Generic[T]):
    """Work for somebody who is not on the loop that does it.

    No exception leaves the loop's task, as `SystemExit` would end the loop for everyone: how the work
    ended is kept for `outcome`.

    Args:
        verb: For messages.
        loop: Does the work.
        context: The context variables that the work sees.
    """

    def __init__(self, verb: Verb, loop: Loop, context: Context) -> None:
        self.verb = verb
        self.loop = loop
        self._context: Context | None = context
        self._pid = os.getpid()
        self._rest: Coroutine[Any, Any, None] | None = None
        """What is left of work that has begun before it was sent."""
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False
        self._pauses = 0
        self.is_done = False
        self.error: BaseException | None = None
        """What the work raised."""
        self._value: T | None = None

    @abstractmethod
    def _make(self) -> Awaitable[T]:
        """Makes the work; called where it begins, which mostly is the loop."""

    @abstractmethod
    def _at_end(self) -> None:
        """Called on the loop, once the work is done."""

    # on the thread that will wait

    def begin_here(self) -> None:
        """Does the work on this very thread, to its end, or until it needs a loop: then it has to be sent."""
        assert self._context is not None
        self._rest = self._carry()
        try:
            self._context.run(self._rest.send, None)
        except StopIteration:
            self._context = self._rest = None
            self._end(self.error)

    # from any thread

    def send(self) -> None:
        """Has the work begin; if its loop is closed, it is done, and that is its outcome."""
        try:
            self.loop.call_soon_threadsafe(self._begin)
        except RuntimeError:
            self._lose("the event loop that would do the work is closed")

    def request_cancel(self, *, again: bool = False) -> None:
        """Asks for the end of the work and returns at once.

        Args:
            again: Whether to break off even the clean-up of work that has been cancelled before.
        """
        self.call_there(partial(self._cancel, again))

    def call_there(self, callback: Callable[[], object]) -> None:
        """Calls back on the loop, soon, if it still exists in this process."""
        if not self.is_inherited:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(callback)

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child's copy of work that its parent does."""
        return self._pid != os.getpid()

    def look(self) -> None:
        """Ends work that its loop will never end; to be called about every `LIVENESS_SECONDS`."""
        if self.loop in ended_with_the_interpreter:
            return
        if self.is_inherited:
            self._lose("it goes on in the process that this one was forked from")
        elif self.loop.is_closed():
            self._lose("the event loop that did the work was closed")
        elif self.loop.is_running():
            self._pauses = 0
        else:
            self._pauses += 1
            if self._pauses > PAUSES_ALLOWED:
                self.request_cancel()  # should it ever run again
                self._lose("the event loop that did the work has stopped")

    def _lose(self, why: str) -> None:
        if not self.is_done:
            self._end(BridgeClosedError(f"{self.verb.name}: {why}"))

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self.is_done = True

    def outcome(self) -> T:
        """What the work returned or raised; call once."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback refers to this very frame
        value, self._value = self._value, None
        return cast(T, value)

    # on the loop

    def _begin(self) -> None:
        if not self._is_cancelled:
            self._start(self._carry() if self._rest is None else self._rest)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        context, self._context, self._rest = self._context, None, None
        self._task = self.loop.create_task(work, context=context)
        self._task.add_done_callback(self._settle)
        errands.add(self._task)

    def _cancel(self, again: bool) -> None:
        self._is_cancelled = True
        if self._rest is not None and inspect.getcoroutinestate(self._rest) == inspect.CORO_SUSPENDED:
            self._start(self._rest)  # there may be something to clean up
        if self._task is not None:
            if again or not self._task.cancelling():
                self._task.cancel()
        elif not self.is_done:
            self._end(asyncio.CancelledError())
            self._at_end()

    async def _carry(self) -> None:
        try:
            self._value = await self._make()
        except BaseException as error:
            self.error = error

    def _settle(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        errands.discard(task)
        # it may have been given up for lost, too soon
        if not self.is_done and self.loop not in ended_with_the_interpreter:
            self._end(self._error_of(task))
            self._at_end()

    def _error_of(self, task: "asyncio.Task[None]") -> BaseException | None:
        # a task that is cancelled before it has begun never comes to `_carry`
        error = asyncio.CancelledError() if task.cancelled() else self.error
        if not isinstance(error, asyncio.CancelledError) or self._is_cancelled:
            return error
        if not task.cancelled() and not task.cancelling():
            return error  # the work's own invention
        closed = BridgeClosedError(f"{self.verb.name}: cancelled, as the event loop is being shut down")
        closed.__cause__ = error
        return closed
