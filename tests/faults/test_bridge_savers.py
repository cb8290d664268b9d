"""Every synchronous verb of savers and graphs, wherever it could deadlock: an error or an answer, soon."""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiograph.bridge import BlockingIterator, bridge_loop
from aiograph.checkpoint.base import BaseCheckpointSaver, Retention, empty_checkpoint
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver, PostgresSaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import CheckpointStorageError, SyncCallError
from aiograph.types import RunnableConfig, StateUpdate
from aiograph.warnings import BlockingCallWarning
from tests.bridge.kit import Background, Graph, chain, live_loop, promptly, there

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}

SOON = 0.05
"""Seconds within which there has to be an answer."""

ARGUMENTS: Mapping[str, Callable[[RunnableConfig], tuple[Any, ...]]] = {
    "bulk_update_state": lambda saved: (CONFIG, [[StateUpdate({"value": 2}, "node_0")]]),
    "copy_thread": lambda saved: ("t", "copy"),
    "delete_for_runs": lambda saved: (["no run"],),
    "delete_thread": lambda saved: ("another",),
    "clear_state": lambda saved: (CONFIG,),
    "get": lambda saved: (saved,),
    "get_delta_channel_history": lambda saved: (saved, ["value"]),
    "get_metadata": lambda saved: (saved,),
    "get_state": lambda saved: (CONFIG,),
    "get_state_history": lambda saved: (CONFIG,),
    "get_tuple": lambda saved: (saved,),
    "invoke": lambda saved: ({"value": 1}, CONFIG),
    "list": lambda saved: (CONFIG,),
    "list_threads": lambda saved: (),
    "prune": lambda saved: (["another"],),
    "put": lambda saved: (CONFIG, empty_checkpoint(), {"source": "input", "step": -1}, {}),
    "put_writes": lambda saved: (saved, [("value", 1)], "task"),
    "close": lambda saved: (),
    "setup": lambda saved: (),
    "sweep": lambda saved: (Retention(keep_last=100), ["another"]),
    "stream": lambda saved: ({"value": 1}, CONFIG),
    "update_state": lambda saved: (CONFIG, {"value": 2}, "node_0"),
    "withdraw_writes": lambda saved: (saved, ["task"]),
}
"""What to call each verb with; a verb that is not here makes a test fail."""


class PlainSaver(InMemorySaver):
    """Overrides a verb in the synchronous colour, as users do: the engine calls it on a thread."""

    never_suspends = False

    def get_tuple(self, config: RunnableConfig) -> Any:  # type: ignore[override]  # the other colour
        return super().get_tuple(config)


def verbs_of(thing: Any) -> list[str]:
    """The synchronous twins that an object has."""
    members = {
        name: getattr(type(thing), name, None) for name in dir(type(thing)) if not name.startswith("_")
    }
    twins = {name for name, member in members.items() if hasattr(member, "__aiograph_twin_of__")}
    return sorted(twins - {"clear_cache"})  # which never asks the saver


SAVERS = (
    "memory",
    "sqlite",
    "async sqlite",
    "plain",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("async postgres", marks=pytest.mark.postgres),
)


@pytest.fixture(params=SAVERS)
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCheckpointSaver]:
    if request.param == "memory":
        yield InMemorySaver()
    elif request.param == "plain":
        yield PlainSaver()
    elif request.param.endswith("postgres"):
        address = request.getfixturevalue("postgres_database")
        with PostgresSaver(address) as first:
            first.setup()
        pooled: Any = PostgresSaver if request.param == "postgres" else AsyncPostgresSaver
        with pooled(address) as opened:
            yield opened
    else:
        cls: Any = SqliteSaver if request.param == "sqlite" else AsyncSqliteSaver
        with cls(tmp_path / "checkpoints.db") as opened:
            yield opened


class Case:
    """A saver with a thread in it, and a graph that uses both."""

    def __init__(self, saver: BaseCheckpointSaver) -> None:
        self.saver = saver
        self.graph: Graph = chain(lambda state: {"value": state["value"] + 1}, checkpointer=saver)
        self.graph.invoke({"value": 0}, CONFIG)
        self.saved = self.graph.get_state(CONFIG).config

    def calls(self) -> Iterator[tuple[str, Callable[[], object]]]:
        for thing in (self.saver, self.graph):
            for verb in verbs_of(thing):
                if verb != "close":
                    yield verb, lambda thing=thing, verb=verb: self._call(thing, verb)  # type: ignore[misc]

    def _call(self, thing: Any, verb: str) -> object:
        answer = getattr(thing, verb)(*ARGUMENTS[verb](self.saved))
        return list(answer) if isinstance(answer, BlockingIterator) else answer

    def expected(self) -> dict[str, str]:
        """What each verb answers where nothing is in its way."""
        return {verb: kind_of(call()) for verb, call in self.calls()}


