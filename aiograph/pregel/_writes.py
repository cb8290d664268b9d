"""A node's output as writes, and the state as its routes see it. Pure."""

from collections.abc import Sequence

from aiograph.pregel._plan import Plan, Values, Write
from aiograph.pregel._state import RunState


def fresh_values(plan: Plan, state: RunState, writes: Sequence[Write]) -> Values:
    """The values as they are once a task's own writes are applied, its siblings' left out."""
    values = state.values.copy()
    own: dict[str, list[object]] = {}
    for name, value in writes:
        if name in plan.readable:
            own.setdefault(name, []).append(value)
    for name, written in own.items():
        channel = (state.channels.get(name) or plan.channels[name]).copy()
        channel.update(written)
        if channel.is_available():
            values[name] = channel.get()
    return values
