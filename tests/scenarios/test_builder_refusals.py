"""What the builder refuses at once: names, callables, options; each with a message that says what to do."""

from functools import partial
from typing import Any, TypedDict

import pytest

from aiograph.graph import END, START, StateGraph
from aiograph.pregel import Pregel


class State(TypedDict, total=False):
    n: int


def one(state: State) -> None: ...


def two(state: State) -> None: ...


@pytest.fixture
def builder() -> StateGraph[State]:
    return StateGraph(State).add_node(one)


# -- names ---------------------------------------------------------------------------------------------


def test_a_name_that_is_taken(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="there is a node 'one' already: give this one another name"):
        builder.add_node("one", two)


@pytest.mark.parametrize("name", [START, END, "__root__", "__input__", "__pregel_tasks", ""])
def test_a_reserved_name(builder: StateGraph[State], name: str) -> None:
    with pytest.raises(ValueError, match=f"a node cannot be named '{name}': the name is reserved"):
        builder.add_node(name, two)


@pytest.mark.parametrize("name", ["a|b", "a:b"])
def test_a_name_with_a_character_that_separates_namespaces(builder: StateGraph[State], name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot contain '[|:]', which separates namespaces"):
        builder.add_node(name, two)


@pytest.mark.parametrize("nameless", [lambda state: None, partial(one)])
def test_a_callable_without_a_name(builder: StateGraph[State], nameless: Any) -> None:
    with pytest.raises(ValueError, match=r"has no name of its own: use add_node\('name', \.\.\.\)"):
        builder.add_node(nameless)


def test_a_name_that_is_no_text(builder: StateGraph[State]) -> None:
    with pytest.raises(TypeError, match="a node's name must be a string, not 5"):
        builder.add_node(5, two)  # type: ignore[call-overload]


# -- callables -----------------------------------------------------------------------------------------


def test_a_name_without_an_action(builder: StateGraph[State]) -> None:
    with pytest.raises(TypeError, match="node 'lonely' has no action: pass a function"):
        builder.add_node("lonely")  # type: ignore[call-overload]


def test_something_that_cannot_be_called(builder: StateGraph[State]) -> None:
    with pytest.raises(TypeError, match="node 'number' is 3, which cannot be called"):
        builder.add_node("number", 3)  # type: ignore[call-overload]


def test_a_function_that_takes_no_state(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="node 'f' must take the state as its first parameter"):
        builder.add_node("f", lambda: None)  # type: ignore[arg-type]


def test_a_function_that_requires_what_a_run_cannot_pass(builder: StateGraph[State]) -> None:
    def needs(state: State, database: Any) -> None: ...

    message = "requires a parameter 'database', which a run cannot pass; .* previous, runtime, store, writer"
    with pytest.raises(ValueError, match=message):
        builder.add_node(needs)


def test_an_inline_function_that_is_async_anyway(builder: StateGraph[State]) -> None:
    async def slow(state: State) -> None: ...

    with pytest.raises(ValueError, match="node 'slow' is asynchronous: inline=True is for quick synchronous"):
        builder.add_node(slow, inline=True)


@pytest.mark.parametrize("timeout", [0, -1.5])
def test_a_timeout_that_is_no_time(builder: StateGraph[State], timeout: float) -> None:
    with pytest.raises(ValueError, match="the timeout of node 'two' must be above 0 seconds"):
        builder.add_node(two, timeout=timeout)


# -- edges ---------------------------------------------------------------------------------------------


def test_an_edge_that_leaves_the_end(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="END is the end: no edge can leave it"):
        builder.add_edge(END, "one")


def test_an_edge_that_leads_to_the_start(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="START is the beginning: no edge can lead to it"):
        builder.add_edge("one", START)


def test_a_join_that_waits_for_the_start(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="a join cannot wait for START; use a plain edge"):
        builder.add_edge([START, "one"], "two")


def test_a_join_without_starts(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="the join into 'one' has no starts"):
        builder.add_edge([], "one")


def test_an_empty_sequence(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match=r"add_sequence\(\) needs at least one node"):
        builder.add_sequence([])


def test_a_sequence_with_a_name_that_is_taken_adds_nothing(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="there is a node 'one' already"):
        builder.add_sequence([two, one])
    builder.add_node(two)


# -- compile -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saver", ["memory", object(), dict])
def test_a_checkpointer_that_is_none(builder: StateGraph[State], saver: Any) -> None:
    with pytest.raises(TypeError, match="a checkpointer is a saver, True, False or None, not"):
        builder.add_edge(START, "one").compile(saver)


def test_a_checkpointer_that_is_none_by_hand() -> None:
    with pytest.raises(TypeError, match="a checkpointer is a saver, True, False or None, not"):
        Pregel(nodes={}, channels={}, input_channels=[], output_channels=[], checkpointer="memory")  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "value"), [("durability", "always"), ("on_error", "ignore")])
def test_an_option_that_does_not_exist(builder: StateGraph[State], option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"there is no {option} '{value}'; there are '"):
        builder.add_edge(START, "one").compile(**{option: value})  # type: ignore[arg-type]


def test_a_step_timeout_that_is_no_time(builder: StateGraph[State]) -> None:
    with pytest.raises(ValueError, match="step_timeout must be above 0 seconds, not 0"):
        builder.add_edge(START, "one").compile(step_timeout=0)
