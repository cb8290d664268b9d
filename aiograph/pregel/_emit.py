"""What a run shows to those who listen: chunks per stream mode, built only for the modes asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from aiograph import _ids
from aiograph._onlookers import Audience, Listener
from aiograph.constants import INTERRUPT, LEAVE, RETURN
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._heard import Heard
from aiograph.pregel._plan import Plan, Values, read_channels
from aiograph.pregel._snapshot import with_map
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks, result_of
from aiograph.types import Interrupt, RunnableConfig, StreamMode

if TYPE_CHECKING:
    from aiograph.stats import SuperstepStats

STREAM_MODES: tuple[StreamMode, ...] = (
    "values",
    "updates",
    "custom",
    "messages",
    "tasks",
    "checkpoints",
    "debug",
)


class Outlet(Protocol):
    """Where chunks go."""

    def push_from_anywhere(self, chunk: Any) -> None: ...

    @property
    def is_full(self) -> bool: ...

    async def room(self) -> None: ...


@dataclass(frozen=True, slots=True)
class View:
    """What one consumer sees of a run.

    A single mode yields bare payloads, a list of modes yields `(mode, payload)`; with the runs that are
    nested in it, the path of the run comes first.
    """

    outlet: Outlet
    modes: frozenset[str]
    tagged: bool = False
    path: tuple[str, ...] | None = None
    """Where the run is, if runs nested in it are shown as well; empty for the outermost."""
    heard: Heard = field(default_factory=Heard)
    """Messages that the consumer knows of; one for all runs that it sees."""

    @property
    def sees_nested_runs(self) -> bool:
        return self.path is not None

    def show(self, mode: str, payload: Any) -> None:
        """Hands something on, shaped as the consumer wants it."""
        if self.path is None:
            self.outlet.push_from_anywhere((mode, payload) if self.tagged else payload)
        else:
            shaped = (self.path, mode, payload) if self.tagged else (self.path, payload)
            self.outlet.push_from_anywhere(shaped)

    @property
    def is_full(self) -> bool:
        """Whether the consumer is slow."""
        return self.outlet.is_full

    async def room(self) -> None:
        """Waits while the consumer is slow."""
        await self.outlet.room()

    def within(self, place: tuple[str, ...]) -> View:
        """What the same consumer sees of a run that is nested in this one."""
        return replace(self, path=(*(self.path or ()), *place))


_BLIND_TO_INPUT = frozenset({"updates", "tasks", "custom"})
"""Modes that show nothing of a node that is hidden."""


def _modes_of(views: Sequence[Listener]) -> frozenset[str]:
    """All modes that somebody listens to."""
    first, *others = views
    return first.modes.union(*(view.modes for view in others)) if others else first.modes


class Emitter:
    """Builds the chunks of one run and hands them to those who want them."""

    def __init__(self, plan: Plan, output: str | Sequence[str], views: Sequence[Listener]) -> None:
        self._plan = plan
        self._modes = modes = _modes_of(views)
        self._output = output
        self._output_names = frozenset((output,) if isinstance(output, str) else output)
        self._views = views
        self._shown: set[int] = set()
        self.listeners = tuple(view for view in views if view.sees_nested_runs)
        self._shows_runs_of_tasks = "tasks" in modes or "debug" in modes
        self.wants_tasks = self._shows_runs_of_tasks or "updates" in modes
        self.wants_custom = "custom" in modes
        self.wants_checkpoints = "checkpoints" in modes or "debug" in modes
        self.wants_input = not modes <= _BLIND_TO_INPUT
        """Whether the superstep that hands the input to the state has something to show."""
        self.messages = _audience(views) if "messages" in modes else None
        """Those who are shown messages; `None` if nobody is."""
        self.hears_nodes = self.wants_custom or self.messages is not None or bool(self.listeners)
        """Whether nodes may have something to show while they run."""

    @property
    def is_full(self) -> bool:
        """Whether a consumer is slow."""
        for view in self._views:  # noqa: SIM110  # a generator would be a part of what a superstep costs
            if view.is_full:
                return True
        return False

    async def room(self) -> None:
        """Holds the run back while a consumer is slow."""
        for view in self._views:
            if view.is_full:
                await view.room()

    def custom(self, value: Any) -> None:
        """Shows what a node passed to its stream writer, at once."""
        self._show("custom", value)

    def _show(self, mode: str, payload: Any) -> None:
        for view in self._views:
            if mode in view.modes:
                view.show(mode, payload)

    def started(self, tasks: Sequence[Task]) -> None:
        """Announces the tasks of a superstep, and shows what some of them had done before."""
        self._shown.clear()
        for task in tasks:
            if task.cached:
                self.finished(task)
            elif self._shows_runs_of_tasks:
                self._started(task.handler or task)

    def _started(self, task: Task) -> None:
        if not task.node.is_hidden:
            self._push("tasks", _start_of(task), task.step, "task")

    def handed_over(self, task: Task, error: Exception) -> None:
        """Shows that a node has failed, and that its error handler takes over."""
        if self._shows_runs_of_tasks and not task.node.is_hidden and task.handler is not None:
            self._push("tasks", {**self._result_of(task), "error": error}, task.step, "task_result")
            self._started(task.handler)

    def finished(self, task: Task) -> None:
        """Shows what one task, or the error handler that has taken over, has done, once."""
        self._finished(task.handler or task)

    def _finished(self, task: Task) -> None:
        if not self.wants_tasks or id(task) in self._shown or task.node.is_hidden:
            return
        self._shown.add(id(task))
        if "updates" in self._modes and _has_update(task):
            self._push("updates", self._update_of(task))
        if self._shows_runs_of_tasks and not task.cached:
            self._push("tasks", self._result_of(task), task.step, "task_result")

    def called(self, call: Task) -> None:
        """Announces a task that another one has called."""
        self._push("tasks", _start_of(call), call.step, "task")

    def returned(self, call: Task) -> None:
        """Shows what a called task has done."""
        result: dict[str, Any] = {} if call.writes is None else {RETURN: result_of(call)}
        if result and call.node.part_of is None:
            self._push("updates", _marked(call, result[RETURN]))
        if not call.cached:
            self._push("tasks", {**self._result_of(call), "result": result}, call.step, "task_result")

    def stepped(self, state: RunState, tasks: Sequence[Task]) -> None:
        """Shows a superstep: tasks that were not shown yet, then the values, if they changed."""
        for task in tasks:
            self.finished(task)
        if "values" in self._modes and state.updated and not self._output_names.isdisjoint(state.updated):
            self.values(state)

    def interrupted(self, questions: Sequence[Interrupt], values: Values) -> None:
        """Shows why the run stops here; where values are shown, beside those that it has come to."""
        if "updates" in self._modes:
            self._push("updates", {INTERRUPT: tuple(questions)})
        if "values" in self._modes and questions:
            self._push("values", asking(read_channels(values, self._output), tuple(questions)))

    def values(self, state: RunState) -> None:
        """Shows the whole output as it is now."""
        if "values" in self._modes:
            self._push("values", read_channels(state.values, self._output))

    def checkpoint(
        self,
        state: RunState,
        config: RunnableConfig,
        parent_config: RunnableConfig | None,
        metadata: Mapping[str, Any],
    ) -> None:
        """Shows a checkpoint and what runs next from it."""
        tasks, parents = due_tasks(self._plan, state, 0), metadata.get("parents", {})
        payload = {
            "config": with_map(config, parents),
            "parent_config": parent_config and with_map(parent_config, parents),
            "values": read_channels(state.values, self._output),
            "metadata": metadata,
            "next": [task.name for task in tasks],
            "tasks": [_promise_of(task) for task in tasks],
        }
        self._push("checkpoints", payload, state.step - 1, "checkpoint")

    def measured(self, stats: SuperstepStats) -> None:
        """Shows what a superstep has taken."""
        if "debug" in self._modes:
            self._debug(stats.step, "stats", asdict(stats))

    def _push(self, mode: StreamMode, payload: Any, step: int = 0, kind: str = "") -> None:
        self._show(mode, payload)
        if kind and "debug" in self._modes:
            self._debug(step, kind, payload)

    def _debug(self, step: int, kind: str, payload: Any) -> None:
        event = {"step": step, "timestamp": _ids.now_iso(), "type": kind, "payload": payload}
        self._show("debug", event)

    def _update_of(self, task: Task) -> dict[str, Any]:
        return _marked(task, written(task, self._output))

    def _result_of(self, task: Task) -> dict[str, Any]:
        return {
            "id": task.id,
            "name": task.name,
            "error": task.error,
            "result": writes_by_key(task, self._output),
            "interrupts": [_plain(question) for question in task.questions],
        }


def _audience(views: Sequence[Listener]) -> Audience:
    from aiograph.pregel._messages import Messages  # and with that, all that is known of messages

    return Messages(views)


def asking(output: Any, questions: Sequence[Interrupt]) -> dict[str, Any]:
    """An output with the questions that have stopped the run, which take the place of a single value."""
    return {**(output if isinstance(output, dict) else {}), INTERRUPT: questions}


def _has_update(task: Task) -> bool:
    """Whether a task has written for its own graph, and that is on record where it has to be.

    What is for a graph further out shows there, as an update of the node around.
    """
    writes = task.writes if task.error is None else None
    return writes is not None and not any(name == LEAVE for name, _ in writes)


def _marked(task: Task, update: Any) -> dict[str, Any]:
    marks = {"__metadata__": {"cached": True}} if task.cached else {}
    return {task.name: update, **marks}


def _start_of(task: Task) -> dict[str, Any]:
    start = {"id": task.id, "name": task.name, "input": _input_of(task), "triggers": task.triggers}
    return {**start, "metadata": dict(task.node.metadata)} if task.node.metadata else start


def _promise_of(task: Task) -> dict[str, Any]:
    """A task that is due at a checkpoint which has just been made: it has asked and called nothing yet."""
    return {"id": task.id, "name": task.name, "interrupts": (), "state": None}


def _plain(question: Interrupt) -> dict[str, Any]:
    return {"value": question.value, "id": question.id, "response_schema": question.response_schema}


def _input_of(task: Task) -> Any:
    try:
        return task.input
    except InvalidUpdateError:
        return None  # the state makes no input for this node: the task fails and says why


def writes_by_key(task: Task, output: str | Sequence[str]) -> dict[str, Any]:
    """What a task wrote to the output channels, by channel; all of it when it repeated itself."""
    names = (output,) if isinstance(output, str) else output
    found: dict[str, list[Any]] = {}
    for name, value in task.writes or ():
        if name in names:
            found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else {"$writes": values} for name, values in found.items()}


def written(task: Task, output: str | Sequence[str]) -> Any:
    """What a task wrote to the output channels: a value or dict, a list of them when it repeated itself."""
    if isinstance(output, str):
        values = [value for name, value in task.writes or () if name == output]
        return values[0] if len(values) == 1 else values or None
    updates: list[dict[str, Any]] = []
    for name, value in task.writes or ():
        if name not in output:
            continue
        if not updates or name in updates[-1]:
            updates.append({})
        updates[-1][name] = value
    return updates[0] if len(updates) == 1 else updates or None
