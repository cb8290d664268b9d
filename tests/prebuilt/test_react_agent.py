"""What `create_react_agent` builds, and how its parts play together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidChatHistoryError
from aiograph.graph.message import add_messages
from aiograph.managed import RemainingSteps
from aiograph.messages import AIMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from aiograph.prebuilt import InjectedState, ToolNode, create_react_agent
from aiograph.prebuilt.chat_agent_executor import (
    AgentState,
    AgentStatePydantic,
    AgentStateWithStructuredResponse,
)
from aiograph.runtime import Runtime
from aiograph.testing import ScriptedModel
from aiograph.tools import tool
from aiograph.types import RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool(return_direct=True)
def show(text: str) -> str:
    """Shows something to the user."""
    return f"*{text}*"


def calls(*calls: tuple[str, dict[str, Any]], id: str | None = None) -> AIMessage:
    """A message that calls tools; the n-th call has the id `n`."""
    made = [ToolCall(name=name, args=args, id=str(number)) for number, (name, args) in enumerate(calls, 1)]
    return AIMessage(tool_calls=made, id=id)


ADDING = ("add", {"a": 1, "b": 2})


def told(model: ScriptedModel) -> list[list[tuple[str, str]]]:
    """What the model was told, call by call."""
    return [[(message.type, message.text) for message in request.messages] for request in model.requests]


def texts(output: Any) -> list[str]:
    return [message.text for message in output["messages"]]


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


# -- the loop --------------------------------------------------------------------------------------


def test_a_model_calls_tools_until_it_has_an_answer(version: Any) -> None:
    model = ScriptedModel([calls(ADDING, ("add", {"a": 3, "b": 4})), "3 and 7"])
    output = create_react_agent(model, [add], version=version).invoke({"messages": "add!"})
    assert texts(output) == ["add!", "", "3", "7", "3 and 7"]
    assert [message.tool_call_id for message in output["messages"][2:4]] == ["1", "2"]
    assert told(model)[1] == [("human", "add!"), ("ai", ""), ("tool", "3"), ("tool", "7")]


async def test_it_does_so_asynchronously_too(version: Any) -> None:
    agent = create_react_agent(ScriptedModel([calls(ADDING), "3"]), [add], version=version)
    assert texts(await agent.ainvoke({"messages": "add!"})) == ["add!", "", "3", "3"]


def test_the_model_is_told_which_tools_there_are() -> None:
    model = ScriptedModel(["hi"])
    create_react_agent(model, [add, show]).invoke({"messages": "hello"})
    assert [spec.name for spec in model.requests[0].tools] == ["add", "show"]


def test_the_second_version_gives_each_call_a_task_of_its_own() -> None:
    two = calls(ADDING, ("add", {"a": 3, "b": 4}))
    for version, tasks in (("v1", 1), ("v2", 2)):
        agent = create_react_agent(ScriptedModel([two, "done"]), [add], version=version)  # type: ignore[arg-type]
        updates = [*agent.stream({"messages": "add!"}, stream_mode="updates")]
        assert [next(iter(update)) for update in updates] == ["agent", *["tools"] * tasks, "agent"]


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="'v3'"):
        create_react_agent(ScriptedModel([]), [add], version="v3")  # type: ignore[arg-type]


def test_without_tools_the_model_answers_at_once() -> None:
    agent = create_react_agent(ScriptedModel(["hi"]), [])
    assert texts(agent.invoke({"messages": "hello"})) == ["hello", "hi"]
    assert set(agent.get_graph().nodes) == {"__start__", "agent", "__end__"}


def test_a_dict_describes_a_tool_that_runs_at_the_provider() -> None:
    model = ScriptedModel(["found"])
    agent = create_react_agent(model, [{"type": "web_search"}])
    assert texts(agent.invoke({"messages": "search"})) == ["search", "found"]
    assert "tools" not in agent.get_graph().nodes
    assert len(model.requests[0].tools) == 1


def test_a_node_of_tools_is_taken_as_it_is() -> None:
    node = ToolNode([add], handle_tool_errors="sorry")
    model = ScriptedModel([calls(("add", {"a": 1})), "done"])
    assert texts(create_react_agent(model, node).invoke({"messages": "add!"}))[2] == "sorry"


# -- the shape -------------------------------------------------------------------------------------

HOOKS: dict[str, Any] = {"pre_model_hook": lambda state: {}, "post_model_hook": lambda state: {}}


class Answer(BaseModel):
    sum: int


def edges(agent: Any) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in agent.get_graph().edges}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "__start__-agent agent-__end__ agent-tools tools-agent"),
        ({"tools": []}, "__start__-agent agent-__end__"),
        ({"tools": [show]}, "__start__-agent agent-__end__ agent-tools tools-agent tools-__end__"),
        (
            {"response_format": Answer},
            "__start__-agent agent-tools tools-agent agent-generate_structured_response "
            "generate_structured_response-__end__",
        ),
        (
            {**HOOKS, "response_format": Answer},
            "__start__-pre_model_hook pre_model_hook-agent agent-post_model_hook post_model_hook-tools "
            "post_model_hook-pre_model_hook post_model_hook-generate_structured_response "
            "tools-pre_model_hook generate_structured_response-__end__",
        ),
        (
            {**HOOKS, "tools": []},
            "__start__-pre_model_hook pre_model_hook-agent agent-post_model_hook post_model_hook-__end__",
        ),
    ],
)
def test_an_agent_is_a_graph_with_well_known_nodes(options: dict[str, Any], expected: str) -> None:
    options = {"tools": [add], **options}
    agent = create_react_agent(ScriptedModel([]), **options)
    assert edges(agent) == {tuple(edge.split("-")) for edge in expected.split()}


# -- prompts ---------------------------------------------------------------------------------------


def from_the_state(state: AgentState) -> list[Any]:
    return [SystemMessage("be brief"), *state["messages"]]


async def awaited(state: AgentState) -> list[Any]:
    return [SystemMessage("be brief"), *state["messages"]]


def with_config(state: AgentState, config: RunnableConfig) -> list[Any]:
    return [SystemMessage(config["metadata"]["tone"]), *state["messages"]]


class Runnable:
    async def ainvoke(self, state: AgentState) -> list[Any]:
        return [("system", "be brief"), *state["messages"]]


@pytest.mark.parametrize(
    "prompt",
    [
        "be brief",
        SystemMessage("be brief"),
        [("system", "be brief")],
        from_the_state,
        awaited,
        with_config,
        Runnable(),
    ],
)
def test_a_prompt_may_be_many_things(prompt: Any) -> None:
    model = ScriptedModel([calls(ADDING), "3"])
    agent = create_react_agent(model, [add], prompt=prompt)
    output = agent.invoke({"messages": "add!"}, {"metadata": {"tone": "be brief"}})
    assert told(model)[0] == [("system", "be brief"), ("human", "add!")]
    assert told(model)[1][:2] == [("system", "be brief"), ("human", "add!")]
    assert texts(output) == ["add!", "", "3", "3"]


def test_something_else_is_no_prompt() -> None:
    with pytest.raises(TypeError, match="prompt"):
        create_react_agent(ScriptedModel([]), [add], prompt=3)


# -- models that are chosen ------------------------------------------------------------------------


class Context(TypedDict):
    model: str


def chosen_by_name(models: dict[str, ScriptedModel]) -> list[Callable[..., Any]]:
    def choose(state: AgentState, runtime: Runtime[Context]) -> Any:
        return models[runtime.context["model"]].bind_tools([add])

    async def achoose(state: AgentState, anything: Runtime[Context]) -> Any:
        return models[anything.context["model"]].bind_tools([add])

    return [choose, achoose]


@pytest.mark.parametrize("which", [0, 1], ids=["sync", "async"])
def test_a_function_chooses_the_model_for_each_turn(which: int) -> None:
    models = {"loud": ScriptedModel([calls(ADDING), "THREE"]), "mute": ScriptedModel([""])}
    agent = create_react_agent(chosen_by_name(models)[which], [add], context_schema=Context)
    assert texts(agent.invoke({"messages": "add!"}, context={"model": "loud"}))[-1] == "THREE"
    assert texts(agent.invoke({"messages": "add!"}, context={"model": "mute"}))[-1] == ""
    assert [len(request.tools) for request in models["loud"].requests] == [1, 1]


def test_a_function_that_returns_no_model_is_told_so() -> None:
    agent = create_react_agent(lambda state, runtime: 3, [add])
    with pytest.raises(TypeError, match="3 is no chat model"):
        agent.invoke({"messages": "hi"})


def test_what_is_no_model_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(TypeError, match="no chat model"):
        create_react_agent(3, [add])


def test_a_model_that_is_bound_to_the_same_tools_is_used_as_it_is() -> None:
    model = ScriptedModel([calls(ADDING), "3"])
    agent = create_react_agent(model.bind_tools([add], tool_choice="any"), [add])
    agent.invoke({"messages": "add!"})
    assert model.requests[0].tool_choice == "any"


@pytest.mark.parametrize("tools", [[], [show], [add, show]], ids=["none", "another", "more"])
def test_a_model_that_is_bound_to_other_tools_is_refused(tools: list[Any]) -> None:
    with pytest.raises(ValueError, match="bound to the tools 'add'"):
        create_react_agent(ScriptedModel([]).bind_tools([add]), tools)


# -- hooks -----------------------------------------------------------------------------------------


def shorten(state: Any) -> dict[str, Any]:
    return {"llm_input_messages": ["short"]}


def test_what_the_model_is_shown_may_differ_from_what_is_remembered() -> None:
    model = ScriptedModel([calls(ADDING), "3"])
    agent = create_react_agent(model, [add], prompt="brief", pre_model_hook=shorten)
    output = agent.invoke({"messages": "a long story"})
    assert told(model) == [[("system", "brief"), ("human", "short")]] * 2
    assert texts(output)[0] == "a long story"
    assert "llm_input_messages" not in output


def test_it_differs_for_one_call_alone() -> None:
    def once(state: AgentState) -> dict[str, Any]:
        return {"llm_input_messages": ["short"]} if len(state["messages"]) == 1 else {}

    model = ScriptedModel([calls(ADDING), "3"])
    create_react_agent(model, [add], pre_model_hook=once).invoke({"messages": "long"})
    assert told(model) == [[("human", "short")], [("human", "long"), ("ai", ""), ("tool", "3")]]


def test_a_prompt_function_is_shown_what_the_model_is_shown() -> None:
    model = ScriptedModel(["hi"])
    create_react_agent(model, [add], prompt=from_the_state, pre_model_hook=shorten).invoke(
        {"messages": "long"}
    )
    assert told(model) == [[("system", "be brief"), ("human", "short")]]


def test_a_hook_before_the_model_may_change_the_conversation() -> None:
    model = ScriptedModel(["hi"])
    agent = create_react_agent(
        model, [add], pre_model_hook=lambda state: {"messages": [HumanMessage("and be quick")]}
    )
    output = agent.invoke({"messages": "hello"})
    assert told(model) == [[("human", "hello"), ("human", "and be quick")]]
    assert texts(output) == ["hello", "and be quick", "hi"]


def test_a_hook_after_the_model_may_answer_calls_itself(version: Any) -> None:
    def forbid_first(state: AgentState) -> dict[str, Any]:
        said = state["messages"][-1]
        return {"messages": [ToolMessage("no", tool_call_id=each["id"]) for each in said.tool_calls[:1]]}

    model = ScriptedModel([calls(ADDING, ("add", {"a": 3, "b": 4})), "7"])
    agent = create_react_agent(model, [add], post_model_hook=forbid_first, version=version)
    assert texts(agent.invoke({"messages": "add!"})) == ["add!", "", "no", "7", "7"]


def test_if_it_answers_all_of_them_the_model_goes_on(version: Any) -> None:
    def forbid(state: AgentState) -> dict[str, Any]:
        said = state["messages"][-1]
        return {"messages": [ToolMessage("no", tool_call_id=each["id"]) for each in said.tool_calls]}

    model = ScriptedModel([calls(ADDING), "I may not"])
    agent = create_react_agent(model, [add], post_model_hook=forbid, version=version)
    assert texts(agent.invoke({"messages": "add!"})) == ["add!", "", "no", "I may not"]


def test_a_hook_after_the_model_may_take_its_word_back() -> None:
    def replace(state: AgentState) -> dict[str, Any]:
        return {"messages": [AIMessage("[removed]", id=state["messages"][-1].id)]}

    agent = create_react_agent(ScriptedModel(["rude"]), [add], post_model_hook=replace)
    assert texts(agent.invoke({"messages": "hello"})) == ["hello", "[removed]"]


# -- the end ---------------------------------------------------------------------------------------


def test_a_tool_may_have_the_last_word(version: Any) -> None:
    model = ScriptedModel([calls(("show", {"text": "this"}), ADDING)])
    agent = create_react_agent(model, [add, show], version=version)
    assert texts(agent.invoke({"messages": "show!"})) == ["show!", "", "*this*", "3"]


def test_a_tool_that_fails_does_not_have_the_last_word(version: Any) -> None:
    model = ScriptedModel([calls(("show", {"txt": "this"})), calls(("show", {"text": "this"}))])
    agent = create_react_agent(model, [show], version=version)
    output = agent.invoke({"messages": "show!"})
    assert output["messages"][2].status == "error"
    assert texts(output)[-1] == "*this*"


def test_the_answer_may_be_put_into_a_shape() -> None:
    model = ScriptedModel([calls(ADDING), "it is 3", {"sum": 3}])
    output = create_react_agent(model, [add], prompt="brief", response_format=Answer).invoke(
        {"messages": "add!"}
    )
    assert output["structured_response"] == Answer(sum=3)
    assert texts(output) == ["add!", "", "3", "it is 3"]
    assert told(model)[2] == [("human", "add!"), ("ai", ""), ("tool", "3"), ("ai", "it is 3")]
    assert model.requests[2].tools == ()


def test_the_request_for_a_shape_may_have_a_prompt_of_its_own() -> None:
    model = ScriptedModel(["3", {"sum": 3}])
    create_react_agent(model, [add], response_format=("be exact", Answer)).invoke({"messages": "add!"})
    assert told(model)[1] == [("system", "be exact"), ("human", "add!"), ("ai", "3")]


def test_a_shape_may_be_a_json_schema() -> None:
    schema = {"title": "Sum", "type": "object", "properties": {"sum": {"type": "integer"}}}
    agent = create_react_agent(ScriptedModel(["3", {"sum": 3}]), [add], response_format=schema)
    assert agent.invoke({"messages": "add!"})["structured_response"] == {"sum": 3}


def test_a_chosen_model_answers_in_shape_too() -> None:
    model = ScriptedModel(["3", {"sum": 3}])
    agent = create_react_agent(lambda state, runtime: model.bind_tools([add]), [add], response_format=Answer)
    assert agent.invoke({"messages": "add!"})["structured_response"] == Answer(sum=3)


def test_savers_know_the_shape() -> None:
    agent = create_react_agent(
        ScriptedModel(["3", {"sum": 3}]), [add], response_format=Answer, checkpointer=InMemorySaver()
    )
    agent.invoke({"messages": "add!"}, THREAD)
    assert agent.get_state(THREAD).values["structured_response"] == Answer(sum=3)


NEED_MORE = "Sorry, need more steps to process this request."


@pytest.mark.parametrize(
    ("limit", "said"), [(1, NEED_MORE), (2, NEED_MORE), (3, "3"), (4, "3")], ids=lambda value: str(value)
)
def test_with_too_few_supersteps_left_the_agent_says_so(limit: int, said: str, version: Any) -> None:
    model = ScriptedModel([calls(ADDING), "3"])
    agent = create_react_agent(model, [add], version=version)
    assert texts(agent.invoke({"messages": "add!"}, {"recursion_limit": limit}))[-1] == said


def test_hooks_take_supersteps_too() -> None:
    def last_word(limit: int) -> str:
        agent = create_react_agent(ScriptedModel([calls(ADDING), "3"]), [add], **HOOKS)
        return texts(agent.invoke({"messages": "add!"}, {"recursion_limit": limit}))[-1]

    assert [last_word(limit) for limit in (3, 6, 7)] == [NEED_MORE, NEED_MORE, "3"]


def test_an_answer_without_calls_needs_no_more_steps() -> None:
    agent = create_react_agent(ScriptedModel(["hi"]), [add])
    assert texts(agent.invoke({"messages": "hello"}, {"recursion_limit": 1}))[-1] == "hi"


def test_the_apology_has_the_id_and_the_cost_of_what_it_replaces() -> None:
    said = calls(ADDING, id="m1")
    said.usage_metadata = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    output = create_react_agent(ScriptedModel([said]), [add]).invoke(
        {"messages": "add!"}, {"recursion_limit": 1}
    )
    last = output["messages"][-1]
    assert (last.id, last.tool_calls, last.usage_metadata) == ("m1", [], said.usage_metadata)


# -- the state -------------------------------------------------------------------------------------


class Counting(AgentState):
    count: int


def counted(state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Tells the count."""
    return f"{state['count']} of {len(state['messages'])}"


