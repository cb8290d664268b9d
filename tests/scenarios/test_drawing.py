"""What may follow what, as `get_graph()` tells it: edges of every kind, and graphs within graphs."""

from typing import Any, Literal, TypedDict

import pytest

from aiograph.channels import LastValue, Topic
from aiograph.constants import TAG_HIDDEN
from aiograph.drawing import Edge
from aiograph.graph import END, START, StateGraph
from aiograph.prebuilt import ToolNode
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import Command, Send
from aiograph.warnings import GraphWarning


class State(TypedDict, total=False):
    answer: str


def work(state: State) -> State:
    return {}


def interrupt() -> None:
    """Looks like the real one, to those who only look at names."""


def builder_of(*names: str) -> StateGraph[State]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, work)
    return builder


def edges_of(graph: Any, *, xray: bool | int = False) -> list[str]:
    """The edges as they would be typed: `a -> b`, `a -- label -> b`, `a .. label .> b`, `a => b`."""
    return [shown(edge) for edge in graph.get_graph(xray=xray).edges]


def shown(edge: Edge) -> str:
    line = ".>" if edge.conditional else "=>" if edge.waits else "->"
    label = f"{edge.data} " if edge.data else ""
    return f"{edge.source} {label}{line} {edge.target}"


# -- edges ---------------------------------------------------------------------------------------------


def test_nodes_come_in_the_order_in_which_they_were_added_between_start_and_end() -> None:
    graph = builder_of("z", "b").add_edge(START, "b").add_edge("b", "z").compile().get_graph()
    assert [*graph.nodes] == [START, "z", "b", END]


