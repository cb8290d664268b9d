"""What code inside a run can ask about it: typed, read-only, carried by one context variable.

The engine fills these in; `config`, `runtime` and the bridge read them.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from aiograph._config_types import Durability, RunnableConfig
from aiograph._effects import NOTHING, ONE_AT_A_TIME, Effects
from aiograph._onlookers import Pulse, Showing
from aiograph.constants import NAMESPACE_END, NAMESPACE_SEPARATOR
from aiograph.errors import OutsideRunError


class Answerable(Protocol):
    """A task, as far as code that it runs may reach it."""

    node: Any
    """What it runs."""
    path: tuple[Any, ...]
    """Its place among the tasks of the superstep."""
    step: int
    triggers: tuple[str, ...]
    """Channels because of which it runs."""
    answers: Mapping[str, Any]
    """Answers that it has had, by the questions' ids."""
    failure: Any
    """What it has to handle, if it is an error handler's."""

    @property
    def id(self) -> str:
        """Made when it is first asked for."""
        ...

    @property
    def is_call(self) -> bool:
        """Whether the code of another task has called it."""
        ...

    def began(self) -> float:
        """When its first attempt began, in seconds since 1970."""
        ...

    @property
    def checkpoint_id(self) -> str | None:
        """The checkpoint that it has started from, if there is a saver."""
        ...

    @property
    def positions(self) -> Mapping[str, str]:
        """Where stateful graphs stood when it started: namespace → checkpoint."""
        ...


class Desk(Protocol):
    """Takes the calls of tasks that code in a run makes."""

    def call(self, caller: "TaskScope", node: Any, arg: Any, key: str | None = None) -> Any:
        """Has a task begin, from whichever thread, and returns its future at once."""
        ...


class Means(NamedTuple):
    """What a run is given, and hands on to runs nested in it that are given nothing of their own."""

    context: Any = None
    store: Any = None
    cache: Any = None
    control: Any = None
    """The `RunControl` by which it may be asked to stop."""
    durability: Durability | None = None

    def or_else(self, others: "Means") -> "Means":
        """With those of a run around in place of what is missing."""
        return Means._make(its if own is None else own for own, its in zip(self, others, strict=True))


class Whereabouts(Protocol):
    """Where a run keeps its state."""

    @property
    def saver(self) -> Any:
        """`None` if nothing is kept."""
        ...

    @property
    def thread_id(self) -> str | None: ...

    @property
    def namespace(self) -> str: ...

    @property
    def nested(self) -> "NestedRun | None":
        """Which of whose runs it is, if it is nested."""
        ...

    @property
    def is_inner(self) -> bool:
        """Whether it is a part of the run around it."""
        ...

    @property
    def parents(self) -> Mapping[str, str]:
        """The checkpoints that the tasks around started from, by namespace."""
        ...


class RunScope:
    """What all tasks of one run share. Once the run has begun, nothing in it changes.

    Args:
        graph: The graph's name.
        config: Of this run, merged with what is around it.
        means: What it is given, or takes over from the run around it.
        place: Where it keeps its state.
        outer: The task that it is nested in.
        resume: Answers to questions that were asked in it or in nested ones, by the questions' ids.
        showing: Who shows what it does; `None` if nobody listens.
    """

    __slots__ = (
        "_namespace",
        "audience",
        "claims",
        "collector",
        "config",
        "depth",
        "desk",
        "graph",
        "lend",
        "loop",
        "means",
        "outer",
        "place",
        "positions",
        "previous",
        "pulse",
        "resume",
        "showing",
    )

    loop: asyncio.AbstractEventLoop
    """The one that its tasks are on, or that they will go to once they need one."""

    def __init__(
        self,
        graph: str,
        config: RunnableConfig,
        means: Means,
        place: Whereabouts,
        outer: "TaskScope | None",
        resume: Mapping[str, Any],
        showing: Showing | None,
    ) -> None:
        self.graph = graph
        self.config = config
        self.means = means
        self.place = place
        self._namespace: str | None = None
        self.outer = outer
        self.resume = resume
        self.showing = showing
        self.audience = None if showing is None else showing.messages
        """Those who are shown what models say; `None` if nobody is."""
        self.depth: int = 0 if outer is None else outer.run.depth + 1
        """How many runs this one is nested in."""
        self.pulse: Pulse | None = None if outer is None else outer.pulse
        """Those who wait for the task that this run is nested in; `None` if its time is not limited."""
        inside = place.nested if place.is_inner else None
        self.positions: Mapping[str, str] = NOTHING if inside is None else inside.task.positions
        """Where stateful graphs stood when it started, as far as the runs around it know."""
        self.claims: dict[str, Any] = {} if inside is None else inside.task.run.claims
        """Who has called a stateful graph last, by namespace; one for all runs that are nested in another."""
        self.collector: Any = None
        """Told what this run does, and nested ones that have nobody of their own; `None` if nobody is."""
        self.previous: Any = None
        """What the run before this one kept for it, if the graph is an entrypoint."""
        self.lend: Callable[[TaskScope], None] | None = None
        """Lends a task's config to a library that looks for it elsewhere, before the task's code runs."""
        self.desk: Desk | None = None
        """Set while the run is under way."""

    @property
    def namespace(self) -> str:
        """Where the run keeps what it keeps; without a saver, where it would. Made when first asked for."""
        if self._namespace is None:
            place = self.place
            inside = place.nested if place.saver is None and place.is_inner else None
            self._namespace = place.namespace if inside is None else inside.namespace
        return self._namespace


