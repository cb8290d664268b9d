"""`Pregel`: a plan with its options, and the verbs that run it, look at its threads and change them.

Immutable, and usable from any number of tasks and threads at once. The asynchronous verbs are the
engine; each synchronous twin is derived from one of them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NoReturn, Self, TypeVar, cast

from aiograph._cancel import until_done
from aiograph._context import current_task
from aiograph.bridge import blocking, blocking_iter
from aiograph.channels.base import BaseChannel
from aiograph.checkpoint.base import BaseCheckpointSaver, Retention
from aiograph.drawing import Graph
from aiograph.errors import CheckpointQueryError
from aiograph.pregel import _options
from aiograph.pregel._attempt import CarriedExit
from aiograph.pregel._builder import planned
from aiograph.pregel._emit import Emitter
from aiograph.pregel._execute import Within
from aiograph.pregel._inspect import empty_snapshot, snapshot
from aiograph.pregel._interface import Interface, interface_of, json_schema, model
from aiograph.pregel._loop import drive, keep_update, save_update
from aiograph.pregel._open import (
    Opened,
    Place,
    Request,
    find_place,
    forget_the_past,
    open_run,
    open_update,
    saved_place,
    turn_at,
)
from aiograph.pregel._plan import Plan, PlannedNode
from aiograph.pregel._run import NO_STOPS, Stops
from aiograph.pregel._sink import Sink
from aiograph.pregel._topology import topology
from aiograph.pregel._update import clear
from aiograph.types import (
    Command,
    Durability,
    OnConflict,
    OnError,
    RetryPolicy,
    RunnableConfig,
    StateSnapshot,
    StreamMode,
)
from aiograph.typing import ContextT, InputT, OutputT, StateT, WithDefaults

TASK_EVERY = 8
"""Runs nested in each other before one gets a task, and so an await chain, of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `compile` fixes for all runs of a graph."""

    checkpointer: BaseCheckpointSaver | Literal[False] | None = None
    store: Any = None
    config: RunnableConfig | None = None
    step_timeout: float | None = None
    on_error: OnError = "cancel"
    on_conflict: OnConflict = "raise"
    durability: Durability | None = None
    retention: Retention | None = None
    stops: Stops = NO_STOPS
    build_context: Callable[[dict[str, Any]], Any] | None = None
    """Makes a context of the type that the graph declares out of a dict."""
    storable: frozenset[type] = frozenset()
    """The types that the schemas mention: a saver has to know them."""
    interface: Interface | None = None
    """The graph's schemas; `None` where only channels tell what goes in and out."""


