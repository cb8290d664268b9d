"""Kinds of classes whose instances can be stored once the class is allowed: how to take one apart, and
how to put it together again without running any of its code.

Fields are stored by name. A field that the class has gained since gets its default; a field that it has
lost is left out.
"""

import dataclasses
import enum
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from aiograph.checkpoint.serde._codecs import Unfit

Builder = Callable[[list[Any]], Any]

_FLAG_BITS = 1024
"""Most bits of a flag; the enum module takes them apart one by one."""

_HEAP_TYPE = 1 << 9
"""Flag of classes that were made by a `class` statement."""

_new = object.__new__


class Recipe(NamedTuple):
    """How instances of one class are stored."""

    type: type
    kind: str
    """Stored beside the name, as a class may become one of another kind."""
    fields: tuple[str, ...]
    """Names of the parts; empty where the parts have a fixed meaning."""
    take: Callable[[Any], Iterable[Any]]
    """An instance's parts."""
    builder: Callable[[Sequence[str]], Builder]
    """Given the names under which parts were stored, what makes an instance of them."""


def recipe_for(cls: type) -> Recipe | None:
    """The recipe of a class, or `None` if its instances cannot be stored."""
    for matches, make in _KINDS:
        if matches(cls):
            return make(cls)
    return None


def registered(cls: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> Recipe:
    """A class for which the user gives two functions."""

    def take(value: Any) -> list[Any]:
        try:
            return [encode(value)]
        except Exception as error:
            raise Unfit(f"the function that was registered to encode it raised {error!r}") from error

    def build(parts: list[Any]) -> Any:
        (part,) = parts
        return decode(part)

    return Recipe(cls, "registered", (), take, lambda _: build)


def record(cls: type, fields: tuple[str, ...], defaults: Mapping[str, Callable[[], Any]]) -> Recipe:
    """A class whose instances are their attributes."""
    read = attrgetter(*fields) if len(fields) > 1 else None
    store = _setter(cls)

    def take(value: Any) -> Iterable[Any]:
        try:
            return read(value) if read is not None else [getattr(value, name) for name in fields]
        except AttributeError as error:
            raise Unfit(f"its field {error.name!r} has no value") from None

    def builder(stored: Sequence[str]) -> Builder:
        arrange = _arrangement(cls, fields, stored, defaults)

        def build(parts: list[Any]) -> Any:
            if arrange is not None:
                parts = arrange(parts)
            if len(parts) != len(fields):
                raise ValueError(f"{cls.__qualname__} was stored with {len(parts)} parts, not {len(fields)}")
            made: Any = _new(cls)
            part = iter(parts)  # a third quicker than `zip`
            for name in fields:
                store(made, name, next(part))
            return made

        return build

    return Recipe(cls, "record", fields, take, builder)


def _setter(cls: Any) -> Callable[[Any, str, Any], None]:
    """What sets an attribute of an instance without running code of the class, which may refuse."""
    return setattr if cls.__setattr__ is object.__setattr__ else object.__setattr__  # the first is quicker


def _arrangement(
    cls: type, fields: Sequence[str], stored: Sequence[str], defaults: Mapping[str, Callable[[], Any]]
) -> Callable[[list[Any]], list[Any]] | None:
    """What turns parts as they were stored into parts in the order of `fields`, if it is not the same."""
    if tuple(stored) == tuple(fields):
        return None
    known = set(stored)  # as many as a forger likes
    missing = [name for name in fields if name not in known and name not in defaults]
    if missing:
        raise ValueError(
            f"nothing is stored of the fields {missing} of {cls.__qualname__}, which have no default"
        )

    def arrange(parts: list[Any]) -> list[Any]:
        given = dict(zip(stored, parts, strict=True))
        return [given[name] if name in given else defaults[name]() for name in fields]

    return arrange


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
            return tuple.__new__(cls, parts if arrange is None else arrange(parts))

        return build

    return Recipe(cls, "namedtuple", fields, list, builder)


# -- enums


def _is_enum(cls: type) -> bool:
    return issubclass(cls, enum.Enum)


def _enum_recipe(cls: Any) -> Recipe:
    if issubclass(cls, enum.Flag):  # a combination of flags has no name of its own
        return _flag_recipe(cls)
    members = dict(cls.__members__)

    def take(member: Any) -> list[Any]:
        name = member._name_  # what `name` gives, without the detour
        if members.get(name) is not member:
            raise Unfit(f"{member!r} is not one of the members that {cls.__qualname__} declares")
        return [name]

    def build(parts: list[Any]) -> Any:
        (name,) = parts
        member = members.get(name)
        if member is None:
            raise ValueError(f"{cls.__qualname__} has no member {name!r} any more")
        return member

    return Recipe(cls, "enum", (), take, lambda _: build)


def _flag_recipe(cls: Any) -> Recipe:
    def build(parts: list[Any]) -> Any:
        (value,) = parts
        if type(value) is not int:
            raise TypeError(f"{cls.__qualname__} was stored with a value that is no number")
        if value.bit_length() > _FLAG_BITS:
            raise ValueError(f"{cls.__qualname__} was stored with more flags than there can be")
        return cls(value)

    def take(member: Any) -> list[Any]:
        if member.value.bit_length() > _FLAG_BITS:
            raise Unfit(f"it has more than {_FLAG_BITS} bits")
        return [member.value]

    return Recipe(cls, "flag", (), take, lambda _: build)


# -- Pydantic models


def model_attributes(cls: Any) -> Sequence[str]:
    """All there is to an instance of a Pydantic model."""
    return (*cls.model_fields, "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")


def _is_pydantic_model(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")  # where it is not imported, no class can be a model
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def _pydantic_recipe(cls: Any) -> Recipe:
    """Parts: fields, extra fields, names of the fields that were set, private attributes."""

    names = tuple(cls.model_fields)

    def take(model: Any) -> list[Any]:
        values = model.__dict__
        try:
            told = {name: values[name] for name in names}
        except KeyError:
            unset = [name for name in names if name not in values]
            raise Unfit(f"its fields {unset} have no value") from None
        return [
            told,
            model.__pydantic_extra__,
            sorted(model.__pydantic_fields_set__),
            model.__pydantic_private__,
        ]

    def build(parts: list[Any]) -> Any:
        values, extra, were_set, private = parts
        if not isinstance(extra, dict | None) or not isinstance(private, dict | None):
            raise TypeError(f"{cls.__qualname__} was stored with attributes that are no dict")
        model: Any = object.__new__(cls)
        object.__setattr__(model, "__dict__", _model_values(cls, values))
        object.__setattr__(model, "__pydantic_extra__", extra)
        object.__setattr__(model, "__pydantic_fields_set__", set(were_set))
        object.__setattr__(model, "__pydantic_private__", private)
        return model

    return Recipe(cls, "pydantic", (), take, lambda _: build)


def _model_values(cls: Any, stored: dict[str, Any]) -> dict[str, Any]:
    fields = cls.model_fields  # looked up once, as that takes time
    values = {name: value for name, value in stored.items() if name in fields}
    if len(values) == len(fields):
        return values
    for name, field in fields.items():
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