def test_a_state_may_have_more_keys(version: Any) -> None:
    model = ScriptedModel([calls(("counted", {})), "done"])
    agent = create_react_agent(model, [counted], state_schema=Counting, version=version)
    output = agent.invoke({"messages": "count!", "count": 7})
    assert texts(output)[2] == "7 of 2"
    assert output["count"] == 7


class CountingModel(AgentStatePydantic):
    count: int = 0


def test_a_state_may_be_a_pydantic_model(version: Any) -> None:
    def prompt(state: CountingModel) -> Sequence[Any]:
        return [SystemMessage(str(state.count)), *state.messages]

    model = ScriptedModel([calls(ADDING), "3"])
    agent = create_react_agent(model, [add], prompt=prompt, state_schema=CountingModel, version=version)
    assert texts(agent.invoke({"messages": "add!", "count": 7})) == ["add!", "", "3", "3"]
    assert told(model)[0] == [("system", "7"), ("human", "add!")]


@dataclass
class CountingRecord:
    messages: Annotated[list[Any], add_messages]
    remaining_steps: RemainingSteps = 25
    count: int = 0


def count_of(state: Annotated[Any, InjectedState], count: Annotated[int, InjectedState("count")]) -> str:
    """Tells the count."""
    return f"{state.count} and {count}"


