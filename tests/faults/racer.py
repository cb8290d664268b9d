"""A process that runs a graph on threads for which others race; the command line says on which storage.

Reads the id of a thread from each line of its input, and answers each with a line: what became of the run.
"""

import operator
import sys
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from aiograph.errors import ConcurrentUpdateError
from aiograph.graph import START, StateGraph
from tests.faults.backends import Backend


class State(TypedDict, total=False):
    by: str
    count: Annotated[int, operator.add]
    log: Annotated[list[str], operator.add]


def begin(name: str) -> State:
    return {"by": name, "log": [f"{name} begins"]}


def all_of(*names: str) -> list[str]:
    """What runs log that come to their end one after the other."""
    return [f"{name} {line}" for name in names for line in ("begins", "works", "ends")]


def build(saver: Any, until: Path | None = None, **options: Any) -> Any:
    """Two nodes, of which the last counts; if given, the first works until a file is there."""

    def works(state: State) -> State:
        while until is not None and not until.exists():
            time.sleep(0.01)
        return {"log": [f"{state['by']} works"]}

    def ends(state: State) -> State:
        return {"log": [f"{state['by']} ends"], "count": 1}

    builder = StateGraph(State).add_sequence([("works", works), ("ends", ends)])
    return builder.add_edge(START, "works").compile(saver, **options)


def outcome(graph: Any, name: str, thread_id: str) -> str:
    """`done`, or `refused`, or what went wrong."""
    try:
        graph.invoke(begin(name), {"configurable": {"thread_id": thread_id}}, durability="sync")
    except ConcurrentUpdateError:
        return "refused"
    except Exception as error:
        return repr(error)
    return "done"


def main(backend: str, address: str, name: str, folder: str = "") -> None:
    with Backend(backend, address).saver() as saver:
        graph = build(saver, Path(folder) / "go" if folder else None)
        for line in sys.stdin:
            print(outcome(graph, name, line.strip()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
