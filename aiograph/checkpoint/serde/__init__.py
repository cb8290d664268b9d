"""Serialisation of stored values."""

from typing import TYPE_CHECKING, Any

from aiograph.checkpoint.serde.base import SerializerProtocol

if TYPE_CHECKING:
    from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer

__all__ = ["JsonPlusSerializer", "SerializerProtocol"]


def __getattr__(name: str) -> Any:
    if name == "JsonPlusSerializer":  # not before it is asked for, as it takes time to import
        from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer

        return JsonPlusSerializer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
