"""Which errors of tools a model is told, and how: `handle_tool_errors` in all its forms. Pure."""

import inspect
from collections.abc import Callable
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from aiograph._interrupt import refused_answers
from aiograph.errors import CallOrderError, GraphDrained, ParentCommand
from aiograph.tools import ToolInvocationError, ToolTimeoutError

HandleToolErrors: TypeAlias = (
    bool | str | Callable[..., str | None] | type[Exception] | tuple[type[Exception], ...] | None
)

Told = Callable[[Exception], str | None]
"""What a model is told of an error; `None` to have it raised."""


def tell_faults(error: Exception) -> str | None:
    """By default a model is told what it can do something about: wrong arguments, and a tool that is slow."""
    return str(error) if isinstance(error, ToolInvocationError | ToolTimeoutError) else None


def told_by(policy: HandleToolErrors) -> Told:
    """What `handle_tool_errors` says, as a function.

    Raises:
        TypeError: It says nothing.
        ValueError: It is a function whose parameter is annotated with something that is no exception.
    """
    if policy is tell_faults:
        return tell_faults
    if isinstance(policy, type | tuple):
        return _for_types(policy, _shown)
    if isinstance(policy, bool) or policy is None:
        return _for_types(Exception if policy else (), _shown)
    if isinstance(policy, str):
        text = policy
        return _for_types(Exception, lambda error: text)
    if callable(policy):
        return _for_types(_handled_by(policy), policy)
    raise TypeError(f"handle_tool_errors is a bool, text, a function or exception types, not {policy!r}")


def _for_types(types: Any, tell: Told) -> Told:
    def told(error: Exception) -> str | None:
        return tell(error) if isinstance(error, types) and not _is_control(error) else None

    return told


def _is_control(error: Exception) -> bool:
    """Whether it is not about the tool: who runs the graph has to know of it, and no model."""
    return isinstance(error, CallOrderError | GraphDrained | ParentCommand) or bool(refused_answers(error))


def _shown(error: Exception) -> str:
    return f"Error: {error!r}\n Please fix your mistakes."


def _handled_by(handler: Callable[..., str | None]) -> Any:
    """The exception types that a handler's first parameter is annotated with; all, if it is not."""
    described = handler if inspect.isroutine(handler) else type(handler).__call__
    first = next(iter(inspect.signature(handler).parameters), None)
    hint = get_type_hints(described).get(first or "", Exception)
    types = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if not all(isinstance(each, type) and issubclass(each, Exception) for each in types):
        raise ValueError(f"handle_tool_errors: {handler!r} takes {hint!r}, which is no exception type")
    return types