def kind_of(answer: object) -> str:
    if isinstance(answer, list):
        return f"list of {sorted({type(item).__name__ for item in answer})}"
    return type(answer).__name__


@pytest.fixture
def case(saver: BaseCheckpointSaver) -> Case:
    return Case(saver)


def told(call: Callable[[], object]) -> tuple[str, float]:
    """The kind of answer, or "refused", and the seconds it took."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlockingCallWarning)
        try:
            answer = kind_of(call())
        except SyncCallError as refusal:
            answer = "refused" if "`await a" in str(refusal) or "in a" in str(refusal) else str(refusal)
    return answer, time.perf_counter() - started


def all_told(case: Case, times: int = 3) -> dict[str, tuple[str, float]]:
    """Each verb's answer, and the shortest of several times: what a busy machine adds is not its fault."""
    found: dict[str, tuple[str, float]] = {}
    for _ in range(times):
        for verb, call in case.calls():
            answer, seconds = told(call)
            found[verb] = (answer, min(seconds, found.get(verb, (answer, seconds))[1]))
    return found


def assert_soon(found: dict[str, tuple[str, float]]) -> None:
    slow = {verb: seconds for verb, (_, seconds) in found.items() if seconds > SOON}
    assert slow == {}


def test_every_verb_is_known_here(case: Case) -> None:
    assert {*verbs_of(case.saver), *verbs_of(case.graph)} <= ARGUMENTS.keys()
    assert len(verbs_of(case.saver)) >= 7
    assert len(verbs_of(case.graph)) >= 5


def test_on_the_bridges_loop_each_is_refused(case: Case) -> None:
    async def main() -> dict[str, tuple[str, float]]:
        return all_told(case)

    found = there(bridge_loop(), main())
    assert {answer for answer, _ in found.values()} == {"refused"}
    assert_soon(found)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "async"])
def test_in_a_node_on_the_loop_of_its_run_each_is_refused(case: Case, inline: bool) -> None:
    found: dict[str, tuple[str, float]] = {}

    def node(state: Any) -> None:
        found.update(all_told(case))

    async def anode(state: Any) -> None:
        node(state)

    graph = chain(node if inline else anode, inline=inline)
    promptly(lambda: graph.invoke({"value": 0}))
    assert {answer for answer, _ in found.values()} == {"refused"}
    assert_soon(found)
    found.clear()
    promptly(lambda: asyncio.run(graph.ainvoke({"value": 0})))
    assert {answer for answer, _ in found.values()} == {"refused"}


def test_on_a_foreign_loop_each_answers(case: Case) -> None:
    """The loop of a notebook, or of a web server whose handler is careless."""

    async def main() -> dict[str, tuple[str, float]]:
        return all_told(case)

    expected = case.expected()
    found = promptly(lambda: asyncio.run(main()))
    assert {verb: answer for verb, (answer, _) in found.items()} == expected
    assert_soon(found)


def test_on_a_thread_beside_a_loop_each_answers(case: Case) -> None:
    async def main() -> dict[str, tuple[str, float]]:
        return await asyncio.to_thread(all_told, case)

    expected = case.expected()
    found = promptly(lambda: asyncio.run(main()))
    assert {verb: answer for verb, (answer, _) in found.items()} == expected
    assert_soon(found)


@pytest.mark.parametrize("verb", ["invoke", "ainvoke"])
def test_in_a_synchronous_node_each_answers(case: Case, verb: str) -> None:
    found: dict[str, tuple[str, float]] = {}

    def node(state: Any) -> None:
        found.update(all_told(case))

    expected = case.expected()
    graph = chain(node)
    if verb == "invoke":
        promptly(lambda: graph.invoke({"value": 0}))
    else:
        promptly(lambda: asyncio.run(graph.ainvoke({"value": 0})))
    assert {name: answer for name, (answer, _) in found.items()} == expected
    assert_soon(found)


