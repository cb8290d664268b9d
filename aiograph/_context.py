"""What code inside a run can ask about it: typed, read-only, carried by one context variable.

The engine fills these in; `config`, `runtime` and the bridge read them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from threading import Lock
from typing import Any, Protocol

from aiograph._config_types import Durability, RunnableConfig


class Answerable(Protocol):
    """A task, as far as code that it runs may reach it."""

    answers: Mapping[str, Any]
    """Answers that it has had, by the questions' ids."""

    @property
    def id(self) -> str:
        """Made when it is first asked for."""
        ...


_ASKING = Lock()
"""Held for a moment by whoever asks: threads that a node has started may do so at once."""


class RunScope:
    """What all tasks of one run share. Complete from birth; once the run has begun, nothing in it changes."""

    __slots__ = (
        "checkpointer",
        "config",
        "context",
        "depth",
        "durability",
        "loop",
        "namespace",
        "resume",
        "store",
        "thread_id",
        "writer",
    )

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        config: RunnableConfig,
        context: Any,
        store: Any,
        writer: Callable[[Any], None],
        checkpointer: Any,
        thread_id: str | None,
        namespace: str,
        durability: Durability,
        depth: int,
        resume: Mapping[str, Any],
    ) -> None:
        self.loop = loop
        self.config = config
        self.context = context
        self.store = store
        self.writer = writer
        self.checkpointer = checkpointer
        self.thread_id = thread_id
        self.namespace = namespace
        self.durability = durability
        self.depth = depth
        """How many runs this one is nested in."""
        self.resume = resume
        """Answers to questions that were asked in this run or in nested ones, by the questions' ids."""


class TaskScope:
    """One attempt at one task."""

    __slots__ = (
        "_asked",
        "_task",
        "attempt",
        "calls",
        "is_stopped",
        "metadata",
        "name",
        "path",
        "questions",
        "run",
        "step",
        "tags",
        "triggers",
    )

    def __init__(
        self,
        run: RunScope,
        name: str,
        path: tuple[Any, ...],
        step: int,
        triggers: tuple[str, ...],
        task: Answerable,
        tags: tuple[str, ...],
        metadata: Mapping[str, Any],
        attempt: int,
    ) -> None:
        self.run = run
        self.name = name
        self.path = path
        self.step = step
        self.triggers = triggers
        self._task = task
        self.tags = tags
        self.metadata = metadata
        self.attempt = attempt
        self.calls = 0
        """How many nested runs this attempt has started so far."""
        self._asked = 0
        self.questions: Sequence[Any] = ()
        """What this attempt, or a run nested in it, has asked without getting an answer."""
        self.is_stopped = False
        """Whether it must not finish, for these questions or because a run nested in it has stopped."""

    @property
    def id(self) -> str:
        """The task's id; made when first asked for, as most runs never ask."""
        return self._task.id

    @property
    def answers(self) -> Mapping[str, Any]:
        """Answers to the questions of this task, and of runs nested in it, by the questions' ids."""
        return {**self.run.resume, **self._task.answers}

    def next_place(self) -> int:
        """Numbers the questions of this attempt."""
        with _ASKING:
            self._asked += 1
            return self._asked - 1

    def stop(self, questions: Sequence[Any]) -> None:
        """Notes that the attempt cannot finish, and what it waits for."""
        with _ASKING:
            self.is_stopped = True
            self.questions = (*self.questions, *questions)


current_task: ContextVar[TaskScope | None] = ContextVar("aiograph_task", default=None)
"""The task whose code runs here; `None` outside of any run."""


def require_task(what: str) -> TaskScope:
    """The current task.

    Raises:
        RuntimeError: `what` was called outside of a run.
    """
    scope = current_task.get()
    if scope is None:
        raise RuntimeError(f"{what} was called outside of a run; it works only in code that a node runs")
    return scope
