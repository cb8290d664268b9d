"""The shape of a graph: what a thread that it has left depends on. Pure.

A thread carries the shape of the graph that has stored it, as the value of a channel of its own. So it
costs a few bytes per thread, and per superstep nothing.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from aiograph.channels.base import BaseChannel
from aiograph.constants import BRANCH_PREFIX, JOIN_PREFIX, POSITIONS, START, TASKS

Triggers: TypeAlias = Mapping[str, tuple[str, ...]]

_ENGINES = {START: "EphemeralValue", TASKS: "Topic", POSITIONS: "DictMerge"}


class Shape(NamedTuple):
    """Nodes, what triggers them, and channels with their kinds; no code."""

    id: str
    """8 hexadecimal digits; graphs of the same shape have the same."""
    stored: Mapping[str, Any]
    """The id, and what the names of channels do not tell: kinds, and triggers that bear no node's name."""


def shape_of(triggers: Triggers, channels: Mapping[str, BaseChannel[Any, Any, Any]]) -> Shape:
    """The shape of a graph with these nodes, by their triggers, and these channels."""
    from json import dumps

    kinds = {name: channel.kind for name, channel in sorted(channels.items()) if channel.persistent}
    text = dumps([sorted((name, *sorted(each)) for name, each in triggers.items()), kinds])
    shape_id = blake2b(text.encode(), digest_size=4).hexdigest()
    stored: dict[str, Any] = {"id": shape_id, "kinds": _by_kind(kinds.items())}
    if unnamed := {name: list(each) for name, each in triggers.items() if not all(map(_names_node, each))}:
        stored["triggers"] = unnamed
    return Shape(shape_id, stored)


def _by_kind(kinds: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, kind in kinds:
        if kind != usual_kind(name):
            names.setdefault(kind, []).append(name)
    return names


def usual_kind(channel: str) -> str:
    """The kind that a channel of this name has, if nothing else is stored."""
    if channel.startswith(BRANCH_PREFIX):
        return "EphemeralValue"
    if channel in _ENGINES:
        return _ENGINES[channel]
    return "NamedBarrierValue" if channel.startswith(JOIN_PREFIX) else "LastValue"


def _names_node(channel: str) -> bool:
    return channel == START or channel.startswith((BRANCH_PREFIX, JOIN_PREFIX))