@pytest.mark.parametrize("schema", [CountingModel, CountingRecord])
def test_tools_see_a_state_of_whatever_kind(schema: Any, version: Any) -> None:
    model = ScriptedModel([calls(("count_of", {})), "done"])
    agent = create_react_agent(
        model, [count_of], state_schema=schema, pre_model_hook=shorten, version=version
    )
    assert texts(agent.invoke({"messages": "count!", "count": 7}))[2] == "7 and 7"
    assert told(model)[0] == [("human", "short")]


def test_a_pydantic_state_may_have_hooks() -> None:
    model = ScriptedModel(["hi"])
    agent = create_react_agent(model, [add], state_schema=CountingModel, pre_model_hook=shorten)
    agent.invoke({"messages": "long"})
    assert told(model) == [[("human", "short")]]


class Bare(TypedDict):
    messages: list[Any]


class Mute(TypedDict):
    remaining_steps: int


@pytest.mark.parametrize(
    ("schema", "options", "missing"),
    [
        (Bare, {}, "'remaining_steps'"),
        (Mute, {}, "'messages'"),
        (Counting, {"response_format": Answer}, "'structured_response'"),
    ],
)
def test_a_state_that_lacks_a_key_is_refused(schema: Any, options: Any, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        create_react_agent(ScriptedModel([]), [add], state_schema=schema, **options)


def test_a_state_of_ones_own_may_have_a_shape_too() -> None:
    class Both(AgentStateWithStructuredResponse):
        count: int

    model = ScriptedModel(["3", {"sum": 3}])
    agent = create_react_agent(model, [add], state_schema=Both, response_format=Answer)
    assert agent.invoke({"messages": "add!", "count": 1})["structured_response"] == Answer(sum=3)


# -- names -----------------------------------------------------------------------------------------


def test_an_agent_with_a_name_signs_what_it_says() -> None:
    agent = create_react_agent(ScriptedModel([calls(ADDING), "3"]), [add], name="adder")
    output = agent.invoke({"messages": "add!"})
    assert [message.name for message in output["messages"]] == [None, "adder", "add", "adder"]
    assert agent.name == "adder"


def test_the_message_in_a_script_stays_as_it_is() -> None:
    said = AIMessage("hi", id="1")
    create_react_agent(ScriptedModel([said]), [add], name="adder").invoke({"messages": "hello"})
    assert said.name is None


# -- histories -------------------------------------------------------------------------------------


def test_a_history_with_a_call_that_nobody_has_answered_is_refused() -> None:
    model = ScriptedModel(["hi"])
    history = [HumanMessage("add!"), calls(ADDING), HumanMessage("well?")]
    with pytest.raises(InvalidChatHistoryError, match=r"add \(id '1'\)") as caught:
        create_react_agent(model, [add]).invoke({"messages": history})
    assert [each["name"] for each in caught.value.calls] == ["add"]
    assert model.requests == []


def test_what_a_hook_shows_the_model_is_what_counts() -> None:
    model = ScriptedModel(["hi"])
    agent = create_react_agent(
        model, [add], pre_model_hook=lambda state: {"llm_input_messages": state["messages"][-1:]}
    )
    agent.invoke({"messages": [calls(ADDING), HumanMessage("well?")]})
    assert told(model) == [[("human", "well?")]]
