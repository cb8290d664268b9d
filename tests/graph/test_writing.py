"""What nodes return, and routers answer, as writes."""

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from aiograph.constants import END, ROOT, START, TASKS
from aiograph.errors import ErrorCode, InvalidUpdateError
from aiograph.graph._writing import RouteResolver, StateWriter
from aiograph.types import Command, Send
from aiograph.warnings import UnknownKeyWarning

KEYS, NODES = frozenset({"n", "log"}), {name: (f"branch:to:{name}", None) for name in "ab"}
WRITER = StateWriter("node", KEYS, NODES, frozenset({"left"}))
ROOTED = StateWriter("node", frozenset({ROOT}), NODES)


@dataclass
class Data:
    n: int
    other: int = 0


class Model(BaseModel):
    n: int = 0
    log: list[str] = []


class Annotated:
    n: int

    def __init__(self) -> None:
        self.n = 3


@pytest.mark.parametrize(
    ("output", "writes"),
    [
        (None, []),
        ({}, []),
        ({"n": 1, "log": None}, [("n", 1), ("log", None)]),
        ([("n", 1), ("n", 2)], [("n", 1), ("n", 2)]),
        ((), []),
        (Data(1), [("n", 1)]),
        (Model(log=["x"]), [("log", ["x"])]),
        (Annotated(), [("n", 3)]),
        (Send("a", 1), [(TASKS, Send("a", 1))]),
        (Command(), []),
        (Command(update={"n": 1}, goto="a"), [("n", 1), ("branch:to:a", None)]),
        (Command(goto=["b", Send("a", 1), END]), [("branch:to:b", None), (TASKS, Send("a", 1))]),
        ([{"n": 1}, Command(update={"n": 2})], [("n", 1), ("n", 2)]),
        ((Send("a", 1), None, Send("b", 2)), [(TASKS, Send("a", 1)), (TASKS, Send("b", 2))]),
    ],
)
def test_what_a_node_may_return(output: Any, writes: Any) -> None:
    assert WRITER.writes(output) == writes


@pytest.mark.parametrize("output", [0, "n", ["n"], [{"n": 1}], object(), {"n"}, [["n", 1]], [(1, 2)], Data])
def test_what_a_node_may_not_return(output: Any) -> None:
    with pytest.raises(
        InvalidUpdateError, match="node 'node' must return a dict of state keys, None"
    ) as caught:
        WRITER.writes(output)
    assert caught.value.code is ErrorCode.INVALID_GRAPH_NODE_RETURN_VALUE


@pytest.mark.parametrize("output", [0, "text", [1], {"n": 1}, [("n", 1)], {}, Data(1)])
def test_any_value_but_none_is_an_update_of_a_state_of_one_value(output: Any) -> None:
    assert ROOTED.writes(output) == [(ROOT, output)]
    assert ROOTED.writes(Command(update=output)) == [(ROOT, output)]
    assert ROOTED.writes(None) == []


@pytest.mark.parametrize("target", ["c", START, Send("c", 1), Send(END, 1), 3, None, ["a", "c"], [["a"]]])
def test_a_target_that_does_not_exist_is_refused_with_what_does(target: Any) -> None:
    with pytest.raises(InvalidUpdateError, match=r"goes to .*, which is not a node .*\['a', 'b'\] and END"):
        WRITER.goto(target)


# -- unknown keys --------------------------------------------------------------------------------------


def test_unknown_keys_warn_and_are_left_out() -> None:
    with pytest.warns(UnknownKeyWarning, match=r"the update of node 'node' has the keys \['m'\]"):
        assert WRITER.writes({"m": 0, "n": 1}) == [("n", 1)]


def test_unknown_keys_may_be_errors_or_pass_in_silence() -> None:
    with pytest.raises(
        InvalidUpdateError, match=r"\['m'\], which no channel bears; there are \['log', 'n'\]"
    ):
        StateWriter("node", KEYS, NODES, unknown="error").writes({"m": 0})
    assert StateWriter("node", KEYS, NODES, unknown="silence").writes({"m": 0, "n": 1}) == [("n", 1)]


@pytest.mark.parametrize("unknown", ["silence", "warning", "error"])
def test_managed_keys_are_always_refused(unknown: Any) -> None:
    writer = StateWriter("node", KEYS, NODES, frozenset({"left"}), unknown=unknown)
    with pytest.raises(InvalidUpdateError, match=r"writes \['left'\], which the run computes"):
        writer.writes({"left": 1})


def test_the_entry_speaks_of_the_input() -> None:
    with pytest.raises(InvalidUpdateError, match="the input must be a dict of state keys"):
        StateWriter(START, KEYS, NODES).writes(5)


# -- routes --------------------------------------------------------------------------------------------


def resolve(answer: Any, path_map: Any = None) -> Any:
    return RouteResolver("node", path_map, WRITER.goto, None).writes(answer)


TO_A, TO_B = ("branch:to:a", None), ("branch:to:b", None)


@pytest.mark.parametrize(
    ("answer", "path_map", "writes"),
    [
        ("a", None, [TO_A]),
        (["b", "a"], None, [TO_B, TO_A]),
        (("a", END), None, [TO_A]),
        (Send("a", 1), None, [(TASKS, Send("a", 1))]),
        (END, None, []),
        ("x", {"x": "b"}, [TO_B]),
        ("a", {"x": "b"}, [TO_A]),
        (1, {1: "a"}, [TO_A]),
        (True, {True: "a", False: "b"}, [TO_A]),
        (False, {"True": "a", "False": "b"}, [TO_B]),
        (None, {None: "a"}, [TO_A]),
        ([], None, []),
    ],
)
def test_what_a_router_may_answer(answer: Any, path_map: Any, writes: Any) -> None:
    assert resolve(answer, path_map) == writes


@pytest.mark.parametrize(
    ("answer", "path_map"), [(None, None), (START, None), (2, {1: "a"}), ([[]], {1: "a"})]
)
def test_an_answer_that_names_nothing_is_refused(answer: Any, path_map: Any) -> None:
    with pytest.raises(InvalidUpdateError, match="the conditional edge from 'node' answered"):
        resolve(answer, path_map)


def test_a_bool_without_a_path_map_names_the_node_true_or_false() -> None:
    with pytest.raises(InvalidUpdateError, match="goes to 'True'"):
        resolve(True)


def test_what_comes_after_is_told_what_was_chosen_once_and_without_the_end() -> None:
    told: list[frozenset[str]] = []

    def after(names: frozenset[str]) -> list[Any]:
        told.append(names)
        return [("then", names)]

    writes = RouteResolver("node", None, WRITER.goto, after).writes(["a", Send("a", 1), END, Send("b", 2)])
    assert told == [frozenset({"a", "b"})]
    assert writes[-1] == ("then", frozenset({"a", "b"}))
