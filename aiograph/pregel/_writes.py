"""Writes by themselves: the state as a node's routes see it, and the error when a channel refuses. Pure."""

from collections.abc import Sequence
from operator import is_
from typing import Any

from aiograph.channels.base import MISSING
from aiograph.errors import ChannelUpdateError, ErrorCode, InvalidUpdateError
from aiograph.pregel._plan import Plan, Values, Write
from aiograph.pregel._state import Channel, RunState


def fresh_values(plan: Plan, state: RunState, writes: Sequence[Write], writer: str) -> Values:
    """The values as they are once a task's own writes are applied, its siblings' left out.

    Raises:
        InvalidUpdateError: A channel refuses them.
    """
    values = state.values.copy()
    readable = plan.readable
    own: dict[str, list[object]] = {}
    for name, value in writes:
        if name in own:
            own[name].append(value)
        elif name in readable:
            own[name] = [value]
    for name, written in own.items():
        if len(written) == 1 and name in plan.replaces and written[0] is not MISSING:
            values[name] = written[0]
            continue
        base = state.channels.get(name) or plan.channels[name]
        channel = base.copy()
        try:
            if channel.update(written):
                state.tried = {**state.tried, name: (base, written, channel)}
        except Exception as error:
            raise refusal(error, name, repr(writer), state.step) from error
        if channel.is_available():
            values[name] = channel.get()
        else:
            values.pop(name, None)
    return values


def tried(state: RunState, name: str, base: Channel, values: Sequence[Any]) -> Channel | None:
    """What writes make of a channel, if a router has been shown that: reducers may have much to do."""
    known = state.tried.get(name)
    if known is None or known[0] is not base or len(known[1]) != len(values):
        return None
    return known[2] if all(map(is_, known[1], values)) else None


def refusal(error: Exception, channel: str, writers: str, step: int) -> InvalidUpdateError:
    """What tells users that a channel raised `error` when it was given the writes of a superstep."""
    if isinstance(error, InvalidUpdateError):
        named = InvalidUpdateError(f"{error} (written by {writers} in step {step})")
        named.code = error.code or ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE
    else:
        named = ChannelUpdateError(
            f"the reducer of channel {channel!r} raised {type(error).__name__}: {error} "
            f"(written by {writers} in step {step}); the state is as it was before that step"
        )
    named.__cause__ = error
    return named
