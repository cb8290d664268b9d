"""How the writes of a superstep become the next state: all of them, in task order, or none. Pure.

Each written channel is updated in a copy. Only when every channel has taken its values are the copies
put in place, so that a reducer that raises, or two writers that contradict each other, leave the state
as it was.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from operator import attrgetter
from typing import Any, NamedTuple

from aiograph._effects import NO_NAMES
from aiograph.constants import TASKS
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._plan import Plan, Write
from aiograph.pregel._state import NONE_TRIED, Channels, RunState
from aiograph.pregel._tasks import Task
from aiograph.pregel._writes import refusal, tried

_written = attrgetter("writes")


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


def apply_writes(
    plan: Plan, state: RunState, tasks: Sequence[Task], kept: Set[str] = NO_NAMES
) -> Sequence[str]:
    """Applies the writes of the finished `tasks`, given in task order, and says which channels changed.

    Args:
        plan: The graph.
        state: Changed in place, as a whole or not at all.
        tasks: The tasks of a superstep, or those of them whose writes count.
        kept: Channels that trigger tasks which are still to run: they last one superstep longer.

    Raises:
        ConflictingWrites: Channels refused their values; the state is as before.
    """
    gathered = _gather(plan, map(_written, tasks))
    is_step = _have_triggers(tasks)
    changed = _consumed(plan, state, tasks) if is_step and plan.consumable else {}
    errors = _update(plan, state, gathered, changed)
    if errors:
        raise _conflict([_refused(error, name, tasks) for name, error in errors.items()])
    if is_step:
        _fade(plan, state, gathered, kept, changed)
        if state.is_versioned:
            _mark_seen(state, tasks)
    return _go_over(plan, state, changed, kept)


def apply_finished(plan: Plan, state: RunState, tasks: Sequence[Task]) -> Sequence[Task]:
    """Applies what those of the tasks wrote that have finished, before the others have.

    Returns:
        The tasks whose writes count: those that contradict each other will run again.
    """
    finished = [task for task in tasks if task.writes is not None]
    while finished:
        try:
            apply_writes(plan, state, finished)
            break
        except ConflictingWrites as conflict:
            finished = [task for task in finished if task not in conflict.tasks]
    return finished


def apply_input(plan: Plan, state: RunState, writes: Sequence[Write]) -> bool:
    """Applies what the input writes, before anything has run.

    Returns:
        Whether all channels take it; if not, the state is as before.
    """
    changed: Channels = {}
    if _update(plan, state, _gather(plan, (writes,)), changed):
        return False
    _go_over(plan, state, changed, NO_NAMES)
    return True


def _go_over(plan: Plan, state: RunState, changed: Channels, kept: Set[str]) -> Sequence[str]:
    """Makes the changed channels those of the state; what waits for the end comes if nothing else does."""
    updated = _install(plan, state, changed)
    if state.pending_finish and not kept and not _triggers_any(plan, updated):
        updated += _finish(plan, state)
    state.updated = updated
    return updated


def _triggers_any(plan: Plan, channels: Iterable[str]) -> bool:
    """Whether a change of these channels makes anything run."""
    return any(name in plan.subscribers or name == TASKS for name in channels)


def _gather(plan: Plan, written: Iterable[Sequence[Write] | None]) -> dict[str, list[Any]]:
    """What is written to each channel, in this order; what is meant for no channel is left out."""
    channels = plan.channels
    gathered: dict[str, list[Any]] = {}
    for writes in written:
        for name, value in writes or ():
            if name in gathered:
                gathered[name].append(value)
            elif name in channels:
                gathered[name] = [value]
    return gathered


def _have_triggers(tasks: Sequence[Task]) -> bool:
    for task in tasks:  # noqa: SIM110  # a generator would be a part of what a superstep costs
        if task.triggers:
            return True
    return False


def _consumed(plan: Plan, state: RunState, tasks: Iterable[Task]) -> Channels:
    """The channels that triggered a task, where they change by being told that it has run."""
    triggers = {name for task in tasks for name in task.triggers}
    changed: Channels = {}
    for name in plan.consumable.intersection(triggers, state.channels):
        channel = state.channels[name].copy()
        if channel.consume():
            changed[name] = channel
    return changed


def _update(
    plan: Plan, state: RunState, gathered: Mapping[str, list[Any]], changed: Channels
) -> Mapping[str, Exception]:
    """Has copies of the channels take their values; says why channels refuse."""
    errors = {}
    channels, prototypes = state.channels, plan.channels
    for name, values in gathered.items():
        if name in plan.signals and values[0] is None and len(values) == 1:
            changed[name] = plan.signals[name]
            continue
        base = changed.get(name) or channels.get(name) or prototypes[name]
        channel = tried(state, name, base, values) if state.tried else None
        if channel is not None:
            changed[name] = channel
            continue
        channel = base.copy()
        try:
            if channel.update(values):
                changed[name] = channel
        except Exception as error:
            errors[name] = error
    state.tried = NONE_TRIED
    return errors


def _refused(error: Exception, name: str, tasks: Sequence[Task]) -> _Refusal:
    writers = [task for task in tasks for channel, _ in task.writes or () if channel == name]
    return _Refusal(refusal(error, name, _named(writers), writers[0].step), writers)


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
    versions, seen_by, news = state.versions, state.seen, state.news
    for task in tasks:
        name = task.node.name
        # made anew: a checkpoint may hold what was there
        seen = seen_by[name] = seen_by[name].copy() if name in seen_by else {}
        for trigger in task.triggers:
            if trigger in versions:
                seen[trigger] = versions[trigger]
        if news is not None:
            news.seen[name] = seen


def _fade(
    plan: Plan, state: RunState, written: Container[str], kept: Container[str], changed: Channels
) -> None:
    """A value that lasts one superstep ends with the first one that does not write it again."""
    for name in state.fading:
        if name not in written and name not in kept:
            changed[name] = plan.channels[name]


def _install(plan: Plan, state: RunState, changed: Channels) -> tuple[str, ...]:
    """Puts the changed channels in place under a new version; says which of them hold a value."""
    if not changed:
        return ()
    if state.is_versioned:
        state.version += 1
        versions = dict.fromkeys(changed, state.version)
        state.versions.update(versions)
        if state.news is not None:
            state.news.versions.update(versions)
    values, channels = state.values, state.channels
    updated = []
    for name, channel in changed.items():
        if channel.is_available():
            updated.append(name)
            if name in plan.readable:
                values[name] = channel.get()
        else:
            values.pop(name, None)
            if channel is plan.channels[name] or channel.is_empty():
                _drop(state, name)
                continue
        channels[name] = channel
        if name in plan.transient:
            state.fading[name] = None
        if name in plan.awaits_finish:
            state.pending_finish |= {name}
    return tuple(updated)


def _drop(state: RunState, name: str) -> None:
    """A channel that remembers nothing; it comes to life again when it is written."""
    state.channels.pop(name, None)
    state.fading.pop(name, None)
    if name in state.pending_finish:
        state.pending_finish -= {name}


def _finish(plan: Plan, state: RunState) -> tuple[str, ...]:
    """Nothing would run any more: channels that waited for that become readable."""
    changed: Channels = {}
    for name in sorted(state.pending_finish):
        channel = state.channels[name].copy()
        if channel.finish():
            changed[name] = channel
    return _install(plan, state, changed)