class TaskScope:
    """One attempt at one task."""

    __slots__ = (
        "attempt",
        "effects",
        "give_ups",
        "has_ended",
        "pulse",
        "run",
        "task",
    )

    def __init__(self, run: RunScope, task: Answerable, attempt: int = 1, pulse: Pulse | None = None) -> None:
        self.run = run
        self.task = task
        self.attempt = attempt
        self.pulse = pulse or run.pulse
        """Those who wait for this attempt, or for one around it; `None` if no time is limited."""
        self.give_ups: tuple[Any, ...] = ()
        """What ends the wait for its synchronous code, and that of the tasks it calls."""
        self.has_ended = False
        """Whether its code has ended, and must not start anything any more."""
        self.effects: Effects | None = None
        """What its code has done besides returning; `None` as long as that is nothing."""

    @property
    def name(self) -> str:
        """The node's name."""
        name: str = self.task.node.name
        return name

    @property
    def path(self) -> tuple[Any, ...]:
        """The task's place among those of its superstep."""
        return self.task.path

    @property
    def step(self) -> int:
        """The superstep that the task is of."""
        return self.task.step

    @property
    def triggers(self) -> tuple[str, ...]:
        """Channels because of which the task runs."""
        return self.task.triggers

    @property
    def tags(self) -> tuple[str, ...]:
        """The node's."""
        tags: tuple[str, ...] = self.task.node.tags
        return tags

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The node's."""
        metadata: Mapping[str, Any] = self.task.node.metadata
        return metadata

    @property
    def id(self) -> str:
        """The task's id; made when first asked for, as most runs never ask."""
        return self.task.id

    @property
    def checkpoint_id(self) -> str | None:
        """The checkpoint that the task has started from, if there is a saver."""
        return self.task.checkpoint_id

    @property
    def positions(self) -> Mapping[str, str]:
        """Where stateful graphs stand, as far as the task knows: namespace → checkpoint."""
        here = self.task.positions
        noted = NOTHING if self.effects is None else self.effects.positions
        if not here and not noted:
            return self.run.positions  # mostly nothing: a nested run should not cost more for it
        return {**self.run.positions, **here, **noted}

    @property
    def namespace(self) -> str:
        """The namespace of what the task runs inside."""
        outer = self.run.namespace
        return f"{outer}{NAMESPACE_SEPARATOR}{self.label}" if outer else self.label

    @property
    def label(self) -> str:
        """Names the task within its run."""
        return f"{self.name}{NAMESPACE_END}{self.id}"

    @property
    def began(self) -> float:
        """When the first attempt at the task began, in seconds since 1970."""
        return self.task.began()

    @property
    def failure(self) -> Any:
        """What an error handler has to handle; `None` in a node."""
        return self.task.failure

    @property
    def answers(self) -> Mapping[str, Any]:
        """Answers to the questions of this task, and of runs nested in it, by the questions' ids."""
        return {**self.run.resume, **self.task.answers}

    @property
    def writer(self) -> Callable[[Any], None]:
        """Puts a value on the `"custom"` stream."""
        if self.pulse is not None:
            return self._write_in_time  # a sign of life, whether anybody listens or not
        return _nobody_listens if self.run.showing is None else self.run.showing.custom

    def _write_in_time(self, value: Any) -> None:
        if self.may_show() and self.run.showing is not None:
            self.run.showing.custom(value)

    def may_show(self) -> bool:
        """Whether its time is not up yet. That it has something to show is a sign of life."""
        if self.pulse is None:
            return True
        if self.pulse.is_over:
            return False
        self.pulse.progress()
        return True

    def heartbeat(self) -> None:
        """Says that the attempt is alive, from whichever thread."""
        if self.pulse is not None:
            self.pulse.heartbeat()

    def acting(self) -> Effects:
        """Its effects, made when the first one is to be noted; from whichever thread."""
        with ONE_AT_A_TIME:
            if self.effects is None:
                self.effects = Effects()
            return self.effects

    def push(self, key: str, value: Any) -> None:
        """Adds to what the attempt writes, from whichever thread.

        Raises:
            OutsideRunError: The attempt has ended.
        """
        effects = self.acting()
        with ONE_AT_A_TIME:  # no thread may have its turn between the question and the note
            if self.has_ended:
                raise OutsideRunError(f"node {self.name!r} has ended: nothing can be added to what it writes")
            effects.pushed = (*effects.pushed, (key, value))


class NestedRun(NamedTuple):
    """One of the runs that a task starts."""

    task: TaskScope
    number: int
    """0 for the first."""

    @property
    def id(self) -> str:
        from aiograph import _ids

        return _ids.digest_id((self.task.id, "run", str(self.number)))

    @property
    def place(self) -> tuple[str, ...]:
        """Where it is, seen from the run around it."""
        return (self.task.label, str(self.number)) if self.number else (self.task.label,)

    @property
    def namespace(self) -> str:
        """A namespace that no other run has."""
        outer = self.task.run.namespace
        return NAMESPACE_SEPARATOR.join((outer, *self.place) if outer else self.place)


def _nobody_listens(value: Any) -> None:
    """The stream writer of a run without a listener."""


current_task: ContextVar[TaskScope | None] = ContextVar("aiograph_task", default=None)
"""The task whose code runs here; `None` outside of any run."""


def require_task(what: str) -> TaskScope:
    """The current task.

    Raises:
        OutsideRunError: `what` was called outside of a run.
    """
    scope = current_task.get()
    if scope is None:
        raise OutsideRunError(
            f"{what} was called outside of a run; it works only in code that a node runs, and in threads "
            "that the node has started with a copy of its context, as asyncio.to_thread does"
        )
    return scope
