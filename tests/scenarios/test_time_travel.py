"""Going back on threads with questions and nested graphs: forks, replays, and updates of what has been."""

import operator
from collections import Counter
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import UnknownInterruptError
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, RunnableConfig, StateSnapshot, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    name: str
    log: Annotated[list[str], operator.add]


class Named(TypedDict, total=False):
    """What a nested graph takes."""

    name: str


class Notes(TypedDict, total=False):
    """What it hands out."""

    log: list[str]


class Office:
    """`greet`, then `ask` and `tell` side by side, then `close`; counts what runs.

    Args:
        nested: Whether what `ask` does is done by a graph inside it, of two nodes.
        questions: How many questions it asks.
        failures: How often `tell` fails.
    """

    def __init__(self, *, nested: bool = False, questions: int = 1, failures: int = 0) -> None:
        self.runs: Counter[str] = Counter()
        self.questions, self.failures = questions, failures
        builder: Any = StateGraph(State).add_node("greet", self.greet)
        builder.add_node("ask", self.inner() if nested else self.ask)
        builder.add_node("tell", self.tell).add_node("close", self.close)
        builder.add_edge(START, "greet").add_edge("greet", "ask").add_edge("greet", "tell")
        self.graph = builder.add_edge(["ask", "tell"], "close").compile(InMemorySaver(), on_error="finish")

    def inner(self) -> Any:
        builder: Any = StateGraph(State, input_schema=Named, output_schema=Notes).add_node(
            "prepare", self.prepare
        )
        return (
            builder.add_node("ask", self.ask).add_edge(START, "prepare").add_edge("prepare", "ask").compile()
        )

    def greet(self, state: State) -> State:
        self.runs["greet"] += 1
        return {"name": "Ada", "log": ["hello"]}

    def prepare(self, state: State) -> None:
        self.runs["prepare"] += 1

    def ask(self, state: State) -> dict[str, Any]:
        self.runs["ask"] += 1
        answers = [interrupt(f"{state['name']}, {number}?") for number in range(self.questions)]
        return {"log": [f"{state['name']} said {' '.join(answers)}"]}

    def tell(self, state: State) -> State:
        self.runs["tell"] += 1
        if self.failures:
            self.failures -= 1
            raise OSError("broken")
        return {"log": [f"told {state['name']}"]}

    def close(self, state: State) -> State:
        self.runs["close"] += 1
        return {"log": ["bye"]}

    async def start(self, *answers: str) -> Any:
        output = await self.graph.ainvoke({"log": []}, THREAD)
        for answer in answers:
            output = await self.graph.ainvoke(Command(resume=answer), THREAD)
        return output

    async def history(self) -> list[StateSnapshot]:
        """The checkpoints of the thread, oldest first."""
        return [state async for state in self.graph.aget_state_history(THREAD)][::-1]

    async def before(self, *names: str) -> StateSnapshot:
        """The oldest checkpoint at which these nodes are next."""
        return next(state for state in await self.history() if state.next == names)


def asked(output: Any) -> list[str]:
    return [question.value for question in output.get("__interrupt__", ())]


both = pytest.mark.parametrize("nested", [False, True])


# -- replays -------------------------------------------------------------------------------------------


@both
async def test_a_replay_asks_again_and_takes_another_answer(nested: bool) -> None:
    office = Office(nested=nested)
    first = await office.start("yes")
    past = await office.before("ask", "tell")
    office.runs.clear()
    assert asked(await office.graph.ainvoke(None, past.config)) == ["Ada, 0?"]
    second = await office.graph.ainvoke(Command(resume="no"), THREAD)
    assert first["log"][1:] == ["Ada said yes", "told Ada", "bye"]
    assert second["log"][1:] == ["Ada said no", "told Ada", "bye"]
    assert (office.runs["greet"], office.runs["tell"], office.runs["prepare"]) == (0, 1, int(nested))


