"""A state of nineteen fields through six nodes, as a dict, as a dataclass and as a Pydantic model."""

import operator
from collections.abc import Awaitable, Callable
from dataclasses import make_dataclass
from typing import Annotated, Any, TypedDict

from bench._case import Case, Setup, Work
from bench._packages import END, START, Package

TOPIC = "State"

NODES = 6
TEXTS = [f"text{number:02}" for number in range(8)]
NUMBERS = [f"number{number:02}" for number in range(8)]
FIELDS: dict[str, Any] = {
    "round": int,
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(NUMBERS, int),
    "log": Annotated[list[int], operator.add],
    "total": Annotated[int, operator.add],
}

WideDict: Any = TypedDict("WideDict", FIELDS)  # type: ignore[misc]


def as_dict() -> Any:
    return WideDict


def as_dataclass() -> Any:
    return make_dataclass("WideData", FIELDS.items())


def as_pydantic() -> Any:
    from pydantic import create_model

    fields: dict[str, Any] = {name: (kind, ...) for name, kind in FIELDS.items()}
    return create_model("WideModel", **fields)


def first_state() -> dict[str, Any]:
    return {"round": 0, **dict.fromkeys(TEXTS, "a"), **dict.fromkeys(NUMBERS, 1), "log": [], "total": 0}


def node(number: int, read: Callable[[Any, str], Any]) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    """Reads three fields and writes five."""
    text, value = TEXTS[number], NUMBERS[number]

    async def work(state: Any) -> dict[str, Any]:
        now = read(state, value) + 1
        return {
            text: f"{read(state, TEXTS[number + 1])[:20]}{number}",
            value: now,
            "round": read(state, "round") + (number == NODES - 1),
            "log": [now],
            "total": now,
        }

    return work


async def bare(setup: Setup) -> Work:
    nodes = [node(number, operator.getitem) for number in range(NODES)]

    async def work() -> dict[str, Any]:
        state = first_state()
        while state["round"] * NODES < setup.size:
            for each in nodes:
                update = await each(state)
                update["log"] = state["log"] + update["log"]
                update["total"] += state["total"]
                state.update(update)
        return state

    return work


def wide(
    make_schema: Callable[[], Any], read: Callable[[Any, str], Any]
) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        async def route(state: Any) -> str:
            return END if read(state, "round") * NODES >= setup.size else "node0"

        builder = package.builder(make_schema())
        builder.add_sequence([(f"node{number}", node(number, read)) for number in range(NODES)])
        builder.add_edge(START, "node0")
        builder.add_conditional_edges(f"node{NODES - 1}", route, ["node0", END])
        graph = builder.compile()

        async def work() -> Any:
            return await graph.ainvoke(first_state())

        return work

    return subject


CASES = [
    Case(
        name=f"wide_{name}",
        unit="superstep",
        size=20 * NODES,
        floor=bare,
        subject=wide(make_schema, read),
        requires=requires,
        note="19 fields, 6 nodes, 20 times around; the floor has a dict",
    )
    for name, make_schema, read, requires in (
        ("dict", as_dict, operator.getitem, ""),
        ("dataclass", as_dataclass, getattr, ""),
        ("pydantic", as_pydantic, getattr, "pydantic"),
    )
]
