"""Where a run keeps its state: saver, thread and namespace, and who may use the thread."""

import warnings
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NamedTuple

from aiograph._context import TaskScope
from aiograph.checkpoint.base import BaseCheckpointSaver, Retention, config_for, thread_of
from aiograph.config import task_namespace
from aiograph.constants import NAMESPACE_SEPARATOR
from aiograph.errors import CheckpointError, CheckpointQueryError
from aiograph.pregel._state import NestedRun
from aiograph.pregel._turns import TURNS
from aiograph.types import OnConflict, RunnableConfig
from aiograph.warnings import CheckpointWarning


class Place(NamedTuple):
    """Where a run keeps its state."""

    saver: BaseCheckpointSaver | None
    thread_id: str | None
    namespace: str
    checkpoint_id: str | None
    nested: NestedRun | None = None
    """For a run without a saver: whose it is, if it is nested."""

    @property
    def config(self) -> RunnableConfig:
        assert self.thread_id is not None
        return config_for(self.thread_id, self.namespace, self.checkpoint_id)


def find_place(
    checkpointer: BaseCheckpointSaver | bool | None, config: RunnableConfig, outer: TaskScope | None
) -> Place:
    """The saver, thread and namespace of a run.

    One that is nested in a run on the same saver and thread gets a namespace of its own there.

    Raises:
        CheckpointQueryError: There is a saver, but the config names no thread.
    """
    saver = _saver(checkpointer, outer)
    if saver is None:
        nested = None if outer is None else NestedRun(outer, _number_of_call(outer))
        return Place(None, None, "", None, nested)
    if outer is not None and saver is outer.run.checkpointer and _is_ambient(config, outer):
        return _inherited(saver, outer)
    return _named(saver, config)


def saved_place(
    checkpointer: BaseCheckpointSaver | bool | None, config: RunnableConfig, outer: TaskScope | None
) -> Place:
    """What a config names, wherever the code that asks runs; without a saver if there is none.

    Raises:
        CheckpointQueryError: There is a saver, but the config names no thread.
    """
    saver = _saver(checkpointer, outer)
    return Place(None, None, "", None) if saver is None else _named(saver, config)


def _saver(
    checkpointer: BaseCheckpointSaver | bool | None, outer: TaskScope | None
) -> BaseCheckpointSaver | None:
    if isinstance(checkpointer, BaseCheckpointSaver):
        return checkpointer
    return None if checkpointer is False or outer is None else outer.run.checkpointer


def _named(saver: BaseCheckpointSaver, config: RunnableConfig) -> Place:
    try:
        return Place(saver, *thread_of(config))
    except CheckpointQueryError as error:
        error.add_note("the graph was compiled with a checkpointer, so every run belongs to a thread")
        raise


def _is_ambient(config: RunnableConfig, outer: TaskScope) -> bool:
    thread = (config.get("configurable") or {}).get("thread_id")
    return thread is None or str(thread) == outer.run.thread_id


def _inherited(saver: BaseCheckpointSaver, outer: TaskScope) -> Place:
    number = _number_of_call(outer)
    suffix = f"{NAMESPACE_SEPARATOR}{number}" if number else ""
    return Place(saver, outer.run.thread_id, task_namespace(outer) + suffix, None)


def _number_of_call(outer: TaskScope) -> int:
    outer.calls += 1
    return outer.calls - 1


def is_inherited(place: Place, outer: TaskScope | None) -> bool:
    run = None if outer is None else outer.run
    return run is not None and (place.saver, place.thread_id) == (run.checkpointer, run.thread_id)


def turn_at(place: Place, on_conflict: OnConflict) -> AbstractAsyncContextManager[None]:
    """Has the thread to itself for the length of the block, as far as others in this process wait as well."""
    if on_conflict == "raise" or place.saver is None:
        return _AT_ONCE
    return TURNS.turn((id(place.saver), place.thread_id, place.namespace))


_AT_ONCE = nullcontext()


async def forget_the_past(place: Place, retention: Retention) -> None:
    """Removes what a policy does not keep of a thread.

    The run has succeeded, and is not to fail for this: what goes wrong is told as a warning.
    """
    if place.saver is None or place.thread_id is None or place.namespace:
        return
    try:
        await place.saver.asweep(retention, [place.thread_id])
    except CheckpointError as error:
        warnings.warn(
            f"thread {place.thread_id!r}: its past could not be removed: {error}",
            CheckpointWarning,
            stacklevel=2,
        )
