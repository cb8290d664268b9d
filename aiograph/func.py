"""Workflows as plain functions: `@entrypoint` makes a graph of one, `@task` calls that are not repeated.

    @task
    async def fetch(url: str) -> str: ...

    @entrypoint(checkpointer=saver)
    async def report(urls: list[str]) -> str:
        pages = await asyncio.gather(*map(fetch, urls))
        return summary(pages)

The code of an entrypoint runs from its first line each time a thread goes on; tasks that had finished then
give the results they had. So what the code does besides calling tasks is done again, and has to lead to the
same calls in the same order.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from aiograph._context import current_task
from aiograph.bridge import blocking
from aiograph.channels.ephemeral_value import EphemeralValue
from aiograph.channels.last_value import LastValue
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.constants import (
    END,
    NAMESPACE_END,
    NAMESPACE_SEPARATOR,
    PREVIOUS,
    PUSH,
    RESERVED_NAMES,
    RETURN,
    START,
)
from aiograph.drawing._values import Edge
from aiograph.graph._context import context_maker
from aiograph.graph._schema import types_in
from aiograph.pregel import Pregel, _options
from aiograph.pregel._builder import planned
from aiograph.pregel._cache import cached_node
from aiograph.pregel._callable import bind, bind_called
from aiograph.pregel._declared import declare
from aiograph.pregel._future import TaskFuture
from aiograph.pregel._interface import Interface
from aiograph.pregel._plan import PlannedNode, Write
from aiograph.pregel._request import Options
from aiograph.types import (
    CachePolicy,
    Durability,
    OnConflict,
    OnError,
    RetryPolicies,
    RetryPolicy,
    Timeout,
    TimeoutPolicy,
)
from aiograph.typing import ContextT

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache
    from aiograph.store.base import BaseStore

__all__ = ["TaskFunction", "TaskFuture", "entrypoint", "task"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
InputT = TypeVar("InputT")


# -- tasks ---------------------------------------------------------------------------------------------


class TaskFunction(Generic[P, R]):
    """A function whose calls inside a run are tasks. Made by `task`."""

    def __init__(
        self,
        func: Callable[P, Any],
        name: str,
        retry: tuple[RetryPolicy, ...],
        timeout: TimeoutPolicy | None,
        cache_policy: CachePolicy | None = None,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        """The function itself, to be called outside of runs."""
        self.name = name
        """By which a call is recognised when a run goes on."""
        node = PlannedNode(
            name=name,
            triggers=(PUSH,),
            read=_nothing,
            call=bind_called(func),
            write=lambda result: [(RETURN, [name, result])],
            retry=retry,
            timeout=timeout,
        )
        self._node = cached_node(node, cache_policy)
        declare(frozenset().union(*map(types_in, _hints(func).values())))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]:
        """Starts the task and returns at once.

        Raises:
            RuntimeError: Called outside of a run, or by code whose own task has ended.
        """
        scope = current_task.get()
        if scope is None or scope.run.desk is None:
            raise RuntimeError(
                f"task {self.name!r} was called outside of a run: call it in an entrypoint or in a node, or "
                f"call its function itself, {self.name}.func(...)"
            )
        future: TaskFuture[R] = scope.run.desk.call(scope, self._node, (args, kwargs))
        return future

    async def aclear_cache(self, cache: BaseCache[Any]) -> None:
        """Has a cache forget what calls have returned, also in the name of older code.

        Raises:
            ValueError: The task has no cache policy.
            CacheError: The storage failed.
        """
        if self._node.cache is None:
            raise ValueError(f"task {self.name!r} has no cache_policy, so nothing of it is cached")
        await cache.aclear([self._node.cache.namespace[:-1]])

    clear_cache = blocking(aclear_cache)

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """A task among the methods of a class is called with the object."""
        return self if owner is None else MethodType(self, owner)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


def _nothing(values: Any, remaining: int) -> None:
    """Reads nothing: a called task has what its caller passed."""


class TaskDecorator(Protocol):
    """Makes a task of a function."""

    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> TaskFunction[P, R]: ...

    @overload
    def __call__(self, func: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(func: Callable[P, Coroutine[Any, Any, R]], /) -> TaskFunction[P, R]: ...


@overload
def task(func: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    retry_policy: RetryPolicies | None = None,
    timeout: Timeout | None = None,
    cache_policy: CachePolicy | None = None,
) -> TaskDecorator: ...


def task(
    func: Any = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicies | None = None,
    timeout: Timeout | None = None,
    cache_policy: CachePolicy | None = None,
) -> Any:
    """Makes a task of a function, synchronous or not: its calls run beside their caller, and never again.

    Calling it, in an entrypoint, a node or another task, starts it and returns a `TaskFuture` at once. With a
    checkpointer, what it returns is stored; when the run goes on after a crash, a failure or a question, the
    same call has that result, and only calls that had not finished are made again. Synchronous functions run
    in worker threads. Parameters named `config`, `runtime`, `store`, `writer` and `previous` are filled in
    where nothing is passed for them.

    What a task raises is raised where its future is waited for; if nobody does, in the caller's place, once
    that has returned. Cancelling a run cancels its tasks, and waits for their clean-up.

    Args:
        func: The function; left out, a decorator is returned.
        name: For messages and streams, and to recognise calls by; the function's by default.
        retry_policy: When to try again; the first of several that matches an error applies.
        timeout: How long one attempt may take: seconds, a `timedelta`, or a `TimeoutPolicy`. Synchronous
            code is given up on when it expires.
        cache_policy: That results are kept in the cache of the graph where the task is called, and found
            again by the task and its arguments.

    Raises:
        TypeError: What is decorated is not a function.
        ValueError: It is a generator, has no name, or one that cannot be used.

    Examples:
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @entrypoint()
        ... def workflow(x: int) -> int:
        ...     parts = [double(x), double(x + 1)]
        ...     return sum(part.result() for part in parts)
        >>> workflow.invoke(3)
        14
    """
    policies = RetryPolicy.all_of(retry_policy)
    limit = TimeoutPolicy.of(timeout, "the timeout of a task")

    def decorate(func: Any) -> TaskFunction[Any, Any]:
        return TaskFunction(func, _checked(func, name, "task"), policies, limit, cache_policy)

    return decorate if func is None else decorate(func)


# -- entrypoints ---------------------------------------------------------------------------------------


class entrypoint(Generic[ContextT]):  # it is used as a decorator
    """Makes a graph of a function: what it is called with is the input, what it returns is the output.

    The graph runs, streams, and keeps threads as any other. On a thread, a parameter named `previous`
    receives what the last finished run has returned, or what it has saved by `entrypoint.final`; the first
    time, `None`. Parameters named `config`, `runtime`, `store` and `writer` are filled in as well.

    When a run goes on after a crash, a failure or a question, the function runs from its first line; `task`
    makes calls that are not repeated.

    Args:
        checkpointer: Keeps the state of threads; `None` inherits that of a graph around this one.
        store: Handed to code that asks for it.
        context_schema: The type of `runtime.context`.
        retry_policy: When the function is tried again; the first of several that matches an error applies.
        timeout: How long one attempt at the function may take, the tasks that it waits for included.
        name: Of the graph and its only node; the function's by default.
        durability: When checkpoints and results are written, unless a call says otherwise.
        on_error: What becomes of tasks that run when the function fails.
        on_conflict: What to do about another run on the same thread.
        cache: Keeps results of tasks, and of the function, that have a cache policy; `None` takes that of
            a graph around this one.
        cache_policy: That what the function returns is kept in the cache, and found again by its input.

    Raises:
        TypeError: `checkpointer` is no saver, `cache` no cache, or what is decorated not a function.
        ValueError: The function takes no input, requires what cannot be passed, is a generator, has no
            name of its own, or takes `previous` and is cached by its input alone.

    Examples:
        >>> from aiograph.checkpoint.memory import InMemorySaver
        >>> @entrypoint(InMemorySaver())
        ... def total(x: int, *, previous: int | None = None) -> int:
        ...     return x + (previous or 0)
        >>> config = {"configurable": {"thread_id": "1"}}
        >>> total.invoke(1, config), total.invoke(2, config)
        (1, 3)
    """

    def __init__(
        self,
        checkpointer: BaseCheckpointSaver | Literal[False] | None = None,
        *,
        store: BaseStore | None = None,
        context_schema: type[ContextT] | None = None,
        retry_policy: RetryPolicies | None = None,
        timeout: Timeout | None = None,
        name: str | None = None,
        durability: Durability | None = None,
        on_error: OnError = "cancel",
        on_conflict: OnConflict = "raise",
        cache: BaseCache[Any] | None = None,
        cache_policy: CachePolicy | None = None,
    ) -> None:
        if inspect.isfunction(checkpointer):
            raise TypeError("write @entrypoint() with parentheses, even if there is nothing in them")
        self._checkpointer = _options.checkpointer(checkpointer)
        self._name = name
        self._retry = RetryPolicy.all_of(retry_policy)
        self._timeout = TimeoutPolicy.of(timeout, "the timeout of an entrypoint")
        self._cache_policy = cache_policy
        contexts = context_maker(context_schema)
        self._options = Options(
            store=_options.store(store),
            cache=_options.cache(cache),
            durability=_options.durability(durability),
            on_error=_options.on_error(on_error) or "cancel",
            on_conflict=_options.on_conflict(on_conflict) or "raise",
            build_context=contexts.of_dict,
            default_context=contexts.of_nothing,
        )
        self._context_schema = context_schema

    @dataclass(frozen=True, kw_only=True)  # no slots, as `Runtime` has none
    class final(Generic[R, S]):  # as above
        """Returned by an entrypoint that gives its caller one thing and keeps another."""

        value: R
        """The output of the run."""
        save: S
        """What the next run on the thread gets as `previous`."""

    @overload
    def __call__(
        self, func: Callable[Concatenate[InputT, P], Coroutine[Any, Any, final[R, S]]], /
    ) -> Pregel[R, ContextT, InputT, R]: ...

    @overload
    def __call__(
        self, func: Callable[Concatenate[InputT, P], Coroutine[Any, Any, R]], /
    ) -> Pregel[R, ContextT, InputT, R]: ...

    @overload
    def __call__(
        self, func: Callable[Concatenate[InputT, P], final[R, S]], /
    ) -> Pregel[R, ContextT, InputT, R]: ...

    @overload
    def __call__(self, func: Callable[Concatenate[InputT, P], R], /) -> Pregel[R, ContextT, InputT, R]: ...

    def __call__(self, func: Any, /) -> Pregel[Any, ContextT, Any, Any]:
        """The graph of a function."""
        name = _checked(func, self._name, "entrypoint")
        types = _types_at(func, name)
        node = PlannedNode(
            name=name,
            triggers=(START,),
            read=lambda values, remaining: values.get(START),
            call=bind(func, name),
            write=_results,
            retry=self._retry,
            timeout=self._timeout,
        )
        anything: Any = Any
        channels = {START: EphemeralValue(anything), END: LastValue(anything), PREVIOUS: LastValue(anything)}
        node = cached_node(node, _checked_policy(self._cache_policy, func, name))
        plan = planned({name: node}, channels, START, END, (), name)
        plan = replace(plan, find_edges=lambda: (Edge(START, name), Edge(name, END)))
        options = replace(
            self._options,
            storable=types.storable,
            interface=Interface(types.input, types.output, self._context_schema),
        )
        if options.cache is not None:
            options.cache.allow_types(options.storable)
        graph = Pregel[Any, ContextT, Any, Any].of(plan, options)
        return graph.with_checkpointer(self._checkpointer)


def _checked_policy(policy: CachePolicy | None, func: Callable[..., Any], name: str) -> CachePolicy | None:
    is_keyed = policy is None or policy.key_func is not None
    if not is_keyed and "previous" in inspect.signature(func).parameters:
        raise ValueError(
            f"entrypoint {name!r} has a cache_policy and takes `previous`, which its input does not tell: "
            "leave one of them out, or give the policy a key_func"
        )
    return policy


def _results(output: Any) -> list[Write]:
    if isinstance(output, entrypoint.final):
        return [(END, output.value), (PREVIOUS, output.save)]
    return [(END, output), (PREVIOUS, output)]


class _Types(NamedTuple):
    """What a function's annotations tell."""

    input: Any
    output: Any
    storable: frozenset[type]


