"""What an import costs, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

from bench._case import Case, Goal, Setup, Work
from bench._packages import Package

TOPIC = "Building, importing, memory"


def in_new_process(code: str) -> Callable[[Setup], Awaitable[Work]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    async def prepare(setup: Setup) -> Work:
        def work() -> int:
            for _ in range(setup.size):
                subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            return setup.size

        return work

    return prepare


async def import_package(package: Package, setup: Setup) -> Work:
    return await in_new_process(f"import {package.name}")(setup)


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
        note="the whole engine: `import aiograph.graph`; the floor is `import asyncio`",
    ),
]
