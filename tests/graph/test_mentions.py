"""Whether a node's code could interrupt or route, for every way in which that can be hidden."""

# The stand-ins below bear the names that the analysis looks for; none of them is ever called.

from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial, wraps
from json import dumps
from random import randint
from typing import Any
from uuid import uuid4

import pytest

from aiograph.graph._mentions import mentions_interrupt, mentions_routing
from aiograph.types import Command, Send

State = dict[str, Any]


def interrupt(value: Any) -> Any:
    return value


ask = interrupt


def no_question(state: State) -> State:
    return {"n": len(state) + max(0, 1)}


def asks(state: State) -> State:
    return {"answer": interrupt("sure?")}


async def asks_async(state: State) -> State:
    return {"answer": interrupt("sure?")}


def asks_under_another_name(state: State) -> State:
    return {"answer": ask("sure?")}


def asks_inside(state: State) -> State:
    def inner() -> Any:
        return interrupt("sure?")

    return {"answer": [inner() for _ in state]}


def asks_after_import(state: State) -> State:
    from tests.graph.test_mentions import interrupt as question

    return {"answer": question("sure?")}


def asks_by_attribute(state: State, module: Any = 3) -> State:
    return {"answer": module.interrupt("sure?")}


def asks_by_default(state: State, question: Callable[[Any], Any] = interrupt) -> State:
    return {"answer": question("sure?")}


def asks_by_helper(state: State) -> State:
    return asks(state)


def asks_in_recursion(state: State) -> State:
    return asks_in_recursion(state) if state else asks_by_helper(state)


def endless(state: State) -> State:
    return endless(state)


def runs_a_graph(state: State, graph: Any = 3) -> Any:
    return graph.invoke(state)


def announced(function: Callable[[State], State]) -> Callable[[State], State]:
    @wraps(function)
    def wrapper(state: State) -> State:
        return function(state)

    return wrapper


def approved(function: Callable[[State], State]) -> Callable[[State], State]:
    @wraps(function)
    def wrapper(state: State) -> State:
        interrupt("may I?")
        return function(state)

    return wrapper


class Reviewer:
    def node(self, state: State) -> State:
        return self.question(state)

    def question(self, state: State) -> State:
        return {"answer": interrupt("sure?")}

    def quiet(self, state: State) -> State:
        return self.rest(state)

    def rest(self, state: State) -> State:
        return state

    def __call__(self, state: State) -> State:
        return state


reviewer = Reviewer()


def uses_an_object(state: State) -> State:
    return reviewer(state)


def keyed(key: str, state: State) -> State:
    return {key: 1}


def held(tool: Any, state: State) -> State:
    return {"tool": tool}


@cache
def remembered(state: State) -> State:
    return state


COULD = [
    asks,
    asks_async,
    asks_under_another_name,
    asks_inside,
    asks_after_import,
    asks_by_attribute,
    asks_by_default,
    asks_by_helper,
    asks_in_recursion,
    runs_a_graph,
    announced(asks),
    announced(announced(asks)),
    approved(no_question),
    reviewer.node,
    reviewer,
    uses_an_object,
    partial(asks),
    partial(held, asks),
    partial(held, reviewer),
    len,
    dict,
    object(),
]
COULD_NOT = [
    no_question,
    endless,
    announced(no_question),
    reviewer.quiet,
    partial(keyed, "n"),
    remembered,
    lambda state: {"n": sorted(state)},
]


@pytest.mark.parametrize("action", COULD)
def test_could_interrupt(action: Any) -> None:
    assert mentions_interrupt(action)


@pytest.mark.parametrize("action", COULD_NOT)
def test_could_not_interrupt(action: Any) -> None:
    assert not mentions_interrupt(action)


def goes_on(state: State) -> Any:
    return Command(goto="next")


def fans_out(state: State) -> Any:
    return [Send("next", item) for item in state]


def chooses(state: State) -> Any:
    return goes_on(state) if state else state


@pytest.mark.parametrize("action", [goes_on, fans_out, chooses, partial(goes_on), reviewer, runs_a_graph])
def test_could_route(action: Any) -> None:
    assert mentions_routing(action)


@pytest.mark.parametrize("action", COULD_NOT)
def test_could_not_route(action: Any) -> None:
    assert not mentions_routing(action)


def test_ordinary_functions_of_the_standard_library_do_not_count() -> None:
    def node(state: State) -> State:
        return {"text": dumps(deepcopy(state)), "id": uuid4(), "wait": randint(1, 6)}

    assert not mentions_interrupt(node)
    assert not mentions_routing(node)


def test_reading_stops_where_there_is_too_much_to_read() -> None:
    def link(inner: Callable[[State], State]) -> Callable[[State], State]:
        return lambda state: inner(state)

    node: Callable[[State], State] = no_question
    for _ in range(300):
        node = link(node)
    assert mentions_interrupt(node)


def test_variable_without_a_value_yet_is_no_obstacle() -> None:
    def node(state: State) -> State:
        return {"later": later}

    assert not mentions_interrupt(node)
    later = 1
