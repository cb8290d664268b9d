"""Graphs made of channels and `NodeBuilder`, without a state schema."""

import operator
from typing import Any, TypedDict

import pytest

from aiograph.channels import BinaryOperatorAggregate, EphemeralValue, LastValue, Topic
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import EmptyInputError, GraphRecursionError, GraphValidationError, InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import RetryPolicy, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def whole(
    nodes: dict[str, Any], channels: dict[str, Any], input: Any = "in", output: Any = "out", **options: Any
) -> Any:
    return Pregel(nodes=nodes, channels=channels, input_channels=input, output_channels=output, **options)


async def test_a_node_runs_when_its_channel_changes_and_writes_what_it_returns() -> None:
    shout = NodeBuilder().subscribe_only("in").do(str.upper).write_to("out")
    graph = whole({"shout": shout}, {"in": EphemeralValue(str), "out": LastValue(str)})
    assert await graph.ainvoke("hello") == "HELLO"


async def test_several_input_and_output_channels_make_dicts() -> None:
    add = NodeBuilder().subscribe_to("a", "b").do(lambda values: values["a"] + values["b"]).write_to("sum")
    channels = {"a": EphemeralValue(int), "b": EphemeralValue(int), "sum": LastValue(int)}
    graph = whole({"add": add}, channels, ["a", "b"], ["sum", "a"])
    assert await graph.ainvoke({"a": 1, "b": 2}) == {"sum": 3}


async def test_a_pipeline_of_channels() -> None:
    one = NodeBuilder().subscribe_only("in").do(lambda n: n + 1).write_to("mid")
    two = NodeBuilder().subscribe_only("mid").do(lambda n: n * 10).write_to("out")
    channels = {"in": EphemeralValue(int), "mid": EphemeralValue(int), "out": LastValue(int)}
    assert await whole({"two": two, "one": one}, channels).ainvoke(4) == 50


async def test_a_cycle_runs_until_nothing_is_written_any_more() -> None:
    """Newton's method: the value changes until it is good enough, as `None` is not written."""
    values: list[float] = []

    def improve(x: float) -> float | None:
        values.append(x)
        better = (x + 2 / x) / 2
        return better if abs(better - x) > 1e-12 else None

    node = NodeBuilder().subscribe_only("x").do(improve).write_to("x")
    root = await whole({"improve": node}, {"x": LastValue(float)}, "x", "x").ainvoke(1.0)
    assert root == pytest.approx(2**0.5)
    assert 3 < len(values) < 10


async def test_value_iteration_over_a_graph_of_cells() -> None:
    """The longest way to the end of a line, found by each cell from its neighbour, until all agree."""

    def cell(number: int) -> NodeBuilder:
        def improve(values: dict[str, int]) -> int | None:
            best = values[f"v{number + 1}"] + 1
            return best if best > values[f"v{number}"] else None

        node = NodeBuilder().subscribe_to("in", f"v{number + 1}", read=False)
        return node.read_from(f"v{number}", f"v{number + 1}").do(improve).write_to(f"v{number}")

    channels = {f"v{number}": BinaryOperatorAggregate(int, max) for number in range(6)}
    nodes = {f"n{number}": cell(number) for number in range(5)}
    graph = whole(nodes, {"in": EphemeralValue(str), **channels}, "in", list(channels))
    assert await graph.ainvoke("go") == {f"v{number}": 5 - number for number in range(6)}


async def test_a_cycle_without_an_end_meets_the_recursion_limit() -> None:
    node = NodeBuilder().subscribe_only("x").do(lambda x: x + 1).write_to("x")
    graph = whole({"node": node}, {"x": LastValue(int)}, "x", "x", checkpointer=InMemorySaver())
    with pytest.raises(GraphRecursionError, match="recursion_limit of 5"):
        await graph.ainvoke(0, {**THREAD, "recursion_limit": 5})
    assert (await graph.aget_state(THREAD)).values == 5


async def test_fan_out_by_a_topic_and_fan_in_by_a_reducer() -> None:
    split = NodeBuilder().subscribe_only("in").do(str.split).write_to("words")
    measure = NodeBuilder().subscribe_only("words").do(lambda words: sum(map(len, words))).write_to("total")
    count = NodeBuilder().subscribe_only("words").do(len).write_to("total")
    channels = {
        "in": EphemeralValue(str),
        "words": Topic(str),
        "total": BinaryOperatorAggregate(int, operator.add),
    }
    graph = whole({"split": split, "measure": measure, "count": count}, channels, "in", "total")
    assert await graph.ainvoke("one two three") == 11 + 3


async def test_fan_out_by_sends() -> None:
    start = NodeBuilder().subscribe_only("in").do(lambda n: [Send("square", i) for i in range(n)])
    square = NodeBuilder().subscribe_only("never").do(lambda n: [n * n]).write_to("out")
    channels = {
        "in": EphemeralValue(int),
        "never": EphemeralValue(int),
        "out": BinaryOperatorAggregate(list, operator.add),
    }
    assert await whole({"start": start, "square": square}, channels).ainvoke(4) == [0, 1, 4, 9]


