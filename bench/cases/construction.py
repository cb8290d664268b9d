"""Building a graph of a thousand nodes, validating it, compiling it."""

from itertools import pairwise
from typing import Any

from bench._case import Case, Setup, Work
from bench._packages import Package
from bench.cases.sequence import State, count

TOPIC = "Building, importing, memory"


def built(package: Package, nodes: int) -> Any:
    builder = package.builder(State)
    names = [f"node{number}" for number in range(nodes)]
    for name in names:
        builder.add_node(name, count)
    for name, following in pairwise(names):
        builder.add_edge(name, following)
    return builder.set_entry_point(names[0]).set_finish_point(names[-1])


async def build(package: Package, setup: Setup) -> Work:
    return lambda: built(package, setup.size) and setup.size


async def validate(package: Package, setup: Setup) -> Work:
    builder = built(package, setup.size)
    return lambda: (builder.validate(), setup.size)[1]


async def compile_graph(package: Package, setup: Setup) -> Work:
    builder = built(package, setup.size)
    return lambda: builder.compile() and setup.size


CASES = [
    Case(name=f"{name}_1000", unit="node", size=1000, subject=subject)
    for name, subject in (("build", build), ("validate", validate), ("compile", compile_graph))
]
