"""What code inside a run can ask about it: typed, read-only, carried by one context variable.

The engine fills these in; `config`, `runtime` and the bridge read them.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from aiograph.types import Durability, RunnableConfig


class HasId(Protocol):
    """Something that knows its id, maybe not before it is asked."""

    @property
    def id(self) -> str: ...


class RunScope:
    """What all tasks of one run share. Complete from birth, never changed."""

    __slots__ = (
        "checkpointer",
        "config",
        "context",
        "depth",
        "durability",
        "loop",
        "namespace",
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


class TaskScope:
    """One attempt at one task."""

    __slots__ = ("_task", "attempt", "calls", "metadata", "name", "path", "run", "step", "tags", "triggers")

    def __init__(
        self,
        run: RunScope,
        name: str,
        path: tuple[Any, ...],
        step: int,
        triggers: tuple[str, ...],
        task: HasId,
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

    @property
    def id(self) -> str:
        """The task's id; made when first asked for, as most runs never ask."""
        return self._task.id


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
