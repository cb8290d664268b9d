"""A model from one method: what `BaseChatModel` makes of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from langchain_core.messages import HumanMessage as LangChainHuman

from aiograph.messages import AIMessage, AIMessageChunk, HumanMessage
from aiograph.models import BaseChatModel, ModelRequest
from aiograph.tools import ToolSpec


class Spelling(BaseChatModel):
    """Says the letters of what it is told last."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.is_closed = False
        self.is_asked = asyncio.Event()

    async def _astream(self, request: ModelRequest) -> AsyncGenerator[AIMessageChunk, None]:
        self.requests.append(request)
        self.is_asked.set()
        try:
            for letter in request.messages[-1].content:
                await asyncio.sleep(0)
                yield AIMessageChunk(letter)
        finally:
            self.is_closed = True


class Silent(BaseChatModel):
    async def _astream(self, request: ModelRequest) -> AsyncGenerator[AIMessageChunk, None]:
        for chunk in list[AIMessageChunk]():
            yield chunk


class AtOnce(Spelling):
    """Also knows how to answer in one piece."""

    async def _agenerate(self, request: ModelRequest) -> AIMessage:
        return AIMessage("at once", id="own")


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


async def test_an_answer_is_what_its_chunks_make() -> None:
    answer = await Spelling().ainvoke("word")
    assert (answer.type, answer.content) == ("ai", "word")


async def test_chunks_of_an_answer_share_one_id() -> None:
    ids = {chunk.id async for chunk in Spelling().astream("word")}
    assert len(ids) == 1
    assert None not in ids


async def test_two_answers_have_two_ids() -> None:
    model = Spelling()
    assert (await model.ainvoke("a")).id != (await model.ainvoke("a")).id


async def test_whoever_knows_how_to_answer_in_one_piece_is_asked_to_when_nobody_listens() -> None:
    model = AtOnce()
    assert await model.ainvoke("word") == AIMessage("at once", id="own")
    assert model.requests == []


def test_synchronous_verbs_do_the_same() -> None:
    assert Spelling().invoke("word").content == "word"
    assert [chunk.content for chunk in Spelling().stream("word")] == ["w", "o", "r", "d"]


@pytest.mark.parametrize(
    "given", ["hi", ["hi"], [("user", "hi")], [{"role": "user", "content": "hi"}], [HumanMessage("hi")]]
)
async def test_a_conversation_may_be_told_in_many_ways(given: object) -> None:
    model = Spelling()
    await model.ainvoke(given)
    assert model.requests[0].messages == [HumanMessage("hi")]


async def test_messages_of_langchain_reach_the_model_as_they_are() -> None:
    model, message = Spelling(), LangChainHuman("hi")
    await model.ainvoke([message])
    assert model.requests[0].messages[0] is message


async def test_an_answer_that_is_left_is_closed() -> None:
    model = Spelling()
    async with aclosing(model.astream("word")) as chunks:
        assert (await anext(chunks)).content == "w"
    assert model.is_closed


async def test_a_call_that_is_cancelled_is_closed() -> None:
    model = Spelling()
    call = asyncio.create_task(model.ainvoke("word" * 1000))
    await model.is_asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert model.is_closed


async def test_an_answer_without_a_chunk_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="ended before it began"):
        await Silent().ainvoke("hi")


async def test_a_model_that_does_not_say_how_it_streams_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="BaseChatModel does not define _astream"):
        await BaseChatModel().ainvoke("hi")


async def test_errors_are_noted_once_with_the_model() -> None:
    with pytest.raises(NotImplementedError) as caught:
        await BaseChatModel().ainvoke("hi")
    assert len(caught.value.__notes__) == 1


# -- tools -------------------------------------------------------------------------------------------


async def test_tools_are_told_of_by_their_specs() -> None:
    model = Spelling()
    spec = ToolSpec("find", "Finds.", {"type": "object", "properties": {}})
    bound = model.bind_tools([add, spec, {"type": "web_search"}])
    await bound.ainvoke("hi")
    assert [tool.name for tool in model.requests[0].tools] == ["add", "find", "web_search"]
    assert model.requests[0].tools[2].provided == {"type": "web_search"}


def test_binding_leaves_the_model_as_it_was() -> None:
    model = Spelling()
    assert model.bind_tools([add]).bound_tools == ("add",)
    assert model.bound_tools == ()


@pytest.mark.parametrize(
    ("choice", "told"),
    [(None, None), ("auto", "auto"), ("any", "any"), ("required", "any"), ("none", "none"), ("add", "add")],
)
async def test_a_choice_has_one_spelling(choice: str | None, told: str | None) -> None:
    model = Spelling()
    await model.bind_tools([add], tool_choice=choice).ainvoke("hi")
    assert model.requests[0].tool_choice == told


def test_a_choice_of_no_tool_is_refused() -> None:
    with pytest.raises(ValueError, match="'sub' is no tool of the model's; there are 'add', 'auto'"):
        Spelling().bind_tools([add], tool_choice="sub")
