"""Random graphs run in the engine and in the reference model, and neither can be told from the other."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.constants import INTERRUPT
from aiograph.errors import GraphValidationError, InvalidUpdateError
from aiograph.testing.clock import run_virtual
from aiograph.types import Command, RunnableConfig
from tests.properties.model import Conflict, Model, Question
from tests.properties.sketches import Boom, Graph, Sketch, build, sketches

CONFIG: RunnableConfig = {"configurable": {"thread_id": "random"}}
GIVEN: dict[str, Any] = {"log": ["given"]}
ROUNDS = 500

Story = list[Any]
"""What a listener was shown in one round: the groups of updates, values and questions, and how it ended."""


def groups(events: list[Any]) -> Story:
    """Events in which those that may come in any order are sorted: the updates of one superstep."""
    told: Story = [[]]
    for event in events:
        if event[0] == "updates":
            told[-1].append(repr(event))
        else:
            told[-1].sort()
            told += [event, []]
    told[-1].sort()
    return told


class Engine:
    """A thread of the real thing, told in the model's words."""

    def __init__(self, sketch: Sketch) -> None:
        self.graph: Graph = build(sketch, InMemorySaver(), Counter())
        self.open: dict[str, str] = {}
        """The ids of what is asked, by its text."""

    async def advance(self, input: Any) -> Story:
        events: list[Any] = []
        try:
            async for mode, chunk in self.graph.astream(input, CONFIG, stream_mode=["updates", "values"]):
                events += self.told(mode, chunk)
        except (Boom, InvalidUpdateError):
            return [*groups(events), "failed"]
        return groups(events)

    def told(self, mode: str, chunk: dict[str, Any]) -> list[Any]:
        if INTERRUPT in chunk:
            self.open = {question.value: question.id for question in chunk[INTERRUPT]}
            return [("asked", sorted(self.open))] if mode == "updates" else []
        if mode == "values":
            return [("values", chunk)]
        is_kept = chunk.pop("__metadata__", None) is not None
        return [("updates", name, update, is_kept) for name, update in chunk.items()]

    async def history(self) -> list[Any]:
        found = [(each.values, list(each.next)) async for each in self.graph.aget_state_history(CONFIG)]
        return found[::-1]


class Reference:
    """A thread of the model."""

    def __init__(self, sketch: Sketch) -> None:
        self.events: list[Any] = []
        self.model = Model(sketch, GIVEN, Counter(), self.events.append)
        self.questions: list[Question] = []
        self.is_finished = False
        self.is_spoilt = False
        """Whether a superstep contradicts itself, as it would again and again."""

    def advance(self) -> Story:
        self.events.clear()
        try:
            self.questions = self.model.advance()
        except (Boom, Conflict) as error:
            self.questions = []
            self.is_spoilt = isinstance(error, Conflict)
            return [*groups(self.events), "failed"]
        self.is_finished = not self.questions
        return groups(self.events)


async def compare(sketch: Sketch, patience: list[bool]) -> None:
    """Runs both, answering all that is asked or only the first question, until they have finished."""
    engine, reference = Engine(sketch), Reference(sketch)
    input: Any = GIVEN
    for number in range(ROUNDS):
        expected, found = reference.advance(), await engine.advance(input)
        if reference.is_spoilt:
            # what is shown of tasks that contradict each other depends on when it is noticed
            assert (found[:-2], found[-1]) == (expected[:-2], expected[-1])
            return
        assert found == expected
        if reference.is_finished:
            break
        input = answers(engine, reference, patience[number % len(patience)])
    else:
        pytest.fail("it does not end")
    assert await engine.history() == reference.model.history


def answers(engine: Engine, reference: Reference, answers_all: bool) -> Any:
    asked = reference.questions if answers_all else reference.questions[:1]
    if not asked:
        return None
    for question in asked:
        question.answer = f"to {question.text}"
    return Command(resume={engine.open[question.text]: question.answer for question in asked})


def check(sketch: Sketch, patience: list[bool]) -> None:
    note(repr(sketch))
    try:
        build(sketch, None, Counter())
    except GraphValidationError:
        assume(False)
    run_virtual(compare(sketch, patience))


anything = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
drawn = given(sketches(), st.lists(st.booleans(), min_size=1, max_size=3))
pytestmark = pytest.mark.filterwarnings("ignore::aiograph.warnings.GraphWarning")


@settings(anything, max_examples=2_000)
@drawn
def test_the_engine_does_what_the_model_does(sketch: Sketch, patience: list[bool]) -> None:
    check(sketch, patience)


@pytest.mark.long
@settings(anything, max_examples=100_000)
@drawn
def test_the_engine_does_what_the_model_does_a_hundred_thousand_times(
    sketch: Sketch, patience: list[bool]
) -> None:
    check(sketch, patience)
