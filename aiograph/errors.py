"""Exceptions, by whose turn it is to act.

- the graph's author: `GraphValidationError`, `InvalidUpdateError` and its kinds
- the caller: `EmptyInputError`, `SyncCallError`, `GraphRecursionError`
- the operator: `CheckpointStorageError` and its siblings

Every error that aiograph raises on its own account is an `AiographError`; what a node raises reaches
the caller as it was raised, with a note that names node, step and task.
"""

from asyncio import InvalidStateError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal


class ErrorCode(StrEnum):
    """Stable codes for errors that have a page in the docs."""

    GRAPH_RECURSION_LIMIT = "GRAPH_RECURSION_LIMIT"
    INVALID_CHAT_HISTORY = "INVALID_CHAT_HISTORY"
    INVALID_CONCURRENT_GRAPH_UPDATE = "INVALID_CONCURRENT_GRAPH_UPDATE"
    INVALID_GRAPH_NODE_RETURN_VALUE = "INVALID_GRAPH_NODE_RETURN_VALUE"
    MULTIPLE_SUBGRAPHS = "MULTIPLE_SUBGRAPHS"


class AiographError(Exception):
    """Root of the errors that aiograph raises on its own account. Copies and pickles are as the original."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args), vars(self)


def _made_again(cls: type[AiographError], args: tuple[Any, ...]) -> AiographError:
    """Without the constructor, which may want other things than the message it has made of them."""
    return cls.__new__(cls, *args)


class GraphValidationError(AiographError, ValueError):
    """A graph cannot work as built. `faults` lists everything that was found, one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("\n".join(self.faults))


class ExpressionError(AiographError, ValueError):
    """A string condition is malformed or uses what conditions may not use."""


class MissingExtraError(AiographError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the '{extra}' extra: pip install 'aiograph[{extra}]'")


class GraphRecursionError(AiographError, RecursionError):
    """The run used up its `recursion_limit` of supersteps and was not finished.

    With a checkpointer the state is saved: `invoke(None, error.config)` goes on with a fresh budget.

    Attributes:
        config: The config to go on with; `None` if nothing is kept.
    """

    def __init__(self, message: str, config: Any = None) -> None:
        self.config = config
        super().__init__(message)


class GraphDrained(AiographError):
    """The run has stopped between two supersteps, as `RunControl.request_drain` asked it to.

    With a checkpointer all is kept: `invoke(None, error.config)` goes on.

    Attributes:
        reason: What was given as the reason.
        config: The config to go on with; `None` if nothing is kept.
    """

    def __init__(self, message: str, reason: str | None = None, config: Any = None) -> None:
        self.reason = reason
        self.config = config
        super().__init__(message)


class InvalidUpdateError(AiographError):
    """A node returned, or a caller passed, an update that the state cannot take."""

    code: ErrorCode | None = None


class InvalidChatHistoryError(AiographError, ValueError):
    """A conversation has tool calls that nobody has answered, which models refuse. The model was not called.

    Mostly new input has come while the calls were waiting, for approval for instance. Have them finish first,
    or take the message that makes them out of the conversation.

    Attributes:
        calls: The calls, oldest first.
    """

    code = ErrorCode.INVALID_CHAT_HISTORY

    def __init__(self, calls: Sequence[Mapping[str, Any]]) -> None:
        self.calls = tuple(calls)
        named = ", ".join(f"{call['name']} (id {call.get('id')!r})" for call in self.calls)
        super().__init__(
            f"the conversation has tool calls that nobody has answered: {named}. Have them finish before "
            "there is new input: None as input goes on, Command(resume=...) answers a question. Or mend the "
            "conversation with update_state: RemoveMessage takes out the message that makes the calls, and "
            "a ToolMessage with the call's id, right after that message, answers one"
        )


class InvalidContextError(AiographError, ValueError):
    """What was passed as `context=` does not make what the graph declares as its `context_schema`."""


class OutsideRunError(AiographError, RuntimeError):
    """Something was called that works only in code that a node runs.

    In a thread that a node has started, it works in a copy of the node's context, as `asyncio.to_thread`
    makes one.
    """


class ChannelUpdateError(InvalidUpdateError):
    """A reducer raised; the message names channel and writers, `__cause__` is what it raised."""


class StateValidationError(InvalidUpdateError, ValueError):
    """The state of a thread does not make the object that a node takes.

    A value was stored before the schema changed, a required field has no value, or a rule over several
    fields is broken. The thread can be looked at and mended: `update_state`, or `Overwrite` for a key with a
    reducer, or new input.

    Attributes:
        node: Name of the node; for a conditional edge, of the node that it leaves.
        values: What the thread holds for the node's schema, by key, as it was stored.
        errors: What Pydantic found, as its `ValidationError.errors()`; empty for other schemas.
    """

    def __init__(
        self, message: str, *, node: str, values: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]
    ) -> None:
        self.node = node
        self.values = values
        self.errors = errors
        super().__init__(message)


