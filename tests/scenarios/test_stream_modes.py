"""Stream modes: what each shows, in which shape, and in which order."""

import operator
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.config import get_stream_writer
from aiograph.errors import InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.types import Command, RunnableConfig, Send, StreamWriter

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Hidden(TypedDict, total=False):
    secret: str


async def a(state: State) -> dict[str, Any]:
    return {"n": 1, "log": ["a"]}


async def b(state: State) -> dict[str, Any]:
    return {"log": ["b"]}


def chain(saver: Any = None) -> Any:
    return StateGraph(State).add_sequence([a, b]).add_edge(START, "a").compile(saver)


async def shown(graph: Any, mode: Any = None, input: Any = {"n": 0}, **options: Any) -> list[Any]:  # noqa: B006
    return [chunk async for chunk in graph.astream(input, stream_mode=mode, **options)]


# -- values --------------------------------------------------------------------------------------------


async def test_values_shows_the_output_after_the_input_and_after_each_superstep() -> None:
    assert await shown(chain(), "values") == [
        {"n": 0, "log": []},
        {"n": 1, "log": ["a"]},
        {"n": 1, "log": ["a", "b"]},
    ]


async def test_values_shows_nothing_for_a_superstep_that_wrote_no_output() -> None:
    nodes: Any = [("idle", lambda state: None), ("same", lambda state: {"n": 0})]
    graph = StateGraph(State).add_sequence(nodes).add_edge(START, "idle").compile()
    assert await shown(graph, "values") == [{"n": 0, "log": []}, {"n": 0, "log": []}]


async def test_values_of_a_resumed_run_begin_with_the_state_as_it_is() -> None:
    failing = [OSError("once")]

    async def fragile(state: State) -> dict[str, Any]:
        if failing:
            raise failing.pop()
        return {"log": ["b"]}

    nodes: Any = [a, ("b", fragile)]
    graph = StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(InMemorySaver())
    with pytest.raises(OSError, match="once"):
        await shown(graph, "values", config=THREAD)
    resumed = await shown(graph, "values", None, config=THREAD)
    assert resumed == [{"n": 1, "log": ["a"]}, {"n": 1, "log": ["a", "b"]}]


async def test_values_of_a_finished_thread_are_its_state() -> None:
    graph = chain(InMemorySaver())
    end = await graph.ainvoke({"n": 0}, THREAD)
    assert await shown(graph, "values", None, config=THREAD) == [end]


async def test_output_keys_narrow_what_is_shown() -> None:
    assert await shown(chain(), "values", output_keys=["n"]) == [{"n": 0}, {"n": 1}]
    assert await shown(chain(), "values", output_keys="n") == [0, 1]
    assert await shown(chain(), "updates", output_keys=["n"]) == [{"a": {"n": 1}}, {"b": None}]
    assert await chain().ainvoke({"n": 0}, output_keys="log") == ["a", "b"]


class Narrow(TypedDict, total=False):
    n: int


def narrow() -> Any:
    builder = StateGraph(State, output_schema=Narrow).add_sequence([a, b]).add_edge(START, "a")
    return builder.compile(InMemorySaver())


async def test_the_output_schema_does_not_narrow_what_is_shown_of_the_state() -> None:
    assert await shown(narrow(), "values", config=THREAD) == await shown(chain(), "values")
    assert await shown(narrow(), "updates", config=THREAD) == await shown(chain(), "updates")
    checkpoints = await shown(narrow(), "checkpoints", config=THREAD)
    assert checkpoints[-1]["values"] == {"n": 1, "log": ["a", "b"]}


async def test_the_output_schema_narrows_what_invoke_returns_and_what_graphs_inside_nodes_show() -> None:
    updates = [{"a": {"n": 1}}, {"b": None}]
    assert await narrow().ainvoke({"n": 0}, THREAD, stream_mode="updates") == updates
    builder = StateGraph(State).add_node("inner", narrow().with_checkpointer(None))
    chunks = await shown(builder.add_edge(START, "inner").compile(), "updates", subgraphs=True)
    assert [payload for path, payload in chunks if path] == updates


# -- updates -------------------------------------------------------------------------------------------


async def test_updates_shows_what_each_task_wrote_and_is_the_default() -> None:
    expected = [{"a": {"n": 1, "log": ["a"]}}, {"b": {"log": ["b"]}}]
    assert await shown(chain()) == await shown(chain(), "updates") == expected


async def test_updates_shows_none_for_a_task_that_wrote_nothing() -> None:
    graph = StateGraph(State).add_node("idle", lambda state: {}).add_edge(START, "idle").compile()
    assert await shown(graph, "updates") == [{"idle": None}]


