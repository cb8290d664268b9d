"""What the tests of this room share: a graph with everything that can be broken off, and a diary of its work.

Nodes take a number of turns of the event loop, so a run is the same, turn by turn, on every machine.
"""

import asyncio
import operator
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict

from aiograph.bridge import at_once
from aiograph.checkpoint.base import BaseCheckpointSaver, Begun, Commit
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, StateGraph
from aiograph.graph.state import CompiledStateGraph
from aiograph.runtime import Runtime
from aiograph.types import RunnableConfig

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}

Graph = CompiledStateGraph[Any, Any, Any, Any]


async def turns(count: int) -> None:
    """Lets the event loop go round `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


class Diary:
    """What nodes have done, by the id of their task: a stand-in for effects on the outside world."""

    def __init__(self, trouble: Callable[[], None] = lambda: None) -> None:
        self.trouble = trouble
        """Called by nodes in the middle of their work; may raise."""
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cleaned_up: list[str] = []
        self.names: dict[str, str] = {}

    def start(self, runtime: Runtime[Any], name: str) -> str:
        task_id = runtime.execution_info.task_id
        self.names[task_id] = name
        self.started.append(task_id)
        return task_id

    def end(self, task_id: str) -> None:
        self.ended.append(task_id)

    @property
    def ended_and_started_again(self) -> list[str]:
        """Names of nodes whose task was run a second time although it had come to its end."""
        repeated = [task_id for task_id, times in Counter(self.ended).items() if times > 1]
        return [self.names[task_id] for task_id in repeated]

    @property
    def size(self) -> int:
        """Grows with every effect."""
        return len(self.started) + len(self.ended) + len(self.cleaned_up)


class BeginningSaver(InMemorySaver):
    """Keeps checkpoints in memory, and is given supersteps like a database: one behind the other."""

    def begin_commit(self, commit: Commit, after: Begun | None = None) -> Begun:
        try:
            at_once(self.acommit(commit), "it")
        except Exception as error:
            return Over(error)
        return Over(None)


class Over(NamedTuple):
    """What came of something."""

    error: Exception | None

    async def certain_outcome(self) -> None:
        if self.error is not None:
            raise self.error


class State(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]
    count: Annotated[int, operator.add]
    rounds: Annotated[int, operator.add]


def worker(diary: Diary, name: str, length: int, **update: Any) -> Any:
    """A node that takes `length` turns and leaves its name on the trail; if cancelled, it cleans up."""

    async def node(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        task_id = diary.start(runtime, name)
        try:
            await turns(length)
            diary.trouble()
        except asyncio.CancelledError:
            await turns(2)
            diary.cleaned_up.append(task_id)
            raise
        diary.end(task_id)
        return {"trail": [name], "count": 1, **update}

    return node


def inner_graph(diary: Diary) -> Graph:
    """Two nodes side by side, then one."""
    builder = StateGraph(State)
    builder.add_node("p", worker(diary, "p", 1)).add_node("q", worker(diary, "q", 3))
    builder.add_node("r", worker(diary, "r", 2))
    builder.add_edge(START, "p").add_edge(START, "q").add_edge(["p", "q"], "r").add_edge("r", END)
    return builder.compile()


def outer_graph(diary: Diary, saver: BaseCheckpointSaver | None, *, rounds: int = 2) -> Graph:
    """`rounds` times: three nodes side by side, one of them a graph of its own, and a lone one that joins."""
    inner = inner_graph(diary)

    async def nested(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        task_id = diary.start(runtime, "nested")
        output = await inner.ainvoke({"trail": [], "count": 0})
        diary.end(task_id)
        return {"trail": [f"nested({'+'.join(output['trail'])})"], "count": output["count"]}

    def again(state: State) -> list[str] | str:
        return ["a", "b", "nested"] if state["rounds"] < rounds else END

    builder = StateGraph(State)
    builder.add_node("a", worker(diary, "a", 2)).add_node("b", worker(diary, "b", 6))
    builder.add_node("nested", nested)
    builder.add_node("join", worker(diary, "join", 2, rounds=1))
    for name in ("a", "b", "nested"):
        builder.add_edge(START, name)
    builder.add_edge(["a", "b", "nested"], "join")
    builder.add_conditional_edges("join", again, ["a", "b", "nested", END])
    return builder.compile(checkpointer=saver)


INPUT: State = {"trail": [], "count": 0, "rounds": 0}

ROUND = ["a", "b", "nested(p+q+r)", "join"]
"""What one round leaves on the trail."""


def final_state(rounds: int = 2) -> dict[str, Any]:
    """What a run ends with that nothing has gone wrong on."""
    return {"trail": ROUND * rounds, "count": 6 * rounds, "rounds": rounds}


async def go_on(graph: Graph, **options: Any) -> Any:
    """Resumes the thread; starts it if nothing was stored."""
    snapshot = await graph.aget_state(CONFIG)
    return await graph.ainvoke(INPUT if snapshot.created_at is None else None, CONFIG, **options)
