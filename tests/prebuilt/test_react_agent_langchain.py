"""Agents with LangChain's models, tools and messages; and the same agent with ours."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage as TheirAIMessage
from langchain_core.messages import BaseMessage
from langchain_core.messages import HumanMessage as TheirHumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool as langchain_tool

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidChatHistoryError
from aiograph.messages import AIMessage, HumanMessage, Message, ToolMessage
from aiograph.prebuilt import create_react_agent
from aiograph.testing import ScriptedModel
from aiograph.types import RunnableConfig
from tests.prebuilt.their_model import TheirModel

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


their_add = langchain_tool(add)


def calls(library: type, *calls: tuple[str, dict[str, Any]]) -> Any:
    made = [
        {"name": name, "args": args, "id": str(number), "type": "tool_call"}
        for number, (name, args) in enumerate(calls, 1)
    ]
    return library(content="", tool_calls=made)


def script(library: type) -> list[Any]:
    """Good calls, a tool that there is not, wrong arguments, and an answer."""
    return [
        calls(library, ("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})),
        calls(library, ("substract", {"a": 1, "b": 2})),
        calls(library, ("add", {"a": 1})),
        library("3 and 7"),
    ]


def shown(messages: Sequence[Any]) -> list[Any]:
    """A conversation, whosever messages it is made of."""
    return [
        (
            message.type,
            message.name,
            message.content,
            getattr(message, "tool_calls", []),
            getattr(message, "tool_call_id", None),
            getattr(message, "status", None),
        )
        for message in messages
    ]


def ours() -> ScriptedModel:
    return ScriptedModel(script(AIMessage))


def theirs() -> TheirModel:
    return TheirModel(answers=script(TheirAIMessage))


OPTIONS: dict[str, Any] = {"prompt": "Be brief.", "name": "adder"}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_same_agent_has_the_same_conversation_with_our_model_and_with_langchains(version: Any) -> None:
    model, their_model = ours(), theirs()
    agents = [
        create_react_agent(model, [add], version=version, **OPTIONS),
        create_react_agent(their_model, [their_add], version=version, **OPTIONS),
    ]
    one, other = (agent.invoke({"messages": "add!"})["messages"] for agent in agents)
    assert shown(one) == shown(other)
    assert len(one) == 9
    for request, told in zip(model.requests, their_model.told, strict=True):
        assert shown(request.messages) == shown(told)


@pytest.mark.parametrize("make", [ours, theirs])
@pytest.mark.parametrize("tool", [add, their_add], ids=["ours", "theirs"])
def test_models_and_tools_of_both_may_be_mixed(make: Callable[[], Any], tool: Any) -> None:
    output = create_react_agent(make(), [tool]).invoke({"messages": "add!"})
    assert [message.content for message in output["messages"]][-1] == "3 and 7"


def test_what_a_model_of_langchains_says_stays_langchains() -> None:
    output = create_react_agent(theirs(), [add]).invoke({"messages": [TheirHumanMessage("add!")]})
    assert {type(message).__module__.split(".")[0] for message in output["messages"]} == {"langchain_core"}


def test_what_a_model_of_ours_says_stays_ours() -> None:
    output = create_react_agent(ours(), [their_add]).invoke({"messages": "add!"})
    assert all(isinstance(message, Message) for message in output["messages"])


def test_a_thread_may_change_its_model_from_one_library_to_the_other() -> None:
    saver = InMemorySaver()
    create_react_agent(ours(), [add], checkpointer=saver).invoke({"messages": "add!"}, THREAD)
    model = theirs()
    output = create_react_agent(model, [add], checkpointer=saver).invoke({"messages": "again!"}, THREAD)
    assert [message.type for message in model.told[0]] == [
        message.type for message in output["messages"][: len(model.told[0])]
    ]
    assert all(isinstance(message, BaseMessage) for message in model.told[0])


async def test_it_works_asynchronously() -> None:
    agent = create_react_agent(theirs(), [their_add])
    assert (await agent.ainvoke({"messages": "add!"}))["messages"][-1].content == "3 and 7"


def test_a_prompt_template_is_a_prompt() -> None:
    template = ChatPromptTemplate.from_messages([("system", "Be brief."), ("placeholder", "{messages}")])
    model = theirs()
    create_react_agent(model, [add], prompt=template).invoke({"messages": "add!"})
    assert shown(model.told[0])[0][:3] == ("system", None, "Be brief.")


def test_a_model_that_langchain_has_bound_to_the_same_tools_is_used_as_it_is() -> None:
    model = theirs()
    agent = create_react_agent(model.bind_tools([their_add]), [their_add])
    assert agent.invoke({"messages": "add!"})["messages"][-1].content == "3 and 7"
    assert model.tools == [their_add]


def test_a_model_that_langchain_has_bound_to_other_tools_is_refused() -> None:
    def other() -> str:
        """Does something else."""
        return "else"

    with pytest.raises(ValueError, match="bound to the tools 'add'"):
        create_react_agent(theirs().bind_tools([their_add]), [other])


@pytest.mark.parametrize("bound", [False, True])
def test_a_model_of_langchains_answers_in_shape_in_its_own_way(bound: bool) -> None:
    model: Any = theirs()
    model = model.bind_tools([their_add]) if bound else model
    agent = create_react_agent(model, [their_add], response_format={"title": "Said"})
    assert agent.invoke({"messages": "add!"})["structured_response"] == {"said": "3 and 7"}


def test_a_model_of_langchains_may_be_chosen_for_each_turn() -> None:
    model = theirs().bind_tools([their_add])
    agent = create_react_agent(lambda state, runtime: model, [their_add])
    assert agent.invoke({"messages": "add!"})["messages"][-1].content == "3 and 7"


def test_what_answers_with_no_message_is_no_chat_model() -> None:
    agent = create_react_agent(RunnableLambda(lambda messages: "text"), [])
    with pytest.raises(TypeError, match="has to answer with a message"):
        agent.invoke({"messages": "hi"})


def test_histories_of_both_are_looked_at() -> None:
    history = [HumanMessage("add!"), calls(TheirAIMessage, ("add", {"a": 1, "b": 2}))]
    agent = create_react_agent(ours(), [add])
    with pytest.raises(InvalidChatHistoryError):
        agent.invoke({"messages": history})
    agent.invoke({"messages": [*history, ToolMessage("3", tool_call_id="1")]})


def test_the_apology_is_of_the_models_own_library() -> None:
    output = create_react_agent(theirs(), [add]).invoke({"messages": "add!"}, {"recursion_limit": 1})
    last = output["messages"][-1]
    assert isinstance(last, TheirAIMessage)
    assert (last.content, last.tool_calls) == ("Sorry, need more steps to process this request.", [])
