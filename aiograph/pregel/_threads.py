"""What a graph tells of its threads, and how they are changed from outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import copy_context
from typing import Any, cast

from aiograph._context import current_task
from aiograph.bridge import blocking, blocking_iter
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.errors import CheckpointQueryError
from aiograph.pregel import _options
from aiograph.pregel._execute import Within
from aiograph.pregel._graph import PlannedGraph
from aiograph.pregel._inspect import empty_snapshot, snapshot
from aiograph.pregel._open import open_update
from aiograph.pregel._place import Place, saved_place, turn_at
from aiograph.pregel._revise import checked_supersteps, keep_change, revise
from aiograph.pregel._update import clear
from aiograph.types import (
    RunnableConfig,
    StateSnapshot,
    StateUpdate,
)
from aiograph.typing import ContextT, InputT, OutputT, StateT


class ThreadVerbs(PlannedGraph[StateT, ContextT, InputT, OutputT]):
    """A graph whose threads can be looked at and changed."""

    async def aget_state(self, config: RunnableConfig) -> StateSnapshot:
        """The state of a thread; a thread that does not exist has an empty one.

        Its values are those of all keys that the graph's schemas declare, whatever the output is; keys that
        are private to some nodes are not shown.

        Args:
            config: Names the thread. With a `checkpoint_id`, that checkpoint as it was; without, the
                newest one, in which tasks that have finished since count as done, and which is shown as
                the graph's migration makes it. Of a graph that has changed since, nodes that are gone are
                shown as `next`, and keys that cannot be read any more are left out.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.
        """
        place = self._place(config)
        saved = await place.saver.aget_tuple(place.config)
        if saved is None:
            return empty_snapshot(self._plan, place.config)
        is_live = place.checkpoint_id is None
        return snapshot(self._plan, saved, live=is_live, migrate=self._options.migrate if is_live else None)

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """The checkpoints of a thread, newest first, as they were.

        Args:
            config: Names the thread.
            filter: What metadata has to hold: for an entry a value, a nested filter, or comparisons such as
                `{"step": {"gte": 3, "ne": 5}}` with `ne`, `gt`, `gte`, `lt`, `lte` and `in`. `created_after`
                and `created_before` look at the time.
            before: Only checkpoints older than the one this config names.
            limit: At most this many.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.
        """
        place = self._place(config)
        query = place._replace(checkpoint_id=None).config
        async for saved in place.saver.alist(query, filter=filter, before=before, limit=limit):
            yield snapshot(self._plan, saved, live=False)

    async def aupdate_state(
        self,
        config: RunnableConfig,
        values: Any,
        as_node: str | None = None,
        task_id: str | None = None,
    ) -> RunnableConfig:
        """Changes a thread's state as if a node had returned `values`; its edges decide what is next.

        Tasks of a broken superstep that have finished count as well. An update in the name of a node
        that was about to run stands for its task, and the others that were about to run still are;
        after an update in any other name they are not.

        Args:
            config: Names the thread, and with a `checkpoint_id` the checkpoint to start from.
            values: What the node returned. `None` without a node changes nothing: what was about to run
                still is, after a checkpoint that a `checkpoint_id` has made the newest.
            as_node: The node; by default the one that ran last. Three names are no nodes:

                - `END`, with `None` as values, drops what was about to run.
                - `"__input__"` takes the values as new input, without running anything.
                - `"__copy__"` clones the checkpoint, as a sibling; tasks run again there. A list of
                  `(values, as_node)` is a superstep that follows upon the copy.
            task_id: The task that the update stands for, where the node has several: one of those that
                `get_state` shows.

        Returns:
            The config that names the new checkpoint.

        Raises:
            InvalidUpdateError: The values do not fit, or it is not clear which node they come from.
            EmptyInputError: The new input has none of the keys that the graph takes.
            ConcurrentUpdateError: Somebody else has written to the thread meanwhile.
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.

        When cancelled, the update is stored, or it is not; never a part of it.
        """
        return await self.abulk_update_state(config, [[StateUpdate(values, as_node, task_id)]])

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Changes a thread's state by several supersteps, each of one update or of several at once.

        Each superstep is stored as one checkpoint, as a whole or not at all. None is stored before all
        of them are made: if the third of five does not fit, the thread is as it was. Only if the saver
        fails, or the process dies, while they are stored, those before stay.

        Args:
            config: Names the thread, and with a `checkpoint_id` the checkpoint to start from.
            supersteps: The supersteps, one upon the other, and the updates in each, for which see
                `aupdate_state`. Updates of one superstep do not see each other, and are applied in the
                order of tasks. If there are several, each needs `as_node` or `task_id`. `END`, `"__input__"`
                and `"__copy__"` are supersteps of their own, and a copy comes first.

        Returns:
            The config that names the last checkpoint.

        Raises:
            InvalidUpdateError: An update does not fit, or it is not clear which node it comes from.
            EmptyInputError: A new input has none of the keys that the graph takes.
            ConcurrentUpdateError: Somebody else has written to the thread meanwhile.
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.

        When cancelled, each superstep is stored, or it is not; never a part of it, or a later one alone.
        """
        checked = checked_supersteps(supersteps)
        place = self._place(config)
        request = self._request(None, config, _options.Choices("sync"))
        async with turn_at(place, request.on_conflict):
            base = await open_update(self._plan, place, request)
            return await Within(copy_context(), revise(base, checked))

    async def aclear_state(
        self, config: RunnableConfig, *, metadata: Mapping[str, Any] | None = None
    ) -> RunnableConfig:
        """Has a thread start anew: appends a checkpoint without values, at which nothing is left to do.

        Nothing is deleted. Older checkpoints are still in the history, and a run or an update that names one
        of them goes on from there. The checkpoint is found by
        `aget_state_history(config, filter={"memory_cleared": True})`. What graphs within nodes keep for
        tasks of their own is left as it is; no later task asks for it.

        Args:
            config: Names the thread, and with a `checkpoint_id` the checkpoint to append to.
            metadata: Further entries for the checkpoint's metadata: who asked for it, and why.

        Returns:
            The config that names the new checkpoint.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.

        When cancelled, the checkpoint is stored, or it is not; never a part of it.
        """
        marked: RunnableConfig = {"metadata": {**(metadata or {}), "memory_cleared": True}}
        place = self._place(config)
        request = self._request(None, _options.merge_configs(config, marked), _options.Choices("sync"))
        async with turn_at(place, request.on_conflict):
            base = await open_update(self._plan, place, request)
            clear(base.run.state)
            return await keep_change(base)

    def _place(self, config: RunnableConfig) -> "_SavedPlace":
        place = saved_place(self._options.checkpointer, self._config(config), current_task.get())
        if place.saver is None:
            raise CheckpointQueryError(
                f"graph {self.name!r} has no checkpointer, so it keeps no state: compile it with one"
            )
        return cast("_SavedPlace", place)

    # -- the other colour

    get_state = blocking(aget_state)
    get_state_history = blocking_iter(aget_state_history)
    update_state = blocking(aupdate_state)
    bulk_update_state = blocking(abulk_update_state)
    clear_state = blocking(aclear_state)


class _SavedPlace(Place):
    """A place that has a saver."""

    saver: BaseCheckpointSaver