@both
async def test_what_was_asked_and_answered_stays_in_the_history(nested: bool) -> None:
    office = Office(nested=nested)
    await office.start("yes")
    before = await office.history()
    await office.graph.ainvoke(None, (await office.before("ask", "tell")).config)
    await office.graph.ainvoke(Command(resume="no"), THREAD)
    after = await office.history()
    assert after[: len(before)] == before
    asking = [state for state in after if state.next == ("ask", "tell")]
    assert [task.interrupts[0].value for state in asking for task in state.tasks if task.name == "ask"] == [
        "Ada, 0?",
        "Ada, 0?",
    ]


@both
async def test_an_answer_to_the_old_question_is_refused_in_the_replay(nested: bool) -> None:
    office = Office(nested=nested)
    (old,) = (await office.start())["__interrupt__"]
    await office.graph.ainvoke(Command(resume="yes"), THREAD)
    (new,) = (await office.graph.ainvoke(None, (await office.before("ask", "tell")).config))["__interrupt__"]
    assert new.id != old.id
    with pytest.raises(UnknownInterruptError, match="nobody waits"):
        await office.graph.ainvoke(Command(resume={old.id: "no"}), THREAD)


@both
async def test_a_replay_from_before_the_question_comes_to_it_again(nested: bool) -> None:
    office = Office(nested=nested, questions=2)
    first = await office.start("a", "b")
    past = await office.before("greet")
    assert asked(await office.graph.ainvoke(None, past.config)) == ["Ada, 0?"]
    assert asked(await office.graph.ainvoke(Command(resume="a"), THREAD)) == ["Ada, 1?"]
    assert await office.graph.ainvoke(Command(resume="b"), THREAD) == first


async def test_a_replay_can_itself_be_gone_back_to() -> None:
    office = Office()
    await office.start("yes")
    await office.graph.ainvoke(None, (await office.before("ask", "tell")).config)
    await office.graph.ainvoke(Command(resume="no"), THREAD)
    fork = [state for state in await office.history() if state.next == ("ask", "tell")][1]
    assert asked(await office.graph.ainvoke(None, fork.config)) == ["Ada, 0?"]
    assert (await office.graph.ainvoke(Command(resume="perhaps"), THREAD))["log"][1] == "Ada said perhaps"


async def test_a_nested_graph_that_was_broken_off_goes_on_at_the_head_and_starts_anew_in_the_past() -> None:
    office = Office(nested=True, failures=1)
    with pytest.raises(OSError, match="broken"):
        await office.start()
    assert asked(await office.graph.ainvoke(None, THREAD)) == ["Ada, 0?"]
    assert office.runs["prepare"] == 1
    past = await office.before("ask", "tell")
    await office.graph.aupdate_state(THREAD, None, END)
    assert asked(await office.graph.ainvoke(None, past.config)) == ["Ada, 0?"]
    assert office.runs["prepare"] == 2


# -- in the middle of an answer ------------------------------------------------------------------------


@both
async def test_a_copy_in_the_middle_of_the_answers_is_asked_from_the_start(nested: bool) -> None:
    office = Office(nested=nested, questions=2)
    assert asked(await office.start("a")) == ["Ada, 1?"]
    await office.graph.aupdate_state(THREAD, None, "__copy__")
    assert (await office.graph.aget_state(THREAD)).interrupts == ()
    assert asked(await office.graph.ainvoke(None, THREAD)) == ["Ada, 0?"]
    await office.graph.ainvoke(Command(resume="x"), THREAD)
    output = await office.graph.ainvoke(Command(resume="y"), THREAD)
    assert output["log"][1] == "Ada said x y"


@both
async def test_what_a_copy_was_made_of_can_be_gone_back_to(nested: bool) -> None:
    office = Office(nested=nested, questions=2)
    await office.start("a")
    original = await office.graph.aget_state(THREAD)
    await office.graph.aupdate_state(THREAD, None, "__copy__")
    assert asked(await office.graph.ainvoke(None, original.config)) == ["Ada, 0?"]
    await office.graph.ainvoke(Command(resume="a"), THREAD)
    assert (await office.graph.ainvoke(Command(resume="b"), THREAD))["log"][1] == "Ada said a b"


