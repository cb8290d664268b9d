"""Which classes the annotations of a class lead to: those whose instances a graph's state may hold."""

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from typing import Any

_FOREIGN = frozenset({"builtins", "typing", "types", "collections", "collections.abc", "datetime", "decimal"})
"""Modules whose classes are not looked into."""


def reachable(roots: Iterable[Any]) -> Iterator[type]:
    """The classes among `roots`, and all that their annotations mention, each once."""
    seen: set[Any] = set()
    left = list(roots)
    while left:
        found = left.pop()
        if _key(found) in seen:
            continue
        seen.add(_key(found))
        if isinstance(found, type) and not typing.get_args(found):  # list[int] passes for a type
            yield found
        left.extend(_mentioned(found))


def _key(annotation: Any) -> Any:
    try:
        hash(annotation)
    except TypeError:  # Annotated[int, []]
        return id(annotation)
    return annotation


def _mentioned(annotation: Any) -> Iterable[Any]:
    arguments = typing.get_args(annotation)
    if arguments:
        literal = typing.get_origin(annotation) is typing.Literal
        # the members of Literal[Colour.RED] are values
        inner = [type(argument) for argument in arguments] if literal else _flat(arguments)
        return [*inner, typing.get_origin(annotation)]
    if isinstance(annotation, type) and annotation.__module__ not in _FOREIGN:
        return _hints(annotation)
    if isinstance(annotation, typing.TypeVar):
        return [annotation.__bound__, *annotation.__constraints__]
    return [getattr(annotation, "__value__", None)]  # what a `type` statement names


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, list):  # the parameters of a Callable
            yield from argument
        else:
            yield argument


def _hints(cls: type) -> list[Any]:
    """The annotations of a class and of its bases; those that cannot be resolved are left out."""
    parameters = getattr(cls, "__pydantic_generic_metadata__", {}).get("args", ())
    try:
        return [*typing.get_type_hints(cls, include_extras=True).values(), *parameters]
    except Exception:  # a name that exists only for type checkers, for one
        fields: Any = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        raw = [field.type for field in fields] or list(getattr(cls, "__annotations__", {}).values())
        return [each for each in raw if not isinstance(each, str)]
