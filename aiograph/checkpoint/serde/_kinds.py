"""Kinds of classes whose instances can be stored once the class is allowed: how to take one apart, and
how to put it together again without running any of its code.

Fields are stored by name. A field that the class has gained since gets its default; a field that it has
lost is left out.
"""

import dataclasses
import enum
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiograph.checkpoint.serde._codecs import Unfit

Builder = Callable[[list[Any]], Any]

_HEAP_TYPE = 1 << 9
"""Flag of classes that were made by a `class` statement."""


class Recipe(NamedTuple):
    """How instances of one class are stored."""

    type: type
    kind: str
    """Stored beside the name, as a class may become one of another kind."""
    fields: tuple[str, ...]
    """Names of the parts; empty where the parts have a fixed meaning."""
    take: Callable[[Any], list[Any]]
    """An instance's parts."""
    builder: Callable[[Sequence[str]], Builder]
    """Given the names under which parts were stored, what makes an instance of them."""


def recipe_for(cls: type) -> Recipe | None:
    """The recipe of a class, or `None` if its instances cannot be stored."""
    for matches, make in _KINDS:
        if matches(cls):
            return make(cls)
    return None


def record(cls: type, fields: tuple[str, ...], defaults: Mapping[str, Callable[[], Any]]) -> Recipe:
    """A class whose instances are their attributes."""

    def take(value: Any) -> list[Any]:
        try:
            return [getattr(value, name) for name in fields]
        except AttributeError as error:
            raise Unfit(f"its field {error.name!r} has no value") from None

    def builder(stored: Sequence[str]) -> Builder:
        arrange = _arrangement(cls, fields, stored, defaults)

        def build(parts: list[Any]) -> Any:
            made: Any = object.__new__(cls)
            for name, value in zip(fields, arrange(parts), strict=True):
                object.__setattr__(made, name, value)
            return made

        return build

    return Recipe(cls, "record", fields, take, builder)


def _arrangement(
    cls: type, fields: Sequence[str], stored: Sequence[str], defaults: Mapping[str, Callable[[], Any]]
) -> Callable[[list[Any]], list[Any]]:
    """What turns parts in the order in which they were stored into parts in the order of `fields`."""
    if tuple(stored) == tuple(fields):
        return _as_is
    missing = [name for name in fields if name not in stored and name not in defaults]
    if missing:
        raise ValueError(
            f"nothing is stored of the fields {missing} of {cls.__qualname__}, which have no default"
        )

    def arrange(parts: list[Any]) -> list[Any]:
        given = dict(zip(stored, parts, strict=True))
        return [given[name] if name in given else defaults[name]() for name in fields]

    return arrange


def _as_is(parts: list[Any]) -> list[Any]:
    return parts


# -- dataclasses


def _is_storable_dataclass(cls: type) -> bool:
    """Whether attributes are all there is to an instance: not so for, say, a subclass of `dict`."""
    made_in_python = all(base is object or base.__flags__ & _HEAP_TYPE for base in cls.__mro__)
    return dataclasses.is_dataclass(cls) and made_in_python


def _dataclass_recipe(cls: Any) -> Recipe:
    defaults: dict[str, Callable[[], Any]] = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = _constant(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory
    return record(cls, tuple(field.name for field in dataclasses.fields(cls)), defaults)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


# -- named tuples


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _named_tuple_recipe(cls: Any) -> Recipe:
    fields: tuple[str, ...] = cls._fields
    defaults = {name: _constant(value) for name, value in cls._field_defaults.items()}

    def builder(stored: Sequence[str]) -> Builder:
        arrange = _arrangement(cls, fields, stored, defaults)

        def build(parts: list[Any]) -> Any:
            if len(parts) != len(stored):
                raise ValueError(f"{cls.__qualname__} was stored with {len(stored)} parts, not {len(parts)}")
            return tuple.__new__(cls, arrange(parts))

        return build

    return Recipe(cls, "namedtuple", fields, list, builder)


# -- enums


def _is_enum(cls: type) -> bool:
    return issubclass(cls, enum.Enum)


def _enum_recipe(cls: Any) -> Recipe:
    if issubclass(cls, enum.Flag):  # a combination of flags has no name of its own
        return Recipe(cls, "flag", (), lambda member: [member.value], lambda _: lambda parts: cls(*parts))

    members = cls.__members__

    def take(member: Any) -> list[Any]:
        if members.get(member.name) is not member:
            raise Unfit(f"{member!r} is not one of the members that {cls.__qualname__} declares")
        return [member.name]

    def build(parts: list[Any]) -> Any:
        (name,) = parts
        if name not in members:
            raise ValueError(f"{cls.__qualname__} has no member {name!r} any more")
        return members[name]

    return Recipe(cls, "enum", (), take, lambda _: build)


# -- Pydantic models


def _is_pydantic_model(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")  # where it is not imported, no class can be a model
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def _pydantic_recipe(cls: Any) -> Recipe:
    """Parts: fields, extra fields, names of the fields that were set, private attributes."""

    def take(model: Any) -> list[Any]:
        values = model.__dict__
        unset = [name for name in cls.model_fields if name not in values]
        if unset:
            raise Unfit(f"its fields {unset} have no value")
        return [
            {name: values[name] for name in cls.model_fields},
            model.__pydantic_extra__,
            sorted(model.__pydantic_fields_set__),
            model.__pydantic_private__,
        ]

    def build(parts: list[Any]) -> Any:
        values, extra, were_set, private = parts
        model = cls.__new__(cls)
        object.__setattr__(model, "__dict__", _model_values(cls, values))
        object.__setattr__(model, "__pydantic_extra__", extra)
        object.__setattr__(model, "__pydantic_fields_set__", set(were_set))
        object.__setattr__(model, "__pydantic_private__", private)
        return model

    return Recipe(cls, "pydantic", (), take, lambda _: build)


def _model_values(cls: Any, stored: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in stored.items() if name in cls.model_fields}
    for name, field in cls.model_fields.items():
        if name in values:
            continue
        if field.is_required():
            raise ValueError(
                f"nothing is stored of the field {name!r} of {cls.__qualname__}, which has no default"
            )
        values[name] = field.get_default(call_default_factory=True, validated_data=values)
    return values


_KINDS: Sequence[tuple[Callable[[type], bool], Callable[[Any], Recipe]]] = (
    (_is_pydantic_model, _pydantic_recipe),
    (_is_enum, _enum_recipe),
    (_is_named_tuple, _named_tuple_recipe),
    (_is_storable_dataclass, _dataclass_recipe),
)
