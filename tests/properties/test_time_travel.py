"""Laws of time travel: from every checkpoint of any run, what comes after can be made again, and what was
stays as it was.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.constants import END
from aiograph.errors import CheckpointError, InvalidUpdateError, MultipleSubgraphsError
from aiograph.testing.faults import FaultySaver, Mishap, SaverCall
from aiograph.types import Command, Durability, RunnableConfig, StateSnapshot, StateUpdate
from tests.properties.worlds import Graph, Shape, answer_to, build, shapes

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}

SHORT = settings(suppress_health_check=[HealthCheck.too_slow])

CONTRADICTIONS = (InvalidUpdateError, MultipleSubgraphsError)
"""What a graph gets that contradicts itself."""

durabilities: st.SearchStrategy[Durability] = st.sampled_from(["sync", "async", "exit"])


async def run(graph: Graph, input: Any, config: RunnableConfig, durability: Durability = "async") -> Any:
    """Runs a graph to its end, and answers whatever is asked."""
    output = await graph.ainvoke(input, config, durability=durability)
    while questions := output.get("__interrupt__"):
        answers = {each.id: answer_to(each.value) for each in questions}
        output = await graph.ainvoke(Command(resume=answers), CONFIG, durability=durability)
    return output


async def history(graph: Graph) -> list[StateSnapshot]:
    """The checkpoints of the thread, oldest first."""
    return [snapshot async for snapshot in graph.aget_state_history(CONFIG)][::-1]


def story(snapshots: Sequence[StateSnapshot]) -> list[Any]:
    """What happened, without ids and times."""
    return [
        (
            snapshot.values,
            snapshot.next,
            (snapshot.metadata or {})["step"],
            [task.result for task in snapshot.tasks],
            sorted(question.value for question in snapshot.interrupts),
        )
        for snapshot in snapshots
    ]


class Tale:
    """A run that has come to its end, and what it has left."""

    def __init__(self, shape: Shape, graph: Graph, output: Any, first: list[StateSnapshot]) -> None:
        self.shape, self.graph, self.output, self.first = shape, graph, output, first

    @classmethod
    async def told(cls, shape: Shape, saver: BaseCheckpointSaver) -> "Tale | None":
        """The tale of a graph; none if the graph contradicts itself."""
        graph = build(shape, saver)
        try:
            output = await run(graph, {"log": ["in"]}, CONFIG)
        except CONTRADICTIONS:
            return None
        return cls(shape, graph, output, await history(graph))

    async def since(self, known: int) -> list[StateSnapshot]:
        return (await history(self.graph))[known:]

    async def goes_on_as_before(self, config: RunnableConfig, index: int, durability: Durability) -> None:
        """Goes on from a checkpoint that is like the one with this number, and looks at what comes of it."""
        known = len(await history(self.graph))
        assert await run(self.graph, None, config, durability) == self.output
        again = await self.since(known)
        is_copied = bool(again) and (again[0].metadata or {})["source"] == "fork"
        expected = story(self.first[index if is_copied else index + 1 :])
        if durability == "exit":  # no more than the last checkpoint is kept, and those with questions
            assert story(again[-1:]) == expected[-1:]
        else:
            assert story(again) == expected

    async def is_asked(self, input: Any, config: RunnableConfig) -> None:
        """Runs the graph up to its first questions; with other input it may contradict itself."""
        with suppress(*CONTRADICTIONS):
            await self.graph.ainvoke(input, config)

    async def stays_as_it_was(self) -> None:
        assert (await history(self.graph))[: len(self.first)] == self.first
        for snapshot in self.first:
            seen = await self.graph.aget_state(snapshot.config)
            assert seen == snapshot

    def updates_at(self, index: int) -> list[StateUpdate] | None:
        """What the tasks of a checkpoint have returned; nothing if that is not all that they did."""
        tasks = self.first[index].tasks
        nodes = dict(zip(self.shape.names, self.shape.nodes, strict=True))
        authors = [nodes[task.name] for task in tasks if task.name in nodes]
        if not tasks or any(node.commands or (node.inner and node.inner.remembers) for node in authors):
            return None
        return [StateUpdate(task.result, task.name, task.id) for task in tasks]


# -- the laws ------------------------------------------------------------------------------------------


async def replays_equal_the_run(tale: Tale, data: st.DataObject) -> None:
    for index, snapshot in enumerate(tale.first):
        await tale.goes_on_as_before(snapshot.config, index, data.draw(durabilities))
    await tale.stays_as_it_was()


async def forks_by_an_update_of_nothing_equal_the_run(tale: Tale, data: st.DataObject) -> None:
    for snapshot in tale.first:
        config = await tale.graph.aupdate_state(snapshot.config, None)
        (fork,) = (await history(tale.graph))[-1:]
        assert (fork.values, fork.next, fork.parent_config) == (
            snapshot.values,
            snapshot.next,
            snapshot.config,
        )
        assert await run(tale.graph, None, config, data.draw(durabilities)) == tale.output
    await tale.stays_as_it_was()


async def forks_by_what_tasks_returned_equal_the_run(tale: Tale, data: st.DataObject) -> None:
    for index, snapshot in enumerate(tale.first):
        updates = tale.updates_at(index)
        if updates is None:
            continue
        shuffled = data.draw(st.permutations(updates))
        config = await tale.graph.abulk_update_state(snapshot.config, [shuffled])
        (fork,) = await tale.since(len(await history(tale.graph)) - 1)
        assert story([fork])[0][:3] == story([tale.first[index + 1]])[0][:3]
        await tale.goes_on_as_before(config, index + 1, data.draw(durabilities))
    await tale.stays_as_it_was()


async def copies_behave_as_their_originals(tale: Tale, data: st.DataObject) -> None:
    for index, snapshot in enumerate(tale.first):
        config = await tale.graph.aupdate_state(snapshot.config, None, "__copy__")
        copy = await tale.graph.aget_state(config)
        assert (copy.values, copy.next, copy.parent_config) == (
            snapshot.values,
            snapshot.next,
            snapshot.parent_config,
        )
        await tale.goes_on_as_before(config, index, data.draw(durabilities))
    await tale.stays_as_it_was()


async def updates_in_bulk_equal_updates_one_by_one(tale: Tale, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(tale.first) - 1))
    supersteps = []
    for index in range(start, len(tale.first)):
        updates = tale.updates_at(index)
        if updates is None:
            break
        supersteps.append([StateUpdate(update.values, update.as_node) for update in updates])
    if not supersteps:
        return
    config = tale.first[start].config
    known = len(tale.first)
    await tale.graph.abulk_update_state(config, supersteps)
    at_once = await tale.since(known)
    for superstep in supersteps:
        config = await tale.graph.abulk_update_state(config, [superstep])
    one_by_one = await tale.since(known + len(at_once))
    assert story(at_once) == story(one_by_one)
    # and both are what the run has come to, up to the results of what has not run
    values = [told[:3] for told in story(tale.first[start + 1 : start + 1 + len(supersteps)])]
    assert [told[:3] for told in story(at_once)] == values
    await tale.stays_as_it_was()


async def whatever_is_done_to_a_past_it_stays(tale: Tale, data: st.DataObject) -> None:
    """Also if it was left with questions, or with tasks that have finished beside them."""
    graph = tale.graph
    await tale.is_asked({"log": ["more"]}, CONFIG)
    before = await history(graph)
    await tale.is_asked({"log": ["and more"]}, CONFIG)
    for snapshot in before:
        deed = data.draw(st.sampled_from(DEEDS))
        if deed == "replay":
            await tale.is_asked(None, snapshot.config)
        elif deed == "input":
            await tale.is_asked({"log": ["else"]}, snapshot.config)
        elif deed == "task" and snapshot.tasks:
            task = data.draw(st.sampled_from(snapshot.tasks))
            await graph.aupdate_state(snapshot.config, {"log": ["by hand"]}, task.name, task.id)
        else:
            await graph.aupdate_state(
                snapshot.config, None, data.draw(st.sampled_from([None, END, "__copy__"]))
            )
        assert (await history(graph))[: len(before)] == before
    for snapshot in before:
        assert await graph.aget_state(snapshot.config) == snapshot


DEEDS = ["replay", "input", "task", "update"]


def cut_off_after(calls: int) -> Mishap:
    """What a killed process looks like from where things are stored: after so many calls none arrives."""

    async def fail(call: SaverCall) -> None:
        if call.number > calls and call.verb not in ("aget_tuple", "alist"):
            raise OSError("killed")

    return fail


async def a_kill_during_a_replay_loses_nothing(tale: Tale, data: st.DataObject) -> None:
    snapshot = data.draw(st.sampled_from(tale.first))
    durability = data.draw(durabilities)
    mishap = cut_off_after(data.draw(st.integers(0, 12)))
    killed = FaultySaver(_saver_of(tale.graph), before=mishap, begins=data.draw(st.booleans()))
    graph = build(tale.shape, killed)
    try:
        await run(graph, None, snapshot.config, durability)
    except (OSError, CheckpointError):
        await tale.stays_as_it_was()
    # whoever comes later goes on with what there is, without knowing of the replay
    again = await run(tale.graph, await _next_input(tale.graph), CONFIG, durability)
    assert again == tale.output
    await tale.stays_as_it_was()


def _saver_of(graph: Graph) -> BaseCheckpointSaver:
    saver = graph._options.checkpointer
    assert isinstance(saver, BaseCheckpointSaver)
    return saver


async def _next_input(graph: Graph) -> Any:
    state = await graph.aget_state(CONFIG)
    answers = {question.id: answer_to(question.value) for question in state.interrupts}
    return Command(resume=answers) if answers else None


LAWS = [
    replays_equal_the_run,
    forks_by_an_update_of_nothing_equal_the_run,
    forks_by_what_tasks_returned_equal_the_run,
    copies_behave_as_their_originals,
    updates_in_bulk_equal_updates_one_by_one,
    whatever_is_done_to_a_past_it_stays,
    a_kill_during_a_replay_loses_nothing,
]


@asynccontextmanager
async def saver_of(kind: str) -> AsyncIterator[BaseCheckpointSaver]:
    if kind == "memory":
        yield InMemorySaver()
    else:
        async with AsyncSqliteSaver(":memory:") as saver:
            yield saver


def holds(law: Any, shape: Shape, kind: str, data: st.DataObject) -> None:
    """On a loop of its own: an example that Hypothesis breaks off would end the loop that tests share."""

    async def main() -> None:
        async with saver_of(kind) as saver:
            tale = await Tale.told(shape, saver)
            if tale is not None:
                await law(tale, data)

    asyncio.run(main())


laws = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)


@laws
@given(shape=shapes(), data=st.data())
@settings(SHORT, max_examples=20)
def test_law_in_memory(law: Any, shape: Shape, data: st.DataObject) -> None:
    holds(law, shape, "memory", data)


@laws
@given(shape=shapes(), data=st.data())
@settings(SHORT, max_examples=10)
def test_law_in_a_database(law: Any, shape: Shape, data: st.DataObject) -> None:
    holds(law, shape, "sqlite", data)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@laws
@given(shape=shapes(), data=st.data())
@settings(SHORT, max_examples=int(os.environ.get("AIOGRAPH_EXAMPLES", "10000")))
def test_law_over_many_graphs(law: Any, kind: str, shape: Shape, data: st.DataObject) -> None:
    """AIOGRAPH_EXAMPLES sets another number of graphs for each law and saver."""
    holds(law, shape, kind, data)
