"""Writes as reducers want them before anybody sees them: once, so that all see the same. Pure.

A reducer may have an attribute `prepare_write`, a function of one write. `add_messages` gives ids to messages
that have none: streams, routers, storage and state are to agree on them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiograph.channels._reducing import overwritten
from aiograph.channels.base import MISSING, BaseChannel
from aiograph.channels.binop import BinaryOperatorAggregate
from aiograph.pregel._plan import Write, Writer

Preparations = Mapping[str, Callable[[Any], Any]]


def preparations(channels: Mapping[str, BaseChannel[Any, Any, Any]]) -> Preparations:
    """By key, what prepares the writes to it; most keys have nothing."""
    reducers = {
        key: channel.op for key, channel in channels.items() if isinstance(channel, BinaryOperatorAggregate)
    }
    prepared = {key: getattr(op, "prepare_write", None) for key, op in reducers.items()}
    return {key: prepare for key, prepare in prepared.items() if prepare is not None}


def prepared_writer(writer: Writer, prepare: Preparations) -> Writer:
    """A writer whose writes are prepared; one that overwrites a value is left as it is."""
    if not prepare:
        return writer

    def write(output: Any) -> list[Write]:
        return [
            (key, prepare[key](value)) if key in prepare and overwritten(value) is MISSING else (key, value)
            for key, value in writer(output)
        ]

    return write
