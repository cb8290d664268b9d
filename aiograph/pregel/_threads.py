"""What a graph tells of its threads, and how they are changed from outside."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import copy_context
from typing import Any, cast

from aiograph._context import current_task
from aiograph.bridge import blocking, blocking_iter
from aiograph.errors import CheckpointQueryError
from aiograph.pregel import _options
from aiograph.pregel._execute import within
from aiograph.pregel._graph import PlannedGraph
from aiograph.pregel._inside import Spot, subgraphs, take_back_questions, trail_to, with_children
from aiograph.pregel._inspect import empty_snapshot
from aiograph.pregel._open import open_update
from aiograph.pregel._place import Place, saved_place, turn_at
from aiograph.pregel._revise import checked_supersteps, keep_change, revise
from aiograph.pregel._update import clear
from aiograph.types import RunnableConfig, StateSnapshot, StateUpdate
from aiograph.typing import ContextT, InputT, OutputT, StateT


class ThreadVerbs(PlannedGraph[StateT, ContextT, InputT, OutputT]):
    """A graph whose threads can be looked at and changed."""

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """The state of a thread; a thread that does not exist has an empty one.

        Its values are those of all keys that the graph's schemas declare, whatever the output is; keys that
        are private to some nodes are not shown.

        Args:
            config: Names the thread. With a `checkpoint_id`, that checkpoint as it was; without, the
                newest one, in which tasks that have finished since count as done, and which is shown as
                the graph's migration makes it. Of a graph that has changed since, nodes that are gone are
                shown as `next`, and keys that cannot be read any more are left out. With the
                `checkpoint_ns` of a graph inside a node, its state.
            subgraphs: Whether tasks that are graphs, or call some, show the states of these as
                `PregelTask.state`, at any depth. Otherwise that is the config that names the graph's state.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread, or a
                namespace in which there is no graph.
        """
        trail, checkpoint_id = await self._trail(config)
        spot = trail[-1]
        saved = await spot.saver.aget_tuple(spot.config(checkpoint_id))
        plan, live = spot.graph.plan, checkpoint_id is None
        if saved is None:
            return empty_snapshot(plan, spot.config(checkpoint_id))
        return await with_children(spot, spot.seen(saved, live=live), unfold=subgraphs, live=live)

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
            config: Names the thread, and with a `checkpoint_ns` a graph inside a node.
            filter: What metadata has to hold: for an entry a value, a nested filter, or comparisons such as
                `{"step": {"gte": 3, "ne": 5}}` with `ne`, `gt`, `gte`, `lt`, `lte` and `in`. `created_after`
                and `created_before` look at the time.
            before: Only checkpoints older than the one this config names.
            limit: At most this many.

        Raises:
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread.
        """
        trail, _ = await self._trail(config)
        spot = trail[-1]
        async for saved in spot.saver.alist(spot.config(), filter=filter, before=before, limit=limit):
            seen = spot.seen(saved, live=False)
            yield await with_children(spot, seen, unfold=False, live=False)

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
            as_node: The node; by default the one that ran last, or where nothing has run, the one that hands
                the input on. Three names are no nodes:

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
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread, or a
                checkpoint that is not there.

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
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread, or a
                checkpoint that is not there.

        When cancelled, each superstep is stored, or it is not; never a part of it, or a later one alone.
        """
        checked = checked_supersteps(supersteps)
        trail, checkpoint_id = await self._trail(config)
        spot = trail[-1]
        place = Place(spot.saver, spot.thread_id, spot.namespace, checkpoint_id)
        request = spot.graph._request(None, config, _options.Choices("sync"))
        async with turn_at(place, request.terms.on_conflict):
            base = await open_update(spot.graph.plan, place, request)
            changed = await within(copy_context(), revise(base, checked))
            await take_back_questions(trail, changed)
            return changed

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
            CheckpointQueryError: The graph has no checkpointer, or the config names no thread, or a
                checkpoint that is not there.

        When cancelled, the checkpoint is stored, or it is not; never a part of it.
        """
        marked: RunnableConfig = {"metadata": {**(metadata or {}), "memory_cleared": True}}
        trail, checkpoint_id = await self._trail(config)
        spot = trail[-1]
        place = Place(spot.saver, spot.thread_id, spot.namespace, checkpoint_id)
        request = spot.graph._request(None, _options.merge_configs(config, marked), _options.Choices("sync"))
        async with turn_at(place, request.terms.on_conflict):
            base = await open_update(spot.graph.plan, place, request)
            clear(base.run.state)
            return await keep_change(base)

    def get_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> Iterator[tuple[str, "ThreadVerbs[Any, Any, Any, Any]"]]:
        """The graphs inside the graph's nodes, each with the names of the nodes that lead there, `"a|b"`.

        Those that a function calls are found if it captures them, or names them as globals, attributes or
        arguments.

        Args:
            namespace: Only the graph that these nodes lead to.
            recurse: Whether to look inside those graphs as well.
        """
        for path, graph in subgraphs(self, namespace, recurse):
            yield path, cast("ThreadVerbs[Any, Any, Any, Any]", graph)

    async def aget_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> AsyncIterator[tuple[str, "ThreadVerbs[Any, Any, Any, Any]"]]:
        """The same as `get_subgraphs`, which waits for nothing either."""
        for found in self.get_subgraphs(namespace=namespace, recurse=recurse):
            yield found

    async def _trail(self, config: RunnableConfig) -> tuple[list[Spot], str | None]:
        """The graphs that lead to the one whose state a config names, and the checkpoint, if it names one."""
        place = saved_place(self._options.checkpointer, self._config(config), current_task.get())
        if place.saver is None or place.thread_id is None:
            raise CheckpointQueryError(
                f"graph {self.name!r} has no checkpointer, so it keeps no state: compile it with one"
            )
        root = Spot(self, place.saver, place.thread_id, "")
        return await trail_to(root, place.namespace), place.checkpoint_id

    # -- the other colour

    get_state = blocking(aget_state)
    get_state_history = blocking_iter(aget_state_history)
    update_state = blocking(aupdate_state)
    bulk_update_state = blocking(abulk_update_state)
    clear_state = blocking(aclear_state)
