"""What annotations tell of nodes and routers."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import pytest
from pydantic import BaseModel

from aiograph.graph._signature import annotations_of, answers_of, input_schema_of, outline_of
from aiograph.types import Command, Send


class State(TypedDict):
    n: int


@dataclass
class Data:
    n: int


class Model(BaseModel):
    n: int


def typed(state: State) -> State:
    return state


async def with_dataclass(state: Data, config: Any) -> None: ...


def with_model(state: Model) -> None: ...


def untyped(state):  # type: ignore[no-untyped-def]
    return state


def with_any(state: Any) -> None: ...


def with_dict(state: dict[str, Any]) -> None: ...


def unresolvable(state: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Callable:
    def __call__(self, state: State) -> None: ...

    def method(self, state: Data) -> None: ...


# -- input schemas -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "schema"),
    [
        (typed, State),
        (with_dataclass, Data),
        (with_model, Model),
        (Callable(), State),
        (Callable().method, Data),
        (functools.partial(typed), State),
        (untyped, None),
        (with_any, None),
        (with_dict, None),
        (unresolvable, None),
        (lambda state: None, None),
        (len, None),
        (print, None),
    ],
)
def test_the_schema_of_the_first_parameter(action: Any, schema: Any) -> None:
    assert input_schema_of(annotations_of(action)) is schema


# -- where a node goes ---------------------------------------------------------------------------------


def goes_by_command(state: State) -> Command[Literal["a", "b"]]:
    return Command(goto="a")


def goes_by_command_or_not(state: State) -> Command[Literal["a"]] | State | None:
    return None


def goes_by_several(state: State) -> list[Command[Literal["a"]] | Command[Literal["b", "__end__"]]]:
    return []


def goes_somewhere(state: Any) -> Any:
    return Command(goto="a")


def sends_somewhere(state: Any) -> Any:
    return [Send("a", 1)]


def goes_nowhere(state: Any) -> Any:
    return {"n": 1}


@pytest.mark.parametrize(
    ("action", "declared", "routes", "destinations"),
    [
        (goes_by_command, None, "declared", {"a", "b"}),
        (goes_by_command_or_not, None, "declared", {"a"}),
        (goes_by_several, None, "declared", {"a", "b", "__end__"}),
        (goes_by_command, ["c"], "declared", {"c"}),
        (goes_nowhere, {"c": "label"}, "declared", {"c"}),
        (goes_somewhere, (), "declared", set()),
        (goes_somewhere, None, "unknown", set()),
        (sends_somewhere, None, "unknown", set()),
        (goes_nowhere, None, "none", set()),
        (typed, None, "none", set()),
    ],
)
def test_where_a_node_goes(action: Any, declared: Any, routes: Any, destinations: set[str]) -> None:
    outline = outline_of(action, annotations_of(action), declared)
    assert (outline.routes, outline.destinations) == (routes, frozenset(destinations))


# -- what a router answers -----------------------------------------------------------------------------


def one(state: State) -> Literal["a", "b"]:
    return "a"


def several(state: State) -> list[Literal["a", "b"]]:
    return ["a"]


def sequence(state: State) -> Sequence[Literal["a"] | Send]:
    return ["a"]


def either(state: State) -> Literal["a"] | list[Literal["b"]]:
    return "a"


def flag(state: State) -> Literal[True, False]:
    return True


def open_ended(state: State) -> Literal["a"] | str:
    return "a"


def text(state: State) -> str:
    return "a"


def sends(state: State) -> list[Send]:
    return []


@pytest.mark.parametrize(
    ("router", "answers"),
    [
        (one, ("a", "b")),
        (several, ("a", "b")),
        (sequence, ("a",)),
        (either, ("a", "b")),
        (flag, (True, False)),
        (open_ended, None),
        (text, None),
        (sends, None),
        (untyped, None),
    ],
)
def test_the_answers_that_a_router_declares(router: Any, answers: Any) -> None:
    assert answers_of(router) == answers
