"""The builder's plan: which channels, triggers and writes its nodes, edges and branches become."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import (
    BinaryOperatorAggregate,
    DictMerge,
    DynamicBarrierValue,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    Topic,
)
from aiograph.graph import END, START, StateGraph
from aiograph.pregel._plan import Plan
from aiograph.types import RetryPolicy, TimeoutPolicy


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Private(TypedDict, total=False):
    secret: str


def idle(state: State) -> None: ...


def keep(state: Private) -> None: ...


@pytest.fixture
def builder() -> StateGraph[State]:
    return StateGraph(State).add_node("a", idle).add_node("b", idle).add_node("late", idle, defer=True)


def plan_of(builder: StateGraph[State]) -> Plan:
    return builder.compile().plan


pytestmark = pytest.mark.filterwarnings("ignore:node '.*' can never run")


def test_the_names_and_kinds_of_channels_are_part_of_the_stored_format(builder: StateGraph[State]) -> None:
    builder.add_node("keep", keep, input_schema=Private).add_edge(START, "keep").add_edge(START, "b")
    builder.add_edge("keep", "a").add_edge(["b", "a"], "late").add_edge(["a", "b"], "keep")
    builder.add_conditional_edges("late", "n > 1", {True: "a", False: END}, then="b")
    kinds = {name: type(channel) for name, channel in plan_of(builder).channels.items()}
    assert kinds == {
        "__start__": EphemeralValue,
        "__pregel_tasks": Topic,
        "__positions__": DictMerge,
        "n": LastValue,
        "log": BinaryOperatorAggregate,
        "secret": LastValue,
        "branch:to:a": EphemeralValue,
        "branch:to:b": EphemeralValue,
        "branch:to:keep": EphemeralValue,
        "branch:to:late": LastValueAfterFinish,
        "join:a+b:late": NamedBarrierValueAfterFinish,
        "join:a+b:keep": NamedBarrierValue,
        "branch:late:n > 1:then": DynamicBarrierValue,
    }


def test_a_node_is_triggered_by_its_own_channel_its_joins_and_thens(builder: StateGraph[State]) -> None:
    builder.add_edge(START, "a").add_edge("a", "late").add_edge(["a", "late"], "b")
    builder.add_conditional_edges("a", lambda state: END, {"x": END}, then="b")
    triggers = {name: node.triggers for name, node in plan_of(builder).nodes.items()}
    assert triggers == {
        START: (START,),
        "a": ("branch:to:a",),
        "b": ("branch:to:b", "join:a+late:b", "branch:a:<lambda>:then"),
        "late": ("branch:to:late",),
    }


def test_edges_are_writes_that_every_run_of_a_node_makes(builder: StateGraph[State]) -> None:
    builder.add_edge(START, "a").add_edge("a", "b").add_edge("a", END).add_edge(["a", "b"], "late")
    after = {name: node.after for name, node in plan_of(builder).nodes.items()}
    assert after == {
        START: (("branch:to:a", None),),
        "a": (("branch:to:b", None), ("join:a+b:late", "a")),
        "b": (("join:a+b:late", "b"),),
        "late": (),
    }


def test_input_output_and_state_are_those_of_the_schemas() -> None:
    class Question(TypedDict):
        n: int

    builder = StateGraph(State, input_schema=Question, output_schema=Question).add_node(
        keep, input_schema=Private
    )
    plan = builder.add_edge(START, "keep").compile().plan
    assert (plan.input, plan.output, plan.takes) == (START, ("n",), frozenset({"n"}))
    assert plan.state == ("n", "log")


def test_a_state_of_one_value_is_the_root_channel() -> None:
    state: Any = Annotated[int, operator.add]
    plan = StateGraph(state).add_node("a", lambda state: 1).add_edge(START, "a").compile().plan
    assert (plan.output, plan.takes) == ("__root__", None)
    assert type(plan.channels["__root__"]) is BinaryOperatorAggregate


def test_options_of_a_node_reach_its_plan() -> None:
    policy = RetryPolicy(max_attempts=2)
    builder = (
        StateGraph(State).set_node_defaults(retry_policy=[policy, policy], timeout=9).add_node("plain", idle)
    )
    builder.add_node(
        "own", idle, retry_policy=policy, timeout=3, priority=5, tags=["t"], metadata={"m": 1}, inline=False
    )
    nodes = builder.add_edge(START, "plain").add_edge("plain", "own").compile().plan.nodes
    plain, own = nodes["plain"], nodes["own"]
    assert (plain.retry, plain.timeout, plain.priority, plain.tags) == (
        (policy, policy),
        TimeoutPolicy(run_timeout=9),
        0,
        (),
    )
    assert (own.retry, own.timeout, own.priority) == ((policy,), TimeoutPolicy(run_timeout=3), 5)
    assert (own.tags, own.metadata) == (("t",), {"m": 1})


def test_compiling_reads_the_builder_once_and_never_again(builder: StateGraph[State]) -> None:
    metadata = {"m": 1}
    builder.add_node("c", idle, metadata=metadata).add_edge(START, "c")
    plan = plan_of(builder)
    metadata["m"] = 2
    builder.add_edge("c", "a").set_node_defaults(timeout=5)
    assert plan.nodes["c"].metadata == {"m": 1}
    assert (plan.nodes["c"].after, plan.nodes["c"].timeout) == ((), None)


@pytest.mark.parametrize("name", ["named", "made by hand"])
def test_a_callable_brings_its_name(name: str) -> None:
    class Named:
        def __init__(self) -> None:
            self.name = name

        async def ainvoke(self, input: State) -> None: ...

    assert name in StateGraph(State).add_node(Named()).add_edge(START, name).compile().nodes
