"""What an import costs, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

from bench._case import Case, Goal, Setup, Work
from bench._packages import Package

TOPIC = "Building, importing, memory"


RUN = """\
import asyncio
from typing import TypedDict

from {0}.graph import END, START, StateGraph


class State(TypedDict):
    value: int


async def node(state):
    return {{"value": 1}}


builder = StateGraph(State)
builder.add_node("node", node)
builder.add_edge(START, "node")
builder.add_edge("node", END)
asyncio.run(builder.compile().ainvoke({{"value": 0}}))
"""
"""What stands between the start of a process and the result of its first run."""

FLOOR = """\
import asyncio

async def node(state):
    return {"value": 1}

async def run(state):
    state.update(await node(state))

asyncio.run(run({"value": 0}))
"""


def in_new_process(code: str) -> Callable[[Setup], Awaitable[Work]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode

    def start() -> None:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    async def prepare(setup: Setup) -> Work:
        start()  # so that there is bytecode

        def work() -> int:
            for _ in range(setup.size):
                start()
            return setup.size

        return work

    return prepare


async def import_package(package: Package, setup: Setup) -> Work:
    return await in_new_process(f"import {package.name}")(setup)


async def import_and_run(package: Package, setup: Setup) -> Work:
    return await in_new_process(RUN.format(package.name))(setup)


async def import_graph(package: Package, setup: Setup) -> Work:
    return await in_new_process(f"import {package.name}.graph")(setup)


CASES = [
    Case(
        name="import",
        unit="import",
        size=1,
        floor=in_new_process("import asyncio"),
        subject=import_package,
        clock="child",
        has_rival=False,  # its first package is empty
        note="`import aiograph`; the floor is `import asyncio`",
    ),
    Case(
        name="import_bare",
        unit="import",
        size=1,
        floor=in_new_process("pass"),
        subject=import_package,
        clock="child",
        has_rival=False,
        note="`import aiograph`; the floor is an interpreter that imports nothing",
    ),
    Case(
        name="import_graph",
        unit="import",
        size=1,
        floor=in_new_process("import asyncio"),
        subject=import_graph,
        clock="child",
        goals=(Goal(0.12),),
        note="`import aiograph.graph`, which is enough to build graphs; the floor is `import asyncio`",
    ),
    Case(
        name="import_and_run",
        unit="process",
        size=1,
        floor=in_new_process(FLOOR),
        subject=import_and_run,
        clock="child",
        note="a process that imports, builds, compiles and runs a graph of one node",
    ),
]
