"""Who runs next: the tasks of a superstep, in task order. Pure.

A node runs when a channel that it subscribes to has a version that it has not seen. Candidates come
from the index of subscribers over the channels that changed, never from a scan over all nodes, unless
it is not known what changed. Order is a promise: nodes by name, then `Send`s in the order they were made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aiograph import _ids
from aiograph._context import TaskScope
from aiograph._effects import NO_NAMES, NOTHING
from aiograph.checkpoint._model import TaskName
from aiograph.constants import POSITIONS, PULL, PUSH, TAG_NOSTREAM, TASKS
from aiograph.errors import InvalidUpdateError, NodeError
from aiograph.pregel._plan import Call, Plan, PlannedNode, Write
from aiograph.pregel._state import RunState
from aiograph.types import Interrupt, Send, TimeoutPolicy

if TYPE_CHECKING:
    from aiograph.cache.base import FullKey


class Task:
    """One run of one node in one superstep, and what came of it."""

    __slots__ = (
        "_arg",
        "_began",
        "_checkpoint_id",
        "_id",
        "_origin",
        "_remaining",
        "_state",
        "answers",
        "cache_key",
        "cached",
        "error",
        "failure",
        "handler",
        "node",
        "passed",
        "path",
        "questions",
        "recorded",
        "step",
        "timeout",
        "triggers",
        "writes",
    )

    def __init__(
        self,
        node: PlannedNode,
        path: tuple[Any, ...],
        triggers: tuple[str, ...],
        state: RunState,
        remaining: int = 0,
        arg: Any = None,
        timeout: TimeoutPolicy | None = None,
    ) -> None:
        self.node = node
        self.path = path
        self.triggers = triggers
        self.step = state.step
        self._state: RunState | None = state
        self._remaining = remaining
        self._arg = arg
        self.timeout = timeout or node.timeout
        self._origin = state.origin
        self._checkpoint_id = state.checkpoint_id
        self._id: str | None = None
        self._began: float | None = None
        self.writes: list[Write] | None = None
        """What the task wrote; `None` until it has finished."""
        self.error: BaseException | None = None
        self.questions: Sequence[Interrupt] = ()
        """What the task asks, or asked in an earlier attempt, and nobody has answered: it must not run."""
        self.answers: Mapping[str, Any] = NOTHING
        """Answers to what it asked before, by the questions' ids."""
        self.passed = NO_NAMES
        """Where runs nested in it have stopped that keep nothing."""
        self.cache_key: FullKey | None = None
        """Where in the cache its writes are, or will be."""
        self.failure: NodeError | None = None
        """What it is to handle, if it is an error handler's."""
        self.handler: Task | None = None
        """The task of the node's error handler, once that has taken over: what comes of it counts."""
        self.cached = False
        """Whether the writes come from an earlier attempt at this superstep."""
        self.recorded = False
        """Whether the writes are stored beside the checkpoint that the task started from."""

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def input(self) -> Any:
        """What the node is called with: a `Send`'s argument, else read from the state, anew each time."""
        if self.path[0] == PUSH:
            return self._arg
        assert self._state is not None
        return self.node.read(self._state.values, self._remaining)

    @property
    def id(self) -> str:
        """Depends on the checkpoint, the step and the task's path alone; made when first asked for."""
        if self._id is None:
            place = self.place
            self._id = self._origin.known_ids.get(place) or _ids.digest_id(place)
        return self._id

    @property
    def id_or_place(self) -> TaskName:
        """The id; or what it is a digest of, as long as nobody has asked for it."""
        return self.id if self._id is not None or self._origin.known_ids else self.place

    def began(self) -> float:
        """When its first attempt began, in seconds since 1970.

        A task without a retry policy has no other attempt: it need not be known before somebody asks.
        """
        if self._began is None:
            self._began = _ids.wall_ns() / 1e9
        return self._began

    @property
    def place(self) -> tuple[str, ...]:
        """All that the id depends on."""
        kind, place = self.path[0], self.path[1]
        detail = (str(place),) if kind == PUSH else self.triggers
        start = self._checkpoint_id or self._origin.checkpoint_id()
        return (start, self._origin.namespace, str(self.step), self.name, kind, *detail)

    @property
    def checkpoint_id(self) -> str | None:
        """The checkpoint that it starts from."""
        return self._checkpoint_id

    @property
    def positions(self) -> Mapping[str, str]:
        """Where stateful graphs inside nodes stand at that checkpoint."""
        return {} if self._state is None else positions_at(self._state)

    def let_go(self) -> None:
        """Keeps the id alone. What a node has left running keeps its context alive, and that the task."""
        self._state = self._arg = self.writes = self.error = self.failure = None
        if self.handler is not None:
            self.handler.let_go()

    def hand_over(self, error: Exception) -> "Task":
        """Leaves it to the node's error handler, which gets the same input; returns its task.

        The id of that depends on this one's alone, so what is asked and kept there is found again.
        """
        node, state = self.node.handler, self._state
        assert node is not None
        assert state is not None
        task = Task(node, self.path, self.triggers, state, self._remaining, self._arg)
        task._id = _ids.digest_id((self.id, node.name))
        task.failure = NodeError(self.name, error)
        self.handler, self.error = task, None
        return task

    def adopt(self) -> None:
        """Takes over what has become of the error handler."""
        assert self.handler is not None
        self.writes, self.questions = self.handler.writes, self.handler.questions
        self.error = self.handler.error

    @property
    def path_text(self) -> str:
        """The path as text that sorts in task order."""
        return _text_of(self.path)

    @property
    def is_call(self) -> bool:
        """Whether the code of another task has called it."""
        return len(self.path) == 4


