"""Operations on their way to the saver, in order: what is being stored, and what gathers meanwhile.

What was handed over is written even if the run is cancelled. After a failure nothing is written any more, as
nothing may be stored behind a gap; whoever waits next is told.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from aiograph._cancel import outlast, until_done
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import BaseCheckpointSaver, Begun, Commit
from aiograph.errors import CheckpointStorageError, ConcurrentUpdateError
from aiograph.types import RunnableConfig


class Record(NamedTuple):
    """Writes of finished tasks, for a checkpoint that is stored, or on its way, already."""

    config: RunnableConfig
    writes: list[Any]


class Withdrawal(NamedTuple):
    """Tasks whose writes are to be taken back."""

    config: RunnableConfig
    task_ids: Sequence[str]


Operation: TypeAlias = Commit | Record | Withdrawal
"""What a saver is to do, in the order in which it was handed over."""


class Failed(NamedTuple):
    """Something that could not be begun."""

    error: Exception

    async def certain_outcome(self) -> None:
        """Raises why."""
        raise self.error


class Storage(NamedTuple):
    """Where a run keeps what it keeps."""

    saver: BaseCheckpointSaver
    hold: Hold
    thread_id: str

    def carry_out(self, operation: Operation) -> Coroutine[Any, Any, None]:
        """Stores something, once it is awaited."""
        if isinstance(operation, Commit):
            return self.saver.acommit(operation)
        if isinstance(operation, Record):
            return self.saver.arecord(operation.config, operation.writes, self.hold)
        return self.saver.awithdraw(operation.config, operation.task_ids, self.hold)

    def begin(self, operation: Operation, after: Begun | None) -> Begun | None:
        """Begins to store something behind what was begun last, unless that takes a wait."""
        if not isinstance(operation, Commit):
            return None
        try:
            return self.saver.begin_commit(operation, after)
        except Exception as error:
            return Failed(error)  # told when its turn comes, to the run rather than to a callback of the loop


_FAILURES = (Exception, SystemExit, KeyboardInterrupt)
"""What ends a run. An exit would end the loop for everyone, if a task of the backlog's own raised it."""

_AT_ONCE = 2
"""Checkpoints that a saver is given at once, at most."""