@both
async def test_new_input_in_the_middle_of_the_answers_drops_the_questions(nested: bool) -> None:
    office = Office(nested=nested, questions=2)
    await office.start("a")
    assert asked(await office.graph.ainvoke({"log": ["anew"]}, THREAD)) == ["Ada, 0?"]
    assert len((await office.graph.aget_state(THREAD)).interrupts) == 1


@both
async def test_an_update_in_the_middle_of_the_answers_stands_for_the_node_that_asks(nested: bool) -> None:
    office = Office(nested=nested, questions=2)
    await office.start("a")
    await office.graph.aupdate_state(THREAD, {"log": ["never mind"]}, "ask")
    state = await office.graph.aget_state(THREAD)
    assert (state.next, state.interrupts) == (("close",), ())
    assert (await office.graph.ainvoke(None, THREAD))["log"] == ["hello", "never mind", "told Ada", "bye"]
    results = {task.name: task.result for task in (await office.before("ask", "tell")).tasks}
    assert results == {"ask": {"log": ["never mind"]}, "tell": {"log": ["told Ada"]}}


@both
async def test_the_update_of_another_node_drops_the_questions(nested: bool) -> None:
    office = Office(nested=nested)
    await office.start()
    await office.graph.aupdate_state(THREAD, {"log": ["that is all"]}, "close")
    state = await office.graph.aget_state(THREAD)
    assert (state.next, state.interrupts) == ((), ())
    assert state.values["log"] == ["hello", "that is all", "told Ada"]


# -- updates of the past -------------------------------------------------------------------------------


@both
async def test_after_an_update_of_the_past_the_question_is_another_one(nested: bool) -> None:
    office = Office(nested=nested)
    await office.start("yes")
    past = await office.before("greet")
    config = await office.graph.aupdate_state(past.config, {"name": "Bob", "log": ["hi"]}, "greet")
    assert asked(await office.graph.ainvoke(None, config)) == ["Bob, 0?"]
    output = await office.graph.ainvoke(Command(resume="no"), THREAD)
    assert output == {"name": "Bob", "log": ["hi", "Bob said no", "told Bob", "bye"]}


@both
async def test_an_update_for_the_node_that_asked_leaves_its_siblings_to_run_again(nested: bool) -> None:
    office = Office(nested=nested)
    await office.start("yes")
    past = await office.before("ask", "tell")
    office.runs.clear()
    await office.graph.aupdate_state(past.config, {"log": ["Ada is silent"]}, "ask")
    assert (await office.graph.aget_state(THREAD)).next == ("tell",)
    output = await office.graph.ainvoke(None, THREAD)
    assert output["log"] == ["hello", "Ada is silent", "told Ada", "bye"]
    assert office.runs == {"tell": 1, "close": 1}


async def test_two_futures_of_one_past_are_kept_side_by_side() -> None:
    office = Office()
    await office.start("yes")
    past = await office.before("greet")
    for name in ("Bob", "Eve"):
        await office.graph.aupdate_state(past.config, {"name": name}, "greet")
        await office.graph.ainvoke(None, THREAD)
        await office.graph.ainvoke(Command(resume="no"), THREAD)
    ends = [state.values["name"] for state in await office.history() if state.next == ()]
    assert ends == ["Ada", "Bob", "Eve"]


def test_synchronous_callers_travel_alike() -> None:
    office = Office(nested=True)
    office.graph.invoke({"log": []}, THREAD)
    first = office.graph.invoke(Command(resume="yes"), THREAD)
    past = next(state for state in office.graph.get_state_history(THREAD) if state.next == ("ask", "tell"))
    assert asked(office.graph.invoke(None, past.config)) == ["Ada, 0?"]
    assert office.graph.invoke(Command(resume="yes"), THREAD) == first