@lru_cache(maxsize=1024)  # where supersteps are kept in memory, they share the text
def _text_of(path: tuple[Any, ...]) -> str:
    kind, place = path[0], path[1]
    if isinstance(place, tuple):
        return f"{_text_of(place)}, {path[2]:010d}"
    return f"~{kind}, {place:010d}" if kind == PUSH else f"~{kind}, {place}"


def called_task(
    node: PlannedNode, arg: Any, caller: TaskScope, place: tuple[int, str], state: RunState
) -> Task:
    """A task that another one has called.

    Its id depends on the caller's and on its place alone: whose result it is that is found under the id has
    to be checked by name. A node whose models are not to be heard mutes those of tasks that it calls.

    Args:
        node: The task, described as nodes are.
        arg: What it was called with.
        caller: The attempt that has called it.
        place: The number of the call, 0 for the first, and by what it is found again.
        state: The state of the run.
    """
    number, name = place
    if TAG_NOSTREAM in caller.tags:
        node = replace(node, tags=(*node.tags, TAG_NOSTREAM))
    task = Task(node, (PUSH, caller.path, number, True), (PUSH,), state, arg=arg)
    task._id = _ids.digest_id((caller.id, "call", name))
    return task


def result_of(call: Task) -> Any:
    """What a called task that has finished returned."""
    assert call.writes is not None
    _, (_, result) = call.writes[0]
    return result


def positions_at(state: RunState) -> Mapping[str, str]:
    """Where stateful graphs inside nodes stand: namespace → checkpoint."""
    channel = state.channels.get(POSITIONS)
    return {} if channel is None else channel.get()


def due_nodes(plan: Plan, state: RunState) -> list[str]:
    """Names of the nodes that a channel triggers, sorted."""
    if state.updated is None:
        return sorted(name for name, node in plan.nodes.items() if _has_news(node, state))
    subscribers = plan.subscribers
    names: list[str] = []
    for channel in state.updated:  # what has just changed has not been seen by anybody
        names += subscribers.get(channel, ())
    return names if len(names) < 2 else sorted(set(names))


def _has_news(node: PlannedNode, state: RunState) -> bool:
    seen = state.seen.get(node.name, {})
    channels, versions = state.channels, state.versions
    for trigger in node.triggers:
        channel = channels.get(trigger)
        if channel is not None and channel.is_available() and versions.get(trigger, 0) > seen.get(trigger, 0):
            return True
    return False


def due_sends(state: RunState) -> Sequence[Send]:
    """The `Send`s that wait to be run, in the order they were made."""
    channel = state.channels.get(TASKS)
    if channel is None or not channel.is_available():
        return ()
    sends: Sequence[Send] = channel.get()
    return sends


def due_tasks(plan: Plan, state: RunState, remaining: int) -> list[Task]:
    """The tasks of the next superstep, in task order; none when the run is finished."""
    tasks = []
    for name in due_nodes(plan, state):
        node = plan.nodes[name]
        triggers = node.triggers if len(node.triggers) == 1 else _available(node, state)
        tasks.append(Task(node, (PULL, name), triggers, state, remaining))
    if TASKS in state.channels:
        tasks += [_pushed(plan, index, send, state) for index, send in enumerate(due_sends(state))]
    return tasks


def _pushed(plan: Plan, index: int, send: Send, state: RunState) -> Task:
    node = plan.nodes.get(send.node) or missing_node(plan, send.node)
    return Task(node, (PUSH, index, False), (PUSH,), state, arg=send.arg, timeout=send.timeout)


def missing_node(plan: Plan, name: str) -> PlannedNode:
    """Stands for a node that the graph does not have, or no longer has, and fails when it runs.

    So a thread with a `Send` to such a node can be looked at and changed, and takes new input.
    """

    def refuse(input: Any, scope: Any) -> None:
        raise InvalidUpdateError(
            f"a Send names the node {name!r}, which the graph does not have; "
            f"it has {sorted(node.name for node in plan.nodes.values() if not node.is_hidden)}"
        )

    call = Call(refuse, is_async=False, inline=True)
    return PlannedNode(name=name, triggers=(), read=lambda *_: None, call=call, write=lambda _: [])


def _available(node: PlannedNode, state: RunState) -> tuple[str, ...]:
    return tuple(
        trigger
        for trigger in node.triggers
        if (channel := state.channels.get(trigger)) is not None and channel.is_available()
    )
