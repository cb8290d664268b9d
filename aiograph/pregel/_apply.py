"""How the writes of a superstep become the next state: all of them, in task order, or none. Pure.

Each written channel is updated in a copy. Only when every channel has taken its values are the copies
put in place, so that a reducer that raises, or two writers that contradict each other, leave the state
as it was.
"""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Any, NamedTuple

from aiograph.constants import NO_WRITES, TASKS
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._plan import Plan
from aiograph.pregel._state import Channels, RunState
from aiograph.pregel._tasks import Task
from aiograph.pregel._writes import refusal


class ConflictingWrites(Exception):
    """Carries the error of a superstep whose writes channels refused, and the tasks to blame."""

    def __init__(self, error: InvalidUpdateError, tasks: Sequence[Task]) -> None:
        self.error = error
        self.tasks = tasks
        super().__init__(error)


class _Refusal(NamedTuple):
    """One channel that does not take its values."""

    error: InvalidUpdateError
    writers: Sequence[Task]


class _Gathered(NamedTuple):
    values: list[Any]
    writers: list[Task]


def apply_writes(
    plan: Plan, state: RunState, tasks: Sequence[Task], kept: Set[str] = frozenset()
) -> frozenset[str]:
    """Applies the writes of the finished `tasks`, given in task order, and says which channels changed.

    Args:
        plan: The graph.
        state: Changed in place, as a whole or not at all.
        tasks: The tasks of a superstep, or those of them whose writes count.
        kept: Channels that trigger tasks which are still to run: they last one superstep longer.

    Raises:
        ConflictingWrites: Channels refused their values; the state is as before.
    """
    gathered = _gather(plan, tasks)
    is_step = any(task.triggers for task in tasks)
    changed = _consumed(state, tasks) if is_step else {}
    refusals: list[_Refusal] = []
    for name, writes in gathered.items():
        refusals += _update(plan, state, name, writes, changed)
    if refusals:
        raise _conflict(refusals)
    if is_step:
        _fade(state, gathered.keys() | kept, changed)
        _mark_seen(state, tasks)
    updated = _install(plan, state, changed)
    if state.pending_finish and not kept and not _triggers_any(plan, updated):
        updated |= _finish(plan, state)
    state.updated = updated
    return updated


def _triggers_any(plan: Plan, channels: Iterable[str]) -> bool:
    """Whether a change of these channels makes anything run."""
    return any(name in plan.subscribers or name == TASKS for name in channels)


def _gather(plan: Plan, tasks: Sequence[Task]) -> dict[str, _Gathered]:
    gathered: dict[str, _Gathered] = {}
    for task in tasks:
        for name, value in task.writes or ():
            if name == NO_WRITES or name not in plan.channels:
                continue
            found = gathered.get(name)
            if found is None:
                gathered[name] = found = _Gathered([], [])
            found.values.append(value)
            found.writers.append(task)
    return gathered


def _consumed(state: RunState, tasks: Iterable[Task]) -> Channels:
    """The channels that triggered a task, where they change by being told that it has run."""
    changed: Channels = {}
    for name in {trigger for task in tasks for trigger in task.triggers}:
        channel = state.channels.get(name)
        if channel is not None and channel.consumable:
            consumed = channel.copy()
            if consumed.consume():
                changed[name] = consumed
    return changed


def _update(
    plan: Plan, state: RunState, name: str, gathered: _Gathered, changed: Channels
) -> Sequence[_Refusal]:
    channel = changed.get(name) or (state.channels.get(name) or plan.channels[name]).copy()
    try:
        if channel.update(gathered.values):
            changed[name] = channel
    except Exception as error:
        writers = gathered.writers
        return (_Refusal(refusal(error, name, _named(writers), writers[0].step), writers),)
    return ()


def _named(writers: Sequence[Task]) -> str:
    counts = Counter(task.name for task in writers)
    return ", ".join(
        f"{name!r}" if count == 1 else f"{name!r} {count} times" for name, count in counts.items()
    )


def _conflict(refusals: Sequence[_Refusal]) -> ConflictingWrites:
    first, *others = refusals
    for other in others:
        first.error.add_note(f"besides, {other.error}")
    guilty = {id(task): task for refusal in refusals for task in refusal.writers}
    return ConflictingWrites(first.error, list(guilty.values()))


def _mark_seen(state: RunState, tasks: Iterable[Task]) -> None:
    versions = state.versions
    for task in tasks:
        seen = state.seen.setdefault(task.name, {})
        for trigger in task.triggers:
            if trigger in versions:
                seen[trigger] = versions[trigger]


def _fade(state: RunState, spared: Set[str], changed: Channels) -> None:
    """A value that lasts one superstep ends with the first one that does not write it again."""
    for name in state.fading:
        if name not in spared:
            channel = state.channels[name].copy()
            if channel.update(()):
                changed[name] = channel


def _install(plan: Plan, state: RunState, changed: Channels) -> frozenset[str]:
    """Puts the changed channels in place under a new version; says which of them hold a value."""
    if not changed:
        return frozenset()
    state.version += 1
    updated = []
    for name, channel in changed.items():
        state.versions[name] = state.version
        if channel.is_available():
            updated.append(name)
            state.channels[name] = channel
            if name in plan.readable:
                state.values[name] = channel.get()
        else:
            _withhold(state, name, channel)
        _classify(state, name, channel)
    return frozenset(updated)


def _withhold(state: RunState, name: str, channel: Any) -> None:
    """A channel without a readable value; it lives on only if it still remembers something."""
    state.values.pop(name, None)
    if channel.is_empty():
        state.channels.pop(name, None)
    else:
        state.channels[name] = channel


def _classify(state: RunState, name: str, channel: Any) -> None:
    if channel.transient:
        _note(state.fading, name, name in state.channels)
    if channel.awaits_finish:
        _note(state.pending_finish, name, name in state.channels)


def _note(names: set[str], name: str, holds: bool) -> None:
    if holds:
        names.add(name)
    else:
        names.discard(name)


def _finish(plan: Plan, state: RunState) -> frozenset[str]:
    """Nothing would run any more: channels that waited for that become readable."""
    changed: Channels = {}
    for name in sorted(state.pending_finish):
        channel = state.channels[name].copy()
        if channel.finish():
            changed[name] = channel
    return _install(plan, state, changed)
