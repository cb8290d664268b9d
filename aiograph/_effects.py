"""What the code of an attempt at a task does besides returning: asks, calls, runs graphs, adds to the state.

Most code does nothing of that, so this is made when it first does. Threads that a node has started may do
so at once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from aiograph._forking import lock_for_all
from aiograph._need_loop import need_loop

NOTHING: Mapping[str, str] = MappingProxyType({})

NO_NAMES: frozenset[str] = frozenset()
"""The empty set, made once: each takes 216 bytes."""

ONE_AT_A_TIME = lock_for_all()
"""Held for a moment by whoever notes an effect."""


class Callees(Protocol):
    """The tasks that one attempt has called."""

    def call(self, node: Any, arg: Any, key: str | None) -> Any:
        """Has another one begin."""
        ...

    async def join(self) -> None:
        """Waits for their end; raises what nobody has been told of."""
        ...

    async def dismiss(self, error: BaseException) -> None:
        """Waits for their end, or brings it about, as the attempt has failed with `error`."""
        ...


class Effects:
    """What one attempt at a task has done so far."""

    __slots__ = (
        "_asked",
        "_runs_under_way",
        "_runs_waiter",
        "callees",
        "commands",
        "is_drained",
        "is_stopped",
        "is_waiting",
        "passed",
        "positions",
        "pushed",
        "questions",
        "runs",
    )

    def __init__(self) -> None:
        self.runs = 0
        """How many nested runs it has started."""
        self._runs_under_way = 0
        self._runs_waiter: asyncio.Future[None] | None = None
        self.callees: Callees | None = None
        """Set once it has called a task."""
        self._asked = 0
        self.questions: Sequence[Any] = ()
        """What it, or a run nested in it, has asked without getting an answer."""
        self.commands: Sequence[Any] = ()
        """What graphs that run in it have commanded graphs further out."""
        self.is_stopped = False
        """Whether the attempt must not finish as its node would have it."""
        self.is_drained = False
        """Whether it waits for nothing but to be gone on with after a drain."""
        self.is_waiting = False
        """Whether it must not finish at all, as it has asked, or as a run nested in it has stopped."""
        self.passed = NO_NAMES
        """Stops of runs nested in it that keep nothing; when the task runs again, they do not count."""
        self.positions = NOTHING
        """Where stateful graphs that it has called stand now."""
        self.pushed: Sequence[tuple[str, Any]] = ()
        """What it has added to the state, by key."""

    def run_begins(self) -> None:
        """A run nested in the attempt begins, on whichever thread."""
        with ONE_AT_A_TIME:
            self._runs_under_way += 1

    def run_ends(self) -> None:
        """A run nested in the attempt has ended."""
        with ONE_AT_A_TIME:
            self._runs_under_way -= 1
            waiter = self._runs_waiter if not self._runs_under_way else None
        if waiter is not None:
            waiter.get_loop().call_soon_threadsafe(_set, waiter)

    async def runs_ended(self) -> None:
        """Waits for runs nested in the attempt that its code has left running."""
        if self._runs_under_way:
            await need_loop()
        with ONE_AT_A_TIME:
            if not self._runs_under_way:
                return
            self._runs_waiter = asyncio.get_running_loop().create_future()
        await self._runs_waiter

    def next_run(self) -> int:
        """Numbers the nested runs of the attempt."""
        with ONE_AT_A_TIME:
            self.runs += 1
            return self.runs - 1

    def next_question(self) -> int:
        """Numbers the questions of the attempt."""
        with ONE_AT_A_TIME:
            self._asked += 1
            return self._asked - 1

    def callees_from(self, make: Callable[[], Callees]) -> Callees:
        """What it has called, or will have."""
        with ONE_AT_A_TIME:
            if self.callees is None:
                self.callees = make()
            return self.callees

    def stop(
        self, questions: Sequence[Any], *, is_drained: bool = False, passed: frozenset[str] = NO_NAMES
    ) -> None:
        """Notes that the attempt cannot finish, and what it waits for.

        Args:
            questions: What is asked.
            is_drained: Whether it is a drain that has stopped it.
            passed: Stops of nested runs that keep nothing; when the task runs again, they do not count.
        """
        with ONE_AT_A_TIME:
            self.is_drained = is_drained and (self.is_drained or not self.is_waiting)
            self.is_stopped = self.is_waiting = True
            self.questions = (*self.questions, *questions)
            self.passed |= passed

    def obey(self, commands: Sequence[Any]) -> None:
        """Notes what a run nested in the attempt has ended with: that counts, whatever the node returns."""
        with ONE_AT_A_TIME:
            self.is_stopped = True
            self.commands = (*self.commands, *commands)

    def stand(self, positions: Mapping[str, str]) -> None:
        """Notes where stateful graphs that it has called stand."""
        with ONE_AT_A_TIME:
            self.positions = {**self.positions, **positions}


def _set(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
