"""The types at a graph's door as Pydantic models and JSON schemas; Pydantic is the `schema` extra. Pure.

What annotations carry for the engine alone is taken away first: reducers, channels, and managed values, which
nobody passes in or gets out. TypedDicts are made anew with `typing_extensions`, as Pydantic takes no others
before Python 3.12. A value of a type that Pydantic does not know may be anything.
"""

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass, make_dataclass
from dataclasses import field as declared_field
from importlib import import_module
from inspect import isroutine
from typing import Annotated, Any, NamedTuple, cast, get_origin, get_type_hints

from aiograph._hints import with_parts
from aiograph.channels.base import BaseChannel
from aiograph.errors import MissingExtraError
from aiograph.managed import ManagedValue
from aiograph.pregel._plan import Plan


class Interface(NamedTuple):
    """What goes into a graph, what comes out of it, and what its runs are given beside; as types."""

    input: Any
    output: Any
    context: Any = None


def interface_of(plan: Plan) -> Interface:
    """What the channels of a graph tell about its types, where there are no schemas.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
    """
    return Interface(_type_of(plan, "Input", plan.input), _type_of(plan, "Output", plan.output))


def _type_of(plan: Plan, name: str, channels: str | tuple[str, ...]) -> Any:
    if isinstance(channels, str):
        return plan.channels[channels].ValueType
    types = {key: plan.channels[key].ValueType for key in channels}
    return _extra("typing_extensions").TypedDict(name, types, total=False)


def json_schema(schema: Any) -> dict[str, Any]:
    """What a type describes, as a JSON schema.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
    """
    pydantic = _extra("pydantic")
    plain = _Plain().of(schema)
    brings_config = hasattr(plain, "__pydantic_config__") or hasattr(plain, "model_config")
    adapter = pydantic.TypeAdapter(plain, config=None if brings_config else _LENIENT)
    return cast(dict[str, Any], adapter.json_schema(schema_generator=_generator()))


def model(schema: Any) -> Any:
    """What a type describes, as a Pydantic model: the schema itself if it is one.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
    """
    pydantic = _extra("pydantic")
    plain = _Plain().of(schema)
    if isinstance(plain, type) and issubclass(plain, pydantic.BaseModel):
        return plain
    name, module = getattr(plain, "__name__", "Root"), getattr(plain, "__module__", __name__)
    return pydantic.create_model(name, __base__=pydantic.RootModel[plain], __module__=module)


_LENIENT = {"arbitrary_types_allowed": True}


def _extra(module: str) -> Any:
    """Pydantic, or `typing_extensions`, which it brings."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError("the schema of a graph", "schema") from error


def _generator() -> Any:
    base: Any = import_module("pydantic.json_schema").GenerateJsonSchema

    class Generator(base):  # type: ignore[misc]  # known once Pydantic is imported
        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
            return {}

    return Generator


# -- types without what is the engine's ----------------------------------------------------------------


class _Plain:
    """Takes from types what is the engine's; remembers the classes it met, which may contain themselves."""

    def __init__(self) -> None:
        self._made: dict[type, Any] = {}
        self._is_typed_dict = _extra("typing_extensions").is_typeddict

    def of(self, hint: Any) -> Any:
        cls = get_origin(hint) or hint
        if cls is Annotated:
            kept = tuple(item for item in hint.__metadata__ if not _is_ours(item))
            bare = self.of(hint.__origin__)
            return Annotated[(bare, *kept)] if kept else bare
        if isinstance(cls, type) and (make := self._maker(cls)) is not None:
            return self._made[cls] if cls in self._made else make(cls)
        return with_parts(hint, self.of)

    def _maker(self, cls: type) -> Any:
        if self._is_typed_dict(cls):
            return self._typed_dict
        if hasattr(cls, "model_fields"):
            return self._model
        if hasattr(cls, "__pydantic_fields__") or hasattr(cls, "__get_pydantic_core_schema__"):
            return None  # Pydantic knows it, or it tells Pydantic what it is
        return self._dataclass if is_dataclass(cls) else None

    def _hints(self, cls: type) -> dict[str, Any]:
        hints = get_type_hints(cls, include_extras=True)
        return {key: hint for key, hint in hints.items() if not _is_managed(hint)}

    def _typed_dict(self, cls: Any) -> Any:
        made = self._made[cls] = _extra("typing_extensions").TypedDict(cls.__name__, {})
        made.__doc__, made.__module__ = cls.__doc__, cls.__module__
        made.__pydantic_config__ = _LENIENT
        hints = {key: self.of(hint) for key, hint in self._hints(cls).items()}
        made.__annotations__ = hints
        made.__required_keys__ = frozenset(cls.__required_keys__ & hints.keys())
        made.__optional_keys__ = frozenset(cls.__optional_keys__ & hints.keys())
        return made

    def _dataclass(self, cls: Any) -> Any:
        self._made[cls] = cls  # within itself it stays as it is
        hints = self._hints(cls)
        entries = [
            (each.name, self.of(hints[each.name]), _like(each))
            for each in fields(cls)
            if each.init and each.name in hints
        ]
        namespace = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__pydantic_config__": _LENIENT}
        made = make_dataclass(cls.__name__, entries, namespace=namespace, kw_only=True)
        self._made[cls] = made
        return made

    def _model(self, cls: Any) -> Any:
        if not any(any(map(_is_manager, info.metadata)) for info in cls.model_fields.values()):
            return cls
        kept = dict(_unmanaged(cls))
        return _extra("pydantic").create_model(
            cls.__name__, __doc__=cls.__doc__, __module__=cls.__module__, **kept
        )


def _like(declared: "Field[Any]") -> Any:
    return declared_field(default=declared.default, default_factory=declared.default_factory)


def _unmanaged(cls: Any) -> Iterator[tuple[str, Any]]:
    for name, info in cls.model_fields.items():
        if not any(map(_is_manager, info.metadata)):
            yield name, (info.annotation, info)


def _is_managed(hint: Any) -> bool:
    return get_origin(hint) is Annotated and any(map(_is_manager, hint.__metadata__))


def _is_manager(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, ManagedValue)


def _is_ours(item: Any) -> bool:
    if isroutine(item) or _is_manager(item):
        return True
    return issubclass(item if isinstance(item, type) else type(item), BaseChannel)
