"""Whether synchronous code may wait for asynchronous work, and which loop that work goes to."""

import asyncio
import os
import sys
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, Protocol, Self
from weakref import WeakSet

from aiograph import _context
from aiograph.bridge._loop import Loop, bridge_loop
from aiograph.errors import SyncCallError
from aiograph.warnings import BlockingCallWarning


class Verb(NamedTuple):
    """An asynchronous verb, and how to write its use."""

    name: str
    usage: str = "await {}(...)"

    @classmethod
    def iterated(cls, name: str) -> Self:
        """A verb that is iterated over."""
        return cls(name, "async for ... in {}(...)")

    @classmethod
    def entered(cls, name: str) -> Self:
        """A verb that opens something for the length of a block."""
        return cls(name, "async with {}(...)")

    @property
    def twin(self) -> str:
        """The synchronous twin's name: `ainvoke` → `invoke`."""
        return self.name.removeprefix("a")

    @property
    def advice(self) -> str:
        """What to write where the synchronous twin would hang."""
        return f"`{self.usage.format(self.name)}`"


class Blocker(Protocol):
    """A synchronous call on a loop, which stands still until the call is done."""

    verb: Verb
    is_done: bool


Blocked = Mapping[Loop, Blocker]
"""Loops that stand still, and what each is waiting for."""

blocked_above: ContextVar[Blocked] = ContextVar("aiograph_blocked", default=MappingProxyType({}))
"""The loops that were standing still when the work that runs here was begun."""


def blocked_loops() -> Blocked:
    """The loops that stand still until the work that runs here is through."""
    above = blocked_above.get()
    return {loop: call for loop, call in above.items() if not call.is_done} if above else above


def running_loop() -> Loop | None:
    """The loop that runs on this thread, if any."""
    return asyncio._get_running_loop()


def admit(verb: Verb) -> Loop:
    """The loop that does the work of a synchronous call.

    Raises:
        SyncCallError: The call would hang.
    """
    target, here = _target_loop(), running_loop()
    check(target, verb)
    if here is not None:
        _warn_once(here, verb)
    return target


def blocked_by(call: Blocker) -> Blocked:
    """The loops that stand still until the work of `call`, which is made on this thread, is through."""
    here = running_loop()
    if here is None:
        return blocked_loops()
    return {here: call, **blocked_loops()}  # the outermost call is the one to be replaced


def _target_loop() -> Loop:
    """The loop of the run whose code calls, else the bridge's."""
    scope = _context.current_task.get()
    if scope is not None and scope.run.loop.is_running():
        return scope.run.loop
    return bridge_loop()


def check(target: Loop, verb: Verb) -> None:
    """Makes sure that waiting for `target` on this thread would not hang.

    Raises:
        SyncCallError: It would.
    """
    if target is running_loop():
        raise SyncCallError(
            f"{verb.twin}() was called on the event loop that has to do its work, and which stands still "
            f"until the call returns: use {verb.advice}, or call it from another thread"
        )
    blocker = blocked_loops().get(target)
    if blocker is not None:
        refuse(verb, "has to do its work", blocker)


def refuse(verb: Verb, what: str, blocker: Blocker) -> NoReturn:
    """Raises for work that needs a loop which cannot go on before a synchronous call up the chain returns."""
    raise SyncCallError(
        f"{verb.name}() would hang: the event loop that {what} waits until {blocker.verb.twin}(), which "
        f"blocks an event loop, returns. Use {blocker.verb.advice} there, or call it from another thread"
    )


_warned: WeakSet[Any] = WeakSet()


def _warn_once(loop: Loop, verb: Verb) -> None:
    if loop not in _warned:
        _warned.add(loop)
        warnings.warn(
            f"{verb.twin}() blocks the event loop that runs on this thread; {verb.advice} does not",
            BlockingCallWarning,
            stacklevel=_frames_to_caller(),
        )


_HOME = os.path.dirname(__file__) + os.sep


def _frames_to_caller() -> int:
    """A warning points at the first frame outside of the bridge."""
    frame, depth = sys._getframe(1), 1
    while frame.f_code.co_filename.startswith(_HOME) and frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def forget_blocked_loops() -> None:
    """A forked child waits for none of its parent's loops, even if it was forked in the middle of that."""
    blocked_above.set(MappingProxyType({}))
    _context.current_task.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_blocked_loops)