async def test_write_to_takes_constants_and_functions_of_the_output() -> None:
    node = NodeBuilder().subscribe_only("in").do(lambda n: n + 1)
    node.write_to("same", fixed="x", double=lambda n: n * 2, nothing=lambda n: None)
    names = ("same", "fixed", "double", "nothing")
    graph = whole(
        {"node": node}, {"in": EphemeralValue(int), **{n: LastValue(Any) for n in names}}, "in", names
    )
    assert await graph.ainvoke(1) == {"same": 2, "fixed": "x", "double": 4}


async def test_read_from_reads_without_being_triggered() -> None:
    node = (
        NodeBuilder().subscribe_to("in").read_from("rate").do(lambda v: v["in"] * v["rate"]).write_to("out")
    )
    channels = {"in": EphemeralValue(int), "rate": LastValue(int), "out": LastValue(int)}
    graph = whole({"node": node}, channels, ["in", "rate"], "out", checkpointer=InMemorySaver())
    assert await graph.ainvoke({"in": 3, "rate": 2}, THREAD) == 6
    assert await graph.ainvoke({"rate": 5}, THREAD) == 6
    assert await graph.ainvoke({"in": 4}, THREAD) == 20


async def test_two_nodes_that_write_one_channel_contradict_each_other() -> None:
    nodes = {name: NodeBuilder().subscribe_only("in").do(str.upper).write_to("out") for name in "ab"}
    graph = whole(nodes, {"in": EphemeralValue(str), "out": LastValue(str)}, checkpointer=InMemorySaver())
    with pytest.raises(InvalidUpdateError, match=r"'out'.*written by 'a', 'b' in step 0"):
        await graph.ainvoke("x", THREAD)
    assert (await graph.aget_state(THREAD)).next == ("a", "b")


async def test_a_broken_superstep_is_resumed() -> None:
    failures = [OSError("broken")]

    def fragile(text: str) -> str:
        if failures:
            raise failures.pop()
        return text

    node = NodeBuilder().subscribe_only("in").do(fragile).write_to("out")
    channels = {"in": EphemeralValue(str), "out": LastValue(str)}
    graph = whole({"node": node}, channels, checkpointer=InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke("x", THREAD)
    assert await graph.ainvoke(None, THREAD) == "x"


async def test_a_retry_policy_for_a_node_or_for_all() -> None:
    quick = RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError)
    for own, options in ((True, {}), (False, {"retry_policy": quick})):
        failures = [OSError("once")]

        def fragile(text: str, failures: list[OSError] = failures) -> str:
            if failures:
                raise failures.pop()
            return text

        node = NodeBuilder().subscribe_only("in").do(fragile).write_to("out")
        if own:
            node.add_retry_policies(quick)
        graph = whole({"node": node}, {"in": EphemeralValue(str), "out": LastValue(str)}, **options)
        assert await graph.ainvoke("x") == "x"


async def test_a_hand_made_graph_may_be_a_node() -> None:
    add = NodeBuilder().subscribe_to("a", "b").do(lambda values: values["a"] + values["b"]).write_to("sum")
    channels = {"a": EphemeralValue(int), "b": EphemeralValue(int), "sum": LastValue(int)}
    inner = whole({"add": add}, channels, ["a", "b"], ["sum"])

    class State(TypedDict, total=False):
        a: int
        b: int
        sum: int
        rest: int

    graph = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()
    assert await graph.ainvoke({"a": 1, "b": 2, "rest": 0}) == {"a": 1, "b": 2, "sum": 3, "rest": 0}


# -- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["trigger", "read", "write", "input", "output"])
def test_a_channel_that_does_not_exist_is_refused_wherever_it_is_named(of: str) -> None:
    def name(part: str) -> str:
        return "lost" if part == of else "x"

    node = NodeBuilder().subscribe_to(name("trigger")).read_from(name("read")).write_to(name("write"))
    with pytest.raises(
        GraphValidationError, match=r"refers to a channel 'lost', which the graph does not have.*'x'"
    ):
        whole({"node": node}, {"x": LastValue(int)}, name("input"), name("output"))


def test_a_node_without_a_subscription_is_refused() -> None:
    with pytest.raises(ValueError, match="node 'idle' subscribes to no channel, so it could never run"):
        whole({"idle": NodeBuilder().do(print)}, {"in": LastValue(int), "out": LastValue(int)})


def test_subscribe_only_tolerates_no_other_subscription() -> None:
    with pytest.raises(ValueError, match="must be the only subscription"):
        NodeBuilder().subscribe_to("a").subscribe_only("b")
    with pytest.raises(ValueError, match="already subscribes to 'a' only"):
        NodeBuilder().subscribe_only("a").read_from("b")


def test_something_else_than_a_node_is_refused() -> None:
    with pytest.raises(TypeError, match="node 'node' must be made with NodeBuilder, not builtin_function"):
        whole({"node": print}, {"in": LastValue(int), "out": LastValue(int)})


@pytest.mark.parametrize(("input", "error"), [(5, InvalidUpdateError), ({"c": 1}, EmptyInputError)])
async def test_an_input_that_does_not_fit_is_refused_with_what_does(input: Any, error: Any) -> None:
    node = NodeBuilder().subscribe_to("a").write_to("out")
    channels = {"a": LastValue(int), "b": LastValue(int), "out": LastValue(Any)}
    with pytest.raises(error, match=r"takes.* \['a', 'b'\]"):
        await whole({"node": node}, channels, ["a", "b"]).ainvoke(input)
