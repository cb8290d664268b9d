"""Turns: runs on one thread that wait for each other, in the order in which they came.

Within this process only. Which loops and threads they come from does not matter.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType

from aiograph._need_loop import need_loop
from aiograph.errors import ConcurrentUpdateError


class Turns:
    """Queues, by what is waited for."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[_Turn]] = {}
        """Whoever stands first has the turn."""
        self.start_over()

    def start_over(self) -> None:
        """In a forked child: those who waited are the parent's."""
        # a collection of garbage may end a turn while this very thread holds the lock
        self._lock = threading.RLock()
        self._queues.clear()

    def turn(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Has the turn for the length of the block.

        Raises:
            ConcurrentUpdateError: The block is within one that has a turn, and the wait would never end:
                it is for that very turn, or for one that waits for it.

        When cancelled while it waits, it leaves the queue.
        """
        return _Turn(self, key)

    def queue_up(self, turn: "_Turn") -> None:
        """Puts a turn at the end of its queue, and calls it if there is nobody else."""
        with self._lock:
            turn.within = frozenset(filter(self._is_first, _had.get()))
            if turn.within and not turn.within.isdisjoint(self._in_the_way(turn.key)):
                raise _endless()
            queue = self._queues.setdefault(turn.key, deque())
            queue.append(turn)
            if queue[0] is turn:
                turn.called.set_result(None)
            elif queue[0].is_lost:
                self.leave(queue[0])

    def leave(self, turn: "_Turn") -> None:
        """Takes a turn out of its queue; the next one that can still be told is called."""
        with self._lock:
            queue = self._queues.get(turn.key)
            if queue is None or turn not in queue:
                return  # it was taken for lost
            had_turn = queue[0] is turn
            queue.remove(turn)
            while had_turn and queue and not queue[0].call():
                queue.popleft()
            if not queue:
                del self._queues[turn.key]

    def _is_first(self, turn: "_Turn") -> bool:
        queue = self._queues.get(turn.key)
        return queue is not None and queue[0] is turn

    def _in_the_way(self, key: Hashable) -> Iterator["_Turn"]:
        """Turns that have to end before one who queues up for `key` is called, as far as one can tell."""
        keys = [key]
        for each in keys:  # grows
            if each in self._queues:
                first = self._queues[each][0]
                yield first
                keys += {turn.key for turn in self._nested_in(first)}.difference(keys)

    def _nested_in(self, outer: "_Turn") -> Iterator["_Turn"]:
        return (turn for queue in self._queues.values() for turn in queue if outer in turn.within)


class _Turn(AbstractAsyncContextManager[None]):
    """A place in a queue."""

    __slots__ = ("_turns", "called", "key", "within")

    called: "asyncio.Future[None]"
    within: "frozenset[_Turn]"
    """The turns that were had around this one as it queued up; they end after it."""

    def __init__(self, turns: Turns, key: Hashable) -> None:
        self._turns = turns
        self.key = key

    async def __aenter__(self) -> None:
        await need_loop()
        self.called = asyncio.get_running_loop().create_future()
        self._turns.queue_up(self)
        try:
            await self.called
        except BaseException:
            self._turns.leave(self)
            raise
        _had.set(_had.get() | {self})

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # not by a token: a run whose loop was closed ends where its garbage is collected
        _had.set(_had.get() - {self})
        self._turns.leave(self)

    @property
    def is_lost(self) -> bool:
        """Whether it can never end, as its loop was closed."""
        return self.called.get_loop().is_closed()

    def call(self) -> bool:
        """Lets it begin; whether there is still a loop to tell it."""
        try:
            self.called.get_loop().call_soon_threadsafe(_settle, self.called)
        except RuntimeError:
            return False
        return True


def _settle(called: "asyncio.Future[None]") -> None:
    if not called.done():
        called.set_result(None)


def _endless() -> ConcurrentUpdateError:
    return ConcurrentUpdateError(
        "this run is nested in a run that has its turn on a thread and would have to end first: "
        "the two would wait for each other for ever; give the nested one a thread of its own"
    )


_had: ContextVar[frozenset[_Turn]] = ContextVar("turns", default=frozenset())
"""The turns that the code around has; in tasks that outlived their run, also turns that are over."""

TURNS = Turns()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TURNS.start_over)
