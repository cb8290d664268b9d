"""Messages, ours and LangChain's: stored without being allowed, and imported no sooner than one is met.

Ours are stored under names that moving them does not change, and without the fields that are empty: most of
what a conversation has is short.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from importlib import import_module
from operator import attrgetter
from typing import Any

from aiograph.checkpoint.serde._kinds import Recipe, recipe_for

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
    defaults = {field.name: _default(field) for field in fields(cls)}
    read = attrgetter(*defaults)
    empty = [make() if make is not None else MISSING for make in defaults.values()]

    def take(message: Any) -> Iterable[Any]:
        told = zip(defaults, read(message), empty, strict=True)
        return [{name: value for name, value, nothing in told if not _is_empty(value, nothing)}]

    def build(parts: list[Any]) -> Any:
        (given,) = parts
        made: Any = object.__new__(cls)
        for name, make in defaults.items():
            if name not in given and make is None:
                raise ValueError(f"nothing is stored of the field {name!r} of a message")
            setattr(made, name, given[name] if name in given else make())  # type: ignore[misc]  # checked
        return made

    return Recipe(cls, "message", (), take, lambda _: build)


def _default(field: "Field[Any]") -> Callable[[], Any] | None:
    if field.default is not MISSING:
        return lambda: field.default
    return None if field.default_factory is MISSING else field.default_factory


def _is_empty(value: Any, nothing: Any) -> bool:
    # what a tool has made may be an array, which cannot be compared
    return value is nothing or (nothing is not None and type(value) is type(nothing) and value == nothing)
