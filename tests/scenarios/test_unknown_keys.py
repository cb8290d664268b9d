"""Keys that no channel bears: a warning that names node and key, or an error under `strict`."""

from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.managed import RemainingSteps
from aiograph.types import Command, RunnableConfig
from aiograph.warnings import UnknownKeyWarning

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    left: RemainingSteps


def returning(update: Any, **options: Any) -> Any:
    builder = StateGraph(State).add_node("node", lambda state: update, destinations=[])
    return builder.add_edge(START, "node").compile(**options)


UPDATES: list[Any] = [{"n": 2, "m": 1}, [("n", 2), ("m", 1)], Command(update={"n": 2, "m": 1})]


@pytest.mark.parametrize("update", UPDATES)
async def test_an_unknown_key_of_an_update_warns_and_the_rest_counts(update: Any) -> None:
    message = r"the update of node 'node' has the keys \['m'\], which no channel bears; there are \['n'\]"
    with pytest.warns(UnknownKeyWarning, match=message):
        assert await returning(update).ainvoke({}) == {"n": 2}


@pytest.mark.parametrize("update", UPDATES)
async def test_under_strict_it_is_an_error_and_nothing_is_written(update: Any) -> None:
    graph = returning(update, strict=True, checkpointer=InMemorySaver())
    with pytest.raises(InvalidUpdateError, match=r"node 'node' has the keys \['m'\]"):
        await graph.ainvoke({"n": 1}, THREAD)
    assert (await graph.aget_state(THREAD)).values == {"n": 1}


async def test_an_unknown_key_of_the_input_warns() -> None:
    with pytest.warns(UnknownKeyWarning, match=r"the input has the keys \['m'\], which no channel bears"):
        assert await returning({}).ainvoke({"n": 1, "m": 2}) == {"n": 1}


async def test_under_strict_an_unknown_key_of_the_input_is_an_error() -> None:
    with pytest.raises(InvalidUpdateError, match=r"the input has the keys \['m'\]"):
        await returning({}, strict=True).ainvoke({"m": 2})


async def test_an_unknown_key_of_an_update_from_outside_warns() -> None:
    graph = returning({}, checkpointer=InMemorySaver())
    with pytest.warns(UnknownKeyWarning, match=r"node 'node' has the keys \['m'\]"):
        await graph.aupdate_state(THREAD, {"m": 1}, "node")


async def test_an_object_brings_what_fits_and_its_other_fields_are_not_asked_for() -> None:
    @dataclass
    class Wide:
        n: int
        other: int = 0

    assert await returning(Wide(5)).ainvoke({}) == {"n": 5}


@pytest.mark.parametrize("strict", [False, True])
async def test_a_managed_value_cannot_be_written(strict: bool) -> None:
    with pytest.raises(
        InvalidUpdateError, match=r"writes \['left'\], which the run computes: leave them out"
    ):
        await returning({"left": 5}, strict=strict).ainvoke({})


# -- what a node may return at all ---------------------------------------------------------------------


@pytest.mark.parametrize("update", [3, "text", {1, 2}, [1], ({"n": 1},), object(), b"bytes", [["n", 1]]])
async def test_anything_else_than_an_update_is_refused(update: Any) -> None:
    message = (
        r"node 'node' must return a dict of state keys, None, a Command, a Send, or an object .* not \w+: "
    )
    with pytest.raises(InvalidUpdateError, match=message) as caught:
        await returning(update).ainvoke({})
    assert caught.value.code == "INVALID_GRAPH_NODE_RETURN_VALUE"


@pytest.mark.parametrize("input", [3, "text", [1]])
async def test_an_input_that_is_none_is_refused(input: Any) -> None:
    with pytest.raises(InvalidUpdateError, match="the input must be a dict of state keys"):
        await returning({}).ainvoke(input)


async def test_none_and_an_empty_dict_change_nothing() -> None:
    assert await returning(None).ainvoke({"n": 1}) == {"n": 1}
    assert await returning({}).ainvoke({"n": 1}) == {"n": 1}


async def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(InvalidUpdateError) as caught:
        await returning("x" * 10_000).ainvoke({})
    assert len(str(caught.value)) < 400
