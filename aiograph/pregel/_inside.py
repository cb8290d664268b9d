"""Graphs inside nodes as seen from outside: which there are, which one a namespace names, how they stand.

A namespace names the tasks that lead to a graph, each as `node:task_id`, and as a number which of the task's
calls it is, unless it is the first. In those of graphs that remember the tasks' ids are left out.
"""

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from aiograph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, config_for
from aiograph.constants import INTERRUPT, NAMESPACE_END, NAMESPACE_SEPARATOR
from aiograph.errors import CheckpointQueryError
from aiograph.pregel._changes import is_current
from aiograph.pregel._inspect import snapshot
from aiograph.pregel._place import is_of_another, without_ids
from aiograph.pregel._reach import AnyGraph, graphs_in
from aiograph.pregel._snapshot import CALLER, by_depth
from aiograph.types import PregelTask, RunnableConfig, StateSnapshot


class Spot(NamedTuple):
    """Where a graph keeps its state on a thread."""

    graph: AnyGraph
    saver: BaseCheckpointSaver
    thread_id: str
    namespace: str

    def config(self, checkpoint_id: str | None = None) -> RunnableConfig:
        return config_for(self.thread_id, self.namespace, checkpoint_id)

    def seen(self, saved: CheckpointTuple, *, live: bool) -> StateSnapshot:
        """A checkpoint as its graph sees it; see `snapshot`."""
        return snapshot(
            self.graph.plan, saved, live=live, migrate=self.graph._options.migrate if live else None
        )

    def inner(self, graph: AnyGraph, segments: Sequence[str]) -> "Spot | None":
        """Where a graph inside a node keeps its state; `None` if it keeps nothing.

        Args:
            graph: The graph.
            segments: What its namespace adds to this one: the task, and which of its calls, if not the first.
        """
        checkpointer = graph.checkpointer
        if checkpointer is False:
            return None
        saver = checkpointer if isinstance(checkpointer, BaseCheckpointSaver) else self.saver
        namespace = NAMESPACE_SEPARATOR.join((self.namespace, *segments) if self.namespace else segments)
        return Spot(
            graph, saver, self.thread_id, without_ids(namespace) if checkpointer is True else namespace
        )


# -- which there are -----------------------------------------------------------------------------------


def subgraphs(graph: AnyGraph, namespace: str | None, recurse: bool) -> Iterator[tuple[str, AnyGraph]]:
    """The graphs inside a graph's nodes, by the names of the nodes that lead there."""
    if namespace is None:
        yield from _below(graph, recurse, ())
        return
    name, _, rest = namespace.partition(NAMESPACE_SEPARATOR)
    for inner in graphs_in(graph.nodes[name]) if name in graph.nodes else ():
        if not rest:
            yield name, inner
        else:
            yield from ((namespace, deeper) for _, deeper in subgraphs(inner, rest, recurse))


def _below(graph: AnyGraph, recurse: bool, around: tuple[AnyGraph, ...]) -> Iterator[tuple[str, AnyGraph]]:
    for name, node in graph.nodes.items():
        for inner in graphs_in(node):
            yield name, inner
            if recurse and inner not in (graph, *around):  # a graph may call itself
                for path, deeper in _below(inner, recurse, (graph, *around)):
                    yield f"{name}{NAMESPACE_SEPARATOR}{path}", deeper


# -- which one a namespace names -----------------------------------------------------------------------


async def trail_to(root: Spot, namespace: str) -> list[Spot]:
    """The graphs that a namespace leads through, from the root to the one that it names.

    What begins with no node of the root that holds a graph is taken to name the root itself, as it is called
    from somewhere else; unless the thread is the root's own, and what is kept there is not.

    Raises:
        CheckpointQueryError: No graph is found where the namespace leads.
    """
    trail = [root]
    for segments in _hops(namespace):
        name = segments[0].partition(NAMESPACE_END)[0]
        node = trail[-1].graph.nodes.get(name)
        found = () if node is None else graphs_in(node)
        if not found and len(trail) == 1:
            if await is_of_another(root.graph.plan, root.saver, root.thread_id, namespace):
                raise _nothing(root, name, namespace)
            return [root._replace(namespace=namespace)]
        inner = await _chosen(trail[-1], found, segments)
        if inner is None:
            raise _nothing(trail[-1], name, namespace)
        trail.append(inner)
    return trail


def _hops(namespace: str) -> Sequence[Sequence[str]]:
    """A namespace, taken apart into what stands for each call: the task, and which of its calls it is."""
    hops: list[list[str]] = []
    for segment in namespace.split(NAMESPACE_SEPARATOR) if namespace else ():
        if hops and segment.isdecimal():
            hops[-1].append(segment)
        else:
            hops.append([segment])
    return hops