def _types_at(func: Callable[..., Any], name: str) -> _Types:
    parameters = [*inspect.signature(func).parameters]
    if not parameters:
        raise ValueError(f"entrypoint {name!r} takes no parameter: the first one receives the input")
    hints = _hints(func)
    result = hints.get("return", Any)
    output = (*get_args(result), Any)[0] if get_origin(result) is entrypoint.final else result
    schemas = (hints.get(parameters[0], Any), result)
    return _Types(schemas[0], output, frozenset().union(*map(types_in, schemas)))


# -- both ----------------------------------------------------------------------------------------------


def _checked(func: Any, name: str | None, kind: str) -> str:
    """The name of a function that can be made one.

    Raises:
        TypeError: It is no function.
        ValueError: It is a generator, or has no name that can be used.
    """
    if not callable(func):
        raise TypeError(f"@{kind} makes something of a function, not of {func!r}")
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise ValueError(
            f"{func!r} is a generator, which cannot be {kind}: put values on the stream with a parameter "
            "named `writer`, and return the result"
        )
    found = str(name or getattr(func, "__name__", "<lambda>"))
    if found == "<lambda>":
        raise ValueError(f"{func!r} has no name of its own: use @{kind}(name=...)")
    if found in RESERVED_NAMES or NAMESPACE_SEPARATOR in found or NAMESPACE_END in found:
        raise ValueError(f"{kind} {found!r}: the name is reserved, or has one of the characters '|' and ':'")
    return found


def _hints(func: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(func, include_extras=True)
    except Exception:  # whatever evaluating a string can raise; what cannot be read tells nothing
        return {}
