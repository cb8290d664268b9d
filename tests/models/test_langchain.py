"""LangChain's chat models as they are."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage as LangChainAI
from langchain_core.messages import BaseMessage
from langchain_core.messages import HumanMessage as LangChainHuman
from langchain_core.outputs import ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import tool as langchain_tool

from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from aiograph.messages._langchain import to_langchain
from aiograph.models import LangChainChat, as_chat_model
from aiograph.tools import spec_of


class Recording(FakeMessagesListChatModel):
    """Keeps what it is asked, and takes tools as LangChain's models for providers do."""

    asked: list[Any] = []  # noqa: RUF012  # a field of Pydantic's

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append((messages, kwargs))
        return super()._generate(messages, *args, **kwargs)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, LangChainAI]:
        return self.bind(tools=list(tools), **kwargs)


def recording(*answers: str) -> Recording:
    return Recording(responses=[LangChainAI(answer) for answer in answers or ("yes",)], asked=[])


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@langchain_tool
def subtract(a: int, b: int) -> int:
    """Subtracts."""
    return a - b


async def test_an_answer_is_passed_on_untouched() -> None:
    answer = LangChainAI("yes", id="1", additional_kwargs={"more": 1})
    model = as_chat_model(FakeMessagesListChatModel(responses=[answer]))
    assert await model.ainvoke("q") is answer


def test_synchronous_verbs_are_langchains_own() -> None:
    model = LangChainChat(GenericFakeChatModel(messages=iter([LangChainAI("a b"), LangChainAI("c")])))
    assert model.invoke("q").content == "a b"
    assert [chunk.content for chunk in model.stream("q") if chunk.content] == ["c"]


async def test_chunks_are_langchains() -> None:
    model = as_chat_model(GenericFakeChatModel(messages=iter([LangChainAI("a b")])))
    assert [chunk.content async for chunk in model.astream("q") if chunk.content] == ["a", " ", "b"]


async def test_messages_of_ours_become_langchains_for_the_call() -> None:
    lc = recording()
    call = {"name": "add", "args": {"a": 1}, "id": "c1"}
    theirs = LangChainHuman("and?", id="5")
    await as_chat_model(lc).ainvoke(
        [
            SystemMessage("be kind"),
            HumanMessage("hi", id="1", name="Eve"),
            AIMessage("", tool_calls=[call]),  # type: ignore[list-item]  # a dict like any other
            ToolMessage("3", tool_call_id="c1", status="error", artifact=[3]),
            theirs,
        ]
    )
    system, human, ai, answer, last = lc.asked[0][0]
    assert [each.type for each in (system, human, ai, answer)] == ["system", "human", "ai", "tool"]
    assert (human.content, human.id, human.name) == ("hi", "1", "Eve")
    assert (ai.tool_calls[0]["name"], ai.tool_calls[0]["args"]) == ("add", {"a": 1})
    assert (answer.tool_call_id, answer.status, answer.artifact) == ("c1", "error", [3])
    assert last is theirs


def test_a_chunk_becomes_the_message_it_is() -> None:
    (message,) = to_langchain([AIMessageChunk("yes", id="1")])
    assert (type(message), message.content) == (LangChainAI, "yes")


def test_a_conversation_without_messages_of_ours_is_langchains_to_understand() -> None:
    given = [("user", "hi"), LangChainHuman("you")]
    assert to_langchain(given) is given
    assert to_langchain("hi") == "hi"


def test_a_removal_cannot_be_said() -> None:
    with pytest.raises(TypeError, match="cannot be said"):
        to_langchain([RemoveMessage("1")])


# -- tools -------------------------------------------------------------------------------------------


async def test_tools_of_ours_are_described_and_langchains_stay_as_they_are() -> None:
    lc = recording()
    bound = as_chat_model(lc).bind_tools([add, subtract], tool_choice="any")
    await bound.ainvoke("q")
    ours, theirs = lc.asked[0][1]["tools"]
    assert ours["function"]["name"] == "add"
    assert set(ours["function"]["parameters"]["properties"]) == {"a", "b"}
    assert theirs is subtract
    assert lc.asked[0][1]["tool_choice"] == "any"


def test_what_a_provider_knows_is_passed_on() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    spec = spec_of(search)
    bound = LangChainChat(recording()).bind_tools([search, spec])
    assert bound.runnable.kwargs["tools"] == [search, search]


def test_a_model_that_is_bound_already_is_kept() -> None:
    bound = recording().bind_tools([subtract], parallel_tool_calls=False)
    model = LangChainChat(bound)
    assert model.bound_tools == ("subtract",)
    assert model.bind_tools([subtract]).runnable is bound


def test_also_inside_of_a_sequence() -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "be kind"), ("placeholder", "{messages}")])
    model = LangChainChat(prompt | recording().bind_tools([subtract]))
    assert model.bind_tools([subtract]) is model


def test_a_model_that_is_bound_to_other_tools_is_refused() -> None:
    model = LangChainChat(recording().bind_tools([subtract]))
    with pytest.raises(ValueError, match=r"\['add'\] are not among them: \('subtract',\)"):
        model.bind_tools([add])


def test_what_takes_no_tools_is_refused() -> None:
    prompt = ChatPromptTemplate.from_messages([("placeholder", "{messages}")])
    with pytest.raises(TypeError, match="bind them to the chat model in it"):
        LangChainChat(prompt | recording()).bind_tools([add])


def test_structured_output_is_langchains_own() -> None:
    class Structured(Recording):
        def with_structured_output(self, schema: Any, **_: Any) -> Any:
            return self | (lambda message: {"schema": schema, "said": message.content})

    model = Structured(responses=[LangChainAI("yes")], asked=[])
    assert LangChainChat(model).with_structured_output(dict).invoke("q") == {"schema": dict, "said": "yes"}


def test_a_runnable_without_structured_output_is_refused() -> None:
    with pytest.raises(TypeError, match="it is no chat model"):
        LangChainChat(ChatPromptTemplate.from_messages(["q"])).with_structured_output(dict)
