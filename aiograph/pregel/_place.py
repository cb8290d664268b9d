"""Where a run keeps its state: saver, thread and namespace, and who may use the thread."""

import warnings
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NamedTuple

from aiograph._context import NestedRun, TaskScope
from aiograph._effects import NOTHING
from aiograph.checkpoint.base import BaseCheckpointSaver, Retention, config_for, thread_of
from aiograph.constants import NAMESPACE_END, NAMESPACE_SEPARATOR
from aiograph.errors import CheckpointError, CheckpointQueryError
from aiograph.pregel._changes import is_current
from aiograph.pregel._declared import tell_declared
from aiograph.pregel._plan import Plan
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
    """Which of whose runs it is, if it is nested."""
    is_inner: bool = False
    """Whether it is part of the run around it: its questions are asked there, and it is resumed with it."""
    is_of_call: bool = False
    """Whether what is kept there is this one call's, and nobody else's."""
    caller: TaskScope | None = None
    """For a graph that remembers from call to call: the task that calls it."""
    parents: Mapping[str, str] = NOTHING
    """The checkpoints that the tasks around started from, by namespace."""

    @property
    def config(self) -> RunnableConfig:
        assert self.thread_id is not None
        return config_for(self.thread_id, self.namespace, self.checkpoint_id)


NOWHERE = Place(None, None, "", None)
"""That of a run of which nothing is kept."""


def find_place(
    checkpointer: BaseCheckpointSaver | bool | None, config: RunnableConfig, outer: TaskScope | None
) -> Place:
    """The saver, thread and namespace of a run.

    One that is nested in a run on the same thread gets a namespace of its own there.

    Raises:
        CheckpointQueryError: There is a saver, but the config names no thread; or it is to be that of a
            run around, and there is none.
    """
    if outer is None and (checkpointer is None or checkpointer is False):
        return NOWHERE
    saver = _saver(checkpointer, outer)
    if outer is None:
        return NOWHERE if saver is None else _named(saver, config)
    nested = NestedRun(outer, outer.acting().next_run())
    if saver is not None and _names_another_thread(config, outer):
        return _named(saver, config)._replace(nested=nested)
    around = _around(nested)
    if saver is None:
        return around
    if outer.run.place.thread_id is None:  # nothing around it is kept: it is the outermost that is
        return _named(saver, config)._replace(nested=nested, is_inner=True)
    if checkpointer is True:
        return around._replace(saver=saver, namespace=without_ids(nested.namespace), caller=outer)
    return around._replace(saver=saver, namespace=nested.namespace, is_of_call=True)


def _around(nested: NestedRun) -> Place:
    """What all runs nested here have in common."""
    task = nested.task
    run, parents = task.run, task.run.place.parents
    if task.checkpoint_id is not None:
        parents = {**parents, run.namespace: task.checkpoint_id}
    return Place(None, run.place.thread_id, "", None, nested, is_inner=True, parents=parents)


def without_ids(namespace: str) -> str:
    """A namespace that is the same whichever tasks lead there."""
    segments = namespace.split(NAMESPACE_SEPARATOR)
    return NAMESPACE_SEPARATOR.join(each.partition(NAMESPACE_END)[0] for each in segments)


async def outermost(place: Place, config: RunnableConfig, plan: Plan) -> Place:
    """Where a run starts whose config names the checkpoint of a graph inside a node.

    It is the graph around that runs, and what the config names has to be where it goes on by itself.

    Raises:
        CheckpointQueryError: A graph that leads there has gone on since.
    """
    checkpoints: Mapping[str, str] = config["configurable"].get("checkpoint_map") or {}
    if place.saver is None or place.thread_id is None:
        return place
    if "" not in checkpoints:
        if not await is_of_another(plan, place.saver, place.thread_id, place.namespace):
            return place
        checkpoints = {place.namespace: place.checkpoint_id} if place.checkpoint_id else {}
    for namespace, checkpoint_id in checkpoints.items():
        head = await place.saver.aget_tuple(config_for(place.thread_id, namespace))
        if head is not None and head.checkpoint["id"] != checkpoint_id:
            raise CheckpointQueryError(
                f"thread {place.thread_id!r}: checkpoint {checkpoint_id!r} of namespace {namespace!r} has "
                "been left behind, so no run can go on inside it: start from a checkpoint of the outermost "
                "graph, or make it the newest by update_state while the graph around waits for it"
            )
    return place._replace(namespace="", checkpoint_id=None)


async def is_of_another(plan: Plan, saver: BaseCheckpointSaver, thread_id: str, namespace: str) -> bool:
    """Whether a thread is a graph's own, and what is kept in a namespace is of a graph that it has called."""
    there = await saver.aget_tuple(config_for(thread_id, namespace))
    if there is None or is_current(plan, there.checkpoint):
        return False
    outermost = await saver.aget_tuple(config_for(thread_id, ""))
    return outermost is not None and is_current(plan, outermost.checkpoint)


def saved_place(
    checkpointer: BaseCheckpointSaver | bool | None, config: RunnableConfig, outer: TaskScope | None
) -> Place:
    """What a config names, wherever the code that asks runs; without a saver if there is none.

    Raises:
        CheckpointQueryError: There is a saver, but the config names no thread; or it is to be that of a
            run around, and there is none.
    """
    saver = _saver(checkpointer, outer)
    return NOWHERE if saver is None else _named(saver, config)


def _saver(
    checkpointer: BaseCheckpointSaver | bool | None, outer: TaskScope | None
) -> BaseCheckpointSaver | None:
    if isinstance(checkpointer, BaseCheckpointSaver):
        tell_declared(checkpointer)
        return checkpointer
    if checkpointer is True and outer is None:
        raise CheckpointQueryError(
            "checkpointer=True takes the saver of a graph around this one, and there is none: run the graph "
            "around it, look at its state through that graph, or give this one a saver"
        )
    return None if checkpointer is False or outer is None else outer.run.place.saver


def _named(saver: BaseCheckpointSaver, config: RunnableConfig) -> Place:
    try:
        return Place(saver, *thread_of(config))
    except CheckpointQueryError as error:
        error.add_note("the graph was compiled with a checkpointer, so every run belongs to a thread")
        raise


def _names_another_thread(config: RunnableConfig, outer: TaskScope) -> bool:
    named, ambient = (
        (each.get("configurable") or {}).get("thread_id") for each in (config, outer.run.config)
    )
    return named is not None and str(named) != str(ambient)


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
