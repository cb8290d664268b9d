"""Public values: what users hand to a graph and what a graph hands back."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeAlias, TypeVar

from aiograph._config_types import Durability, RunnableConfig
from aiograph._interrupt import Interrupt, interrupt
from aiograph.constants import PARENT

__all__ = [
    "All",
    "CachePolicy",
    "Command",
    "Durability",
    "Interrupt",
    "OnConflict",
    "OnError",
    "Overwrite",
    "PregelTask",
    "RetryPolicies",
    "RetryPolicy",
    "RunnableConfig",
    "Send",
    "StateSnapshot",
    "StateUpdate",
    "StoredThread",
    "StreamMode",
    "StreamWriter",
    "Timeout",
    "TimeoutPolicy",
    "interrupt",
]

All = Literal["*"]
"""Stands for every node that is not hidden."""

OnError = Literal["cancel", "finish"]
"""What becomes of a failing task's siblings: cancelled, or allowed to finish."""

OnConflict = Literal["raise", "wait"]
"""What a run does about another one on the same thread: of two, one gets an error, or within this process
they wait for each other."""

StreamMode = Literal["values", "updates", "custom", "messages", "tasks", "checkpoints", "debug"]

StreamWriter: TypeAlias = Callable[[Any], None]
"""Puts one value on the `"custom"` stream; does nothing when nobody listens."""

