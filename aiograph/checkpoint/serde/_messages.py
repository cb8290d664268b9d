"""Messages, ours and LangChain's: stored without being allowed, and imported no sooner than one is met.

Ours are stored under names that moving them does not change, and without the fields that are empty: most of
what a conversation has is short.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from importlib import import_module
from operator import attrgetter
from typing import Any

from aiograph.checkpoint.serde._kinds import Recipe, model_attributes, recipe_for

_OURS = "aiograph.messages"
_THEIRS: Mapping[str, str] = {
    "langchain_core.messages.ai": "AIMessage AIMessageChunk",
    "langchain_core.messages.chat": "ChatMessage ChatMessageChunk",
    "langchain_core.messages.function": "FunctionMessage FunctionMessageChunk",
    "langchain_core.messages.human": "HumanMessage HumanMessageChunk",
    "langchain_core.messages.modifier": "RemoveMessage",
    "langchain_core.messages.system": "SystemMessage SystemMessageChunk",
    "langchain_core.messages.tool": "ToolMessage ToolMessageChunk",
}

_PLACES: Mapping[str, tuple[str, str]] = {
    **{
        f"aiograph:{name}": (_OURS, name)
        for name in (
            "AIMessage",
            "AIMessageChunk",
            "HumanMessage",
            "RemoveMessage",
            "SystemMessage",
            "ToolMessage",
        )
    },
    **{f"{module}:{name}": (module, name) for module, names in _THEIRS.items() for name in names.split()},
}
"""Where the class is that is stored under a name. Nothing else that a row names is ever looked for."""


def name_of(cls: type) -> str | None:
    """The name that instances of a class of messages are stored under; `None` for any other class."""
    module, name = cls.__module__, cls.__qualname__
    stored = f"aiograph:{name}" if module.startswith(f"{_OURS}.") else f"{module}:{name}"
    return stored if stored in _PLACES else None


def attributes_of(cls: Any) -> Sequence[str] | None:
    """The attributes that tell how an instance of a class of messages is stored; `None` for other classes."""
    name = name_of(cls)
    recipe = None if name is None else recipe_named(name)
    if recipe is None or recipe.type is not cls:
        return None
    return tuple(field.name for field in fields(cls)) if recipe.kind == "message" else model_attributes(cls)


def recipe_named(name: str) -> Recipe | None:
    """The recipe of the class of messages that is stored under a name; `None` if none is.

    Raises:
        ImportError: It is one of LangChain's, which is not installed.
    """
    place = _PLACES.get(name)
    if place is None:
        return None
    module, attribute = place
    cls: type = getattr(import_module(module), attribute)
    return _recipe(cls) if module == _OURS else recipe_for(cls)


def _recipe(cls: Any) -> Recipe:
    """One part, a dict of the fields that are not as they would be by default."""
    makers = [(field.name, _maker(field)) for field in fields(cls)]

    def build(parts: list[Any]) -> Any:
        (given,) = parts
        made: Any = object.__new__(cls)
        for name, make in makers:
            setattr(made, name, given[name] if name in given else make and make())
        return made

    return Recipe(cls, "message", (), _taker(cls), lambda _: build)


def _taker(cls: Any) -> Callable[[Any], Iterable[Any]]:
    """What takes a message apart. Most have nothing but what they say and an id."""
    names = tuple(field.name for field in fields(cls))
    blank = tuple(
        field.default_factory() if callable(field.default_factory) else field.default for field in fields(cls)
    )
    read, rest = attrgetter(*names), blank[2:]
    assert names[:2] == ("content", "id")

    def take(message: Any) -> Iterable[Any]:
        values = read(message)
        try:
            is_short = values[2:] == rest and values[1] is not None
        except ValueError:  # what a tool has made may be an array, which cannot be compared
            is_short = False
        if is_short:
            return [{"content": values[0], "id": values[1]}]
        said = {
            name: value
            for name, value, empty in zip(names[1:], values[1:], blank[1:], strict=True)
            # other than by default
            if value is not empty
            and (empty is None or type(value) is not type(empty) or bool(value != empty))
        }
        return [{"content": values[0], **said}]

    return take


def _maker(field: "Field[Any]") -> Callable[[], Any] | None:
    """Makes what a field is by default, or says that it has to be given; `None` where that is `None`."""

    def refuse() -> Any:
        raise ValueError(f"nothing is stored of the field {field.name!r} of a message")

    if callable(field.default_factory):
        return field.default_factory
    if field.default is MISSING or field.name == "content":  # which always has to be given
        return refuse
    return None if field.default is None else lambda: field.default