async def test_updates_shows_a_list_when_a_task_writes_a_key_repeatedly() -> None:
    node: list[Command[str]] = [Command(update={"log": ["x"]}), Command(update={"log": ["y"], "n": 2})]
    builder = StateGraph(State).add_node("node", lambda state: node, destinations=[])
    graph = builder.add_edge(START, "node").compile()
    assert await shown(graph, "updates") == [{"node": [{"log": ["x"]}, {"log": ["y"], "n": 2}]}]


async def test_updates_shows_one_chunk_for_each_send() -> None:
    builder = StateGraph(State).add_node("work", lambda n: {"log": [str(n)]})
    builder.add_conditional_edges(START, lambda state: [Send("work", 1), Send("work", 2)], ["work"])
    chunks = await shown(builder.compile(), "updates")
    assert sorted(chunk["work"]["log"][0] for chunk in chunks) == ["1", "2"]


async def test_updates_leaves_out_private_keys() -> None:
    def hide(state: Hidden) -> dict[str, Any]:
        return {"secret": "x", "n": 2}

    builder = StateGraph(State).add_node("hide", hide, input_schema=Hidden).add_edge(START, "hide")
    assert await shown(builder.compile(), "updates") == [{"hide": {"n": 2}}]


async def test_updates_marks_what_was_finished_before_a_resume() -> None:
    failing = [OSError("once")]

    async def fragile(state: State) -> dict[str, Any]:
        if failing:
            raise failing.pop()
        return {"log": ["bad"]}

    builder = (
        StateGraph(State).add_node(a).add_node("bad", fragile).add_edge(START, "a").add_edge(START, "bad")
    )
    graph = builder.compile(InMemorySaver())
    with pytest.raises(OSError, match="once"):
        await graph.ainvoke({}, THREAD)
    assert await shown(graph, "updates", None, config=THREAD) == [
        {"a": {"n": 1, "log": ["a"]}, "__metadata__": {"cached": True}},
        {"bad": {"log": ["bad"]}},
    ]


# -- custom --------------------------------------------------------------------------------------------


def tell(state: State, writer: StreamWriter) -> None:
    writer("by name")
    get_stream_writer()({"by": "call"})


async def tell_async(state: State, writer: StreamWriter) -> None:
    tell(state, writer)


@pytest.mark.parametrize("node", [tell, tell_async])
async def test_custom_shows_what_nodes_write(node: Any) -> None:
    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    assert await shown(graph, "custom") == ["by name", {"by": "call"}]


@pytest.mark.parametrize("node", [tell, tell_async])
def test_custom_from_a_synchronous_call(node: Any) -> None:
    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    assert list(graph.stream({}, stream_mode="custom")) == ["by name", {"by": "call"}]


# -- tasks ---------------------------------------------------------------------------------------------


async def test_tasks_shows_start_and_result_of_each_task() -> None:
    builder = StateGraph(State).add_node("b", b, metadata={"team": "red"}).add_node(a)
    graph = builder.add_edge(START, "a").add_edge("a", "b").compile()
    start_a, end_a, start_b, end_b = await shown(graph, "tasks")
    assert start_a == {
        "id": start_a["id"],
        "name": "a",
        "input": {"n": 0, "log": []},
        "triggers": ("branch:to:a",),
    }
    result = {"n": 1, "log": ["a"]}
    assert end_a == {"id": start_a["id"], "name": "a", "error": None, "result": result, "interrupts": []}
    assert (start_b["metadata"], start_b["input"]) == ({"team": "red"}, {"n": 1, "log": ["a"]})
    assert end_b["result"] == {"log": ["b"]}


async def test_tasks_and_history_show_all_that_a_task_wrote_to_a_key_repeatedly() -> None:
    def twice(state: State) -> Any:
        return [Command(update={"log": ["x"]}), Command(update={"log": ["y"], "n": 2})]

    builder = StateGraph(State).add_node("twice", twice, destinations=[]).add_node("idle", lambda state: None)
    graph = builder.add_edge(START, "twice").add_edge(START, "idle").compile(InMemorySaver())
    chunks = await shown(graph, "tasks", config=THREAD)
    results = {chunk["name"]: chunk["result"] for chunk in chunks if "result" in chunk}
    assert results == {"twice": {"log": {"$writes": [["x"], ["y"]]}, "n": 2}, "idle": {}}
    before = [state async for state in graph.aget_state_history(THREAD)][1]
    assert {task.name: task.result for task in before.tasks} == results


async def test_tasks_shows_the_error_of_a_task_that_failed() -> None:
    async def fail(state: State) -> None:
        raise OSError("bad")

    graph = StateGraph(State).add_node(fail).add_edge(START, "fail").compile()
    chunks = []
    with pytest.raises(OSError, match="bad"):  # noqa: PT012  # the chunks before the error count
        async for chunk in graph.astream({}, stream_mode="tasks"):
            chunks.append(chunk)  # noqa: PERF401
    assert isinstance(chunks[1]["error"], OSError)
    assert chunks[1]["result"] == {}


