"""What the annotations of a node or router tell: its input schema, and where it may go. Pure."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from aiograph.graph._analysis import NodeOutline
from aiograph.graph._mentions import mentions_interrupt, mentions_routing
from aiograph.graph._records import is_dataclass_type, is_model, is_typed_dict
from aiograph.types import Command, Send

_UNKNOWN = object()


class Annotations(NamedTuple):
    """The annotations of a callable, resolved; empty when they cannot be."""

    first: Any
    result: Any


def annotations_of(action: Any) -> Annotations:
    """The annotations of the first parameter and of the result."""
    fn = action
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not inspect.isroutine(fn) and not inspect.isclass(fn):
        fn = getattr(fn, "__call__", fn)  # noqa: B004  # the method itself is wanted
    try:
        hints = get_type_hints(fn, include_extras=True)
        parameters = list(inspect.signature(fn).parameters) if hints else []
    except Exception:
        return Annotations(_UNKNOWN, _UNKNOWN)  # names that only a type checker can resolve
    first = hints.get(parameters[0], _UNKNOWN) if parameters else _UNKNOWN
    return Annotations(first, hints.get("return", _UNKNOWN))


def input_schema_of(annotations: Annotations) -> Any:
    """The schema that a callable's first parameter is annotated with, or `None`."""
    first = annotations.first
    return first if is_typed_dict(first) or is_dataclass_type(first) or is_model(first) else None


def outline_of(
    action: Any, annotations: Annotations, destinations: Mapping[str, Any] | Sequence[str] | None = None
) -> NodeOutline:
    """What is known of where a node goes.

    Args:
        action: The node's callable.
        annotations: Its annotations.
        destinations: What `add_node` was told; the annotation counts when it was told nothing.
    """
    may_interrupt = mentions_interrupt(action)
    if destinations is not None:
        return NodeOutline("declared", frozenset(destinations), may_interrupt)
    declared = frozenset(_declared(annotations.result))
    if declared:
        return NodeOutline("declared", declared, may_interrupt)
    if _rules_out_routing(annotations.result) or not mentions_routing(action):
        return NodeOutline("none", frozenset(), may_interrupt)
    return NodeOutline("unknown", frozenset(), may_interrupt)


def answers_of(action: Any) -> tuple[Any, ...] | None:
    """The answers that a router's `Literal` annotation allows, or `None`."""
    result = annotations_of(action).result
    answers = tuple(answer for part in _parts(result) for answer in _literals(part))
    complete = all(_literals(part) or part is Send for part in _parts(result))
    return answers if answers and complete else None


def _declared(annotation: Any) -> list[str]:
    commands = [part for part in _parts(annotation) if get_origin(part) is Command]
    return [name for part in commands for arg in get_args(part) for name in _literals(arg)]


def _rules_out_routing(annotation: Any) -> bool:
    return annotation is not _UNKNOWN and all(_is_plain(part) for part in _parts(annotation))


def _is_plain(part: Any) -> bool:
    origin = get_origin(part) or part
    if not isinstance(origin, type) or origin is object:
        return False
    return part is NoneType or issubclass(origin, Mapping) or is_dataclass_type(part) or is_model(part)


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, the items of a list annotation, and whatever else there is, in one list."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, list, Sequence):
        return [part for arg in get_args(annotation) for part in _parts(arg)]
    return [annotation]


def _literals(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return tuple(value for arg in get_args(annotation) for value in _literals(arg))
    return get_args(annotation) if get_origin(annotation) is Literal else ()
