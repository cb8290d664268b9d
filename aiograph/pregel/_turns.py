"""Turns: runs on one thread that wait for each other, in the order in which they came.

Within this process only. Which loops and threads they come from does not matter.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TypeAlias

from aiograph.errors import ConcurrentUpdateError

_Ticket: TypeAlias = "asyncio.Future[None]"


class Turns:
    """Queues, by what is waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[_Ticket]] = {}
        """Whoever stands first has the turn."""

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Has the turn for the length of the block.

        Raises:
            ConcurrentUpdateError: The turn is had further out already, so that it would wait for itself.

        When cancelled while it waits, it leaves the queue.
        """
        if key in _had.get():
            raise ConcurrentUpdateError(
                "this run is nested in a run on the same thread, and would wait for it for ever: "
                "give it a thread of its own"
            )
        ticket = self._queue_up(key)
        try:
            await ticket
            token = _had.set(_had.get() | {key})
            try:
                yield
            finally:
                _had.reset(token)
        finally:
            self._leave(key, ticket)

    def _queue_up(self, key: Hashable) -> _Ticket:
        ticket: _Ticket = asyncio.get_running_loop().create_future()
        with self._lock:
            queue = self._queues.setdefault(key, deque())
            queue.append(ticket)
            if queue[0] is ticket:
                ticket.set_result(None)
        return ticket

    def _leave(self, key: Hashable, ticket: _Ticket) -> None:
        with self._lock:
            queue = self._queues[key]
            had_turn = queue[0] is ticket
            queue.remove(ticket)
            while had_turn and queue and not _call(queue[0]):
                queue.popleft()
            if not queue:
                del self._queues[key]

    def start_over(self) -> None:
        """In a forked child: those who waited are the parent's."""
        self._lock = threading.Lock()
        self._queues.clear()


_had: ContextVar[frozenset[Hashable]] = ContextVar("turns", default=frozenset())
"""The turns that the code around has."""


def _call(ticket: _Ticket) -> bool:
    """Tells the next one; whether there is still a loop to tell it."""
    try:
        ticket.get_loop().call_soon_threadsafe(_give, ticket)
    except RuntimeError:
        return False  # its loop was closed while it waited
    return True


def _give(ticket: _Ticket) -> None:
    if not ticket.done():
        ticket.set_result(None)


TURNS = Turns()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TURNS.start_over)
