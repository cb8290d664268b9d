"""User code as the engine calls it: `fn(input, scope)`, with what it asks for by parameter name.

What a callable takes is looked at once, when the graph is built; a call does no more than it must.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any

from aiograph import _context
from aiograph._need_loop import need_loop
from aiograph.config import config_of
from aiograph.pregel._plan import Call
from aiograph.runtime import runtime_of

INJECTED: Mapping[str, Callable[[_context.TaskScope], Any]] = {
    "config": config_of,
    "runtime": runtime_of,
    "previous": lambda scope: scope.run.previous,
    "store": lambda scope: scope.run.means.store,
    "writer": lambda scope: scope.writer,
}
"""What a parameter with this name receives."""

INJECTED_IN_HANDLERS: Mapping[str, Callable[[_context.TaskScope], Any]] = {
    **INJECTED,
    "error": lambda scope: scope.failure,
}
"""What a parameter of an error handler with this name receives."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def bind(
    action: Any,
    name: str,
    *,
    inline: bool = False,
    injected: Mapping[str, Callable[[_context.TaskScope], Any]] = INJECTED,
) -> Call:
    """Makes a function, a callable object, or an object with `ainvoke` or `invoke` callable by the engine.

    Raises:
        TypeError: It cannot be called.
        ValueError: It requires a parameter that nothing can be passed for, or `inline` is asked for
            what is asynchronous anyway.
    """
    fn = _entry(action, name)
    is_async = _is_async(fn)
    if inline and is_async:
        raise ValueError(f"node {name!r} is asynchronous: inline=True is for quick synchronous functions")
    return Call(_with_injection(fn, name, injected), is_async, inline, action)


def bind_called(fn: Callable[..., Any]) -> Call:
    """Makes a function callable by the engine whose input is how it was called: `(args, kwargs)`.

    What it can ask for by parameter name is filled in where the call has passed nothing.
    """
    fillable = _fillable(fn)
    if not fillable:
        return Call(lambda input, scope: fn(*input[0], **input[1]), _is_async(fn), action=fn)

    def call(input: tuple[tuple[Any, ...], dict[str, Any]], scope: _context.TaskScope) -> Any:
        args, kwargs = input
        unfilled = [name for name, place in fillable if name not in kwargs and len(args) <= place]
        return fn(*args, **kwargs, **{name: INJECTED[name](scope) for name in unfilled})

    return Call(call, _is_async(fn), action=fn)


def _fillable(fn: Callable[..., Any]) -> list[tuple[str, int]]:
    """The parameters that can be filled in, and how many come before each."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []  # a builtin that does not tell
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        (each.name, place if each.kind is named[0] else 0)
        for place, each in enumerate(parameters)
        if each.kind in named and each.name in INJECTED
    ]


def _entry(action: Any, name: str) -> Callable[..., Any]:
    if isinstance(getattr(action, "ainvoke", None), Callable):  # type: ignore[arg-type]  # callable check
        return _one_argument(action.ainvoke)
    if isinstance(getattr(action, "invoke", None), Callable):  # type: ignore[arg-type]
        return _one_argument(action.invoke)
    if callable(action):
        return action  # type: ignore[no-any-return]
    raise TypeError(
        f"node {name!r} is {action!r}, which cannot be called: "
        "pass a function or an object with `ainvoke` or `invoke`"
    )


def _one_argument(method: Callable[..., Any]) -> Callable[[Any], Any]:
    """A Runnable's method takes a config as well; inside a run the ambient one applies."""
    if _is_async(method):

        async def acall(input: Any) -> Any:
            return await method(input)

        return acall

    def call(input: Any) -> Any:
        return method(input)

    return call


def _is_async(fn: Any) -> bool:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004  # a coroutine function is asked for, not callability


def _with_injection(
    fn: Callable[..., Any], name: str, injected: Mapping[str, Callable[[_context.TaskScope], Any]]
) -> Callable[[Any, _context.TaskScope], Any]:
    names = _injected_names(fn, name, injected.keys())
    if not names:
        return lambda input, scope: fn(input)
    makers = tuple((parameter, injected[parameter]) for parameter in names)
    return lambda input, scope: fn(input, **{parameter: make(scope) for parameter, make in makers})


def _injected_names(fn: Callable[..., Any], name: str, known: Set[str]) -> tuple[str, ...]:
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return ()  # a builtin that does not tell: it gets the input alone
    if not parameters or parameters[0].kind not in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL):
        raise ValueError(f"node {name!r} must take the state as its first parameter; {fn!r} does not")
    rest = [parameter for parameter in parameters[1:] if parameter.kind not in _VARIADIC]
    for parameter in rest:
        _check(parameter, name, known)
    bound = _bound_names(fn)
    return tuple(parameter.name for parameter in rest if parameter.name in known - bound)


def _bound_names(fn: Any) -> Set[str]:
    """What a partial passes by keyword itself, which is not for the engine to replace."""
    return fn.keywords.keys() if isinstance(fn, functools.partial) else frozenset()


def _check(parameter: inspect.Parameter, name: str, known: Set[str]) -> None:
    is_known = parameter.name in known
    if is_known and parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ValueError(f"parameter {parameter.name!r} of node {name!r} must not be positional-only")
    if not is_known and parameter.default is inspect.Parameter.empty:
        raise ValueError(
            f"node {name!r} requires a parameter {parameter.name!r}, which a run cannot pass; "
            f"besides the state it may ask for {', '.join(sorted(known))}"
        )


async def settled(result: Any) -> Any:
    """The value of what a synchronous function returned, which may be awaitable."""
    if not isinstance(result, Awaitable):
        return result
    await need_loop()
    return await result