class Backlog:
    """Writes behind the run's back: checkpoints two at a time, one behind the other, where the saver can."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._gathering: list[Operation] = []
        self._leading: Commit | None = None
        """What gathered last, if it is to be stored together with the next checkpoint."""
        self._under_way: list[tuple[Operation, Begun]] = []
        """What the saver has begun, in order."""
        self._behind = 0
        """Checkpoints that were handed over and are not written yet."""
        self._progress: asyncio.Future[None] | None = None
        """Waited for by the run; done when there are fewer of them."""
        self._writer: asyncio.Task[None] | None = None
        self._is_busy = False
        """Whether something is being carried out that nothing can be begun behind."""
        self._error: BaseException | None = None

    def add(self, operation: Operation) -> None:
        """Has an operation written after all others, while the run goes on."""
        if self._error is not None:
            return  # the next flush tells the run; nothing may be stored after a gap
        operation = self._joined(operation)
        self._gathering.append(operation)
        self._behind += _checkpoints_in(operation)
        self._see_to_writer()

    def lead(self, commit: Commit) -> None:
        """Has a checkpoint written like `add`: in one go with the next one, if that comes without a wait."""
        if self._error is not None:
            return
        self._leading = commit
        self._gathering.append(commit)
        self._behind += 1
        asyncio.get_running_loop().call_soon(self._see_to_writer)

    def _joined(self, operation: Operation) -> Operation:
        """The operation, with what has to lead it if that still can."""
        leading = self._leading
        if leading is None or self._gathering[-1] is not leading or not isinstance(operation, Commit):
            return operation
        self._gathering.pop()
        self._leading = None
        self._behind -= 1
        return operation.behind(leading)

    def _see_to_writer(self) -> None:
        if self._is_busy:
            return  # whoever is will see to it
        self._begin()
        if self._gathering or self._under_way:
            self._writer = self._writer or asyncio.create_task(self._write())

    def _begin(self) -> None:
        """Has the saver begin what it can."""
        while self._gathering and len(self._under_way) < _AT_ONCE:
            operation = self._gathering[0]
            begun = self._storage.begin(operation, self._under_way[-1][1] if self._under_way else None)
            if begun is None:
                return
            self._under_way.append((self._gathering.pop(0), begun))
            self._leading = None

    async def put(self, operation: Operation) -> None:
        """Writes an operation after all others, and waits for it, even if the run is cancelled meanwhile.

        Where there are no others, the run does so itself: a task for it would be a good part of what a
        superstep costs.

        Raises:
            CheckpointError: Something could not be written.
        """
        operation = self._joined(operation)
        if self._writer is not None or self._gathering or self._error is not None:
            self.add(operation)
            return await self.flush()
        self._is_busy = True
        try:
            await self._storage.carry_out(operation)
        except asyncio.CancelledError:
            await self._put_again(operation)
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._is_busy = False
            self._see_to_writer()

    async def _put_again(self, operation: Operation) -> None:
        """Writes what was broken off once more; raises the cancellation after that, if there was one."""
        again = asyncio.create_task(self._write_again(operation))
        current = asyncio.current_task()
        if current is None or not current.cancelling():
            await outlast(again)
            return self._raise()
        await until_done(again)
        raise asyncio.CancelledError from self._error

    async def _write_again(self, operation: Operation) -> None:
        try:
            await _once_more(self._storage, operation)
        except _FAILURES as error:
            self._error = error

    async def room(self) -> None:
        """Waits until no more than one checkpoint is not written yet.

        Raises:
            CheckpointError: Something could not be written.
        """
        while self._behind > 1:
            self._progress = asyncio.get_running_loop().create_future()
            await self._progress
        self._raise()

    async def flush(self) -> None:
        """Waits until everything is written, even if the run is cancelled meanwhile.

        Raises:
            CheckpointError: Something could not be written; whatever came after it was not.
        """
        self._see_to_writer()
        if self._writer is not None:
            await outlast(self._writer)
        self._raise()

    async def _write(self) -> None:
        try:
            while self._gathering or self._under_way:
                if self._under_way:
                    await self._await_first()
                else:
                    await self._carry_out_gathered()
                self._begin()
        except _FAILURES as error:
            self._error = error
        self._writer = self._leading = None
        self._gathering.clear()
        self._under_way.clear()
        self._advance(0)

    async def _carry_out_gathered(self) -> None:
        batch, self._gathering = self._gathering, []
        self._leading = None
        self._is_busy = True
        try:
            for operation in merged(batch):
                await _insist(self._storage, operation)
                self._advance(self._behind - _checkpoints_in(operation))
        finally:
            self._is_busy = False

    async def _await_first(self) -> None:
        """Waits for what was begun first, and if that has failed, for what was begun behind it as well."""
        over = self._under_way[:1]
        try:
            await over[0][1].certain_outcome()
        except (*_FAILURES, asyncio.CancelledError) as error:
            over = self._under_way[:]
            await self._make_up_for(error)
        del self._under_way[: len(over)]
        self._advance(self._behind - sum(_checkpoints_in(operation) for operation, _ in over))

    async def _make_up_for(self, error: BaseException) -> None:
        """Sees to it that everything under way is stored although the first has failed, or raises why."""
        is_stored = await self._is_second_stored()
        if isinstance(error, asyncio.CancelledError):
            if not is_stored:
                await self._carry_out_again()
        elif not is_stored or not isinstance(error, Exception):
            raise error

    async def _is_second_stored(self) -> bool:
        """Whether what was begun second is stored; then so is the first, as nothing is stored behind a gap.

        A connection that was lost when both were stored has the first one repeated: in vain, as it is not the
        newest any more.
        """
        if len(self._under_way) == 1:
            return False
        try:
            await self._under_way[1][1].certain_outcome()
        except (Exception, asyncio.CancelledError):
            return False  # for want of the first, whose own error says more
        return True

    async def _carry_out_again(self) -> None:
        """Stores what was broken off, and what may have failed for want of it."""
        operations = [operation for operation, _ in self._under_way]
        self._is_busy = True
        try:
            if not await self._is_last_enough(operations):
                for operation in operations:
                    await _once_more(self._storage, operation)
        finally:
            self._is_busy = False

    async def _is_last_enough(self, operations: Sequence[Operation]) -> bool:
        """Whether the second of two can be stored; then the first has been, although nobody was told.

        It could not be stored once more if both are there, as it is not the newest any more. A saver that
        leaves holds aside tells nothing by that: it stores either at any time.
        """
        first, *others = operations
        if not others or (isinstance(first, Commit) and first.step is None):
            return False
        try:
            await _insist(self._storage, others[-1])
        except ConcurrentUpdateError:
            return False
        return True

    def _advance(self, behind: int) -> None:
        self._behind = behind
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _checkpoints_in(operation: Operation) -> int:
    if not isinstance(operation, Commit):
        return 0
    return 1 if operation.ahead is None else 2


async def _insist(storage: Storage, operation: Operation) -> None:
    """Has the saver do something, once more if it was broken off.

    The backlog's task is cancelled by nobody but a loop that is shutting down, and there it may still
    finish; or it was not cancelled at all, and the saver gave up on its own. Doing it twice is harmless.

    Raises:
        CheckpointStorageError: It was broken off twice.
    """
    with suppress(asyncio.CancelledError):
        return await storage.carry_out(operation)
    await _once_more(storage, operation)


async def _once_more(storage: Storage, operation: Operation) -> None:
    try:
        await storage.carry_out(operation)
    except asyncio.CancelledError as error:
        raise CheckpointStorageError("the saver broke off, and it is not known what it has stored") from error


def merged(batch: Sequence[Operation]) -> list[Operation]:
    """The same operations in fewer steps: writes that belong to one checkpoint travel together."""
    steps: list[Operation] = []
    for operation in batch:
        last = steps[-1] if steps else None
        if not isinstance(last, Record) or last.config != operation.config:
            steps.append(operation)
        elif isinstance(operation, Commit | Record):
            steps[-1] = operation._replace(writes=[*last.writes, *operation.writes])
        else:
            steps.append(operation)
    return steps
