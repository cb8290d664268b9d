"""Caches: what a node wrote before is found by its input, and when a node runs all the same."""

import asyncio
import operator
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest

from aiograph.cache.base import BaseCache, FullKey, Namespace
from aiograph.cache.memory import InMemoryCache
from aiograph.cache.sqlite import SqliteCache
from aiograph.channels import LastValue, UntrackedValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.serde import JsonPlusSerializer
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.errors import CacheError, CheckpointSerializationError, InvalidUpdateError, NodeError
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.testing.clock import virtual_backend
from aiograph.types import CachePolicy, Command, Durability, RunnableConfig, Send, interrupt
from aiograph.warnings import CacheWarning

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


class State(TypedDict, total=False):
    word: str
    log: Annotated[list[str], operator.add]


class Counting(InMemoryCache[Any]):
    """A cache that tells how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.given: list[int] = []

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        self.asked.append(len(keys))
        return await super().aget(keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, float | None]]) -> None:
        self.given.append(len(pairs))
        await super().aset(pairs)


class Node:
    """A node that counts how often it ran."""

    def __init__(self, returns: Any = None) -> None:
        self.returns = returns
        self.calls = 0

    async def __call__(self, state: Any) -> Any:
        self.calls += 1
        return {"log": [f"run {self.calls}"]} if self.returns is None else self.returns


def alone(node: Any, cache: Any = None, policy: CachePolicy | None = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("n", node, cache_policy=policy or CachePolicy())
    return builder.add_edge(START, "n").compile(cache=InMemoryCache() if cache is None else cache, **options)


# -- hits ----------------------------------------------------------------------------------------------


async def test_a_node_does_not_run_again_for_the_same_input() -> None:
    node = Node()
    graph = alone(node)
    assert await graph.ainvoke({"word": "x"}) == await graph.ainvoke({"word": "x"})
    assert (await graph.ainvoke({"word": "y"}))["log"] == ["run 2"]
    assert node.calls == 2


def test_caches_work_for_synchronous_callers_and_nodes() -> None:
    calls: list[int] = []

    def node(state: State) -> dict[str, Any]:
        calls.append(threading.get_ident())
        return {"log": ["ran"]}

    graph = alone(node)
    assert [graph.invoke({}), graph.invoke({})] == [{"log": ["ran"]}] * 2
    assert len(calls) == 1


async def test_the_order_of_what_is_in_the_input_does_not_matter() -> None:
    node = Node()

    class Anything(TypedDict):
        value: Any

    builder = StateGraph(Anything).add_node("n", node, cache_policy=CachePolicy()).add_edge(START, "n")
    node.returns = {}
    graph = builder.compile(cache=InMemoryCache())
    await graph.ainvoke({"value": {"a": 1, "b": {2, 3}}})
    await graph.ainvoke({"value": {"b": {3, 2}, "a": 1}})
    assert node.calls == 1


async def test_commands_and_sends_are_cached_too() -> None:
    node = Node(Command(update={"log": ["n"]}, goto=[Send("next", {"word": "sent"}), "next"]))
    builder = StateGraph(State).add_node("n", node, cache_policy=CachePolicy(), destinations=["next"])
    builder.add_node("next", lambda state: {"log": [state.get("word", "")]}).add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    first = await graph.ainvoke({"word": "state"})
    assert first["log"] == ["n", "state", "sent"]
    assert (await graph.ainvoke({"word": "state"}), node.calls) == (first, 1)


async def test_what_routers_chose_is_cached() -> None:
    asked: list[int] = []

    def route(state: State) -> str:
        asked.append(1)
        return "next"

    builder = StateGraph(State).add_node("n", Node(), cache_policy=CachePolicy()).add_node("next", Node())
    builder.add_edge(START, "n").add_conditional_edges("n", route, ["next"])
    graph = builder.compile(cache=InMemoryCache())
    outputs = [await graph.ainvoke({}), await graph.ainvoke({})]
    assert outputs == [{"log": ["run 1", "run 1"]}, {"log": ["run 1", "run 2"]}]
    assert len(asked) == 1


async def test_each_send_is_looked_up_and_all_of_them_at_once() -> None:
    class Work:
        def __init__(self) -> None:
            self.ran: list[int] = []

        def __call__(self, number: Any) -> dict[str, Any]:
            self.ran.append(number)
            return {"log": [f"{number}"]}

    cache, work = Counting(), Work()

    def fan_out(*numbers: int) -> Any:
        builder = StateGraph(State).add_node("work", work, cache_policy=CachePolicy())
        builder.add_node("start", lambda state: [Send("work", number) for number in numbers])
        return builder.add_edge(START, "start").compile(cache=cache)

    assert (await fan_out(1, 2, 3).ainvoke({}))["log"] == ["1", "2", "3"]
    assert (await fan_out(2, 4, 3).ainvoke({}))["log"] == ["2", "4", "3"]
    assert (sorted(work.ran), cache.asked, cache.given) == ([1, 2, 3, 4], [3, 3], [3, 1])


async def test_a_graph_as_a_cached_node() -> None:
    node = Node()
    inner = StateGraph(State).add_node("deep", node).add_edge(START, "deep").compile()
    graph = alone(inner)
    assert await graph.ainvoke({}) == await graph.ainvoke({})
    assert node.calls == 1


async def test_a_graph_within_a_node_uses_the_cache_around_it() -> None:
    @dataclass
    class Inner:
        value: int = 0

    @dataclass
    class Held:
        inner: Inner | None = None

    calls: list[Any] = []

    def deep(state: Held) -> dict[str, Any]:
        calls.append(state)
        return {"inner": Inner(7)}

    inner = StateGraph(Held).add_node(deep, cache_policy=CachePolicy()).add_edge(START, "deep").compile()

    async def calls_it(state: State) -> dict[str, Any]:
        return {"log": [f"{(await inner.ainvoke(Held()))['inner'].value}"]}

    builder = StateGraph(State).add_node("n", calls_it).add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    assert [await graph.ainvoke({}), await graph.ainvoke({})] == [{"log": ["7"]}] * 2
    assert len(calls) == 1


async def test_values_come_back_as_what_they_were() -> None:
    @dataclass
    class Point:
        x: int

    class Points(TypedDict, total=False):
        points: list[Point]

    node = Node({"points": [Point(1)]})
    builder = StateGraph(Points).add_node("n", node, cache_policy=CachePolicy()).add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    first, second = await graph.ainvoke({}), await graph.ainvoke({})
    assert (second, node.calls) == ({"points": [Point(1)]}, 1)
    assert first["points"][0] is not second["points"][0]


def test_a_cache_file_serves_the_next_process_and_encrypted_ones_too(tmp_path: Path) -> None:
    for serde in (None, EncryptedSerializer(keys={"k": b"0" * 32})):
        path = tmp_path / ("plain" if serde is None else "sealed")
        nodes = [Node(), Node()]
        for node in nodes:
            with SqliteCache[Any](path=path, serde=serde) as cache:
                assert alone(node, cache).invoke({"word": "secret"})["log"] == ["run 1"]
        assert [node.calls for node in nodes] == [1, 0]
        assert (b"secret" in path.read_bytes()) is False  # the input is only a digest


# -- keys and times ------------------------------------------------------------------------------------


async def test_a_key_function_says_what_counts() -> None:
    node = Node()
    graph = alone(node, policy=CachePolicy(key_func=lambda state: state["word"].lower()))
    await graph.ainvoke({"word": "Tea"})
    await graph.ainvoke({"word": "TEA", "log": ["other"]})
    await graph.ainvoke({"word": "coffee"})
    assert node.calls == 2


async def test_a_cached_result_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10**18]
    monkeypatch.setattr("aiograph._ids.wall_ns", lambda: now[0])
    node = Node()
    graph = alone(node, policy=CachePolicy(ttl=60))
    await graph.ainvoke({})
    now[0] += 59 * 10**9
    await graph.ainvoke({})
    assert node.calls == 1
    now[0] += 10**9
    await graph.ainvoke({})
    assert node.calls == 2


async def test_an_input_that_cannot_be_a_key_is_an_error_with_the_path_to_it() -> None:
    class Anything(TypedDict):
        value: Any

    node = Node({})
    builder = StateGraph(Anything).add_node("n", node, cache_policy=CachePolicy()).add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    with pytest.raises(
        CheckpointSerializationError, match=r"node 'n' .*value\.lock.* give the policy a key_"
    ):
        await graph.ainvoke({"value": {"lock": threading.Lock()}})
    assert node.calls == 0


async def test_a_key_function_that_fails_is_told_with_its_node() -> None:
    graph = alone(Node(), policy=CachePolicy(key_func=lambda state: state["missing"]))
    with pytest.raises(KeyError) as caught:
        await graph.ainvoke({})
    assert caught.value.__notes__ == ["in the key_func of node 'n'"]


async def test_an_update_that_cannot_be_cached_fails_its_node() -> None:
    class Anything(TypedDict):
        value: Any

    builder = StateGraph(Anything).add_node("n", Node({"value": [object()]}), cache_policy=CachePolicy())
    graph = builder.add_edge(START, "n").compile(cache=InMemoryCache())
    with pytest.raises(
        CheckpointSerializationError, match=r"what it wrote cannot be stored: .*object"
    ) as caught:
        await graph.ainvoke({"value": 1})
    assert "in node 'n', step 1" in caught.value.__notes__[0]


# -- what is not cached --------------------------------------------------------------------------------


async def test_a_node_that_failed_is_not_cached() -> None:
    calls: list[int] = []

    async def fails_once(state: State) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("down")
        return {"log": ["up"]}

    graph = alone(fails_once)
    with pytest.raises(OSError, match="down"):
        await graph.ainvoke({})
    assert [await graph.ainvoke({}), await graph.ainvoke({})] == [{"log": ["up"]}] * 2
    assert len(calls) == 2


async def test_what_an_error_handler_wrote_is_not_cached() -> None:
    calls: list[int] = []

    def fails(state: State) -> None:
        calls.append(1)
        raise OSError("down")

    def handles(state: State, error: NodeError) -> dict[str, Any]:
        return {"log": ["handled"]}

    builder = StateGraph(State).add_node("n", fails, cache_policy=CachePolicy(), error_handler=handles)
    graph = builder.add_edge(START, "n").compile(cache=InMemoryCache())
    assert [await graph.ainvoke({}), await graph.ainvoke({})] == [{"log": ["handled"]}] * 2
    assert len(calls) == 2


async def test_what_finished_beside_a_failure_is_cached() -> None:
    node = Node()

    async def fails(state: State) -> None:
        await asyncio.sleep(1)
        raise OSError("down")

    builder = StateGraph(State).add_node("n", node, cache_policy=CachePolicy()).add_node("bad", fails)
    graph = builder.add_edge(START, "n").add_edge(START, "bad").compile(cache=InMemoryCache())
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            await graph.ainvoke({})
    assert node.calls == 1


async def test_what_was_answered_is_asked_again_for_the_same_input() -> None:
    graph = alone(lambda state: {"log": [interrupt("what?")]}, checkpointer=InMemorySaver())
    for thread, answer in (("1", "this"), ("2", "that")):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        assert "__interrupt__" in await graph.ainvoke({}, config)
        assert await graph.ainvoke(Command(resume=answer), config) == {"log": [answer]}


async def test_a_node_that_writes_what_is_not_kept_runs_each_time() -> None:
    class Live(TypedDict, total=False):
        handle: Annotated[Any, UntrackedValue]

    node = Node({"handle": 1})
    builder = StateGraph(Live).add_node("n", node, cache_policy=CachePolicy()).add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    assert [await graph.ainvoke({}), await graph.ainvoke({})] == [{"handle": 1}] * 2
    assert node.calls == 2


async def test_nodes_without_a_policy_are_not_cached() -> None:
    node, cache = Node(), Counting()
    graph = StateGraph(State).add_node("n", node).add_edge(START, "n").compile(cache=cache)
    await graph.ainvoke({})
    await graph.ainvoke({})
    assert (node.calls, cache.asked) == (2, [])


# -- code that has changed -----------------------------------------------------------------------------


def made(text: str) -> Any:
    """A function `node` from its source, as if its module had been edited."""
    names: dict[str, Any] = {"__name__": "edited"}
    exec(text, names)
    return names["node"]


async def test_changed_code_is_run_and_the_old_result_is_still_there_for_the_old_code() -> None:
    cache: InMemoryCache[Any] = InMemoryCache()
    old, new = (made(f"def node(state): return {{'log': ['{word}']}}") for word in ("old", "new"))
    outputs = [(await alone(node, cache).ainvoke({}))["log"] for node in (old, new, old)]
    assert outputs == [["old"], ["new"], ["old"]]


async def test_other_edges_are_another_node() -> None:
    cache: InMemoryCache[Any] = InMemoryCache()
    node = Node({"log": ["n"]})

    def leading_to(name: str) -> Any:
        builder = StateGraph(State).add_node("n", node, cache_policy=CachePolicy())
        builder.add_node(name, lambda state: {"log": [name]})
        return builder.add_edge(START, "n").add_edge("n", name).compile(cache=cache)

    assert (await leading_to("a").ainvoke({}))["log"] == ["n", "a"]
    assert (await leading_to("b").ainvoke({}))["log"] == ["n", "b"]


async def test_clearing_forgets_the_nodes_that_are_named_and_their_older_code() -> None:
    cache: InMemoryCache[Any] = InMemoryCache()
    a, b = Node(), Node()
    builder = StateGraph(State).set_node_defaults(cache_policy=CachePolicy())
    graph = (
        builder.add_node("a", a)
        .add_node("b", b)
        .add_edge(START, "a")
        .add_edge(START, "b")
        .compile(cache=cache)
    )
    await graph.ainvoke({})
    await graph.aclear_cache(["a"])
    await graph.ainvoke({})
    assert (a.calls, b.calls) == (2, 1)
    await graph.aclear_cache()
    await graph.ainvoke({})
    assert (a.calls, b.calls) == (3, 2)


async def test_clearing_leaves_what_is_other_graphs() -> None:
    cache: InMemoryCache[Any] = InMemoryCache()
    old, new = (made(f"def node(state): return {{'log': ['{word}']}}") for word in ("old", "new"))
    node = Node()
    await alone(old, cache).ainvoke({})
    await alone(node, cache).ainvoke({})
    await alone(new, cache).aclear_cache()
    await alone(node, cache).ainvoke({})
    assert (node.calls, len(cache._entries)) == (1, 1)


def test_clearing_what_is_not_there_is_refused() -> None:
    graph: Any = StateGraph(State).add_node("n", Node()).add_edge(START, "n").compile()
    with pytest.raises(ValueError, match="has no cache that could be cleared"):
        graph.clear_cache()
    with pytest.raises(ValueError, match="there is no cached node 'm'; there are 'n'"):
        alone(Node()).clear_cache(["m"])


# -- streams, savers, contradictions -------------------------------------------------------------------


@pytest.mark.parametrize("saver", [False, True])
async def test_a_stream_marks_what_was_cached(saver: bool) -> None:
    graph = alone(Node(), checkpointer=InMemorySaver() if saver else None)
    modes = ["updates", "tasks", "values"]
    config: list[RunnableConfig] = [{"configurable": {"thread_id": thread}} for thread in "ab"]
    await graph.ainvoke({}, config[0], stream_mode=modes)
    durability: Durability | None = "sync" if saver else None
    assert await graph.ainvoke({}, config[1], stream_mode=modes, durability=durability) == [
        ("updates", {"n": {"log": ["run 1"]}, "__metadata__": {"cached": True}}),
        ("values", {"log": ["run 1"]}),
    ]


async def test_a_cached_superstep_is_stored_like_any_other() -> None:
    graph = alone(Node(), checkpointer=InMemorySaver())
    seen = []
    for thread in "ab":
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        await graph.ainvoke({"word": "x"}, config)
        history = [state async for state in graph.aget_state_history(config)]
        seen.append([(state.values, state.next, [task.result for task in state.tasks]) for state in history])
    assert seen[0] == seen[1]


async def test_cached_results_that_contradict_each_other_do_not_stick() -> None:
    class One(TypedDict, total=False):
        value: int

    nodes = {"a": Node({"value": 1}), "b": Node({"value": 2})}
    builder = StateGraph(One).set_node_defaults(cache_policy=CachePolicy())
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    graph = builder.compile(cache=InMemoryCache())
    for _ in range(2):
        with pytest.raises(InvalidUpdateError):
            await graph.ainvoke({})
    nodes["b"].returns = {}
    assert await graph.ainvoke({}) == {"value": 1}


# -- caches that fail ----------------------------------------------------------------------------------


class Broken(BaseCache[Any]):
    """A cache whose storage is gone."""

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        raise CacheError("gone")

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, float | None]]) -> None:
        raise ConnectionResetError("gone")

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        raise CacheError("gone")


async def test_a_cache_that_fails_warns_and_the_work_is_done() -> None:
    with pytest.warns(CacheWarning) as told:
        assert await alone(Node(), Broken()).ainvoke({}) == {"log": ["run 1"]}
    assert [str(each.message) for each in told] == [
        "the cache of graph 'StateGraph' cannot be read, so its nodes run: CacheError('gone')",
        "the cache of graph 'StateGraph' cannot be written: ConnectionResetError('gone')",
    ]


async def test_a_cache_that_cannot_be_cleared_says_so() -> None:
    with pytest.raises(CacheError, match="gone"):
        await alone(Node(), Broken()).aclear_cache()


async def test_policies_without_a_cache_are_told_of() -> None:
    graph = StateGraph(State).add_node("n", Node(), cache_policy=CachePolicy()).add_edge(START, "n").compile()
    with pytest.warns(CacheWarning, match="'StateGraph' has nodes with a cache_policy and no cache"):
        assert await graph.ainvoke({}) == {"log": ["run 1"]}


async def test_a_run_that_is_cancelled_while_it_looks_up_leaves_nothing() -> None:
    class Slow(InMemoryCache[Any]):
        async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
            await asyncio.sleep(100)
            return {}

    node = Node()
    run = asyncio.create_task(alone(node, Slow()).ainvoke({}))
    await asyncio.sleep(1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert node.calls == 0


# -- by hand, and bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize("at_the_node", [True, False])
async def test_a_graph_made_by_hand_is_cached(at_the_node: bool) -> None:
    calls: list[Any] = []

    def double(value: int) -> int:
        calls.append(value)
        return value * 2

    node = NodeBuilder().subscribe_only("a").do(double).write_to("b", c=lambda value: value + 1)
    options: dict[str, Any] = {} if at_the_node else {"cache_policy": CachePolicy()}
    graph: Any = Pregel(
        nodes={"n": node.add_cache_policy(CachePolicy()) if at_the_node else node},
        channels={name: LastValue(Any) for name in "abc"},
        input_channels="a",
        output_channels=["b", "c"],
        cache=InMemoryCache(),
        **options,
    )
    assert [await graph.ainvoke(2), await graph.ainvoke(2)] == [{"b": 4, "c": 5}] * 2
    assert calls == [2]


def test_what_is_no_cache_is_refused() -> None:
    with pytest.raises(TypeError, match="a cache is an InMemoryCache, a SqliteCache or another BaseCache"):
        alone(Node(), cache={})
    with pytest.raises(ValueError, match="the ttl of a CachePolicy must be above 0 seconds"):
        CachePolicy(ttl=0)


def test_a_router_annotated_with_its_answers_is_cached_by_its_own_code() -> None:
    def route(state: State) -> Literal["__end__"]:
        return END

    builder = StateGraph(State).add_node("n", Node(), cache_policy=CachePolicy()).add_edge(START, "n")
    graph = builder.add_conditional_edges("n", route).compile(cache=InMemoryCache(serde=JsonPlusSerializer()))
    assert graph.invoke({}) == graph.invoke({})
