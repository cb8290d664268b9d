"""Messages as fields of Pydantic models: what is taken, how it is dumped, and its JSON schema. Pure.

Imported when a model asks for it; Pydantic is there then. What else may stand for a message, `add_messages`
makes one of before any model sees it.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any


def core_schema(cls: Any) -> Any:
    """How Pydantic takes messages of a class: as they are, LangChain's of that type too, or from dicts."""
    core = import_module("pydantic_core.core_schema")
    dump = core.plain_serializer_function_ser_schema(_to_dict)
    return core.no_info_plain_validator_function(_validator(cls), serialization=dump)


def _validator(cls: Any) -> Callable[[Any], Any]:
    kind = getattr(cls, "type", None)

    def validate(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _from_dict(cls, value)
        if isinstance(value, cls) or (kind is not None and getattr(value, "type", None) == kind):
            return value
        raise ValueError(f"this is no {cls.__name__}")

    return validate


def _from_dict(cls: Any, given: Mapping[str, Any]) -> Any:
    left = dict(given)
    if left.pop("type", None) != getattr(cls, "type", ""):
        raise ValueError(f"this is no {cls.__name__}, as its 'type' says")
    try:
        return cls(**left)
    except TypeError as error:
        raise ValueError(f"this is no {cls.__name__}: {error}") from None


def _to_dict(message: Any) -> Any:
    """A message as a dict of its type and the fields that say something."""
    if hasattr(message, "model_dump"):
        return message.model_dump()
    told = {each.name: getattr(message, each.name) for each in fields(message)}
    said = {name: value for name, value in told.items() if value is not None and value not in ([], {})}
    if message.type == "remove":
        del said["content"]
    return {"type": message.type, **said}


def json_schema(cls: Any) -> dict[str, Any]:
    """What a dict has to look like that is read as a message of a kind."""
    kind = getattr(cls, "type", None)
    properties: dict[str, Any] = {
        "type": {"type": "string"} if kind is None else {"const": kind},
        "content": _CONTENT,
        **{each.name: _FIELDS[each.name] for each in fields(cls) if each.name in _FIELDS},
    }
    return {
        "title": cls.__name__,
        "type": "object",
        "properties": properties,
        "required": ["type", *_REQUIRED.get(kind, ("content",))],
    }


_REQUIRED: Mapping[Any, tuple[str, ...]] = {
    "ai": (),
    "AIMessageChunk": (),
    "tool": ("content", "tool_call_id"),
    "remove": ("id",),
}
_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_CONTENT = {"anyOf": [_TEXT, {"type": "array", "items": {"anyOf": [_TEXT, _OBJECT]}}]}
_FIELDS: Mapping[str, Any] = {
    "id": _TEXT,
    "name": _TEXT,
    "additional_kwargs": _OBJECT,
    "response_metadata": _OBJECT,
    "tool_calls": {"type": "array", "items": _OBJECT},
    "invalid_tool_calls": {"type": "array", "items": _OBJECT},
    "tool_call_chunks": {"type": "array", "items": _OBJECT},
    "usage_metadata": _OBJECT,
    "tool_call_id": _TEXT,
    "artifact": {},
    "status": {"enum": ["success", "error"]},
}
