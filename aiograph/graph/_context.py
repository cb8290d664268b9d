"""The context of a run: made of a dict, or of nothing, as the graph's `context_schema` says. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, get_origin

from aiograph.errors import InvalidContextError
from aiograph.graph._records import field_names, is_model, is_typed_dict
from aiograph.graph._schema import model_maker, read_schema


class ContextMaker(NamedTuple):
    """Makes contexts of one type."""

    of_dict: Callable[[dict[str, Any]], Any] | None = None
    """Raises `InvalidContextError` if the keys or values are not those of the type."""
    of_nothing: Callable[[], Any] | None = None
    """`None` if the type has a field without a default."""


def context_maker(schema: Any) -> ContextMaker:
    """How contexts are made for a graph that declares `schema` for them.

    Raises:
        GraphValidationError: It is no type that contexts can have.
    """
    if schema is None or read_schema(schema, allow_managed=False).is_root:
        return ContextMaker()
    kind = _kind(get_origin(schema) or schema, schema)

    def make(values: dict[str, Any]) -> Any:
        if kind.keys is not None and (unknown := [key for key in values if key not in kind.keys]):
            raise InvalidContextError(
                f"the context has the keys {unknown}, which {kind.name!r} does not have; "
                f"it has {sorted(kind.keys)}"
            )
        try:
            return kind.make(values)
        except Exception as error:  # a validator may raise anything
            raise InvalidContextError(f"the context does not make a {kind.name!r}: {error}") from error

    return ContextMaker(make, None if kind.is_demanding else lambda: make({}))


class _Kind(NamedTuple):
    """A type of contexts."""

    name: str
    make: Callable[[dict[str, Any]], Any]
    keys: Collection[str] | None
    """The keys that a dict may have; `None` for any."""
    is_demanding: bool
    """Whether one of them has to be there."""


def _kind(cls: Any, schema: Any) -> _Kind:
    if is_typed_dict(cls):
        keys = cls.__required_keys__ | cls.__optional_keys__
        return _Kind(cls.__name__, _complete(cls), keys, bool(cls.__required_keys__))
    if is_model(cls):
        is_demanding = any(info.is_required() for info in cls.model_fields.values())
        return _Kind(cls.__name__, model_maker(cls), _names(cls), is_demanding)
    is_demanding = any(
        each.init and each.default is MISSING and each.default_factory is MISSING for each in fields(cls)
    )
    return _Kind(cls.__name__, lambda values: schema(**values), field_names(cls), is_demanding)


def _complete(cls: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def check(values: dict[str, Any]) -> dict[str, Any]:
        if missing := sorted(cls.__required_keys__ - values.keys()):
            raise KeyError(f"without {missing}")
        return values

    return check


def _names(cls: Any) -> Collection[str] | None:
    """The names under which a model takes values, where they can be told."""
    infos: Mapping[str, Any] = cls.model_fields
    aliases = [alias for info in infos.values() for alias in (info.alias, info.validation_alias) if alias]
    if cls.model_config.get("extra") == "allow" or not all(isinstance(alias, str) for alias in aliases):
        return None
    return {*infos, *aliases}
