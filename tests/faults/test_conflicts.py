"""Tasks that contradict each other, and reducers that raise.

In each case the state is as before the superstep, and the thread stays usable: it can be looked at,
resumed once the graph is mended, and given new input.
"""

import asyncio
import operator
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, CheckpointTuple
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import ChannelUpdateError, InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.runtime import Runtime
from aiograph.testing.faults import FaultySaver, delay_turns, fail_at
from aiograph.types import Durability, RunnableConfig, Send
from tests.faults.rig import CONFIG, BeginningSaver, Diary, Graph, turns

DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")


def concatenated(old: str, new: str) -> str:
    if new == "poison":
        raise ZeroDivisionError("the reducer chokes")
    return old + new


class State(TypedDict, total=False):
    x: int
    y: int
    text: Annotated[str, concatenated]
    trail: Annotated[list[str], operator.add]


class HomeMade(BaseCheckpointSaver):
    """A user's saver: the five verbs that it must have, in plain methods, and nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self._inner = InMemorySaver()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:  # type: ignore[override]  # see class
        return self._inner.get_tuple(config)

    def list(self, config: RunnableConfig | None, **query: Any) -> Iterator[CheckpointTuple]:  # type: ignore[override]
        return self._inner.list(config, **query)

    def put(  # type: ignore[override]
        self, config: RunnableConfig, checkpoint: Any, metadata: Any, new_versions: ChannelVersions
    ) -> RunnableConfig:
        return self._inner.put(config, checkpoint, metadata, new_versions)

    def put_writes(  # type: ignore[override]
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self._inner.put_writes(config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:  # type: ignore[override]
        self._inner.delete_thread(thread_id)


SAVERS: dict[str, Callable[[], BaseCheckpointSaver]] = {
    "memory": InMemorySaver,
    "slow": lambda: FaultySaver(InMemorySaver(), before=delay_turns(3), after=delay_turns(1)),
    "behind": lambda: FaultySaver(BeginningSaver(), before=delay_turns(3), after=delay_turns(1)),
    "home-made": HomeMade,
}


@pytest.fixture(params=[*SAVERS, "sqlite"])
async def saver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseCheckpointSaver]:
    if request.param in SAVERS:
        yield SAVERS[request.param]()
        return
    async with AsyncSqliteSaver(tmp_path / "checkpoints.db") as opened:
        yield opened


def side_by_side(saver: BaseCheckpointSaver, diary: Diary, **updates: Any) -> Graph:
    """A first node, then one for each update, side by side."""

    async def first(state: State) -> State:
        return {"trail": ["first"]}

    builder = StateGraph(State).add_node("first", first).add_edge(START, "first")
    for name, update in updates.items():
        builder.add_node(name, writer(diary, name, update))
        builder.add_edge("first", name).add_edge(name, END)
    return builder.compile(checkpointer=saver)


def writer(diary: Diary, name: str, update: Any) -> Any:
    async def node(state: State, runtime: Runtime[Any]) -> Any:
        task_id = diary.start(runtime, name)
        await turns(len(name))
        if isinstance(update, Exception):
            raise update
        diary.end(task_id)
        return {"trail": [name], **update}

    return node


def runs_of(diary: Diary, name: str) -> int:
    return sum(diary.names[task_id] == name for task_id in diary.ended)


# -- two writers of one value ----------------------------------------------------------------------


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_contradiction_names_channel_and_nodes(
    saver: BaseCheckpointSaver, durability: Durability
) -> None:
    graph = side_by_side(saver, Diary(), a={"x": 1}, b={"x": 2}, c={"y": 3})
    with pytest.raises(InvalidUpdateError, match=r"'x'.*'a', 'b'.* step 2"):
        await graph.ainvoke({"y": 0}, CONFIG, durability=durability)


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_contradiction_leaves_the_state_and_keeps_the_innocent(
    saver: BaseCheckpointSaver, durability: Durability
) -> None:
    graph = side_by_side(saver, Diary(), a={"x": 1}, b={"x": 2}, c={"y": 3})
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({"y": 0}, CONFIG, durability=durability)
    snapshot = await graph.aget_state(CONFIG)
    assert snapshot.next == ("a", "b")
    assert snapshot.values["y"] == 3
    assert "x" not in snapshot.values
    assert sorted(snapshot.values["trail"]) == ["c", "first"]


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_mended_graph_goes_on_after_a_contradiction(
    saver: BaseCheckpointSaver, durability: Durability
) -> None:
    diary = Diary()
    graph = side_by_side(saver, diary, a={"x": 1}, b={"x": 2}, c={"y": 3})
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({"y": 0}, CONFIG, durability=durability)
    mended = side_by_side(saver, diary, a={"x": 1}, b={"y": 4}, c={"y": 5})
    with pytest.raises(InvalidUpdateError, match=r"'y'.*'b', 'c'"):
        await mended.ainvoke(None, CONFIG, durability=durability)
    mended = side_by_side(saver, diary, a={"x": 1}, b={}, c={"y": 6})
    output = await mended.ainvoke(None, CONFIG, durability=durability)
    assert output == {"x": 1, "y": 6, "text": "", "trail": ["first", "a", "b", "c"]}
    assert runs_of(diary, "c") == 3  # its writes were refused twice


async def test_what_was_taken_back_does_not_return_if_its_task_fails_then(saver: BaseCheckpointSaver) -> None:
    diary = Diary()
    graph = side_by_side(saver, diary, a={"x": 1}, b={"x": 2})
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({}, CONFIG)
    broken = side_by_side(saver, diary, a=ValueError("still broken"), b={})
    with pytest.raises(ValueError, match="still broken"):
        await broken.ainvoke(None, CONFIG, on_error="finish")
    mended = side_by_side(saver, diary, a={"x": 10}, b={})
    assert (await mended.ainvoke(None, CONFIG))["x"] == 10


async def test_new_input_works_after_a_contradiction(saver: BaseCheckpointSaver) -> None:
    graph = side_by_side(saver, Diary(), a={"x": 1}, b={"x": 2})
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({"y": 0}, CONFIG)
    mended = side_by_side(saver, Diary(), a={"x": 1}, b={})
    assert (await mended.ainvoke({"y": 9}, CONFIG))["trail"] == ["first", "first", "a", "b"]


async def test_two_contradictions_are_told_and_mended_at_once(saver: BaseCheckpointSaver) -> None:
    diary = Diary()
    graph = side_by_side(saver, diary, a={"x": 1}, b={"x": 2}, c={"y": 3}, d={"y": 4}, e={})
    with pytest.raises(InvalidUpdateError, match=r"'x'.*'a', 'b'") as caught:
        await graph.ainvoke({}, CONFIG)
    assert any("'y'" in note and "'c', 'd'" in note for note in caught.value.__notes__)
    mended = side_by_side(saver, diary, a={"x": 1}, b={}, c={"y": 3}, d={}, e={})
    assert (await mended.ainvoke(None, CONFIG))["trail"] == ["first", "a", "b", "c", "d", "e"]
    assert [runs_of(diary, name) for name in "abcde"] == [2, 2, 2, 2, 1]


async def test_sends_that_contradict_each_other_are_told_apart_from_those_that_do_not(
    saver: BaseCheckpointSaver,
) -> None:
    count = {"runs": 0}

    async def work(number: Any) -> dict[str, Any]:
        count["runs"] += 1
        return {"x": number} if number < 2 else {"y": number}

    builder = StateGraph(State).add_node("work", work).add_edge("work", END)
    builder.add_conditional_edges(START, lambda _: [Send("work", number) for number in range(3)], ["work"])
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(InvalidUpdateError, match=r"'x'.*'work' 2 times"):
        await graph.ainvoke({"trail": []}, CONFIG)
    assert (await graph.aget_state(CONFIG)).values["y"] == 2
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke(None, CONFIG)
    assert count["runs"] == 3 + 2


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_contradiction_while_being_cancelled_does_not_poison_the_thread(
    durability: Durability,
) -> None:
    for turn in range(100):
        diary = Diary()
        saver = FaultySaver(BeginningSaver(), before=delay_turns(2))
        graph = side_by_side(saver, diary, a={"x": 1}, b={"x": 2}, c={"y": 3})
        run = asyncio.ensure_future(graph.ainvoke({"y": 0}, CONFIG, durability=durability))
        await turns(turn)
        was_running = run.cancel()
        with pytest.raises((InvalidUpdateError, asyncio.CancelledError)):
            await run
        assert saver.in_flight == []
        mended = side_by_side(saver, diary, a={"x": 1}, b={}, c={"y": 3})
        stored = (await mended.aget_state(CONFIG)).created_at is not None
        output = await mended.ainvoke(None if stored else {"y": 0}, CONFIG)
        assert output["trail"] == ["first", "a", "b", "c"], f"turn {turn}"
        if not was_running:
            return
    raise AssertionError("the run never ended")


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_crash_before_the_contradiction_was_settled_does_not_poison_the_thread(
    durability: Durability,
) -> None:
    """Everything is stored, and then the writes could not be taken back."""
    diary = Diary()
    saver = FaultySaver(InMemorySaver(), before=fail_at(1, ConnectionResetError, verb="awithdraw_writes"))
    graph = side_by_side(saver, diary, a={"x": 1}, b={"x": 2}, c={"y": 3})
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({"y": 0}, CONFIG, durability=durability)
    mended = side_by_side(saver, diary, a={"x": 1}, b={}, c={"y": 3})
    output = await mended.ainvoke(None, CONFIG, durability=durability)
    assert output["trail"] == ["first", "a", "b", "c"]
    assert runs_of(diary, "c") == 1


# -- reducers that raise ---------------------------------------------------------------------------


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_reducer_that_raises_leaves_the_state_as_it_was(
    saver: BaseCheckpointSaver, durability: Durability
) -> None:
    diary = Diary()
    graph = side_by_side(saver, diary, a={"text": "a"}, b={"text": "poison"}, c={"y": 3})
    with pytest.raises(ChannelUpdateError, match=r"'text' raised ZeroDivisionError.*'a', 'b'") as caught:
        await graph.ainvoke({"text": "0"}, CONFIG, durability=durability)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    snapshot = await graph.aget_state(CONFIG)
    assert snapshot.values["text"] == "0"
    assert snapshot.next == ("a", "b")
    mended = side_by_side(saver, diary, a={"text": "a"}, b={"text": "b"}, c={"y": 3})
    output = await mended.ainvoke(None, CONFIG)
    assert output == {"text": "0ab", "y": 3, "trail": ["first", "a", "b", "c"]}
    assert runs_of(diary, "c") == 1


async def test_a_reducer_that_raises_on_input_leaves_the_thread_as_it_was(saver: BaseCheckpointSaver) -> None:
    graph = side_by_side(saver, Diary(), a={"text": "a"})
    await graph.ainvoke({"text": "0"}, CONFIG)
    with pytest.raises(ChannelUpdateError, match="'text'"):
        await graph.ainvoke({"text": "poison"}, CONFIG)
    assert (await graph.aget_state(CONFIG)).values["text"] == "0a"
    assert (await graph.ainvoke({"text": "1"}, CONFIG))["text"] == "0a1a"