class EmptyChannelError(AiographError):
    """A channel was read that holds no value."""


class ParentCommand(AiographError):
    """A node commanded a graph around its own, by `Command(graph=...)`, but its graph was run by itself.

    Attributes:
        command: What it commanded.
    """

    def __init__(self, message: str, command: Any) -> None:
        self.command = command
        super().__init__(message)


class UnknownInterruptError(AiographError):
    """An answer was given to a question that is not open. Raised before anything is written.

    Attributes:
        reason: `"not_pending"`: nobody asks that, or it was answered already; `"ambiguous"`: one answer, but
            several questions are open; `"empty_map"`: a dict without answers.
        interrupt_ids: The ids that were answered.
        pending_ids: The ids of the questions that are open.
    """

    def __init__(
        self, message: str, reason: str, interrupt_ids: Sequence[str], pending_ids: Sequence[str]
    ) -> None:
        self.reason = reason
        self.interrupt_ids: tuple[str, ...] = tuple(interrupt_ids)
        self.pending_ids: tuple[str, ...] = tuple(pending_ids)
        super().__init__(message)


class InvalidResumeError(AiographError, ValueError):
    """An answer does not fit the `response_schema` of its question, which stays open.

    Attributes:
        interrupt_ids: The ids of the questions.
    """

    def __init__(self, message: str, interrupt_ids: Sequence[str]) -> None:
        self.interrupt_ids: tuple[str, ...] = tuple(interrupt_ids)
        super().__init__(message)


class MultipleSubgraphsError(AiographError):
    """Two tasks of one superstep call a graph that remembers, and which would go on from the other is open.

    Compile the graph with `checkpointer=None`, which gives each call a state of its own, call it from nodes
    with different names, or in different supersteps.
    """


class EmptyInputError(AiographError):
    """The input is empty and there is nothing to resume."""


class ChangedGraphError(AiographError):
    """A thread cannot go on, as the graph has changed since it was stored. Nothing was run or written.

    It can be looked at; `compile(migrate=...)` says what becomes of it, and new input drops what was to run.

    Attributes:
        thread_id: The thread.
        graph: Name of the graph.
        nodes: Nodes that are to run next, and are gone or triggered by a channel that is gone.
        keys: Keys that hold a value which was kept by another kind of channel.
    """

    def __init__(
        self, message: str, *, thread_id: str, graph: str, nodes: Sequence[str], keys: Sequence[str]
    ) -> None:
        self.thread_id = thread_id
        self.graph = graph
        self.nodes: tuple[str, ...] = tuple(nodes)
        self.keys: tuple[str, ...] = tuple(keys)
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class NodeError:
    """What an error handler is told: which node has failed, and how. Not an exception itself."""

    node: str
    error: Exception
    """What the node raised last; a `RecordedError` in a run that goes on where another was broken off."""


class RecordedError(AiographError):
    """Stands for what a node raised before its run was broken off: only its `repr` was stored."""