async def test_tasks_shows_a_task_whose_input_cannot_be_made_and_names_the_node() -> None:
    class Model(BaseModel):
        n: int

    graph = StateGraph(Model).add_node("node", lambda state: None).add_edge(START, "node").compile()
    stream = graph.astream({}, stream_mode="tasks")  # type: ignore[arg-type]
    assert (await anext(stream))["input"] is None
    assert isinstance((await anext(stream))["error"], InvalidUpdateError)
    with pytest.raises(InvalidUpdateError) as caught:
        await anext(stream)
    assert "in node 'node'" in caught.value.__notes__[0]


# -- checkpoints and debug -----------------------------------------------------------------------------


async def test_checkpoints_shows_each_checkpoint_and_what_is_next() -> None:
    graph = chain(InMemorySaver())
    chunks = await shown(graph, "checkpoints", config=THREAD)
    history = [state async for state in graph.aget_state_history(THREAD)][::-1]
    for key in ("config", "parent_config", "values", "metadata"):
        assert [chunk[key] for chunk in chunks] == [getattr(state, key) for state in history]
    assert [chunk["next"] for chunk in chunks] == [["__start__"], ["a"], ["b"], []]
    assert [set(task) for task in chunks[0]["tasks"]] == [{"id", "name", "interrupts", "state"}]
    assert [[task["name"] for task in chunk["tasks"]] for chunk in chunks] == [
        ["__start__"],
        ["a"],
        ["b"],
        [],
    ]


async def test_checkpoints_names_tasks_by_the_ids_that_tasks_shows() -> None:
    chunks = await shown(chain(InMemorySaver()), ["checkpoints", "tasks"], config=THREAD)
    promised = [task["id"] for mode, chunk in chunks if mode == "checkpoints" for task in chunk["tasks"]]
    started = [chunk["id"] for mode, chunk in chunks if mode == "tasks" and "input" in chunk]
    assert promised[1:] == started


async def test_checkpoints_shows_nothing_without_a_checkpointer() -> None:
    assert await shown(chain(), "checkpoints") == []


async def test_debug_shows_tasks_and_checkpoints_with_step_and_time() -> None:
    events = await shown(chain(InMemorySaver()), "debug", config=THREAD)
    assert [(event["step"], event["type"]) for event in events] == [
        (-1, "checkpoint"),
        (0, "checkpoint"),
        (1, "task"),
        (1, "task_result"),
        (1, "checkpoint"),
        (2, "task"),
        (2, "task_result"),
        (2, "checkpoint"),
    ]
    assert all(set(event) == {"step", "timestamp", "type", "payload"} for event in events)


# -- several modes -------------------------------------------------------------------------------------


async def test_a_list_of_modes_shows_pairs_in_the_order_of_events() -> None:
    chunks = await shown(chain(InMemorySaver()), ["values", "updates", "tasks", "checkpoints"], config=THREAD)
    assert [mode for mode, _ in chunks] == [
        *("checkpoints", "values", "checkpoints"),
        *("tasks", "updates", "tasks", "values", "checkpoints") * 2,
    ]


async def test_a_list_of_one_mode_shows_pairs_too() -> None:
    assert (await shown(chain(), ["values"]))[0] == ("values", {"n": 0, "log": []})


async def test_ainvoke_with_another_mode_returns_the_list_of_chunks() -> None:
    assert await chain().ainvoke({"n": 0}, stream_mode="updates") == await shown(chain())


def test_invoke_and_stream_do_the_same() -> None:
    modes = ["updates", "values"]
    assert chain().invoke({"n": 0}, stream_mode=modes) == list(chain().stream({"n": 0}, stream_mode=modes))


# -- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["value", ["values", "nonsense"], ("updates", None)])
async def test_an_unknown_mode_is_refused_with_a_list_of_what_exists(mode: Any) -> None:
    message = r"there is no stream mode .*; there are 'values', 'updates', 'custom', 'messages'"
    with pytest.raises(ValueError, match=message):
        await shown(chain(), mode)


async def test_no_mode_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no stream mode was asked for; there are values"):
        await shown(chain(), [])


@pytest.mark.parametrize("keys", ["m", ["n", "m"]])
async def test_an_unknown_output_key_is_refused_with_a_list_of_what_exists(keys: Any) -> None:
    with pytest.raises(ValueError, match=r"there is no output key 'm'; there are .*'log', 'n'"):
        await chain().ainvoke({}, output_keys=keys)
