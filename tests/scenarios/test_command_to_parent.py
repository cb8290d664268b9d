"""`Command(graph=...)`: a node in a nested graph updates a graph further out, and says where that goes on."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import InvalidUpdateError, ParentCommand
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import Command, RetryPolicy, RunnableConfig, Send, interrupt
from aiograph.warnings import UnknownKeyWarning

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
PARENT = Command.PARENT


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def name_of(name: str) -> Any:
    """A node that logs its name, and its argument if a `Send` gave it one."""
    return lambda state: {"log": [name if isinstance(state, dict) else f"{name}({state})"]}


def leaving(answer: Any, name: str = "child") -> Any:
    """A graph whose one node returns `answer`, or what it is if it is a function."""
    action = answer if callable(answer) else lambda state: answer
    builder = StateGraph(State).add_node("leave", action, destinations=[])
    return builder.add_edge(START, "leave").compile(name=name)


def around(child: Any, saver: Any = None, name: str = "parent", *, edge: bool = False, **options: Any) -> Any:
    """A graph with `child` as a node, and nodes `x` and `y` that it may go to."""
    builder = StateGraph(State).add_node("sub", child).add_node("x", name_of(f"x@{name}"))
    builder.add_node("y", name_of(f"y@{name}")).add_edge(START, "sub")
    if edge:
        builder.add_edge("sub", "y")
    else:
        builder.add_conditional_edges("sub", lambda state: END, ["x", "y", END])
    return builder.compile(saver, name=name, **options)


def called(child: Any, colour: str) -> Any:
    """A node that calls a graph."""
    if colour == "sync":
        return lambda state: child.invoke(state)

    async def call(state: State) -> Any:
        return await child.ainvoke(state)

    return call


COLOURS = pytest.mark.parametrize("colour", ["node", "sync", "async"])
SAVERS = pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["without-saver", "with-saver"])


def child_as(child: Any, colour: str) -> Any:
    return child if colour == "node" else called(child, colour)


def thread(saver: Any) -> RunnableConfig | None:
    return THREAD if saver else None


# -- one level -----------------------------------------------------------------------------------------


@COLOURS
@SAVERS
async def test_the_parent_is_updated_by_its_reducers_and_goes_on(colour: str, saver: Any) -> None:
    child = leaving(Command(graph=PARENT, update={"log": ["u"], "n": 1}, goto="x"))
    graph = around(child_as(child, colour), saver and saver())
    assert await graph.ainvoke({"log": ["in"]}, thread(saver)) == {"n": 1, "log": ["in", "u", "x@parent"]}


@COLOURS
def test_it_works_under_a_synchronous_caller(colour: str) -> None:
    graph = around(child_as(leaving(Command(graph=PARENT, goto="x")), colour))
    assert graph.invoke({"log": []})["log"] == ["x@parent"]


@pytest.mark.parametrize(
    ("goto", "log"),
    [
        (Send("x", 1), ["x@parent(1)"]),
        ([Send("x", 2), "y", Send("x", 1)], ["y@parent", "x@parent(2)", "x@parent(1)"]),
        (END, []),
        ((), []),
    ],
)
async def test_a_goto_is_whatever_a_goto_can_be(goto: Any, log: list[str]) -> None:
    graph = around(leaving(Command(graph=PARENT, goto=goto)))
    assert (await graph.ainvoke({"log": []}))["log"] == log


async def test_the_edges_of_the_parents_node_fire_as_well() -> None:
    graph = around(leaving(Command(graph=PARENT, update={"log": ["u"]}, goto="x")), edge=True)
    assert (await graph.ainvoke({"log": []}))["log"] == ["u", "x@parent", "y@parent"]


async def test_a_conditional_edge_of_the_parents_node_sees_the_update() -> None:
    builder = StateGraph(State).add_node("sub", leaving(Command(graph=PARENT, update={"n": 3})))
    builder.add_node("three", name_of("three")).add_edge(START, "sub")
    builder.add_conditional_edges("sub", lambda state: "three" if state["n"] == 3 else END, ["three", END])
    assert (await builder.compile().ainvoke({"log": []}))["log"] == ["three"]


async def test_what_the_child_had_written_stays_behind() -> None:
    builder = StateGraph(State).add_node("write", name_of("write"))
    builder.add_node("leave", lambda state: Command(graph=PARENT, update={"n": 1}), destinations=[])
    child = builder.add_edge(START, "write").add_edge("write", "leave").compile()
    assert await around(child).ainvoke({"log": ["in"]}) == {"n": 1, "log": ["in"]}


async def test_nothing_in_the_child_follows_the_node_that_leaves() -> None:
    ran: list[str] = []

    def note(state: State) -> str:
        ran.append("router")
        return END

    builder = StateGraph(State).add_node("leave", lambda state: Command(graph=PARENT, goto="x"))
    builder.add_node("after", lambda state: ran.append("after")).add_edge(START, "leave")
    builder.add_edge("leave", "after")
    builder.add_conditional_edges("leave", note, [END])
    assert (await around(builder.compile()).ainvoke({"log": []}))["log"] == ["x@parent"]
    assert ran == []


async def test_of_a_list_the_commands_for_the_parent_count() -> None:
    answer = [{"n": 1}, Command(graph=PARENT, update={"log": ["u"]}), Command(graph=PARENT, goto="x")]
    assert await around(leaving(answer)).ainvoke({"log": []}) == {"log": ["u", "x@parent"]}


async def test_the_parent_shows_the_command_as_the_update_of_its_node() -> None:
    graph = around(leaving(Command(graph=PARENT, update={"n": 1}, goto="x")))
    chunks = [chunk async for chunk in graph.astream({"log": []})]
    assert chunks == [{"sub": {"n": 1}}, {"x": {"log": ["x@parent"]}}]


async def test_the_child_shows_no_update_of_the_node_that_has_left() -> None:
    graph = around(leaving(Command(graph=PARENT, update={"n": 1}, goto="x")))
    chunks = [chunk async for chunk in graph.astream({"log": []}, stream_mode="updates", subgraphs=True)]
    assert chunks == [((), {"sub": {"n": 1}}), ((), {"x": {"log": ["x@parent"]}})]


# -- several tasks -------------------------------------------------------------------------------------


async def test_siblings_in_the_child_finish_and_commands_count_in_task_order() -> None:
    finished: list[str] = []

    def leave(name: str, seconds: float) -> Any:
        async def node(state: State) -> Command[Any]:
            await asyncio.sleep(seconds)
            finished.append(name)
            return Command(graph=PARENT, update={"log": [name]})

        return node

    async def quiet(state: State) -> None:
        await asyncio.sleep(0.02)  # a real sleep: it ends last
        finished.append("quiet")

    builder = StateGraph(State).add_node("a", leave("a", 0.01)).add_node("b", leave("b", 0))
    builder.add_node(quiet)
    for name in ("a", "b", "quiet"):
        builder.add_edge(START, name)
    assert (await around(builder.compile()).ainvoke({"log": []}))["log"] == ["a", "b"]
    assert finished == ["b", "a", "quiet"]


async def test_sends_to_a_child_leave_in_their_order() -> None:
    child = leaving(lambda state: Command(graph=PARENT, update={"log": [str(state["n"])]}, goto="x"))
    builder = StateGraph(State).add_node("many", lambda state: [Send("sub", {"n": n}) for n in range(3)])
    builder.add_node("sub", child).add_node("x", name_of("x")).add_edge(START, "many")
    assert (await builder.compile().ainvoke({"log": []}))["log"] == ["0", "1", "2", "x"]


@SAVERS
async def test_a_question_of_a_sibling_is_answered_first(saver: Any) -> None:
    ran: list[str] = []

    def leave(state: State) -> Command[Any]:
        ran.append("leave")
        return Command(graph=PARENT, update={"log": ["u"]}, goto="x")

    builder = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder.add_node("leave", leave, destinations=[]).add_edge(START, "ask").add_edge(START, "leave")
    graph = around(builder.compile(), InMemorySaver())
    assert (await graph.ainvoke({"log": []}, THREAD))["__interrupt__"][0].value == "?"
    assert (await graph.ainvoke(Command(resume="yes"), THREAD))["log"] == ["u", "x@parent"]
    assert ran == ["leave"]


@pytest.mark.parametrize("as_node", ["ask", END])
async def test_an_update_beside_a_command_is_refused_and_the_command_is_not_lost(as_node: str) -> None:
    builder = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder.add_node("leave", lambda state: Command(graph=PARENT, update={"log": ["u"]}), destinations=[])
    child = builder.add_edge(START, "ask").add_edge(START, "leave").compile()
    graph = around(child, InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    inner = (await graph.aget_state(THREAD, subgraphs=True)).tasks[0].state.config
    with pytest.raises(InvalidUpdateError, match=r"'leave' .* has commanded a graph further out"):
        await graph.aupdate_state(inner, None if as_node == END else {"log": ["mended"]}, as_node=as_node)
    assert (await graph.ainvoke(Command(resume="yes"), THREAD))["log"] == ["u"]


async def test_an_update_may_stand_in_the_place_of_a_command() -> None:
    builder = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder.add_node("leave", lambda state: Command(graph=PARENT, update={"log": ["u"]}), destinations=[])
    child = builder.add_edge(START, "ask").add_edge(START, "leave").compile()
    graph = around(child, InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    inner = (await graph.aget_state(THREAD, subgraphs=True)).tasks[0].state.config
    await graph.aupdate_state(inner, {"log": ["mended"]}, as_node="leave")
    await graph.ainvoke(None, THREAD)
    assert (await graph.ainvoke(Command(resume="yes"), THREAD))["log"] == ["mended", "yes"]


async def test_a_failure_of_a_sibling_is_told_first() -> None:
    def fail(state: State) -> None:
        raise OSError("broken")

    builder = StateGraph(State).add_node(fail).add_edge(START, "fail").add_edge(START, "leave")
    builder.add_node("leave", lambda state: Command(graph=PARENT, goto="x"), destinations=[])
    with pytest.raises(OSError, match="broken"):
        await around(builder.compile()).ainvoke({"log": []})


# -- further out ---------------------------------------------------------------------------------------


def nested(target: str, colour: str = "node", saver: Any = None) -> Any:
    """`root` has `middle` as its node `sub`, which has a graph that leaves as its node `sub`."""
    leaf = leaving(Command(graph=target, update={"log": ["u"]}, goto="x"), "leaf")
    middle = around(child_as(leaf, colour), name="middle")
    return around(child_as(middle, colour), saver, "root")


@COLOURS
@SAVERS
async def test_a_graph_further_out_is_addressed_by_its_name(colour: str, saver: Any) -> None:
    graph = nested("root", colour, saver and saver())
    assert (await graph.ainvoke({"log": []}, thread(saver)))["log"] == ["u", "x@root"]


@COLOURS
@pytest.mark.parametrize("target", [PARENT, "middle", "sub"])
async def test_the_parent_has_other_names_too(colour: str, target: str) -> None:
    assert (await nested(target, colour).ainvoke({"log": []}))["log"] == ["u", "x@middle"]


async def test_a_namespace_is_a_name_too() -> None:
    from aiograph.config import get_config

    def leave(state: State) -> Command[Any]:
        namespace = get_config()["configurable"]["checkpoint_ns"]  # root's node, middle's node, this node
        return Command(graph=namespace.split("|")[0], goto="x")

    graph = around(around(leaving(leave), name="middle"), InMemorySaver(), "root")
    assert (await graph.ainvoke({"log": []}, THREAD))["log"] == ["x@middle"]


async def test_each_graph_on_the_way_may_pass_a_command_on() -> None:
    def relay(state: State) -> Command[Any]:
        return Command(graph=PARENT, update={"n": state["n"] + 1}, goto="x")

    builder = StateGraph(State).add_node("sub", leaving(relay)).add_node("x", relay, destinations=[])
    builder.add_edge(START, "sub").add_conditional_edges("sub", lambda state: END, ["x", END])
    assert await around(builder.compile()).ainvoke({"n": 0, "log": []}) == {"n": 2, "log": ["x@parent"]}


# -- in code of the node -------------------------------------------------------------------------------


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
async def test_a_node_that_calls_a_graph_cannot_swallow_its_command(swallowed: type[BaseException]) -> None:
    child = leaving(Command(graph=PARENT, goto="x"))

    async def call(state: State) -> Any:
        try:
            return await child.ainvoke(state)
        except swallowed:
            return {"n": 1}

    assert await around(call).ainvoke({"log": []}) == {"log": ["x@parent"]}


async def test_commands_of_gathered_calls_are_not_lost() -> None:
    child = leaving(lambda state: Command(graph=PARENT, update={"log": ["u"]}))

    async def gathered(state: State) -> None:
        await asyncio.gather(child.ainvoke(state), child.ainvoke(state), return_exceptions=True)

    assert (await around(gathered).ainvoke({"log": []}))["log"] == ["u", "u"]


async def test_a_command_comes_out_of_a_task_group() -> None:
    child = leaving(lambda state: Command(graph=PARENT, update={"log": ["u"]}))

    async def grouped(state: State) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child.ainvoke(state))

    assert (await around(grouped).ainvoke({"log": []}))["log"] == ["u"]


async def test_a_stream_of_the_child_ends_with_the_command() -> None:
    child = leaving(Command(graph=PARENT, goto="x"))

    async def call(state: State) -> None:
        async for _ in child.astream(state):
            pass

    assert (await around(call).ainvoke({"log": []}))["log"] == ["x@parent"]


async def test_leaving_is_no_failure_that_is_tried_again() -> None:
    runs: list[int] = []

    def leave(state: State) -> Command[Any]:
        runs.append(1)
        return Command(graph=PARENT, goto="x")

    eager = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=lambda error: True)
    graph = around(leaving(leave), retry_policy=eager)
    assert (await graph.ainvoke({"log": []}))["log"] == ["x@parent"]
    alone = StateGraph(State).add_node("leave", leave, retry_policy=eager, destinations=[])
    with pytest.raises(ParentCommand):
        await alone.add_edge(START, "leave").compile().ainvoke({})
    assert len(runs) == 2


# -- stops, failures and crashes -----------------------------------------------------------------------


async def test_static_interrupts_stop_around_it() -> None:
    child = leaving(Command(graph=PARENT, update={"log": ["u"]}, goto="x"))
    graph = around(child, InMemorySaver(), interrupt_before=["x"], interrupt_after=["sub"])
    assert (await graph.ainvoke({"log": []}, THREAD))["log"] == ["u"]
    assert (await graph.aget_state(THREAD)).next == ("x",)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["u", "x@parent"]


@COLOURS
async def test_a_child_that_has_left_does_not_run_again_when_its_parents_node_does(colour: str) -> None:
    ran: list[str] = []

    def leave(state: State) -> Command[Any]:
        ran.append("leave")
        return Command(graph=PARENT, update={"log": ["u"]}, goto="x")

    def is_broken(state: State) -> Any:
        ran.append("router")
        if ran.count("router") == 1:
            raise OSError("broken")  # the parent's node fails after its child has left
        return END

    builder = StateGraph(State).add_node("sub", child_as(leaving(leave), colour))
    builder.add_node("x", name_of("x")).add_edge(START, "sub")
    builder.add_conditional_edges("sub", is_broken, ["x", END])
    graph = builder.compile(InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({"log": []}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["u", "x"]
    assert ran == ["leave", "router", "router"]


def test_the_command_is_kept_as_what_the_parents_node_wrote(tmp_path: Any) -> None:
    ran: list[str] = []

    def leave(state: State) -> Command[Any]:
        ran.append("leave")
        return Command(graph=PARENT, update={"log": ["u"]}, goto=Send("x", 1))

    def build(other: Any, saver: Any) -> Any:
        builder = StateGraph(State).add_node("sub", leaving(leave)).add_node("x", name_of("x"))
        builder.add_node("other", other).add_edge(START, "sub").add_edge(START, "other")
        builder.add_conditional_edges("sub", lambda state: END, ["x", END])
        return builder.compile(saver, on_error="finish")

    def fail(state: State) -> None:
        raise OSError("broken")

    with SqliteSaver(tmp_path / "threads.db") as saver, pytest.raises(OSError, match="broken"):
        build(fail, saver).invoke({"log": []}, THREAD)
    with SqliteSaver(tmp_path / "threads.db") as saver:
        assert build(name_of("o"), saver).invoke(None, THREAD)["log"] == ["o", "u", "x(1)"]
    assert ran == ["leave"]


# -- what is refused -----------------------------------------------------------------------------------


@SAVERS
async def test_a_graph_that_is_run_by_itself_has_no_parent(saver: Any) -> None:
    command: Command[Any] = Command(graph=PARENT, update={"n": 1})
    graph = leaving(command).with_checkpointer(saver and saver())
    with pytest.raises(
        ParentCommand, match="run it as a node of another graph, or leave out graph="
    ) as caught:
        await graph.ainvoke({"log": []}, thread(saver))
    assert caught.value.command == command
    if saver:
        assert (await graph.aget_state(THREAD)).next == ("leave",)


async def test_an_unknown_graph_is_refused_with_the_names_of_those_there_are() -> None:
    message = r"'leave' commands a graph 'nowhere', .* go by \['middle', 'root', 'sub'\] and Command.PARENT"
    with pytest.raises(InvalidUpdateError, match=message):
        await nested("nowhere").ainvoke({"log": []})


async def test_an_unknown_target_is_refused_with_the_nodes_of_the_graph_that_is_addressed() -> None:
    graph = around(leaving(Command(graph=PARENT, goto="leave")))
    with pytest.raises(InvalidUpdateError, match=r"node 'sub' goes to 'leave', .* \['sub', 'x', 'y'\]"):
        await graph.ainvoke({"log": []})


@COLOURS
async def test_unknown_keys_are_told_as_those_of_any_update(colour: str) -> None:
    graph = around(child_as(leaving(Command(graph=PARENT, update={"m": 1})), colour))
    with pytest.warns(UnknownKeyWarning, match=r"the update of node 'sub' has the keys \['m'\]"):
        await graph.ainvoke({"log": []})


async def test_commands_for_two_graphs_at_once_are_refused() -> None:
    builder = StateGraph(State).add_node("a", lambda state: Command(graph=PARENT, goto="x"), destinations=[])
    builder.add_node("b", lambda state: Command(graph="root", goto="x"), destinations=[])
    builder.add_edge(START, "a").add_edge(START, "b")
    graph = around(around(builder.compile(), name="middle"), name="root")
    with pytest.raises(InvalidUpdateError, match=r"for graph 'middle' and for \['root'\]"):
        await graph.ainvoke({"log": []})


async def test_a_caller_cannot_address_another_graph() -> None:
    graph = around(name_of("sub"), InMemorySaver())
    with pytest.raises(InvalidUpdateError, match="for the graph that is called, not for '__parent__'"):
        await graph.ainvoke(Command(graph=PARENT, update={"n": 1}), THREAD)
    await graph.ainvoke({"log": []}, THREAD)
    with pytest.raises(InvalidUpdateError, match="an update from outside is for its own graph"):
        await graph.aupdate_state(THREAD, Command(graph=PARENT), as_node="sub")


# -- graphs of channels --------------------------------------------------------------------------------


async def test_graphs_of_channels_leave_and_are_left_for() -> None:
    channels: Any = {"in": LastValue(str), "out": LastValue(str)}

    def by_hand(action: Any) -> Any:
        node = NodeBuilder().subscribe_only("in").do(action).write_to("out")
        return Pregel(nodes={"n": node}, channels=channels, input_channels="in", output_channels="out")

    inner = by_hand(lambda text: Command(graph=PARENT, update={"out": text * 2}))
    assert await by_hand(inner).ainvoke("ab") == "abab"
    goes = by_hand(by_hand(lambda text: Command(graph=PARENT, goto="n")))
    with pytest.raises(InvalidUpdateError, match="has no edges for a goto to follow"):
        await goes.ainvoke("ab")