class CallOrderError(AiographError):
    """The code of a run that goes on has called another task than it had called in that place before.

    A finished task's result is found by the place of its call and by its name. So what decides which tasks
    are called, and in which order, has to come out the same each time the code runs, and the code must not
    be changed while threads wait to go on with it.

    Attributes:
        place: The number of the call among those of its caller, 0 for the first.
        recorded: Name of the task that was called there.
        called: Name of the task that is called there now.
    """

    def __init__(self, place: int, recorded: str, called: str, caller: str) -> None:
        self.place = place
        self.recorded = recorded
        self.called = called
        super().__init__(
            f"call {place} of {caller!r} was {recorded!r} before the run was broken off, now it is "
            f"{called!r}: tasks have to be called in the same order when a run goes on. Restore that order, "
            "or start anew with an input"
        )


class NodeTimeoutError(AiographError):
    """An attempt at a node took longer than its timeout allows; its writes are discarded.

    Attributes:
        node: Name of the node.
        timeout: The limit that was exceeded, in seconds.
        run_timeout: Seconds that an attempt may take, if there is such a limit.
        idle_timeout: Seconds that may pass without progress, if there is such a limit.
        elapsed: Seconds that the attempt had taken by then.
        kind: Which of the limits was exceeded: `"run"` or `"idle"`.
    """

    def __init__(
        self,
        node: str,
        timeout: float,
        *,
        run_timeout: float | None = None,
        idle_timeout: float | None = None,
        elapsed: float | None = None,
        kind: Literal["run", "idle"] = "run",
    ) -> None:
        self.node = node
        self.timeout = timeout
        self.run_timeout = run_timeout
        self.idle_timeout = idle_timeout
        self.elapsed: float = timeout if elapsed is None else elapsed
        self.kind = kind
        if kind == "run":
            message = f"node '{node}' did not finish within its timeout of {timeout} s"
        else:
            message = (
                f"node '{node}' made no progress for the {timeout} s of its idle_timeout, "
                f"{self.elapsed:.3f} s after it began"
            )
        super().__init__(message)


class NodeCancelledError(AiographError):
    """A node raised `CancelledError` though nobody cancelled the run."""

    def __init__(self, node: str) -> None:
        self.node = node
        super().__init__(f"node '{node}' raised CancelledError although the run was not cancelled")


class SyncCallError(AiographError, InvalidStateError):
    """A synchronous verb was called where it would hang; the message names the async verb to await."""


class BridgeClosedError(AiographError):
    """A loop that would have to do the work is closed, stopped, or shutting down."""


class StructuredOutputError(AiographError, ValueError):
    """A model was asked for an object, and what it answered makes none.

    Asking again may help: `RetryPolicy(retry_on=StructuredOutputError)` does.

    Attributes:
        raw: What it answered, as a message.
    """

    def __init__(self, message: str, raw: Any) -> None:
        self.raw = raw
        super().__init__(message)


class CacheError(AiographError):
    """The storage behind a cache failed, or it was closed. A run that meets this warns, and does the work."""


class CheckpointError(AiographError):
    """Root of the errors of savers; the message names thread, checkpoint and channel."""


class CheckpointStorageError(CheckpointError):
    """The storage behind a saver failed: disk full, file corrupt, permission revoked, connection lost."""


class ConcurrentUpdateError(CheckpointError):
    """Somebody else has written to the thread since this run read it; nothing of the refused is stored."""


class CheckpointSerializationError(CheckpointError):
    """A value cannot be stored; the message gives the path to it. Raised before anything is written."""


class CheckpointDeserializationError(CheckpointError):
    """A stored value cannot be read back. Never skipped, never replaced by `None`."""


class CheckpointQueryError(CheckpointError, ValueError):
    """A saver was asked for something malformed: an unknown operator, a config without `thread_id`."""


class StoreError(AiographError):
    """Root of the errors of stores; the message names namespace and key."""


class InvalidNamespaceError(StoreError, ValueError):
    """A namespace that no store can keep; the message names the label. Raised before anything is done."""


class StoreValueError(StoreError, ValueError):
    """A value cannot be stored; the message gives the path to it. Raised before anything is written."""


class StoreQueryError(StoreError, ValueError):
    """A store was asked for something malformed: an unknown operator, a query without an index."""