class Pregel(WithDefaults, Generic[StateT, ContextT, InputT, OutputT]):
    """A graph of nodes over channels, ready to run.

    Most graphs are built with `StateGraph`; this constructor is for those who think in channels, with
    `NodeBuilder` to describe the nodes.

    Args:
        nodes: What runs, by name.
        channels: What nodes read, write and are triggered by.
        input_channels: The channel, or channels, that the input is written to.
        output_channels: The channel, or channels, that the output is read from.
        checkpointer: Keeps the state of threads.
        store: Handed to nodes that ask for it.
        step_timeout: Seconds that one superstep may take.
        retry_policy: For nodes that have none of their own.
        name: For messages and traces.

    Raises:
        GraphValidationError: A node refers to a channel that does not exist.
        TypeError: `checkpointer` is no saver.
    """

    def __init__(
        self,
        *,
        nodes: Mapping[str, Any],
        channels: Mapping[str, BaseChannel[Any, Any, Any]],
        input_channels: str | Sequence[str],
        output_channels: str | Sequence[str],
        checkpointer: BaseCheckpointSaver | Literal[False] | None = None,
        store: Any = None,
        step_timeout: float | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] = (),
        name: str = "Pregel",
    ) -> None:
        self._plan = planned(nodes, channels, input_channels, output_channels, retry_policy, name)
        self._options = Options(
            checkpointer=_options.checkpointer(checkpointer),
            store=store,
            step_timeout=_options.seconds("step_timeout", step_timeout),
        )

    @classmethod
    def of(cls, plan: Plan, options: Options) -> Self:
        """A graph for a plan that is there already."""
        graph = cls.__new__(cls)
        graph._plan = plan
        graph._options = options
        return graph

    @property
    def name(self) -> str:
        """What the graph is called in messages and traces."""
        return self._plan.name

    @property
    def plan(self) -> Plan:
        """All that the engine knows about the graph."""
        return self._plan

    @property
    def nodes(self) -> Mapping[str, PlannedNode]:
        """What runs, by name."""
        return self._plan.nodes

    @property
    def channels(self) -> Mapping[str, BaseChannel[Any, Any, Any]]:
        """A prototype of each channel."""
        return self._plan.channels

    @property
    def output_channels(self) -> str | tuple[str, ...]:
        """The channel, or channels, that the output is read from."""
        return self._plan.output

    @property
    def checkpointer(self) -> BaseCheckpointSaver | Literal[False] | None:
        """The saver; `None` inherits that of a graph around this one, `False` keeps nothing."""
        return self._options.checkpointer

    def with_config(self, config: RunnableConfig | None = None, **entries: Any) -> Self:
        """The same graph with other defaults for the config of its runs.

        Raises:
            ValueError: An entry is not one that configs have.
        """
        merged = _options.merge_configs(self._options.config, config, cast(RunnableConfig, entries))
        return self.of(self._plan, replace(self._options, config=merged))

    def with_checkpointer(self, checkpointer: BaseCheckpointSaver | Literal[False] | None) -> Self:
        """The same graph with another saver for its threads.

        Args:
            checkpointer: As for `StateGraph.compile`.

        Raises:
            TypeError: It is no saver.
        """
        saver = _options.checkpointer(checkpointer)
        if isinstance(saver, BaseCheckpointSaver):
            saver.allow_types(self._options.storable)
        return self.of(self._plan, replace(self._options, checkpointer=saver))

    # -- drawing

    def get_graph(self, *, xray: bool | int = False) -> Graph:
        """What may follow what, as nodes and edges that can be drawn.

        Args:
            xray: Whether nodes that are compiled graphs are shown with what is in them; as a number, how
                many levels deep.

        Raises:
            ValueError: `xray` is negative.
        """
        return topology(self._plan, xray)

    # -- schemas

    @property
    def _interface(self) -> Interface:
        return self._options.interface or interface_of(self._plan)

    def get_input_schema(self) -> Any:
        """A Pydantic model of what callers pass: the input schema if it is one, else a `RootModel` of it.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return model(self._interface.input)

    def get_output_schema(self) -> Any:
        """A Pydantic model of what callers get, made as by `get_input_schema`.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return model(self._interface.output)

    def get_input_jsonschema(self) -> dict[str, Any]:
        """The JSON schema of what callers pass. Reducers and managed values are left out.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return json_schema(self._interface.input)

    def get_output_jsonschema(self) -> dict[str, Any]:
        """The JSON schema of what callers get.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return json_schema(self._interface.output)

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """The JSON schema of what callers pass as `context=`; `None` if the graph declares no type for it.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        context = self._interface.context
        return None if context is None else json_schema(context)

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
    ) -> Any:
        """Runs the graph to its end and returns its output.

        Args:
            input: The input; `None` goes on where the thread stands, `Command(resume=...)` with an answer.
            config: Thread, limits, tags and metadata of this run.
            context: Handed to nodes as `runtime.context`.
            stream_mode: With another mode than `"values"`, the list of that mode's chunks is returned.
            output_keys: Read these channels in place of the graph's output.
            durability: When checkpoints are written; `"async"` unless the graph says otherwise.
            on_error: What becomes of a failing task's siblings.
            on_conflict: What to do about another run on the same thread: `"raise"` or `"wait"`.
            interrupt_before: Stop before these nodes run, or before any, `"*"`.
            interrupt_after: Stop after these nodes have run, or after any, `"*"`.

        Returns:
            The values of the output channels, as a dict, or a single value for a graph with one.

        Raises:
            EmptyInputError: There is neither input nor anything to resume.
            GraphRecursionError: The run was not finished within its `recursion_limit`.
            InvalidUpdateError: A node's update does not fit; the state is as before that superstep.
            ConcurrentUpdateError: Somebody else has written to the thread since this run read it.
            Exception: Whatever a node raised, with a note that names node, step and task.

        When cancelled, it cancels what runs, waits for its clean-up, keeps the writes of finished
        tasks, and leaves nothing behind.
        """
        if stream_mode != "values":
            chunks = self.astream(
                input,
                config,
                context=context,
                stream_mode=stream_mode,
                output_keys=output_keys,
                durability=durability,
                on_error=on_error,
                on_conflict=on_conflict,
                interrupt_before=interrupt_before,
                interrupt_after=interrupt_after,
            )
            return [chunk async for chunk in chunks]
        choices = _options.Choices(durability, on_error, on_conflict, interrupt_before, interrupt_after)
        request = self._request(input, config, choices, context, output_keys)
        run = self._run_to_end(request, None)
        try:
            if _starts_new_chain():
                return await _as_task(run)
            return await Within(copy_context(), run)
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
    ) -> AsyncGenerator[Any, None]:
        """Runs the graph and yields what it does, as it happens.

        Args:
            input: The input; `None` goes on where the thread stands, `Command(resume=...)` with an answer.
            config: Thread, limits, tags and metadata of this run.
            context: Handed to nodes as `runtime.context`.
            stream_mode: One mode yields its payloads; a list yields `(mode, payload)`. The default is
                `"updates"`, or `"values"` inside another graph.

                - `"values"`: the whole output after each superstep that changed it
                - `"updates"`: `{node: update}` for each finished task
                - `"custom"`: what nodes pass to their stream writer, at once
                - `"tasks"`: start and result of each task
                - `"checkpoints"`: each checkpoint
                - `"debug"`: tasks and checkpoints, with step and time
            output_keys: Show these channels in place of the graph's output.
            durability: When checkpoints are written. Under `"sync"` nothing but `"custom"` is shown
                that a crash could take back.
            on_error: What becomes of a failing task's siblings.
            on_conflict: What to do about another run on the same thread: `"raise"` or `"wait"`.
            interrupt_before: Stop before these nodes run, or before any, `"*"`.
            interrupt_after: Stop after these nodes have run, or after any, `"*"`.

        Raises:
            ValueError: There is no such stream mode or output key.
            Exception: As `ainvoke`.

        A slow consumer holds the run back. Closing the iterator cancels the run and waits for its
        clean-up.
        """
        default: StreamMode = "updates" if current_task.get() is None else "values"
        mode = default if stream_mode is None else stream_mode
        modes = _options.stream_modes(mode)
        choices = _options.Choices(durability, on_error, on_conflict, interrupt_before, interrupt_after)
        request = self._request(input, config, choices, context, output_keys)
        sink = Sink(asyncio.get_running_loop())
        emitter = Emitter(self._plan, modes, request.output, sink, tagged=not isinstance(mode, str))
        worker = asyncio.create_task(self._fill(sink, request, emitter))
        try:
            while (chunk := await sink.take()) is not sink.END:
                yield chunk
        finally:
            sink.close()
            worker.cancel()
            await _ended(worker)
        _raise_failure(worker)

    async def _fill(self, sink: Sink, request: Request, emitter: Emitter) -> None:
        try:
            await self._run_to_end(request, emitter)
        finally:
            sink.close()

    async def _run_to_end(self, request: Request, emitter: Emitter | None) -> Any:
        try:
            place = find_place(request.checkpointer, request.config, current_task.get())
            async with turn_at(place, request.on_conflict):
                opened: Opened = await open_run(self._plan, request, place, emitter)
                output = await drive(*opened)
                if self._options.retention is not None:
                    await forget_the_past(place, self._options.retention)
                return output
        except (SystemExit, KeyboardInterrupt) as error:
            raise CarriedExit(error) from error  # from user code outside of nodes: a reducer, a saver

    def _request(
        self,
        input: Any,
        config: RunnableConfig | None,
        choices: "_options.Choices",
        context: Any = None,
        output_keys: str | Sequence[str] | None = None,
    ) -> Request:
        options, plan = self._options, self._plan
        output = plan.output
        if output_keys is not None:
            output = _options.check_output_keys(output_keys, plan.channels)
        if options.build_context is not None and isinstance(context, dict):
            context = options.build_context(context)
        return Request(
            input=input,
            config=self._config(config),
            context=context,
            output=output,
            durability=_options.durability(choices.durability) or options.durability,
            on_error=_options.on_error(choices.on_error) or options.on_error,
            on_conflict=_options.on_conflict(choices.on_conflict) or options.on_conflict,
            stops=self._stops(choices),
            step_timeout=options.step_timeout,
            store=options.store,
            checkpointer=options.checkpointer,
        )

    def _stops(self, choices: "_options.Choices") -> Stops:
        before, after = choices.interrupt_before, choices.interrupt_after
        default = self._options.stops
        if before is None and after is None:
            return default
        chosen = _options.stops(self._plan, before, after)
        return Stops(
            default.before if before is None else chosen.before,
            default.after if after is None else chosen.after,
        )

    def _config(self, config: RunnableConfig | None) -> RunnableConfig:
        outer = current_task.get()
        ambient = None if outer is None else _options.inherited_config(outer.run.config, config)
        return _options.merge_configs(ambient, self._options.config, config)

    # -- threads

    async def aget_state(self, config: RunnableConfig) -> StateSnapshot:
        """The state of a thread; a thread that does not exist has an empty one.

        Its values are those of all keys that the graph's schemas declare, whatever the output is; keys that
        are private to some nodes are not shown.

        Args:
            config: Names the thread. With a `checkpoint_id`, that checkpoint as it was; without, the
                newest one, in which tasks that have finished since count as done.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.
        """
        place = self._place(config)
        saved = await place.saver.aget_tuple(place.config)
        if saved is None:
            return empty_snapshot(self._plan, place.config)
        return snapshot(self._plan, saved, live=place.checkpoint_id is None)

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """The checkpoints of a thread, newest first, as they were.

        Args:
            config: Names the thread.
            filter: Metadata entries that must be equal.
            before: Only checkpoints older than the one this config names.
            limit: At most this many.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.
        """
        place = self._place(config)
        query = place._replace(checkpoint_id=None).config
        async for saved in place.saver.alist(query, filter=filter, before=before, limit=limit):
            yield snapshot(self._plan, saved, live=False)

    async def aupdate_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None
    ) -> RunnableConfig:
        """Changes a thread's state as if a node had returned `values`; its edges decide what is next.

        Tasks of a broken superstep that have finished count as well. An update in the name of a node
        that was about to run stands for its task, and the others that were about to run still are;
        after an update in any other name they are not.

        Args:
            config: Names the thread, and with a `checkpoint_id` the checkpoint to start from.
            values: What the node returned.
            as_node: The node; by default the one that ran last.

        Returns:
            The config that names the new checkpoint.

        Raises:
            InvalidUpdateError: The values do not fit, or it is not clear which node they come from.
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.
        """
        place = self._place(config)
        request = self._request(None, config, _options.Choices("sync"))
        async with turn_at(place, request.on_conflict):
            run, _, pending = await open_update(self._plan, place, request)
            return await Within(copy_context(), save_update(run, as_node, values, pending))

    async def aclear_state(
        self, config: RunnableConfig, *, metadata: Mapping[str, Any] | None = None
    ) -> RunnableConfig:
        """Has a thread start anew: appends a checkpoint without values, at which nothing is left to do.

        Nothing is deleted. Older checkpoints are still in the history, and a run or an update that names one
        of them goes on from there. The checkpoint is found by
        `aget_state_history(config, filter={"memory_cleared": True})`. What graphs within nodes keep for
        tasks of their own is left as it is; no later task asks for it.

        Args:
            config: Names the thread, and with a `checkpoint_id` the checkpoint to append to.
            metadata: Further entries for the checkpoint's metadata: who asked for it, and why.

        Returns:
            The config that names the new checkpoint.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.

        When cancelled, the checkpoint is stored, or it is not; never a part of it.
        """
        marked: RunnableConfig = {"metadata": {**(metadata or {}), "memory_cleared": True}}
        place = self._place(config)
        request = self._request(None, _options.merge_configs(config, marked), _options.Choices("sync"))
        async with turn_at(place, request.on_conflict):
            run, _, _ = await open_update(self._plan, place, request)
            clear(run.state)
            return await keep_update(run)

    def _place(self, config: RunnableConfig) -> "_SavedPlace":
        place = saved_place(self._options.checkpointer, self._config(config), current_task.get())
        if place.saver is None:
            raise CheckpointQueryError(
                f"graph {self.name!r} has no checkpointer, so it keeps no state: compile it with one"
            )
        return cast("_SavedPlace", place)

    # -- the other colour

    invoke = blocking(ainvoke)
    stream = blocking_iter(astream)
    get_state = blocking(aget_state)
    get_state_history = blocking_iter(aget_state_history)
    update_state = blocking(aupdate_state)
    clear_state = blocking(aclear_state)


class _SavedPlace(Place):
    """A place that has a saver."""

    saver: BaseCheckpointSaver


def _starts_new_chain() -> bool:
    scope = current_task.get()
    return scope is not None and (scope.run.depth + 1) % TASK_EVERY == 0


T = TypeVar("T")


async def _as_task(run: Any) -> Any:
    """Awaits a run in a task of its own, cancelling it with the caller."""
    task = asyncio.create_task(run)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await _ended(task)
        raise
    return task.result()


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Waits for the end of a task that was cancelled; how it ended may be read from it."""
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await until_done(task)
        raise
    finally:
        if task.done() and not task.cancelled():
            task.exception()  # else Python complains if nobody reads it


def _raise_failure(worker: "asyncio.Task[Any]") -> None:
    error = worker.exception()  # raises if the worker was cancelled, by whom it may be: the rest is missing
    if isinstance(error, CarriedExit):
        _raise_carried(error)
    if error is not None:
        raise error


def _raise_carried(carried: CarriedExit) -> NoReturn:
    raise carried.error from None