async def test_a_saver_that_was_opened_on_a_loop_which_is_blocked_still_answers(tmp_path: Path) -> None:
    """No loop is home to the SQLite saver, so not even the loop that it was opened on can be in its way."""
    async with AsyncSqliteSaver(tmp_path / "checkpoints.db") as saver:
        case = Case.__new__(Case)
        case.saver, case.graph = saver, chain(lambda state: {"value": 1}, checkpointer=saver)
        await case.graph.ainvoke({"value": 0}, CONFIG)
        case.saved = (await case.graph.aget_state(CONFIG)).config
        found = all_told(case)  # called synchronously, so this very loop stands still
        assert "refused" not in {answer for answer, _ in found.values()}
        assert_soon(found)


def test_one_saver_serves_synchronous_callers_and_two_loops_at_once(case: Case) -> None:
    def config(name: str) -> RunnableConfig:
        return {"configurable": {"thread_id": name}}

    async def run(name: str) -> list[Any]:
        return [await case.graph.ainvoke({"value": n}, config(f"{name}-{n}")) for n in range(20)]

    def invoke(name: str) -> list[Any]:
        return [case.graph.invoke({"value": n}, config(f"{name}-{n}")) for n in range(20)]

    with live_loop() as one, live_loop() as two:
        calls = [
            Background(lambda: there(one, run("one"))),
            Background(lambda: there(two, run("two"))),
            Background(lambda: invoke("three")),
            Background(lambda: invoke("four")),
        ]
        assert [call.result() for call in calls] == [[{"value": n + 1} for n in range(20)]] * 4


class Delegate(InMemorySaver):
    """Overrides a verb in the synchronous colour, and hands it on to a saver that needs threads itself."""

    never_suspends = False

    def __init__(self) -> None:
        super().__init__()
        self._other = ThreadedSaver()

    def get_tuple(self, config: RunnableConfig) -> Any:  # type: ignore[override]  # the other colour
        return self._other.get_tuple(config)


class ThreadedSaver(InMemorySaver):
    async def aget_tuple(self, config: RunnableConfig) -> Any:
        await asyncio.to_thread(time.sleep, 0.001)  # where a driver would work
        return await super().aget_tuple(config)


def test_savers_that_hand_on_to_others_never_run_out_of_threads() -> None:
    """Each of many runs holds a thread, for which another one has to be found: of a pool, all may be held."""
    graph = chain(lambda state: {"value": 1}, checkpointer=Delegate())

    def invoke(number: int) -> Any:
        return graph.invoke({"value": 0}, {"configurable": {"thread_id": str(number)}})

    runs = [Background(partial(invoke, number)) for number in range(100)]
    assert [run.result() for run in runs] == [{"value": 1}] * 100


# -- a saver whose connections are tied to a loop --------------------------------------------------


@asynccontextmanager
async def at_home(address: str) -> AsyncIterator[Case]:
    """A saver that was opened on the loop that runs, with a thread in it."""
    async with AsyncPostgresSaver(address) as saver:
        await saver.asetup()
        case = Case.__new__(Case)
        case.saver, case.graph = saver, chain(lambda state: {"value": 1}, checkpointer=saver)
        await case.graph.ainvoke({"value": 0}, CONFIG)
        case.saved = (await case.graph.aget_state(CONFIG)).config
        yield case


@pytest.mark.postgres
async def test_on_the_loop_that_connections_are_tied_to_each_is_refused(postgres_database: str) -> None:
    async with at_home(postgres_database) as case:
        found = all_told(case)
        assert {answer for answer, _ in found.values()} == {"refused"}
        assert_soon(found)
        assert (await case.graph.ainvoke({"value": 0}, CONFIG)) == {"value": 1}


@pytest.mark.postgres
async def test_on_threads_and_other_loops_each_is_answered_by_the_loop_of_the_connections(
    postgres_database: str,
) -> None:
    async def main(case: Case) -> dict[str, tuple[str, float]]:
        return all_told(case, times=1)

    async with at_home(postgres_database) as case:
        expected = await asyncio.to_thread(case.expected)
        on_thread = await asyncio.to_thread(all_told, case, 1)
        on_loop = await asyncio.to_thread(lambda: asyncio.run(main(case)))
    assert "refused" not in expected.values()
    for found in (on_thread, on_loop):
        assert {verb: answer for verb, (answer, _) in found.items()} == expected


@pytest.mark.postgres
async def test_once_a_pool_is_closed_each_says_so(postgres_database: str) -> None:
    async with at_home(postgres_database) as case:
        pass
    found = await asyncio.to_thread(lambda: [closed_as_told(call) for _, call in case.calls()])
    assert len(found) > 15
    assert all(found)


def closed_as_told(call: Callable[[], object]) -> bool:
    with pytest.raises(CheckpointStorageError) as caught:
        call()
    return "it was closed" in str(caught.value)
