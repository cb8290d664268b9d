"""A saver on which things go wrong: calls fail, hang back, or kill the process, before or after they work.

Meant for sweeps: have the first call fail, then the second, and so on, and look each time whether a run
that is resumed ends as if nothing had happened.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeAlias, TypeVar

from aiograph._cancel import until_done
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    Begun,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    PruneStrategy,
    Retention,
    Superstep,
    TaskWrites,
    ThreadInfo,
)
from aiograph.types import RunnableConfig

T = TypeVar("T")

__all__ = ["FaultySaver", "Mishap", "SaverCall", "delay", "delay_turns", "fail_at", "kill_at", "kill_process"]


class SaverCall(NamedTuple):
    """One call of a saver's verb."""

    number: int
    """1 for the first call of any verb."""
    verb: str
    """`"aget_tuple"`, `"acommit"`, …"""
    of_verb: int
    """1 for the first call of this verb."""
    config: RunnableConfig | None
    """What the call is about; the parent, if a checkpoint is being stored."""
    is_begun: bool = False
    """Whether nobody has waited for it yet: an `"acommit"` by `begin_commit`."""


Mishap: TypeAlias = Callable[[SaverCall], Awaitable[None]]
"""Is awaited around calls; may do nothing, wait, raise, or not come back."""


class FaultySaver(BaseCheckpointSaver):
    """Hands every call on to another saver, with mishaps before it starts and after it took effect.

    A mishap before a call that raises keeps the call from happening; one after it makes a call that did
    happen look as if it had failed, as when a server commits and the connection breaks before its reply.
    Encoding is not counted as a call, since it stores nothing.

    A superstep that is begun, rather than awaited, meets the same mishaps behind the caller's back. It is in
    flight until it is over, as may be others behind it, and reaches the other saver after those before it.

    Args:
        inner: The saver that does the work. Opening and closing it is up to the caller.
        before: A mishap, or several, awaited in turn before each call.
        during: The same, while something that was begun is under way. If one raises, the answer is waited for
            and lost. Calls that are awaited have no such moment.
        after: The same, after each call that succeeded.
        begins: Whether supersteps may be begun, if the other saver can do that; else each is awaited.

    Examples:
        >>> from aiograph.checkpoint.memory import InMemorySaver
        >>> from aiograph.testing.faults import FaultySaver, fail_at
        >>> saver = FaultySaver(InMemorySaver(), after=fail_at(3, ConnectionResetError))
        >>> saver.calls
        []
    """

    def __init__(
        self,
        inner: BaseCheckpointSaver,
        *,
        before: Mishap | Iterable[Mishap] = (),
        during: Mishap | Iterable[Mishap] = (),
        after: Mishap | Iterable[Mishap] = (),
        begins: bool = True,
    ) -> None:
        super().__init__(serde=inner.serde)
        self.inner = inner
        self.takes_pairs = inner.takes_pairs
        self.begins = begins and _can_begin(inner)
        """Whether supersteps are begun."""
        self.before: list[Mishap] = _as_list(before)
        """May be changed at any time."""
        self.during: list[Mishap] = _as_list(during)
        """May be changed at any time."""
        self.after: list[Mishap] = _as_list(after)
        """May be changed at any time."""
        self.calls: list[SaverCall] = []
        """All calls so far, in the order in which they were made."""
        self.in_flight: list[SaverCall] = []
        """Those that have not returned yet."""
        self._counts: Counter[str] = Counter()

    # -- reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._hand_on("aget_tuple", config, lambda: self.inner.aget_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        with self._noted("alist", config) as call:
            await _all(self.before, call)
            async for found in self.inner.alist(config, filter=filter, before=before, limit=limit):
                yield found
            await _all(self.after, call)

    # -- writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._hand_on(
            "aput", config, lambda: self.inner.aput(config, checkpoint, metadata, new_versions)
        )

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._hand_on(
            "aput_writes", config, lambda: self.inner.aput_writes(config, writes, task_id, task_path)
        )

    async def adelete_thread(self, thread_id: str) -> None:
        await self._hand_on("adelete_thread", None, lambda: self.inner.adelete_thread(thread_id))

    async def awithdraw_writes(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        await self._hand_on("awithdraw_writes", config, lambda: self.inner.awithdraw_writes(config, task_ids))

    # -- housekeeping

    async def alist_threads(self, *, limit: int | None = None) -> AsyncIterator[ThreadInfo]:
        with self._noted("alist_threads", None) as call:
            await _all(self.before, call)
            async for found in self.inner.alist_threads(limit=limit):
                yield found
            await _all(self.after, call)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._hand_on("adelete_for_runs", None, lambda: self.inner.adelete_for_runs(run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self._hand_on(
            "acopy_thread", None, lambda: self.inner.acopy_thread(source_thread_id, target_thread_id)
        )

    async def aprune(self, thread_ids: Sequence[str], *, strategy: PruneStrategy = "keep_latest") -> None:
        await self._hand_on("aprune", None, lambda: self.inner.aprune(thread_ids, strategy=strategy))

    async def asweep(self, retention: Retention, thread_ids: Sequence[str] | None = None) -> None:
        await self._hand_on("asweep", None, lambda: self.inner.asweep(retention, thread_ids))

    # -- what the engine calls

    async def ahold(self, config: RunnableConfig) -> tuple[CheckpointTuple | None, Hold]:
        return await self._hand_on("ahold", config, lambda: self.inner.ahold(config))

    async def aclaim(self, config: RunnableConfig, hold: Hold) -> None:
        await self._hand_on("aclaim", config, lambda: self.inner.aclaim(config, hold))

    async def awithdraw(self, config: RunnableConfig, task_ids: Sequence[str], hold: Hold) -> None:
        await self._hand_on("awithdraw", config, lambda: self.inner.awithdraw(config, task_ids, hold))

    def encode_writes(self, writes: TaskWrites, hold: Hold | None = None) -> Any:
        return self.inner.encode_writes(writes, hold)

    def encode_commit(self, superstep: Superstep, writes: Sequence[Any], hold: Hold | None = None) -> Commit:
        return self.inner.encode_commit(superstep, writes, hold)

    async def acommit(self, commit: Commit) -> None:
        await self._hand_on("acommit", commit.config, lambda: self.inner.acommit(commit))

    def begin_commit(self, commit: Commit, after: Begun | None = None) -> Begun | None:
        if not self.begins:
            return None
        ahead = after if isinstance(after, _FaultyCommit) else None
        return _FaultyCommit(self, commit, ahead)

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any], hold: Hold | None = None) -> None:
        await self._hand_on("arecord", config, lambda: self.inner.arecord(config, writes, hold))

    def allow_types(self, types: Iterable[type]) -> None:
        self.inner.allow_types(types)

    # -- the mishaps

    async def _hand_on(self, verb: str, config: RunnableConfig | None, work: Callable[[], Awaitable[T]]) -> T:
        with self._noted(verb, config) as call:
            await _all(self.before, call)
            result = await work()
            await _all(self.after, call)
            return result

    @contextmanager
    def _noted(self, verb: str, config: RunnableConfig | None) -> Iterator[SaverCall]:
        call = self._note(verb, config)
        try:
            yield call
        finally:
            self.in_flight.remove(call)

    def _note(self, verb: str, config: RunnableConfig | None, *, is_begun: bool = False) -> SaverCall:
        """A call that begins now."""
        self._counts[verb] += 1
        call = SaverCall(len(self.calls) + 1, verb, self._counts[verb], config, is_begun)
        self.calls.append(call)
        self.in_flight.append(call)
        return call


class _FaultyCommit:
    """See `Begun`: a superstep on its way to the other saver, with the mishaps around it."""

    def __init__(self, saver: FaultySaver, commit: Commit, ahead: "_FaultyCommit | None") -> None:
        self._saver = saver
        self._commit = commit
        self._ahead = ahead
        self._call = saver._note("acommit", commit.config, is_begun=True)
        self._begun: Begun | None = None
        """What the other saver has under way, if it came to that."""
        self._has_gone = asyncio.Event()
        """Set when it was handed on, or never will be."""
        self._task = asyncio.get_running_loop().create_task(self._carry_out())
        self._task.add_done_callback(self._end)  # which is called even if the task is cancelled at once

    async def certain_outcome(self) -> None:
        await until_done(self._task)
        error = self._task.result()
        if error is not None:
            raise error

    async def _carry_out(self) -> BaseException | None:
        """Returns what was raised: a task that raises an exit would end the loop for everyone."""
        try:
            await _all(self._saver.before, self._call)
            await self._hand_on()
            await self._answer()
            await _all(self._saver.after, self._call)
        except BaseException as error:
            return error
        return None

    async def _hand_on(self) -> None:
        """Has the other saver begin it, or store it if that takes a wait."""
        if self._ahead is not None:
            await self._ahead._has_gone.wait()
        self._begun = self._saver.inner.begin_commit(self._commit, self._ahead and self._ahead._begun)
        if self._begun is None:
            if self._ahead is not None:
                await self._ahead.certain_outcome()  # it must not be stored without that
            await self._saver.inner.acommit(self._commit)
        self._ahead = None  # else each would keep all those before it
        self._has_gone.set()

    async def _answer(self) -> None:
        if self._begun is None:
            return
        try:
            await _all(self._saver.during, self._call)
        except BaseException:
            with suppress(Exception):
                await self._begun.certain_outcome()
            raise
        await self._begun.certain_outcome()

    def _end(self, task: "asyncio.Task[BaseException | None]") -> None:
        self._saver.in_flight.remove(self._call)
        self._has_gone.set()


def _can_begin(saver: BaseCheckpointSaver) -> bool:
    is_able = type(saver).begin_commit is not BaseCheckpointSaver.begin_commit
    return is_able and (not isinstance(saver, FaultySaver) or saver.begins)


def _as_list(mishaps: Mishap | Iterable[Mishap]) -> list[Mishap]:
    return [mishaps] if callable(mishaps) else list(mishaps)


async def _all(mishaps: Iterable[Mishap], call: SaverCall) -> None:
    for mishap in tuple(mishaps):
        await mishap(call)


def fail_at(number: int, error: Callable[[], BaseException], *, verb: str | None = None) -> Mishap:
    """Raises at the call with this number.

    Args:
        number: 1 is the first call.
        error: Makes the exception; an exception class will do.
        verb: Counts calls of this verb alone.
    """

    async def fail(call: SaverCall) -> None:
        if _is_at(call, number, verb):
            raise error()

    return fail


def kill_at(number: int, *, verb: str | None = None) -> Mishap:
    """Ends the process at the call with this number; see `kill_process`.

    Args:
        number: 1 is the first call.
        verb: Counts calls of this verb alone.
    """

    async def kill(call: SaverCall) -> None:
        if _is_at(call, number, verb):
            kill_process()

    return kill


def _is_at(call: SaverCall, number: int, verb: str | None) -> bool:
    if verb is None:
        return call.number == number
    return call.verb == verb and call.of_verb == number


def delay(seconds: float) -> Mishap:
    """Holds every call up; on a virtual clock it costs nothing."""

    async def wait(call: SaverCall) -> None:
        await asyncio.sleep(seconds)

    return wait


def delay_turns(turns: int) -> Mishap:
    """Holds every call up for this many turns of the event loop, which is the same on every machine."""

    async def wait(call: SaverCall) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    return wait


def kill_process() -> None:
    """Ends this process at once, like `kill -9`: no `finally`, no `atexit`, no flush of any buffer."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
