"""What comes with an import, and what waits until somebody wants it.

Modules are counted, as time is not the same twice. If a module that a graph needs is missing here, the limit
may rise; one that only some graphs need is imported where it is used.
"""

import json
import subprocess
import sys
from importlib import import_module

import pytest

BUILD = """
from typing import TypedDict
from aiograph.graph import END, START, StateGraph

class State(TypedDict):
    value: int

async def node(state):
    return {"value": 1}

builder = StateGraph(State).add_node("node", node).add_edge(START, "node").add_edge("node", END)
"""
COMPILE = BUILD + "graph = builder.compile()\n"
RUN = COMPILE + "import asyncio\nasyncio.run(graph.ainvoke({'value': 0}))\n"

ENGINE = {"aiograph.pregel._compiled", "aiograph.pregel._loop", "aiograph.bridge", "aiograph.checkpoint.base"}
FOR_SOME = {
    "aiograph._langchain",
    "aiograph.cache.base",
    "aiograph.checkpoint.memory",
    "aiograph.checkpoint.serde.jsonplus",
    "aiograph.checkpoint.serde._codecs",
    "aiograph.drawing",
    "aiograph.graph._expression",
    "aiograph.graph._links",
    "aiograph.messages",
    "aiograph.pregel._meter",
    "aiograph.pregel._topology",
    "aiograph.pregel._watch",
    "aiograph.stats",
    "aiograph.store.base",
}
"""What only some graphs have."""
FOREIGN = {
    "difflib",
    "msgpack",
    "orjson",
    "pathlib",
    "psycopg",
    "pydantic",
    "sqlite3",
    "tempfile",
    "uuid",
    "anyio",
}
"""What only some of our modules need, and takes its time."""


def modules_after(code: str) -> set[str]:
    """The modules that a process has which has run `code`, but for those that asyncio brings."""
    report = "\nimport json, sys; print(json.dumps(sorted(set(sys.modules) - before)))"
    text = f"import asyncio, json, sys; before = set(sys.modules)\n{code}{report}"
    answer = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    return set(json.loads(answer))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "aiograph"}


@pytest.fixture(scope="module")
def of_a_build() -> set[str]:
    return modules_after(BUILD)


@pytest.fixture(scope="module")
def of_a_run() -> set[str]:
    return modules_after(RUN)


def test_a_graph_is_built_without_the_engine(of_a_build: set[str]) -> None:
    assert "aiograph.graph.state" in of_a_build
    assert of_a_build & (ENGINE | FOR_SOME | FOREIGN) == set()
    assert len(ours(of_a_build)) <= 40


def test_a_graph_runs_without_what_only_other_graphs_have(of_a_run: set[str]) -> None:
    assert of_a_run >= ENGINE
    assert of_a_run & (FOR_SOME | FOREIGN) == set()
    assert len(ours(of_a_run)) <= 130


def test_a_run_waits_for_no_import(of_a_run: set[str]) -> None:
    assert of_a_run - modules_after(COMPILE) == set()


@pytest.mark.parametrize(
    ("code", "limit"),
    [("import aiograph", 3), ("import aiograph.types", 12), ("import aiograph.messages", 16)],
)
def test_a_part_comes_without_the_rest(code: str, limit: int) -> None:
    modules = ours(modules_after(code))
    assert modules & (ENGINE | {"aiograph.graph"}) == set()
    assert len(modules) <= limit


@pytest.mark.parametrize("room", ["graph", "channels", "pregel", "drawing", "checkpoint.serde"])
def test_what_a_package_exports_on_demand_is_what_its_module_defines(room: str) -> None:
    code = f"import aiograph.{room} as room; found = [getattr(room, name) for name in room.__all__]"
    assert f"aiograph.{room}" in modules_after(code)


def test_a_package_does_not_know_names_that_it_does_not_export() -> None:
    with pytest.raises(AttributeError, match=r"module 'aiograph\.channels' has no attribute 'LostValue'"):
        getattr(import_module("aiograph.channels"), "LostValue")  # noqa: B009  # being asked is all