N = TypeVar("N", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and after what delay, a failed node is tried again.

    The n-th delay is `min(max_interval, initial_interval * backoff_factor ** (n - 1))` seconds, plus
    up to one second at random when `jitter` is set (exponential backoff with additive jitter).
    """

    initial_interval: float = 0.5
    """Seconds before the first retry."""
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    """Upper bound of a delay, in seconds, before jitter."""
    max_attempts: int = 3
    """Attempts in all, the first one included."""
    jitter: bool = True
    retry_on: type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool] | None = None
    """Exception types or a predicate; `None` retries what looks transient (see `default_retry_on`)."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        if min(self.initial_interval, self.backoff_factor, self.max_interval) < 0:
            raise ValueError("the intervals and the factor of a RetryPolicy must not be negative")

    @staticmethod
    def all_of(policies: "RetryPolicies | None") -> "tuple[RetryPolicy, ...]":
        """One policy, several or none, as a tuple."""
        if policies is None:
            return ()
        return (policies,) if isinstance(policies, RetryPolicy) else tuple(policies)


RetryPolicies: TypeAlias = RetryPolicy | Sequence[RetryPolicy]
"""Of several, the first one that matches an error applies."""


_PERMANENT = (
    ValueError,
    TypeError,
    ArithmeticError,
    ImportError,
    LookupError,
    NameError,
    SyntaxError,
    RuntimeError,
    ReferenceError,
    StopIteration,
    StopAsyncIteration,
    OSError,
)


_PERMANENT_STATUSES = frozenset(range(400, 500)) - {408, 409, 425, 429}
"""Of HTTP: what is the request's own fault. Time-outs, conflicts and rate limits pass."""


def default_retry_on(error: Exception) -> bool:
    """Whether `error` looks transient: connection errors, rate limits and HTTP 5xx do, mistakes do not."""
    if isinstance(error, ConnectionError):
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status not in _PERMANENT_STATUSES  # with 200, it is an answer that broke off
    return not isinstance(error, _PERMANENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutPolicy:
    """How long one attempt at a node may take: as a whole, and without a sign of life.

    Without either limit it is no limit at all, also for a node whose graph has another default.

    Raises:
        ValueError: A limit is not above 0, or there is no such `refresh_on`.

    Examples:
        >>> TimeoutPolicy(idle_timeout=timedelta(minutes=1)).idle_timeout
        60.0
    """

    run_timeout: float | timedelta | None = None
    """Seconds that an attempt may take; a `timedelta` becomes a number."""
    idle_timeout: float | timedelta | None = None
    """Seconds that may pass without progress; a `timedelta` becomes a number."""
    refresh_on: Literal["auto", "heartbeat"] = "auto"
    """What counts as progress: whatever the node writes or streams, each task that ends in a graph that it
    runs, and `runtime.heartbeat()`; or the heartbeat alone."""

    def __post_init__(self) -> None:
        for name in ("run_timeout", "idle_timeout"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        if self.refresh_on not in ("auto", "heartbeat"):
            raise ValueError(f"refresh_on is 'auto' or 'heartbeat', not {self.refresh_on!r}")

    @classmethod
    def of(cls, value: "Timeout | None", what: str = "the timeout") -> Self | None:
        """What `timeout=` was given, as a policy; a bare time limits the whole attempt.

        Raises:
            ValueError: The time is not above 0.
            TypeError: It is no time.
        """
        if value is None or isinstance(value, cls):
            return value
        if not isinstance(value, int | float | timedelta):
            raise TypeError(f"{what} is seconds, a timedelta or a TimeoutPolicy, not {value!r}")
        return cls(run_timeout=_seconds(what, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """That what a node writes is kept in the graph's cache, and found again by the node's input.

    Raises:
        ValueError: `ttl` is not above 0.
    """

    key_func: Callable[..., Any] | None = None
    """Makes the key of the input, out of what can be stored; without one, the whole input counts."""
    ttl: float | None = None
    """Seconds after which it is forgotten; `None` keeps it for good."""

    def __post_init__(self) -> None:
        _seconds("the ttl of a CachePolicy", self.ttl)


def _seconds(what: str, value: float | timedelta | None) -> float | None:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds is not None and not seconds > 0:
        raise ValueError(f"{what} must be above 0 seconds, not {seconds}")
    return seconds


Timeout: TypeAlias = float | timedelta | TimeoutPolicy
"""What `timeout=` takes: seconds, a `timedelta`, or a policy."""


class PregelTask(NamedTuple):
    """A task of a checkpoint, as seen from outside."""

    id: str
    name: str
    path: tuple[Any, ...]
    error: Exception | str | None = None
    interrupts: tuple[Interrupt, ...] = ()
    state: Any = None
    result: Any = None


class StateSnapshot(NamedTuple):
    """The state of a thread at one checkpoint."""

    values: Any
    next: tuple[str, ...]
    """Names of the nodes that run next; empty when the run is finished."""
    config: RunnableConfig
    metadata: Mapping[str, Any] | None
    created_at: str | None
    parent_config: RunnableConfig | None
    tasks: tuple[PregelTask, ...]
    interrupts: tuple[Interrupt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredThread:
    """A thread as a graph of another shape has stored it; what `compile(migrate=...)` is given and returns.

    Examples:
        >>> def migrate(stored: StoredThread) -> StoredThread:
        ...     return stored.rename_node("ask", "ask_user").rename_key("msgs", "messages")
    """

    thread_id: str
    namespace: str
    """Empty, but for what a graph within a node has stored."""
    checkpoint_id: str
    graph: str | None
    """The fingerprint of the graph that has stored it; `None` if it was stored before there were any."""
    values: Mapping[str, Any]
    """What each key's channel has stored, which for most of them, and for all reducers, is the value."""
    next: tuple[str, ...]
    """The nodes that were to run next, those among them that are gone."""
    renamed_nodes: Mapping[str, str] = field(default_factory=dict)
    """Old names and new ones."""
    renamed_keys: Mapping[str, str] = field(default_factory=dict)
    """Old names and new ones."""

    def rename_node(self, old: str, new: str) -> "StoredThread":
        """What was to run as `old` runs as `new`; what it has done, asked and been answered stays known."""
        renamed = tuple(new if name == old else name for name in self.next)
        return replace(self, next=renamed, renamed_nodes={**self.renamed_nodes, old: new})

    def rename_key(self, old: str, new: str) -> "StoredThread":
        """The value of `old` is the value of `new`, if there is any."""
        values = {new if name == old else name: value for name, value in self.values.items()}
        return replace(self, values=values, renamed_keys={**self.renamed_keys, old: new})

    def with_values(self, **values: Any) -> "StoredThread":
        """The same with other values for some keys."""
        return replace(self, values={**self.values, **values})

    def with_next(self, *nodes: str) -> "StoredThread":
        """The same with exactly these nodes to run next; without any, the thread has finished."""
        return replace(self, next=nodes)


class StateUpdate(NamedTuple):
    """One of the updates that `update_state` and `bulk_update_state` make."""

    values: Any
    """What the node returned, so to speak."""
    as_node: str | None = None
    """The node, or one of the names that mean something else: `END`, `"__input__"`, `"__copy__"`."""
    task_id: str | None = None
    """The pending task that the update stands for, where the node has several."""


def plain_name(name: Any) -> Any:
    """The name of a node as text and nothing else, for it may be a member of an enum, and it is stored.

    What is no text at all stays as it is: whoever looks for the node will tell.
    """
    return str.__str__(name) if isinstance(name, str) else name


class Send:
    """Runs a node in the next superstep with an argument of its own, instead of the graph's state.

    Any number of `Send`s may address one node; each is a task. Compared and hashed by value.

    Args:
        node: The node.
        arg: What it is called with.
        timeout: How long an attempt may take, in place of the node's own timeout.

    Examples:
        >>> Send("fetch", {"url": "https://example.org"}).node
        'fetch'
    """

    __slots__ = ("arg", "node", "timeout")

    def __init__(self, /, node: str, arg: Any, *, timeout: Timeout | None = None) -> None:
        self.node: str = plain_name(node)
        self.arg: Any = arg
        self.timeout: TimeoutPolicy | None = TimeoutPolicy.of(timeout)

    def __hash__(self) -> int:
        return hash((self.node, self.arg))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Send):
            return False
        return (self.node, self.arg, self.timeout) == (other.node, other.arg, other.timeout)

    def __repr__(self) -> str:
        timeout = "" if self.timeout is None else f", timeout={self.timeout!r}"
        return f"Send(node={self.node!r}, arg={self.arg!r}{timeout})"


@dataclass(frozen=True, kw_only=True, init=False)
class Command(Generic[N]):
    """An update of the state and where to go next, from a node or, as input, from the caller.

    From a node: its own edges fire as well; a target that both name runs once.

    As input: on a thread, `update` and `goto` are applied to the state that it stands at, and what was due
    runs as well. On a fresh one `update` is the input, and `goto` stands for the edges of `START`.
    """

    update: Any = None
    """A dict, a list of `(key, value)` pairs, or an object with annotated fields."""
    goto: Send | Sequence[Send | N] | N = ()
    """A node name, a `Send`, or a sequence of both."""
    graph: str | None = None
    """From a node: the graph that is updated and goes on, in place of the node's own, which ends here.

    `PARENT`, or the name of a graph further out: its own, that of the node which it is in the graph around
    it, or its namespace.
    """
    resume: Any = None
    """As input: the answer to the one question that is open, or a dict of answers by their questions' ids."""

    PARENT: ClassVar[Literal["__parent__"]] = PARENT
    """The graph around the one whose node commands."""

    def __init__(
        self,
        *,
        update: Any = None,
        goto: Send | Sequence[Send | N] | N = (),
        graph: str | None = None,
        resume: Any = None,
    ) -> None:
        # in one go, as nodes may make one in every superstep: frozen slots are filled one by one
        self.__dict__.update(update=update, goto=goto, graph=graph, resume=resume)


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Replaces the value of a reducing channel instead of reducing into it; at most one per superstep."""

    value: Any = field()
