"""A fixed order for steps of different tasks, so that a test of a race has one outcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiograph.errors import AiographError

__all__ = ["SequenceError", "Sequencer"]


class SequenceError(AiographError, RuntimeError):
    """A sequence cannot be kept: a number is used twice, or its turn can never come."""


class Sequencer:
    """Lets blocks of code run in the order of their numbers, whichever tasks they are in.

    Block 0 runs at once; every other one waits until the block before it has been left, in whatever
    way. A task that is cancelled while it waits for its turn breaks the sequence: blocks with higher
    numbers, waiting or yet to come, raise `SequenceError`, as they would wait for ever.

    Belongs to one loop; make a new one for each test.

    Examples:
        >>> import asyncio
        >>> async def main() -> str:
        ...     sequence, said = Sequencer(), []
        ...     async def say(number: int, word: str) -> None:
        ...         async with sequence(number):
        ...             said.append(word)
        ...     async with asyncio.TaskGroup() as tasks:
        ...         tasks.create_task(say(1, "world"))
        ...         tasks.create_task(say(0, "hello"))
        ...     return " ".join(said)
        >>> asyncio.run(main())
        'hello world'
    """

    def __init__(self) -> None:
        self._turn = 0
        self._used: set[int] = set()
        self._waiting: dict[int, asyncio.Event] = {}
        self._broken_at: int | None = None

    @asynccontextmanager
    async def __call__(self, number: int) -> AsyncIterator[None]:
        """The block with this number; numbers start at 0 and each is used once.

        Raises:
            SequenceError: The number was used before, or its turn can never come.
        """
        self._claim(number)
        await self._wait_for(number)
        try:
            yield
        finally:
            self._turn = number + 1
            self._wake(self._turn)

    def _claim(self, number: int) -> None:
        if number < 0:
            raise ValueError(f"numbers of a sequence start at 0; {number} would never have its turn")
        if number in self._used:
            raise SequenceError(f"number {number} of the sequence is used twice")
        self._used.add(number)

    async def _wait_for(self, number: int) -> None:
        while self._turn != number:
            self._check(number)
            self._waiting[number] = asyncio.Event()
            try:
                await self._waiting[number].wait()
            except asyncio.CancelledError:
                self._break(number)
                raise
            finally:
                del self._waiting[number]

    def _check(self, number: int) -> None:
        if self._broken_at is not None and number > self._broken_at:
            raise SequenceError(
                f"number {number} of the sequence would wait for ever: "
                f"the task with number {self._broken_at} was cancelled before its turn"
            )

    def _break(self, number: int) -> None:
        self._broken_at = number if self._broken_at is None else min(number, self._broken_at)
        for stuck in self._waiting:
            self._wake(stuck)

    def _wake(self, number: int) -> None:
        if number in self._waiting:
            self._waiting[number].set()
