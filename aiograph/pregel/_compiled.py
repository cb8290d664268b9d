"""`Pregel`: the verbs that run a graph.

Immutable, and usable from any number of tasks and threads at once. The asynchronous verbs are the
engine; each synchronous twin is derived from one of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from aiograph._cancel import until_done
from aiograph._context import TaskScope, current_task
from aiograph._need_loop import need_loop
from aiograph.bridge import blocking, blocking_iter
from aiograph.channels.base import BaseChannel
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.pregel import _options
from aiograph.pregel._assembly import emitter_for
from aiograph.pregel._attempt import CarriedExit
from aiograph.pregel._builder import planned
from aiograph.pregel._cache import warn_of_no_cache
from aiograph.pregel._emit import Emitter, View
from aiograph.pregel._execute import within
from aiograph.pregel._loop import drive
from aiograph.pregel._observers import NOBODY, observed
from aiograph.pregel._open import Opened, open_kept, open_passing
from aiograph.pregel._place import Place, find_place, forget_the_past, outermost, turn_at
from aiograph.pregel._request import Options, Request
from aiograph.pregel._sink import Sink
from aiograph.pregel._stateful import hand_on
from aiograph.pregel._threads import ThreadVerbs
from aiograph.runtime import RunControl
from aiograph.types import (
    CachePolicy,
    Command,
    Durability,
    OnConflict,
    OnError,
    RetryPolicy,
    RunnableConfig,
    StreamMode,
)
from aiograph.typing import ContextT, InputT, OutputT, StateT

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache
    from aiograph.pregel._meter import Meter
    from aiograph.pregel._migrate import Migrate
    from aiograph.stats import Collector
    from aiograph.store.base import BaseStore

TASK_EVERY = 8
"""Runs nested in each other before one gets a task, and so an await chain, of its own."""


class Pregel(ThreadVerbs[StateT, ContextT, InputT, OutputT]):
    """A graph of nodes over channels, ready to run.

    Most graphs are built with `StateGraph`; this constructor is for those who think in channels, with
    `NodeBuilder` to describe the nodes.

    Args:
        nodes: What runs, by name.
        channels: What nodes read, write and are triggered by.
        input_channels: The channel, or channels, that the input is written to.
        output_channels: The channel, or channels, that the output is read from.
        checkpointer: Keeps the state of threads.
        store: Handed to nodes that ask for it, and to graphs nested in them that have none of their own.
        step_timeout: Seconds that one superstep may take.
        retry_policy: For nodes that have none of their own.
        cache: Keeps what nodes write that have a cache policy.
        cache_policy: For nodes that have none of their own.
        name: For messages and traces.
        stats: As for `StateGraph.compile`.
        migrate: As for `StateGraph.compile`.
        debug: As for `StateGraph.compile`.

    Raises:
        GraphValidationError: A node refers to a channel that does not exist.
        TypeError: `checkpointer` is no saver, `store` no store, or `cache` no cache.
    """

    def __init__(
        self,
        *,
        nodes: Mapping[str, Any],
        channels: Mapping[str, BaseChannel[Any, Any, Any]],
        input_channels: str | Sequence[str],
        output_channels: str | Sequence[str],
        checkpointer: BaseCheckpointSaver | bool | None = None,
        store: BaseStore | None = None,
        step_timeout: float | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] = (),
        cache: BaseCache[Any] | None = None,
        cache_policy: CachePolicy | None = None,
        name: str = "Pregel",
        stats: bool | Collector | None = None,
        migrate: Migrate | None = None,
        debug: bool | float | None = None,
    ) -> None:
        self._plan = planned(
            nodes, channels, input_channels, output_channels, retry_policy, name, cache_policy
        )
        self._options = Options(
            checkpointer=_options.checkpointer(checkpointer),
            store=_options.store(store),
            step_timeout=_options.seconds("step_timeout", step_timeout),
            stats=_options.collector(stats),
            migrate=migrate,
            watch=_options.watch(debug),
            cache=_options.cache(cache),
        )

    # -- running

    async def ainvoke(
        self,
        input: InputT | Command[Any] | None,
        config: RunnableConfig | None = None,
        *,
        context: ContextT | None = None,
        stream_mode: StreamMode | Sequence[StreamMode] = "values",
        output_keys: str | Sequence[str] | None = None,
        durability: Durability | None = None,
        on_error: OnError | None = None,
        on_conflict: OnConflict | None = None,
        interrupt_before: _options.Names | None = None,
        interrupt_after: _options.Names | None = None,
        control: RunControl | None = None,
    ) -> Any:
        """Runs the graph to its end and returns its output.

        Args:
            input: The input; `None` goes on where the thread stands, a `Command` with an answer, an update
                or another target.
            config: Thread, limits, tags and metadata of this run.
            context: Handed to nodes as `runtime.context`; a dict becomes what the graph declares for it.
            stream_mode: With another mode than `"values"`, the list of that mode's chunks is returned.
            output_keys: Read these channels in place of the graph's output.
            durability: When checkpoints are written; `"async"` unless the graph says otherwise.
            on_error: What becomes of a failing task's siblings.
            on_conflict: What to do about another run on the same thread: `"raise"` or `"wait"`.
            interrupt_before: Stop before these nodes run, or before any, `"*"`.
            interrupt_after: Stop after these nodes have run, or after any, `"*"`.
            control: By which the run can be asked to stop between two supersteps.

        Returns:
            The values of the output channels, as a dict, or a single value for a graph with one.

        Raises:
            EmptyInputError: There is neither input nor anything to resume.
            GraphRecursionError: The run was not finished within its `recursion_limit`.
            GraphDrained: The run has stopped as `control` was asked to.
            InvalidUpdateError: A node's update does not fit; the state is as before that superstep.
            ConcurrentUpdateError: Somebody else has written to the thread since this run read it.
            Exception: Whatever a node raised, with a note that names node, step and task.

        When cancelled, it cancels what runs, waits for its clean-up, keeps the writes of finished
        tasks, and leaves nothing behind.
        """
        if stream_mode != "values":
            await need_loop()
            chunks = self.astream(
                input,
                config,
                context=context,
                stream_mode=stream_mode,
                output_keys=self._plan.output if output_keys is None else output_keys,
                durability=durability,
                on_error=on_error,
                on_conflict=on_conflict,
                interrupt_before=interrupt_before,
                interrupt_after=interrupt_after,
                control=control,
            )
            return [chunk async for chunk in chunks]
        try:
            # no names for what is made here: it would be kept for as long as the run lasts
            return await self._run_to_end(
                self._request(
                    input,
                    config,
                    _options.Choices(
                        durability, on_error, on_conflict, interrupt_before, interrupt_after, control
                    ),
                    context,
                    output_keys,
                )
            )
        except CarriedExit as carried:
            _raise_carried(carried)

    async def astream(
        self,
        input: InputT | Command[Any] | None,
        config: RunnableConfig | None = None,
        *,
        context: ContextT | None = None,
        stream_mode: StreamMode | Sequence[StreamMode] | None = None,
        output_keys: str | Sequence[str] | None = None,
        durability: Durability | None = None,
        on_error: OnError | None = None,
        on_conflict: OnConflict | None = None,
        interrupt_before: _options.Names | None = None,
        interrupt_after: _options.Names | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
    ) -> AsyncGenerator[Any, None]:
        """Runs the graph and yields what it does, as it happens.

        Args:
            input: The input; `None` goes on where the thread stands, a `Command` with an answer, an update
                or another target.
            config: Thread, limits, tags and metadata of this run.
            context: Handed to nodes as `runtime.context`; a dict becomes what the graph declares for it.
            stream_mode: One mode yields its payloads; a list yields `(mode, payload)`. The default is
                `"updates"`, or `"values"` inside another graph.

                - `"values"`: the whole state after each superstep that changed it
                - `"updates"`: `{node: update}` for each finished task
                - `"custom"`: what nodes pass to their stream writer, at once
                - `"messages"`: `(message or piece of one, metadata)`, what models in nodes say, at once
                - `"tasks"`: start and result of each task
                - `"checkpoints"`: each checkpoint
                - `"debug"`: tasks and checkpoints, with step and time
            output_keys: Show these channels in place of all that `get_state` shows. The output schema narrows
                what a run returns, and what graphs inside nodes show.
            durability: When checkpoints are written. Under `"sync"` nothing but `"custom"` and
                `"messages"` is shown that a crash could take back.
            on_error: What becomes of a failing task's siblings.
            on_conflict: What to do about another run on the same thread: `"raise"` or `"wait"`.
            interrupt_before: Stop before these nodes run, or before any, `"*"`.
            interrupt_after: Stop after these nodes have run, or after any, `"*"`.
            control: By which the run can be asked to stop between two supersteps.
            subgraphs: Whether to show what graphs inside nodes do as well, at any depth: `(path, payload)` or
                `(path, mode, payload)`, where the path names the tasks that lead to the graph,
                `("node:task_id", ...)`, and is empty for this one.

        Raises:
            ValueError: There is no such stream mode or output key.
            Exception: As `ainvoke`.

        A slow consumer holds the run back. Closing the iterator cancels the run and waits for its
        clean-up.
        """
        default: StreamMode = "updates" if current_task.get() is None else "values"
        mode = default if stream_mode is None else stream_mode
        modes = _options.stream_modes(mode)
        choices = _options.Choices(
            durability, on_error, on_conflict, interrupt_before, interrupt_after, control
        )
        request = self._request(input, config, choices, context, output_keys, is_shown=True)
        sink = Sink(asyncio.get_running_loop())
        view = View(sink, frozenset(modes), not isinstance(mode, str), () if subgraphs else None)
        worker = asyncio.create_task(self._fill(sink, request, view))
        try:
            while (chunk := await sink.take()) is not sink.END:
                yield chunk
        finally:
            sink.close()
            worker.cancel()
            await _ended(worker)
        _raise_failure(worker)

    async def _fill(self, sink: Sink, request: Request, view: View) -> None:
        try:
            await self._begin(request, view, current_task.get())
        except (SystemExit, KeyboardInterrupt) as error:
            raise CarriedExit(error) from error
        finally:
            sink.close()

    def _run_to_end(self, request: Request) -> Awaitable[Any]:
        outer = current_task.get()
        if outer is not None and (outer.run.depth + 1) % TASK_EVERY == 0:
            return _as_task(self._run_inside(outer, request, None))
        return self._begin(request, None, outer)

    def _begin(self, request: Request, view: View | None, outer: TaskScope | None) -> Awaitable[Any]:
        """Opens a run as far as nothing has to be waited for; what is returned does the rest."""
        if outer is None:
            return self._begin_at_its_place(request, view, outer)
        return self._run_inside(outer, request, view)

    async def _run_inside(self, outer: TaskScope, request: Request, view: View | None) -> Any:
        effects = outer.acting()
        effects.run_begins()
        try:
            return await self._begin_at_its_place(request, view, outer)
        except (SystemExit, KeyboardInterrupt) as error:
            raise CarriedExit(error) from error  # from user code outside of nodes: a reducer, a saver
        finally:
            effects.run_ends()

    def _begin_at_its_place(
        self, request: Request, view: View | None, outer: TaskScope | None
    ) -> Awaitable[Any]:
        place = find_place(self._options.checkpointer, request.config, outer)
        if place.saver is not None:
            # the code of a saver may be anybody's: what it sets, and cancels by mistake, stays inside
            return within(copy_context(), self._run_kept(request, place, view))
        emitter = emitter_for(self._plan, request, place, view)
        observers = observed(self._options, self._plan.name, place, emitter)
        if observers is not NOBODY:
            return self._run_observed(observers, request, place, emitter)
        return self._driven(open_passing(self._plan, request, place, emitter, None), place)

    async def _run_observed(
        self,
        observers: AbstractContextManager[Meter | None],
        request: Request,
        place: Place,
        emitter: Emitter | None,
    ) -> Any:
        with observers as meter:
            return await self._driven(open_passing(self._plan, request, place, emitter, meter), place)

    async def _run_kept(self, request: Request, place: Place, view: View | None) -> Any:
        options = self._options
        if place.namespace and place.nested is None:
            place = await outermost(place, request.config, self._plan)
        emitter = emitter_for(self._plan, request, place, view)
        async with turn_at(place, request.terms.on_conflict):
            with observed(options, self._plan.name, place, emitter) as meter:
                opened = await open_kept(self._plan, request, place, emitter, meter)
                output = await self._driven(opened, place)
            if options.retention is not None:
                await forget_the_past(place, options.retention)
            return output

    def _driven(self, opened: Opened, place: Place) -> Awaitable[Any]:
        if opened.run.cache is None and self._plan.is_cached:
            warn_of_no_cache(self._plan)
        driving = drive(*opened) if place.nested is None else _drive_nested(opened, place)
        # the code of a cache may be anybody's, too
        return driving if opened.run.cache is None else within(copy_context(), driving)

    # -- the other colour

    def _begins_here(self) -> bool:
        """Whether a run that is called synchronously may begin without a loop, as it may never need one."""
        options, saver = self._options, self._options.checkpointer
        watches = options.watch is not None or options.stats or options.step_timeout is not None
        if self._plan.needs_loop or watches:
            return False
        if not isinstance(saver, BaseCheckpointSaver):
            return True
        # Ctrl-C may strike between any two lines on the main thread, and what is kept has to be whole
        return saver.never_suspends and threading.current_thread() is not threading.main_thread()

    invoke = blocking(ainvoke, begins_here=_begins_here)
    stream = blocking_iter(astream)


T = TypeVar("T")


async def _drive_nested(opened: Opened, place: Place) -> Any:
    try:
        return await drive(*opened)
    finally:
        hand_on(opened.run, place)


async def _as_task(run: Coroutine[Any, Any, T]) -> T:
    """Awaits a run in a task of its own, cancelling it with the caller."""
    task = asyncio.create_task(run)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await _ended(task)
        raise
    return task.result()


async def _ended(task: asyncio.Task[Any]) -> None:
    """Waits for the end of a task that was cancelled; how it ended may be read from it."""
    try:
        if not task.done():
            await asyncio.wait([task])
    except asyncio.CancelledError:
        await until_done(task)
        raise
    finally:
        if task.done() and not task.cancelled():
            task.exception()  # else Python complains if nobody reads it


def _raise_failure(worker: asyncio.Task[Any]) -> None:
    error = worker.exception()  # raises if the worker was cancelled, by whom it may be: the rest is missing
    if isinstance(error, CarriedExit):
        _raise_carried(error)
    if error is not None:
        raise error


def _raise_carried(carried: CarriedExit) -> NoReturn:
    raise carried.error from None
