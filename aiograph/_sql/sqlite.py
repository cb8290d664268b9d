"""A SQLite database, as a `Session`: asked from any loop and any thread.

Operations reach the thread that owns the connection through a queue, and answers go straight to the event
loop that asked: one hop there and one back, and no loop is home.

SQLite keeps a table of file locks in the memory of the process, which a forked child would inherit and
believe. So the connection is closed for the moment of a fork, and both sides open one of their own.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from aiograph._cancel import Begun
from aiograph._sql.operation import Operation
from aiograph._sql.session import Change, Counters, Guard, Plan, Query, Row
from aiograph._sql.sqlite_connection import Address, Settings, Synchronous
from aiograph._sql.sqlite_owner import Owner, Pause, Stop, fetch_rows, follow_plan, make_changes
from aiograph.bridge import at_the_very_end

__all__ = ["Address", "Settings", "SqliteDatabase", "Synchronous"]

T = TypeVar("T")


class SqliteDatabase:
    """A SQLite database, as a `Session`. Opened when it is first used."""

    def __init__(self, path: str | os.PathLike[str], settings: Settings) -> None:
        self.address = Address.of(path)
        self.counters = Counters()
        self._settings = settings
        self._lock = threading.Lock()
        self._owner: Owner | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._gone: str | None = None
        """Why it can no longer be used."""
        _databases.add(self)

    async def fetch(self, query: Query, about: object) -> list[Row]:
        """See `Session`."""
        return await self._ask(Operation(partial(fetch_rows, query, self.counters), about, writes=False))

    async def follow(self, plan: Callable[[], Plan[T]], about: object) -> T:
        """What a plan amounts to, whose queries see the database as it is at one moment.

        Args:
            plan: Makes the plan, once more if it has to be repeated. Its queries change nothing.
            about: Its text tells, in messages, what is being read.
        """
        return await self._ask(Operation(partial(follow_plan, plan, self.counters), about, writes=False))

    async def write(
        self, changes: Sequence[Change | Guard], about: object, order: tuple[str, ...] = ()
    ) -> None:
        """See `Session`. Only one writes at a time, so `order` means nothing."""
        await self._ask(Operation(partial(make_changes, changes, self.counters), about, writes=True))

    def begin_write(
        self,
        changes: Sequence[Change | Guard],
        about: object,
        order: tuple[str, ...] = (),
        after: Begun | None = None,
    ) -> Operation[sqlite3.Connection, None]:
        """See `Session`. What is asked first is done first, so `after` means nothing, as `order` does."""
        return self._begin(Operation(partial(make_changes, changes, self.counters), about, writes=True))

    async def aclose(self) -> None:
        """See `Session`. Closing again does nothing."""
        with self._lock:
            owner, self._owner = self._owner, None
            self._gone = self._gone or "it was closed"
            told: Operation[Any, None] = Operation(lambda _: None, "closing", writes=False)
            if owner is None:
                return
            self._forget_end()
            told.claim()
            owner.inbox.put(Stop(told))
        await told.outcome()
        owner.thread.join()

    def end_with_the_process(self) -> None:
        """Closes the file. What is asked after that is refused, as nobody would answer."""
        with self._lock:
            owner, self._owner = self._owner, None
            self._gone = self._gone or "the process ends"
            self._forget_end()
        if owner is not None:
            _stop(owner)

    async def _ask(self, operation: Operation[sqlite3.Connection, T]) -> T:
        return await self._begin(operation).outcome()

    def _begin(self, operation: Operation[sqlite3.Connection, T]) -> Operation[sqlite3.Connection, T]:
        with self._lock:
            if self._gone is not None:
                raise self._settings.fault(
                    f"{operation.about}: cannot use {self.address.target!r}: {self._gone}"
                )
            if self._owner is None:
                self._owner = Owner(self.address, self._settings, self.counters)
                self._end = weakref.finalize(self, _stop, self._owner)
                self._end.atexit = False  # that is too early: see `end_with_the_process`
            self._owner.inbox.put(operation)
        return operation

    def _forget_end(self) -> None:
        if self._end is not None:
            self._end.detach()
            self._end = None

    # -- forks

    def pause(self) -> Pause | None:
        """Asks for the connection to be closed, if there is one."""
        with self._lock:
            if self._owner is None:
                return None
            pause = Pause()
            self._owner.inbox.put(pause)
            return pause

    def start_over(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._lock = threading.Lock()
        if self._owner is not None and self.address.is_in_memory:
            self._gone = "it is in the memory of the process that this one was forked from"
        self._owner = None
        self._forget_end()


def _stop(owner: Owner) -> None:
    """Ends a thread that nobody can ask any more."""
    owner.inbox.put(Stop())
    if threading.current_thread() is not owner.thread:
        owner.thread.join(5.0)


_databases: "weakref.WeakSet[SqliteDatabase]" = weakref.WeakSet()
_pauses: list[Pause] = []
_one_fork_at_a_time = threading.Lock()


def _end_all() -> None:
    for database in list(_databases):
        database.end_with_the_process()


at_the_very_end(_end_all)


def _before_fork() -> None:
    _one_fork_at_a_time.acquire()
    _pauses.extend(pause for database in list(_databases) if (pause := database.pause()))
    for pause in _pauses:
        pause.has_begun.wait(60.0)


def _after_fork() -> None:
    for pause in _pauses:
        pause.is_over.set()
    _pauses.clear()
    _one_fork_at_a_time.release()


def _in_child() -> None:
    global _one_fork_at_a_time
    _one_fork_at_a_time = threading.Lock()
    _pauses.clear()
    for database in list(_databases):
        database.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
