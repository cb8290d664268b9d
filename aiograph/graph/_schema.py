"""From a schema to channels: what the fields of a state are, and how objects of it are made and read. Pure.

A schema is a TypedDict, a dataclass, a Pydantic model (v2), or a bare `Annotated[T, ...]` that makes the
whole state one value. What stands in a field's `Annotated` decides: a managed value, a channel (an instance
or a class), a reducer as the last item; a field that says nothing holds the last value.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter, signature
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from aiograph.channels.base import BaseChannel
from aiograph.channels.binop import BinaryOperatorAggregate
from aiograph.channels.dict_merge import DictMerge
from aiograph.channels.last_value import LastValue
from aiograph.channels.set_union import SetUnion
from aiograph.channels.topic import Topic
from aiograph.constants import CONTROL_PREFIXES, RESERVED_NAMES, ROOT
from aiograph.errors import GraphValidationError, InvalidUpdateError
from aiograph.graph._records import field_names, is_dataclass_type, is_model, is_typed_dict
from aiograph.managed import ManagedValue

FieldSpec: TypeAlias = BaseChannel[Any, Any, Any] | type[ManagedValue[Any]]
"""What a field is: an empty channel of the field's name, or the class of a managed value."""

_ACCEPTED = "a TypedDict, a dataclass, a Pydantic model or a bare Annotated[...]"


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema, read."""

    type: Any
    fields: Mapping[str, FieldSpec]
    is_root: bool = False
    """Whether the state is one value, in the channel `__root__`, and has no keys."""
    build: Callable[[dict[str, Any]], Any] | None = None
    """Makes an object of the schema; `None` where the dict of values is one already.

    Values that are missing are left to the schema's defaults. Raises `InvalidUpdateError` if the values
    do not make an object.
    """


def read_schema(schema: Any, *, infer_reducers: bool = False, allow_managed: bool = True) -> Schema:
    """Reads a schema.

    Args:
        schema: A TypedDict, dataclass, Pydantic model or bare `Annotated`.
        infer_reducers: Gives fields without `Annotated` a collecting channel if their type is `list`
            (`Topic`), `set` (`SetUnion`) or `dict` (`DictMerge`).
        allow_managed: Whether managed values may occur; they cannot be passed in or out.

    Raises:
        GraphValidationError: It is none of these, or something is wrong with its fields; all that is
            wrong with them is listed.
    """
    is_root = _is_root(schema)
    declared = {ROOT: _unwrapped(schema)} if is_root else dict(_declared(schema))
    faults = [] if is_root else [fault for key in declared for fault in _key_faults(schema, key)]
    fields: dict[str, FieldSpec] = {}
    for key, field in declared.items():
        try:
            fields[key] = _spec(key, field, infer_reducers)
        except GraphValidationError as error:
            faults += (f"{_name(schema)}: {fault}" for fault in error.faults)
    if is_root or not allow_managed:
        managed = [key for key, field in fields.items() if not isinstance(field, BaseChannel)]
        faults += (f"{_name(schema)}: {key!r} is a managed value; it belongs in the state" for key in managed)
    if faults:
        raise GraphValidationError(faults)
    return Schema(schema, fields, is_root, None if is_root else _builder(schema))


def _name(schema: Any) -> str:
    return f"schema {schema.__qualname__!r}" if isinstance(schema, type) else f"schema {schema!r}"


# -- fields as declared --------------------------------------------------------------------------------


class _Field(NamedTuple):
    """A field's type, and what its `Annotated` says beside it."""

    type: Any
    metadata: tuple[Any, ...]


def _is_root(schema: Any) -> bool:
    return get_origin(_without_alias(schema)) is Annotated


def _without_alias(hint: Any) -> Any:
    """What a `type X = ...` stands for."""
    while hasattr(hint, "__value__") and hasattr(hint, "__type_params__"):
        hint = hint.__value__
    return hint


def _unwrapped(hint: Any) -> _Field:
    """The bare type within `Annotated`, `Required`, `NotRequired`, `ReadOnly` and `Final`, in any order."""
    metadata: tuple[Any, ...] = ()
    while True:
        hint = _without_alias(hint)
        origin = get_origin(hint)
        if origin is Annotated:
            metadata = (*hint.__metadata__, *metadata)
            hint = hint.__origin__
        elif origin in (Required, NotRequired, Final) or getattr(origin, "_name", None) == "ReadOnly":
            (hint,) = get_args(hint)
        else:
            return _Field(hint, metadata)


