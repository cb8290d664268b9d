"""What may be a node or a router: anything that can be called, whatever shape it has."""

import functools
import operator
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.errors import InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.store.memory import InMemoryStore


class State(TypedDict, total=False):
    value: int
    seen: Annotated[list[Any], operator.add]


STORE = InMemoryStore()


async def run(node: Callable[..., Any], **options: Any) -> Any:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("node", node, **options).add_edge(START, "node")
    return await builder.compile(store=STORE).ainvoke({"value": 1})


async def later(state: State) -> State:
    return {"value": 7}


def promise(state: State) -> Awaitable[State]:
    return later(state)


@pytest.mark.parametrize("inline", [False, True])
async def test_a_plain_function_may_return_something_to_await(inline: bool) -> None:
    assert (await run(promise, inline=inline))["value"] == 7


async def test_so_may_a_plain_router() -> None:
    async def choose(state: State) -> str:
        return "node" if state["value"] == 1 else END

    builder = StateGraph(State).add_node("node", later)
    builder.add_conditional_edges(START, lambda state: choose(state), ["node", END])
    assert (await builder.compile().ainvoke({"value": 1}))["value"] == 7
    assert (await builder.compile().ainvoke({"value": 2}))["value"] == 2


async def test_what_a_partial_binds_is_not_replaced() -> None:
    def node(state: State, label: str, *, store: Any, config: Any) -> State:
        return {"seen": [label, store, config["tags"]]}

    assert (await run(functools.partial(node, label="x")))["seen"] == ["x", STORE, []]
    bound = functools.partial(functools.partial(node, label="x"), store="mine")
    assert (await run(bound))["seen"] == ["x", "mine", []]


class Adder:
    def __init__(self, step: int) -> None:
        self.step = step

    def method(self, state: State) -> State:
        return {"value": state["value"] + self.step}

    async def amethod(self, state: State) -> State:
        return {"value": state["value"] + self.step}

    async def __call__(self, state: State, *rest: Any, extra: int = 1, **others: Any) -> State:
        return {"value": state["value"] + self.step * extra}


@pytest.mark.parametrize(
    "node",
    [
        Adder(2),
        Adder(2).method,
        Adder(2).amethod,
        functools.partial(Adder.__call__, Adder(1), extra=2),
        functools.partial(Adder(1), extra=2),
        lambda state: {"value": state["value"] + 2},
        lambda state, more=2, *args, deep=None, **kwargs: {"value": state["value"] + more},
    ],
)
async def test_callables_of_all_shapes_run(node: Callable[..., Any]) -> None:
    assert (await run(node))["value"] == 3


async def test_a_builtin_and_a_class_run() -> None:
    assert (await run(dict))["value"] == 1
    assert (await run(print))["value"] == 1


async def test_a_generator_is_refused_by_name() -> None:
    def node(state: State) -> Any:
        yield {"value": 2}

    with pytest.raises(InvalidUpdateError, match=r"node 'node' must return a dict .* not generator"):
        await run(node)