def test_a_drawing_does_not_depend_on_the_order_of_edges() -> None:
    edges = [(START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
    drawings = []
    for ordered in (edges, edges[::-1]):
        builder = builder_of("a", "b", "c", "d")
        for start, end in ordered:
            builder.add_edge(start, end)
        drawings.append(builder.compile().get_graph())
    assert drawings[0] == drawings[1]


def test_a_node_that_nothing_follows_leads_to_the_end() -> None:
    graph = builder_of("a").add_edge(START, "a").compile()
    assert edges_of(graph) == ["__start__ -> a", "a -> __end__"]


def test_a_graph_that_never_ends_has_no_end() -> None:
    def ask(state: State) -> Command[Literal["ask"]]:
        interrupt()
        return Command(goto="ask")

    with pytest.warns(GraphWarning, match="no way out"):
        graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
    assert END not in graph.get_graph().nodes


def test_the_starts_of_a_join_wait_for_each_other() -> None:
    builder = builder_of("a", "b", "c").add_edge(START, "a").add_edge(START, "b")
    graph = builder.add_edge(["a", "b"], "c").compile()
    assert edges_of(graph)[2:] == ["a => c", "b => c", "c -> __end__"]


def test_answers_that_are_not_the_name_of_their_target_are_labels() -> None:
    def review(state: State) -> str:
        return state["answer"]

    ways = {"publish": "publish", True: "revise", "no": "revise", "stop": END}
    builder = builder_of("write", "publish", "revise").add_edge(START, "write")
    builder.add_conditional_edges("write", review, ways).add_edge("revise", "write")
    assert edges_of(builder.compile())[1:5] == [
        "write .> publish",
        "write True, no .> revise",
        "write stop .> __end__",
        "publish -> __end__",
    ]


def test_what_comes_after_a_choice_waits_for_what_was_chosen() -> None:
    builder = builder_of("a", "b", "c").add_conditional_edges(START, lambda state: "a", ["a", "b"], then="c")
    assert edges_of(builder.compile()) == [
        "__start__ .> a",
        "__start__ .> b",
        "a => c",
        "b => c",
        "c -> __end__",
    ]


def test_declared_destinations_of_commands_are_drawn_dashed() -> None:
    def decide(state: State) -> Command[Literal["a", "__end__"]]:
        return Command(goto="a")

    builder = builder_of("a").add_node(decide).add_edge(START, "decide")
    assert edges_of(builder.compile())[2:] == ["decide .> a", "decide .> __end__"]


def test_destinations_may_bear_labels() -> None:
    builder = builder_of("a").add_node("decide", work, destinations={"a": "if in doubt", END: END})
    graph = builder.add_edge(START, "decide").compile()
    assert edges_of(graph)[2:] == ["decide if in doubt .> a", "decide .> __end__"]


def test_a_router_that_does_not_say_where_is_drawn_to_what_nothing_else_leads_to() -> None:
    def route(state: State) -> Any:
        return [Send("b", state)]

    builder = builder_of("a", "b", "c").add_edge(START, "a").add_conditional_edges("a", route)
    assert edges_of(builder.add_edge("b", "c").compile()) == [
        "__start__ -> a",
        "a .> b",
        "a .> __end__",
        "b -> c",
        "c -> __end__",
    ]


def test_an_end_that_a_router_tells_of_is_drawn_once() -> None:
    builder = builder_of("agent").add_node("tools", ToolNode([])).add_edge(START, "agent")
    builder.add_edge("agent", "tools").add_conditional_edges("tools", lambda state: END, ["agent", END])
    drawn = edges_of(builder.compile())
    assert drawn == ["__start__ -> agent", "agent -> tools", "tools .> agent", "tools .> __end__"]


def test_a_node_that_may_send_without_saying_where_is_drawn_likewise() -> None:
    def spread(state: State) -> Any:
        return Command(goto=[Send("b", state)])

    builder = builder_of("b", "c").add_node(spread).add_edge(START, "spread").add_edge("spread", "c")
    assert edges_of(builder.compile())[3:] == ["spread .> b", "spread -> c"]


def test_what_a_node_was_added_with_is_in_the_drawing() -> None:
    builder = builder_of("a").add_node("b", work, defer=True, priority=3, metadata={"owner": "ada"})
    builder.add_node("hidden", work, tags=[TAG_HIDDEN]).add_edge(START, "a").add_edge("a", "hidden")
    nodes = builder.add_edge("a", "b").compile().get_graph().nodes
    assert (nodes["b"].is_deferred, nodes["b"].priority, nodes["b"].metadata) == (True, 3, {"owner": "ada"})
    assert "hidden" not in nodes


def test_a_compiled_graph_is_drawn_as_it_was_when_it_was_compiled() -> None:
    builder = builder_of("a").add_edge(START, "a")
    graph = builder.compile()
    builder.add_node("b", work).add_edge("a", "b")
    assert edges_of(graph) == ["__start__ -> a", "a -> __end__"]


def test_a_graph_of_channels_shows_them_on_its_edges() -> None:
    shout = NodeBuilder().subscribe_only("words").do(str.upper).write_to("shouts")
    count = NodeBuilder().subscribe_to("shouts").do(len).write_to("total", "words")
    graph: Pregel[Any, Any, Any, Any] = Pregel(
        nodes={"shout": shout, "count": count},
        channels={"words": LastValue(str), "shouts": Topic(str), "total": LastValue(int)},
        input_channels="words",
        output_channels="total",
    )
    assert edges_of(graph) == [
        "__start__ words -> shout",
        "shout shouts -> count",
        "count total -> __end__",
        "count words -> shout",
    ]


# -- graphs within graphs ------------------------------------------------------------------------------


def agent() -> Any:
    def route(state: State) -> Literal["tools", "__end__"]:
        return "__end__"

    builder = builder_of("model", "tools").add_edge(START, "model").add_edge("tools", "model")
    return builder.add_conditional_edges("model", route).compile()


def team() -> Any:
    builder = builder_of("prepare").add_node("agent", agent()).add_edge(START, "prepare")
    return builder.add_edge("prepare", "agent").compile()


def company() -> Any:
    builder = builder_of("plan", "done").add_node("team", team())
    return builder.add_edge(START, "plan").add_edge("plan", "team").add_edge("team", "done").compile()


def test_without_xray_a_graph_within_a_graph_is_a_node() -> None:
    assert edges_of(company()) == ["__start__ -> plan", "plan -> team", "done -> __end__", "team -> done"]


def test_xray_shows_as_many_levels_as_asked_for() -> None:
    nodes = [[*company().get_graph(xray=levels).nodes] for levels in (0, 1, 2, True)]
    assert nodes[0] == [START, "plan", "done", "team", END]
    assert nodes[1] == [START, "plan", "done", "team:prepare", "team:agent", END]
    assert nodes[2] == nodes[3]
    assert nodes[3][3:-1] == ["team:prepare", "team:agent:model", "team:agent:tools", "team:agent:__end__"]


def test_edges_lead_into_an_unfolded_graph_and_out_of_it() -> None:
    assert edges_of(company(), xray=True) == [
        "__start__ -> plan",
        "plan -> team:prepare",
        "done -> __end__",
        "team:prepare -> team:agent:model",
        "team:agent:model .> team:agent:tools",
        "team:agent:model .> team:agent:__end__",
        "team:agent:tools -> team:agent:model",
        "team:agent:__end__ -> done",
    ]


def test_a_graph_within_a_graph_of_channels_is_unfolded_too() -> None:
    outer: Pregel[Any, Any, Any, Any] = Pregel(
        nodes={"inner": NodeBuilder().subscribe_only("words").do(agent()).write_to("total")},
        channels={"words": LastValue(dict), "total": LastValue(dict)},
        input_channels="words",
        output_channels="total",
    )
    assert "inner:tools" in outer.get_graph(xray=True).nodes


def test_a_negative_number_of_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="xray must be a number of levels, 0 or more, not -1"):
        company().get_graph(xray=-1)


def test_a_graph_is_drawn_as_it_was_compiled_whatever_its_builder_is_told_later() -> None:
    builder = builder_of("a", "b").add_edge(START, "a").add_edge("a", "b")
    graph = builder.compile()
    builder.add_node("c", work).add_edge("b", "c").add_edge(["a", "b"], "c")
    builder.add_conditional_edges("c", lambda state: "a", ["a", END])
    assert edges_of(graph) == ["__start__ -> a", "a -> b", "b -> __end__"]
