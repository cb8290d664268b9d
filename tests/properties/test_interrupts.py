"""However questions are answered, the end is that of a run which knew the answers from the start."""

import operator
from collections import Counter
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Annotated, Any, TypedDict

from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.testing.clock import run_virtual
from aiograph.types import Command, Durability, RunnableConfig, interrupt

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}


@dataclass(frozen=True)
class Asking:
    """A node that asks so many questions, itself or in graphs inside it, so many levels down."""

    questions: int
    depth: int


Layers = list[list[Asking]]

layers = st.lists(
    st.lists(st.builds(Asking, st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


class State(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]


def answer_to(question: str) -> str:
    return f"<{question}>"


class World:
    """Builds the graph, and counts how often nodes finish.

    Args:
        knows: Whether nodes know the answers and need not ask.
    """

    def __init__(self, shape: Layers, saver: BaseCheckpointSaver | None, *, knows: bool) -> None:
        self.finished: Counter[str] = Counter()
        self._knows = knows
        builder: Any = StateGraph(State)
        names = [[f"n{i}{j}" for j in range(len(layer))] for i, layer in enumerate(shape)]
        for layer, row in zip(shape, names, strict=True):
            for asking, name in zip(layer, row, strict=True):
                builder.add_node(name, self._node(name, asking.questions, asking.depth))
        for name in names[0]:
            builder.add_edge(START, name)
        for before, after in pairwise(names):
            for name in after:
                builder.add_edge(before, name)
        self.graph = builder.compile(saver)

    def _node(self, name: str, questions: int, depth: int) -> Any:
        if depth:
            inner = self._node(f"{name}/{depth}", questions, depth - 1)
            return StateGraph(State).add_node("in", inner).add_edge(START, "in").compile()

        async def ask(state: State) -> State:
            asked = [f"{name}?{number}" for number in range(questions)]
            answers = [answer_to(each) if self._knows else interrupt(each) for each in asked]
            self.finished[name] += 1
            return {"trail": [f"{name} saw {len(state.get('trail', []))}", *answers]}

        return ask


async def answered(world: World, data: st.DataObject, durability: Durability) -> Any:
    """Runs to the end, answering some of the open questions each time."""
    output = await world.graph.ainvoke({"trail": []}, CONFIG, durability=durability)
    for _ in count():
        questions = output.get("__interrupt__")
        if not questions:
            return output
        chosen = data.draw(st.lists(st.sampled_from(questions), min_size=1, unique_by=lambda each: each.id))
        answers: Any = {each.id: answer_to(each.value) for each in chosen}
        if len(questions) == 1 and data.draw(st.booleans()):
            (answers,) = answers.values()
        output = await world.graph.ainvoke(Command(resume=answers), CONFIG, durability=durability)


@settings(max_examples=60)
@given(layers, st.sampled_from(["sync", "async", "exit"]), st.data())
def test_the_end_does_not_depend_on_how_questions_are_answered(
    shape: Layers, durability: Durability, data: st.DataObject
) -> None:
    async def main() -> None:
        knowing = World(shape, None, knows=True)
        expected = await knowing.graph.ainvoke({"trail": []})
        asking = World(shape, InMemorySaver(), knows=False)
        assert await answered(asking, data, durability) == expected
        assert asking.finished == knowing.finished
        assert (await asking.graph.aget_state(CONFIG)).next == ()

    run_virtual(main())


@settings(max_examples=30)
@given(layers, st.data())
def test_from_every_checkpoint_the_end_is_the_same(shape: Layers, data: st.DataObject) -> None:
    async def main() -> None:
        world = World(shape, InMemorySaver(), knows=False)
        expected = await answered(world, data, "async")
        for snapshot in [each async for each in world.graph.aget_state_history(CONFIG)]:
            output = await world.graph.ainvoke(None, snapshot.config)
            while questions := output.get("__interrupt__"):
                answers = {each.id: answer_to(each.value) for each in questions}
                output = await world.graph.ainvoke(Command(resume=answers), CONFIG)
            assert output == expected

    run_virtual(main())
