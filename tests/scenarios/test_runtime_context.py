"""What a node can ask for besides the state: context, config, store, writer, runtime; by name or by call."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from pydantic import BaseModel, Field

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.config import get_config, get_store, get_stream_writer
from aiograph.errors import AiographError, InvalidContextError
from aiograph.graph import START, StateGraph
from aiograph.runtime import ExecutionInfo, RunControl, Runtime, get_runtime
from aiograph.store.memory import InMemoryStore
from aiograph.types import RetryPolicy, RunnableConfig, StreamWriter


class State(TypedDict, total=False):
    seen: Any


@dataclass
class Person:
    name: str
    age: int = 36


class Model(BaseModel):
    name: str
    age: int = 36


class Mapping(TypedDict):
    name: str


def asking(node: Any, context_schema: Any = None, **options: Any) -> Any:
    builder: Any = StateGraph(State, context_schema=context_schema)
    return builder.add_node("ask", node).add_edge(START, "ask").compile(**options)


async def answer(graph: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
    return (await graph.ainvoke({}, config, **options))["seen"]


# -- context -------------------------------------------------------------------------------------------


def tell_context(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    return {"seen": runtime.context}


@pytest.mark.parametrize(
    ("schema", "context"),
    [(Person, Person("ada", 36)), (Model, Model(name="ada")), (Mapping, {"name": "ada"})],
)
async def test_a_dict_becomes_what_the_context_schema_says(schema: Any, context: Any) -> None:
    assert await answer(asking(tell_context, schema), context={"name": "ada"}) == context


async def test_a_context_of_that_type_arrives_as_it_is() -> None:
    person = Person("ada")
    assert await answer(asking(tell_context, Person), context=person) is person


async def test_without_a_schema_any_context_arrives_as_it_is() -> None:
    context = {"anything": 1}
    assert await answer(asking(tell_context), context=context) is context


class Settings(BaseModel):
    name: str = "ada"


@dataclass
class Defaults:
    name: str = "ada"
    tags: list[str] = field(default_factory=list)


class Loose(TypedDict, total=False):
    name: str


@pytest.mark.parametrize(
    ("schema", "context"),
    [
        (Defaults, Defaults()),
        (Settings, Settings()),
        (Loose, {}),
        (Person, None),
        (Model, None),
        (None, None),
    ],
)
async def test_without_a_context_there_is_one_of_defaults_if_the_schema_has_them_all(
    schema: Any, context: Any
) -> None:
    assert await answer(asking(tell_context, schema)) == context


async def test_each_run_has_defaults_of_its_own() -> None:
    graph = asking(tell_context, Defaults)
    assert (await answer(graph)).tags is not (await answer(graph)).tags


@pytest.mark.parametrize("schema", [Person, Model, Mapping, Defaults, Settings, Loose])
async def test_a_key_that_the_schema_does_not_have_is_refused_at_the_call(schema: Any) -> None:
    with pytest.raises(InvalidContextError, match=r"the keys \['nmae'\], which .* it has \[.*'name'"):
        await answer(asking(tell_context, schema), context={"name": "ada", "nmae": "ada"})


@pytest.mark.parametrize("schema", [Person, Model, Mapping])
async def test_a_dict_without_what_the_schema_needs_is_refused_at_the_call(schema: Any) -> None:
    with pytest.raises(InvalidContextError, match=r"(?s)does not make a '\w+': .*\bname"):
        await answer(asking(tell_context, schema), context={})


async def test_a_value_that_pydantic_refuses_is_refused_at_the_call() -> None:
    with pytest.raises(InvalidContextError, match="does not make a 'Model'"):
        await answer(asking(tell_context, Model), context={"name": "ada", "age": "old"})


async def test_a_model_takes_its_aliases_and_what_it_allows_beyond_its_fields() -> None:
    class Aliased(BaseModel):
        name: str = Field(alias="Name")

    class Open(BaseModel, extra="allow"):
        name: str

    assert (await answer(asking(tell_context, Aliased), context={"Name": "ada"})).name == "ada"
    assert (await answer(asking(tell_context, Aliased), context={"name": "ada"})).name == "ada"
    assert (await answer(asking(tell_context, Open), context={"name": "ada", "x": 1})).x == 1


async def test_the_context_of_the_run_around_goes_before_defaults() -> None:
    inner = asking(tell_context, Defaults)
    assert await answer(asking(lambda state: inner.ainvoke({})), context=5) == 5
    assert await answer(asking(lambda state: inner.ainvoke({}))) == Defaults()


async def test_a_nested_graph_inherits_the_context() -> None:
    inner = asking(tell_context)
    assert await answer(asking(lambda state: inner.ainvoke({})), context=5) == 5


async def test_a_nested_call_may_have_a_context_of_its_own() -> None:
    inner = asking(tell_context)
    assert await answer(asking(lambda state: inner.ainvoke({}, context=6)), context=5) == 6


# -- by parameter name ---------------------------------------------------------------------------------


async def test_parameters_are_filled_in_by_name_in_any_order_and_kind() -> None:
    def node(state: State, store: Any, *, writer: StreamWriter, config: RunnableConfig, runtime: Any) -> Any:
        assert config["metadata"]["langgraph_node"] == "ask"
        assert runtime.stream_writer == writer
        return {"seen": (store, runtime.store)}

    store = InMemoryStore()
    assert await answer(asking(node, store=store)) == (store, store)


async def test_parameters_with_defaults_and_other_names_keep_their_defaults() -> None:
    def node(state: State, verbose: bool = True, config: RunnableConfig | None = None, **rest: Any) -> Any:
        return {"seen": (verbose, config is not None, rest)}

    assert await answer(asking(node)) == (True, True, {})


async def test_methods_and_callable_objects_are_filled_in_too() -> None:
    class Node:
        def method(self, state: State, runtime: Runtime[Any]) -> Any:
            return {"seen": runtime.context}

        async def __call__(self, state: State, runtime: Runtime[Any]) -> Any:
            return {"seen": runtime.context}

    assert await answer(asking(Node().method), context=1) == 1
    assert await answer(asking(Node()), context=2) == 2


# -- by function call ----------------------------------------------------------------------------------


async def test_the_functions_work_in_asynchronous_and_synchronous_nodes() -> None:
    def ask(state: State) -> Any:
        config, runtime = get_config(), get_runtime(Person)
        return {"seen": (config["configurable"]["x"], get_store(), runtime.context.name)}

    async def ask_async(state: State) -> Any:
        await asyncio.sleep(0)
        return ask(state)

    store = InMemoryStore()
    for node in (ask, ask_async):
        graph = asking(node, Person, store=store)
        seen = await answer(graph, {"configurable": {"x": 1}}, context={"name": "ada"})
        assert seen == (1, store, "ada")


async def test_they_work_in_what_a_node_calls_and_in_tasks_it_makes() -> None:
    async def deep() -> str:
        return str(get_config()["metadata"]["langgraph_node"])

    async def node(state: State) -> Any:
        return {
            "seen": [
                await asyncio.create_task(deep()),
                await asyncio.to_thread(lambda: get_runtime().context),
            ]
        }

    assert await answer(asking(node), context=1) == ["ask", 1]


@pytest.mark.parametrize("function", [get_config, get_store, get_stream_writer, get_runtime])
@pytest.mark.parametrize("kind", [RuntimeError, AiographError])
def test_outside_of_a_run_they_say_so(function: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=rf"{function.__name__}\(\) was called outside of a run; it works only in"):
        function()


async def test_after_the_run_the_caller_is_outside_again() -> None:
    await answer(asking(tell_context))
    with pytest.raises(RuntimeError, match="outside of a run"):
        get_config()


async def test_a_stream_writer_without_a_listener_does_nothing() -> None:
    def node(state: State, writer: StreamWriter) -> Any:
        writer("unheard")
        get_stream_writer()("unheard")
        return {"seen": True}

    assert await answer(asking(node)) is True


# -- config, tags and metadata -------------------------------------------------------------------------


def tell_config(state: State) -> Any:
    return {"seen": get_config()}


async def test_the_config_tells_where_in_the_run_the_node_stands() -> None:
    metadata = (await answer(asking(tell_config)))["metadata"]
    assert metadata.pop("langgraph_checkpoint_ns").startswith("ask:")
    assert metadata == {
        "langgraph_step": 1,
        "langgraph_node": "ask",
        "langgraph_triggers": ("branch:to:ask",),
        "langgraph_path": ("__pregel_pull", "ask"),
    }


async def test_tags_and_metadata_come_from_graph_call_and_node() -> None:
    builder = StateGraph(State).add_node("ask", tell_config, tags=["node"], metadata={"team": "red"})
    graph = (
        builder.add_edge(START, "ask").compile().with_config(tags=["graph"], metadata={"of": "graph", "a": 1})
    )
    config = await answer(graph, {"tags": ["call"], "metadata": {"a": 2}})
    assert config["tags"] == ["graph", "call", "node"]
    assert {key: config["metadata"][key] for key in ("team", "of", "a")} == {
        "team": "red",
        "of": "graph",
        "a": 2,
    }


async def test_configurable_is_merged_by_key_and_limits_are_visible() -> None:
    graph = asking(tell_config).with_config(configurable={"a": 1, "b": 1}, recursion_limit=7)
    config = await answer(graph, {"configurable": {"b": 2}})
    assert (config["configurable"]["a"], config["configurable"]["b"], config["recursion_limit"]) == (1, 2, 7)


async def test_a_nested_graph_inherits_config_but_not_the_tags_and_metadata_of_its_node() -> None:
    inner = asking(tell_config)

    async def call(state: State) -> Any:
        return await inner.ainvoke({})

    builder = StateGraph(State).add_node("outer", call, tags=["node"]).add_edge(START, "outer")
    config = await answer(builder.compile(), {"tags": ["run"], "configurable": {"x": 1}})
    assert (config["tags"], config["configurable"]["x"]) == (["run"], 1)
    assert config["metadata"]["langgraph_node"] == "ask"


async def test_changing_the_config_that_a_node_got_changes_nothing_for_others() -> None:
    def spoil(state: State, config: RunnableConfig) -> None:
        config["configurable"]["x"] = "spoilt"
        config["metadata"]["y"] = "spoilt"

    builder = StateGraph(State).add_sequence([spoil, tell_config]).add_edge(START, "spoil")
    config = await answer(builder.compile(), {"configurable": {"x": 1}})
    assert config["configurable"]["x"] == 1
    assert "y" not in config["metadata"]


async def test_an_unknown_key_of_a_config_is_refused_with_a_guess() -> None:
    with pytest.raises(
        ValueError, match=r"a config has no key 'configurables', did you mean 'configurable'\?"
    ):
        await asking(tell_config).ainvoke({}, {"configurables": {}})
    with pytest.raises(ValueError, match="a config has no key 'thread_id'"):
        asking(tell_config).with_config(thread_id="1")


# -- which piece of work it is -------------------------------------------------------------------------


def informing(seen: list[Any], failures: int = 0) -> Any:
    def node(state: State, runtime: Runtime[Any]) -> None:
        seen.append(runtime.execution_info)
        if len(seen) <= failures:
            raise OSError("broken")

    return node


async def test_the_runtime_tells_thread_namespace_task_and_attempt() -> None:
    seen: list[Any] = []
    graph = asking(informing(seen), checkpointer=InMemorySaver())
    run_id = uuid4()
    config: RunnableConfig = {"configurable": {"thread_id": 7}, "run_id": run_id}
    before = time.time()
    await graph.ainvoke({}, config)
    history = [state async for state in graph.aget_state_history(config)]
    (info,) = seen
    assert (info.thread_id, info.node_attempt, info.run_id) == ("7", 1, str(run_id))
    assert info.checkpoint_id == history[1].config["configurable"]["checkpoint_id"]
    assert info.checkpoint_ns == f"ask:{info.task_id}"
    assert before <= info.node_first_attempt_time <= time.time()


async def test_without_a_saver_there_is_no_checkpoint_to_tell_of() -> None:
    seen: list[Any] = []
    await asking(lambda state: asking(informing(seen)).ainvoke({})).ainvoke({}, {"run_id": "r"})
    assert (seen[0].thread_id, seen[0].checkpoint_id, seen[0].run_id) == (None, None, "r")


async def test_attempts_are_counted_and_share_task_and_time_of_the_first() -> None:
    seen: list[Any] = []
    again = RetryPolicy(initial_interval=0.01, jitter=False, retry_on=OSError)
    await asking(informing(seen, 2), retry_policy=again).ainvoke({})
    assert [info.node_attempt for info in seen] == [1, 2, 3]
    assert len({(info.task_id, info.node_first_attempt_time) for info in seen}) == 1


async def test_the_task_id_is_the_same_after_a_crash() -> None:
    seen: list[Any] = []
    graph = asking(informing(seen, 1), checkpointer=InMemorySaver())
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, thread)
    await graph.ainvoke(None, thread)
    first, second = seen
    assert first.task_id == second.task_id


# -- made by hand --------------------------------------------------------------------------------------


def test_a_runtime_made_by_hand_does_nothing() -> None:
    runtime: Runtime[Any] = Runtime(context=5)
    runtime.stream_writer("unheard")
    runtime.heartbeat()
    assert (runtime.context, runtime.store, runtime.server_info) == (5, None, None)
    assert (runtime.execution_info.task_id, runtime.execution_info.node_attempt) == ("", 1)
    assert (runtime.drain_requested, runtime.drain_reason, runtime.previous) == (False, None, None)


def test_runtimes_are_merged_and_overridden_as_new_ones() -> None:
    store, control = InMemoryStore(), RunControl()
    runtime: Runtime[Any] = Runtime(context=1, store=store)
    assert runtime.merge(Runtime(control=control)) == Runtime(context=1, store=store, control=control)
    assert runtime.merge(Runtime(context=2)).context == 2
    assert runtime.override(context=3) == Runtime(context=3, store=store)
    assert runtime == Runtime(context=1, store=store)
    with pytest.raises(TypeError, match="contxt"):
        runtime.override(contxt=3)


def test_the_execution_info_can_be_patched() -> None:
    info = ExecutionInfo(checkpoint_id=None, checkpoint_ns="", task_id="t")
    runtime: Runtime[Any] = Runtime(execution_info=info)
    assert runtime.patch_execution_info(node_attempt=2).execution_info == info.patch(node_attempt=2)
    assert Runtime().patch_execution_info(task_id="t").execution_info == info
