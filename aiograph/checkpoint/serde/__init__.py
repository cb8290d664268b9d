"""Serialisation of stored values."""

from typing import TYPE_CHECKING

from aiograph._lazy import on_demand
from aiograph.checkpoint.serde.base import SerializerProtocol

if TYPE_CHECKING:
    from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer

__all__ = ["JsonPlusSerializer", "SerializerProtocol"]

# not before it is asked for, as it takes time to import
__getattr__ = on_demand(__name__, {"JsonPlusSerializer": "aiograph.checkpoint.serde.jsonplus"})