def _declared(schema: Any) -> Iterator[tuple[str, _Field]]:
    cls = get_origin(schema) or schema
    if is_model(cls):
        yield from _declared_by_model(cls)
    elif is_typed_dict(cls) or is_dataclass_type(cls):
        hints = _hints(cls)
        variables = dict(zip(getattr(cls, "__parameters__", ()), get_args(schema), strict=False))
        for key in hints if is_typed_dict(cls) else field_names(cls):
            hint, metadata = _unwrapped(hints[key])
            yield key, _Field(_filled(hint, variables), metadata)
    else:
        shown = schema.__qualname__ if isinstance(schema, type) else repr(schema)
        raise GraphValidationError([f"{shown} cannot be a schema: use {_ACCEPTED}"])


def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except Exception as error:  # whatever evaluating a string can raise
        raise GraphValidationError([_unresolved(cls, error)]) from error


def _unresolved(cls: type, error: Exception) -> str:
    return (
        f"{_name(cls)} has an annotation that cannot be resolved ({error}): "
        "define or import what it names at the top of its module"
    )


def _filled(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """A hint of a generic schema, with the types it was given in place of its type variables."""
    if isinstance(hint, TypeVar):
        return variables.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if not variables or not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(variables.get(parameter, parameter) for parameter in parameters)]


def _declared_by_model(cls: Any) -> Iterator[tuple[str, _Field]]:
    if not getattr(cls, "__pydantic_complete__", True):
        try:
            cls.model_rebuild()
        except Exception as error:
            raise GraphValidationError([_unresolved(cls, error)]) from error
    for key, info in cls.model_fields.items():
        hint, metadata = _unwrapped(info.annotation)
        # Pydantic's own items, constraints for one, may stand behind a reducer and do not hide it.
        ours = (item for item in info.metadata if callable(item) or isinstance(item, BaseChannel))
        yield key, _Field(hint, (*metadata, *ours))


def _key_faults(schema: Any, key: str) -> Iterator[str]:
    if key in RESERVED_NAMES or key.startswith(CONTROL_PREFIXES):
        yield f"{_name(schema)}: the key {key!r} is reserved for the engine: choose another name"
    elif not key or "\0" in key:
        yield f"{_name(schema)}: the key {key!r} cannot be stored: use a name without NUL characters"


# -- from field to channel -----------------------------------------------------------------------------


def _spec(key: str, field: _Field, infer_reducers: bool) -> FieldSpec:
    for item in field.metadata:
        if isinstance(item, BaseChannel):
            return item.named(key, field.type)
        if isinstance(item, type) and issubclass(item, ManagedValue):
            return item
        if isinstance(item, type) and issubclass(item, BaseChannel):
            return _channel_of_class(key, item, field.type)
    if field.metadata and callable(field.metadata[-1]):
        return BinaryOperatorAggregate(field.type, _reducer(key, field.metadata[-1]), key)
    inferred = _inferred(key, field.type) if infer_reducers and not field.metadata else None
    return inferred or LastValue(field.type, key)


def _channel_of_class(
    key: str, cls: type[BaseChannel[Any, Any, Any]], typ: Any
) -> BaseChannel[Any, Any, Any]:
    try:
        channel = cls(typ).named(key)
    except TypeError as error:
        raise GraphValidationError([_not_from_type(key, cls)]) from error
    if channel.typ is None:  # it took the type for something else, such as its reducer
        raise GraphValidationError([_not_from_type(key, cls)])
    return channel


def _not_from_type(key: str, cls: type) -> str:
    name = cls.__name__
    return f"the key {key!r} cannot make a {name} from a type alone: write {name}(...) in its Annotated"