async def _chosen(spot: Spot, graphs: Sequence[AnyGraph], segments: Sequence[str]) -> Spot | None:
    """Of the graphs that a node may call, the one that has been called there."""
    spots = [inner for graph in graphs if (inner := spot.inner(graph, segments)) is not None]
    if len(spots) == 1:
        return spots[0]
    for inner in spots:
        saved = await inner.saver.aget_tuple(inner.config())
        if saved is not None and is_current(inner.graph.plan, saved.checkpoint):
            return inner
    return None


def _nothing(spot: Spot, name: str, namespace: str) -> CheckpointQueryError:
    holding = sorted(each for each, node in spot.graph.nodes.items() if graphs_in(node))
    return CheckpointQueryError(
        f"checkpoint_ns {namespace!r} leads to node {name!r} of graph {spot.graph.name!r}, in which no graph "
        f"is found that keeps its state; such are found in {holding}. A graph that a function makes or gets "
        "hold of while it runs can be asked itself: give it the saver by with_checkpointer"
    )


# -- how they stand ------------------------------------------------------------------------------------


async def with_children(spot: Spot, seen: StateSnapshot, *, unfold: bool, live: bool) -> StateSnapshot:
    """A snapshot whose tasks tell of the graphs inside them.

    Args:
        spot: Whose snapshot it is.
        seen: The snapshot.
        unfold: Whether to show the states of those graphs, at any depth; otherwise, where to find them.
        live: Whether tasks that have finished since count as done.
    """
    if not seen.tasks:
        return seen
    tasks = [await _with_child(spot, task, unfold, live) for task in seen.tasks]
    return seen._replace(tasks=tuple(tasks))


async def _with_child(spot: Spot, task: PregelTask, unfold: bool, live: bool) -> PregelTask:
    node = spot.graph.nodes.get(task.name)
    found = () if node is None else graphs_in(node)
    label = f"{task.name}{NAMESPACE_END}{task.id}"
    spots = [inner for graph in found if (inner := spot.inner(graph, (label,))) is not None]
    if not spots:
        return task
    if unfold and (state := await _last_state(spot, found, task, live)) is not None:
        return task._replace(state=state)
    return task._replace(state=spots[0].config())


async def _last_state(
    spot: Spot, graphs: Sequence[AnyGraph], task: PregelTask, live: bool
) -> StateSnapshot | None:
    """The state of the graph that a task has called last."""
    label, state = f"{task.name}{NAMESPACE_END}{task.id}", None
    for number in count():
        segments = (label, str(number)) if number else (label,)
        later = await _state(spot, graphs, segments, task, live)
        if later is None:
            return state
        state = later
    return state


async def _state(
    spot: Spot, graphs: Sequence[AnyGraph], segments: Sequence[str], task: PregelTask, live: bool
) -> StateSnapshot | None:
    for graph in graphs:
        inner = spot.inner(graph, segments)
        saved = None if inner is None else await _kept_for(inner, task)
        if inner is None or saved is None:
            continue
        if len(graphs) == 1 or is_current(graph.plan, saved.checkpoint):
            return await with_children(inner, inner.seen(saved, live=live), unfold=True, live=live)
    return None


async def _kept_for(spot: Spot, task: PregelTask) -> CheckpointTuple | None:
    """The newest checkpoint of what a task has called."""
    if spot.graph.checkpointer is not True:
        return await spot.saver.aget_tuple(spot.config())
    async for saved in spot.saver.alist(spot.config(), filter={CALLER: task.id}, limit=1):
        return saved
    return None


# -- what a change of one means for those around it ----------------------------------------------------


async def take_back_questions(trail: Sequence[Spot], changed: RunnableConfig) -> None:
    """Has the tasks run again that lead to a graph which has been changed from outside.

    What it had asked they ask as well. It is to ask anew, of the state as it is now.

    Args:
        trail: The graphs that lead there.
        changed: Names the checkpoint that the change has made, and those of the graphs around it.
    """
    checkpoints = changed["configurable"].get("checkpoint_map", {})
    # a namespace without task ids does not name those around it, but what is stored does
    full = [spot._replace(namespace=each) for spot, each in zip(trail, by_depth(checkpoints), strict=False)]
    for outer, inner in reversed([*pairwise(full)]):
        head = await outer.saver.aget_tuple(outer.config())
        if head is None or head.checkpoint["id"] != checkpoints.get(outer.namespace):
            return  # it has gone on, and does not wait for this
        task_id = await _caller_of(inner, checkpoints[inner.namespace])
        if any(task == task_id and channel == INTERRUPT for task, channel, _ in head.pending_writes or ()):
            await outer.saver.aput_writes(head.config, [(INTERRUPT, [])], task_id)


async def _caller_of(spot: Spot, checkpoint_id: str) -> str:
    """The task that has called a graph, as of one of its checkpoints."""
    if spot.graph.checkpointer is True:
        saved = await spot.saver.aget_tuple(spot.config(checkpoint_id))
        return "" if saved is None else str(saved.metadata.get(CALLER, ""))
    return _hops(spot.namespace)[-1][0].partition(NAMESPACE_END)[2]
