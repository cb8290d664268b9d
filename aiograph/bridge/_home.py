"""Objects that are tied to a loop, and taking work to it."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from aiograph._cancel import until_done
from aiograph.bridge._admit import Verb, blocked_loops, refuse
from aiograph.bridge._errand import LIVENESS_SECONDS, Errand
from aiograph.bridge._loop import Loop
from aiograph.errors import BridgeClosedError

T = TypeVar("T")


class HasHome(Protocol):
    """Something tied to a loop; `home` is `None` while it is tied to none."""

    @property
    def home(self) -> Loop | None:
        """The loop that the object is tied to."""


async def at_home(obj: HasHome, make: Callable[[], Coroutine[Any, Any, T]], *, verb: str) -> T:
    """Awaits work on the loop that `obj` is tied to, from whichever loop.

    A cancellation travels to that loop, and the clean-up there is waited for.

    Raises:
        SyncCallError: That loop stands still until this very call returns.
        BridgeClosedError: That loop is closed or does not run.
    """
    home = obj.home
    if home is None or home is asyncio.get_running_loop():
        return await make()
    if not home.is_running():
        raise BridgeClosedError(
            f"{verb}: the event loop that {type(obj).__name__} was opened on "
            f"{'is closed' if home.is_closed() else 'does not run'}; open it anew on a loop that lives on"
        )
    visit = _Visit(verb, home, make)
    with _admitted(visit, type(obj).__name__):
        return await visit.result()


@contextmanager
def _admitted(visit: "_Visit[Any]", name: str) -> Iterator[None]:
    """Lets a visit happen, and has others see which loops stand still until it is over, if any do.

    Raises:
        SyncCallError: The visited loop is one of them, or waits for one of them in turn.
    """
    if not visit.blocked:
        yield
        return
    with _gate:
        waited_for = _waited_for(visit.loop).intersection(visit.blocked)
        if not waited_for:
            _visits.add(visit)
    if waited_for:
        refuse(visit.verb, f"{name} was opened on", visit.blocked[waited_for.pop()])
    try:
        yield
    finally:
        with _gate:
            _visits.discard(visit)


def _waited_for(home: Loop) -> set[Loop]:
    """A loop, and those it cannot go on without: the ones visited while it stands still, and so on."""
    found, new = set[Loop](), {home}
    while new:
        found |= new
        new = {visit.loop for visit in _visits if not new.isdisjoint(visit.blocked)} - found
    return found


_gate = threading.Lock()
_visits: "set[_Visit[Any]]" = set()
"""Those that keep loops standing still."""


class _Visit(Errand[T]):
    """Work on one loop that code on another one awaits."""

    def __init__(self, verb: str, home: Loop, make: Callable[[], Awaitable[T]]) -> None:
        super().__init__(Verb(verb), home, copy_context())
        self.blocked = blocked_loops()
        self._work = make
        self._here = asyncio.get_running_loop()
        self._ended = self._here.create_future()
        self._timer: asyncio.TimerHandle | None = None

    # on the loop of whoever awaits

    async def result(self) -> T:
        """What the work returned or raised; outlasts a cancellation until the clean-up is through."""
        self.send()
        self._watch()
        try:
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            self.request_cancel()
            await until_done(self._ended)
            raise
        return self.outcome()

    def _watch(self) -> None:
        """Sees whether the work is done, now and then: its loop may stop before it is."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.is_done:
            self.look()
        if not self.is_done:
            self._timer = self._here.call_later(LIVENESS_SECONDS, self._watch)
        elif not self._ended.done():
            self._ended.set_result(None)

    # on the other loop

    def _make(self) -> Awaitable[T]:
        return self._work()

    def _at_end(self) -> None:
        with suppress(RuntimeError):  # nobody is left there
            self._here.call_soon_threadsafe(self._watch)


def _forget_visits() -> None:
    """In a forked child: none of them is under way, and whoever held the lock is not there."""
    global _gate
    _gate = threading.Lock()
    _visits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_visits)