def _reducer(key: str, function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """`function`, if it takes two arguments; builtins that do not tell are taken at their word."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return function
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(parameter.kind in positional for parameter in parameters)
    if count != 2:
        name = getattr(function, "__qualname__", repr(function))
        raise GraphValidationError(
            [
                f"the reducer {name} of the key {key!r} takes {count} positional parameters: "
                "a reducer takes two, the current value and the update"
            ]
        )
    return function


def _inferred(key: str, typ: Any) -> BaseChannel[Any, Any, Any] | None:
    kind = get_origin(typ) or typ
    if kind is list:
        (element,) = get_args(typ) or (Any,)
        return Topic(element, accumulate=True, key=key)
    if kind is set:
        return SetUnion(typ, key)
    return DictMerge(typ, key) if kind is dict else None


# -- objects of a schema -------------------------------------------------------------------------------


def _builder(schema: Any) -> Callable[[dict[str, Any]], Any] | None:
    cls = get_origin(schema) or schema
    if is_typed_dict(cls):
        return None
    names = field_names(cls)
    make = model_maker(cls) if is_model(cls) else lambda values: schema(**values)

    def build(values: dict[str, Any]) -> Any:
        known = {name: values[name] for name in names if name in values}
        try:
            return make(known)
        except Exception as error:
            raise InvalidUpdateError(_misfit(schema, names, known, error)) from error

    return build


def model_maker(cls: Any) -> Callable[[dict[str, Any]], Any]:
    """Makes models of dicts. Keys are names of fields; a model may want aliases unless told otherwise."""
    if any(info.alias or info.validation_alias for info in cls.model_fields.values()):
        return lambda values: cls.model_validate(values, by_alias=True, by_name=True)
    make: Callable[[dict[str, Any]], Any] = cls.model_validate
    return make


def _misfit(schema: Any, names: Collection[str], known: Collection[str], error: Exception) -> str:
    absent = [name for name in names if name not in known]
    without = f", without {', '.join(map(repr, absent))}" if absent else ""
    given = ", ".join(map(repr, known)) or "no values"
    return f"{given}{without} do not make an object of {_name(schema)}: {error}"


def values_of(obj: Any, fields: Collection[str]) -> dict[str, Any] | None:
    """The values that an object brings for `fields`; `None` if it has none of these fields.

    A dataclass brings all its fields, a Pydantic model those that were set or that are not at their
    defaults, an object of any other class its annotated attributes.
    """
    cls = type(obj)
    names = field_names(cls) or _annotated(cls)
    known = [name for name in names if name in fields]
    if not known:
        return None
    if is_model(cls):
        known = [name for name in known if _is_set(obj, name)]
    return {name: getattr(obj, name) for name in known if hasattr(obj, name)}


def _annotated(cls: type) -> list[str]:
    return [name for base in reversed(cls.__mro__) for name in _annotations(base)]


def _annotations(cls: type) -> Collection[str]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        return get_annotations(cls, format=Format.FORWARDREF)
    own = vars(cls).get("__annotations__")
    return own if isinstance(own, Mapping) else ()  # a metaclass has a descriptor there


def _is_set(model: Any, name: str) -> bool:
    if name in model.model_fields_set:
        return True
    value = getattr(model, name)
    try:
        default = type(model).model_fields[name].get_default(call_default_factory=True)
        return value is not default and not bool(value == default)
    except Exception:  # a factory that wants more, a comparison that has no answer: better too much
        return True


# -- types within a schema -----------------------------------------------------------------------------


def types_in(schema: Any) -> frozenset[type]:
    """The classes that values of a schema may have and that storage does not know by itself.

    These are the dataclasses, Pydantic models, enums and named tuples that annotations mention, at any
    depth: in generics, unions, literals, channels, and in the fields of other such classes. Annotations
    that cannot be resolved are passed over; a value that was missed is refused by name when it is stored.
    """
    found: set[type] = set()
    seen: dict[int, Any] = {}  # by identity, as annotations need not be hashable
    todo = [schema]
    while todo:
        hint = todo.pop()
        if id(hint) not in seen:
            seen[id(hint)] = hint
            if _is_storable(hint):
                found.add(hint)
            todo += _within(hint)
    return frozenset(found)


def _is_storable(hint: Any) -> bool:
    if not isinstance(hint, type):
        return False
    return is_dataclass_type(hint) or is_model(hint) or _is_named_tuple(hint) or _has_members(hint)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _has_members(cls: type) -> bool:
    return issubclass(cls, Enum) and bool(cls.__members__)


def _within(hint: Any) -> Iterable[Any]:
    """What a hint mentions directly."""
    origin = get_origin(hint)
    if origin is Literal:
        return map(type, get_args(hint))
    if origin is Annotated:
        return (hint.__origin__, *(item for item in hint.__metadata__ if isinstance(item, BaseChannel)))
    if origin is not None:
        return (origin, *get_args(hint))
    if isinstance(hint, list):  # the parameters in `Callable[[A, B], C]`
        return hint
    if isinstance(hint, BaseChannel):
        return (hint.typ,)
    if isinstance(hint, TypeVar):
        return (hint.__bound__, *hint.__constraints__)
    if isinstance(hint, NewType):
        return (hint.__supertype__,)
    return _within_class(hint) if isinstance(hint, type) else (_without_alias(hint),)


def _within_class(cls: type) -> Iterable[Any]:
    try:
        if is_model(cls):
            return [part for _, field in _declared_by_model(cls) for part in (field.type, *field.metadata)]
        if is_typed_dict(cls) or is_dataclass_type(cls) or _is_named_tuple(cls):
            return _hints(cls).values()
    except GraphValidationError:
        pass
    return ()
