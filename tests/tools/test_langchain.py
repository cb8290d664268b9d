"""LangChain's tools among ours, with what LangChain and LangGraph inject."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage as LangChainAIMessage
from langchain_core.messages import ToolMessage as LangChainToolMessage
from langchain_core.runnables import RunnableConfig as LangChainConfig
from langchain_core.tools import InjectedToolArg, InjectedToolCallId, StructuredTool, ToolException
from langchain_core.tools import tool as langchain_tool

from aiograph.messages import AIMessage, ToolMessage
from aiograph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from aiograph.prebuilt import InjectedToolCallId as OurInjectedToolCallId
from aiograph.store.base import BaseStore
from aiograph.tools import as_tool, tool
from aiograph.types import Command


@langchain_tool
def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


def said(name: str, **args: Any) -> list[Any]:
    return [AIMessage(tool_calls=[{"name": name, "args": args, "id": "c1"}])]


async def answer(tool: Any, **args: Any) -> Any:
    (message,) = await ToolNode([tool]).ainvoke(said(tool.name, **args))
    return message


def test_it_is_described_as_it_describes_itself() -> None:
    spec = as_tool(add).spec
    assert (spec.name, spec.description) == ("add", "Adds two numbers.")
    assert spec.parameters == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}},
        "required": ["a"],
    }


async def test_it_is_called_with_what_a_model_gives() -> None:
    assert (await answer(add, a="2")).content == "3"


async def test_wrong_arguments_are_told_the_model() -> None:
    message = await answer(add, a="x")
    assert message.status == "error"
    assert "a: Input should be a valid integer" in message.content


async def test_an_error_within_it_is_not_taken_for_wrong_arguments() -> None:
    @langchain_tool
    def validate() -> None:
        """Validates something else."""
        add.invoke({"a": "x"})

    with pytest.raises(ValueError, match="valid integer"):
        await answer(validate)


async def test_what_it_wants_injected_is_injected_and_nothing_else() -> None:
    @langchain_tool
    async def look(
        what: str,
        state: Annotated[list[Any], InjectedState],
        call: Annotated[str, InjectedToolCallId],
        secret: Annotated[str, InjectedToolArg] = "kept",
    ) -> str:
        """Looks."""
        return f"{what} {len(state)} {call} {secret}"

    assert list(as_tool(look).spec.parameters["properties"]) == ["what"]
    message = await answer(look, what="w", state="forged", call="forged", secret="forged")
    assert message.content == "w 1 c1 kept"


async def test_it_is_given_the_config() -> None:
    @langchain_tool
    async def look(config: LangChainConfig) -> str:
        """Looks."""
        return ",".join(config.get("tags") or ())

    node = ToolNode([look])
    (message,) = await node.ainvoke(said("look"), {"tags": ["x"]})
    assert message.content == "x"


async def test_it_may_return_a_command_of_ours() -> None:
    @langchain_tool
    async def note(call: Annotated[str, InjectedToolCallId]) -> Any:
        """Notes."""
        return Command(update={"messages": [ToolMessage("noted", tool_call_id=call)]})

    state = {"messages": said("note")}
    (command,) = await ToolNode([note]).ainvoke(state)
    assert command.update["messages"][0].content == "noted"


async def test_it_may_have_artifacts() -> None:
    @langchain_tool(response_format="content_and_artifact")
    def draw() -> Any:
        """Draws."""
        return "a dot", b"."

    message = await answer(draw)
    assert (message.content, message.artifact, message.tool_call_id) == ("a dot", b".", "c1")


async def test_its_own_way_with_errors_counts() -> None:
    def fail() -> None:
        """Fails."""
        raise ToolException("broken")

    made = StructuredTool.from_function(fail, handle_tool_error="please wait")
    message = await answer(made)
    assert (message.content, message.status) == ("please wait", "error")


# -- messages ------------------------------------------------------------------------------------------


async def test_a_message_of_langchain_is_answered_with_one_of_langchain() -> None:
    @tool
    async def both(text: str) -> Any:
        """Both."""
        return ToolMessage(text, tool_call_id="", artifact=1) if text else Command(update=[answer])

    answer = ToolMessage("by command", tool_call_id="2")
    calls = [{"name": "both", "args": {"text": text}, "id": id} for text, id in [("a", "1"), ("", "2")]]
    (first, command) = await ToolNode([both]).ainvoke([LangChainAIMessage("", tool_calls=calls)])
    assert isinstance(first[0], LangChainToolMessage)
    assert (first[0].content, first[0].tool_call_id, first[0].artifact) == ("a", "1", 1)
    assert isinstance(command.update[0], LangChainToolMessage)


async def test_calls_that_langchain_could_not_read_are_told_the_model() -> None:
    torn = {"name": "add", "args": "{", "id": "1", "error": None}
    (message,) = await ToolNode([add]).ainvoke([LangChainAIMessage("", invalid_tool_calls=[torn])])
    assert (message.tool_call_id, message.status) == ("1", "error")


# -- our annotations -----------------------------------------------------------------------------------


def told_models(made: Any) -> list[str]:
    return list(made.tool_call_schema.model_json_schema()["properties"])


class Conversation(TypedDict):
    messages: list[Any]


async def test_our_runtime_may_be_asked_for_and_is_not_shown_to_models() -> None:
    @langchain_tool
    def plain(what: str, runtime: ToolRuntime) -> str:  # type: ignore[type-arg]  # as many write it
        """Looks."""
        return f"{what} {runtime.tool_call_id}"

    @langchain_tool
    def typed(what: str, runtime: ToolRuntime[None, Conversation]) -> str:
        """Looks."""
        return f"{what} {len(runtime.state['messages'])}"

    for made, wanted in ((plain, "w c1"), (typed, "w 1")):
        assert told_models(made) == ["what"]
        answer = await ToolNode([made]).ainvoke({"messages": said(made.name, what="w")})
        assert answer["messages"][0].content == wanted


def test_what_our_markers_mark_is_not_shown_to_models_that_take_tools_from_langchain() -> None:
    @langchain_tool
    def look(
        what: str,
        state: Annotated[dict[str, Any], InjectedState],
        messages: Annotated[list[Any], InjectedState("messages")],
        store: Annotated[BaseStore, InjectedStore()],
        call: Annotated[str, OurInjectedToolCallId],
    ) -> str:
        """Looks."""
        return what

    assert told_models(look) == ["what"]
    assert list(as_tool(look).spec.parameters["properties"]) == ["what"]


# -- LangGraph's annotations ---------------------------------------------------------------------------


@pytest.fixture
def langgraph() -> Iterator[Any]:
    """Stands for LangGraph, of whose classes only names and constructors count."""
    module = ModuleType("langgraph.stand_in")
    exec(
        "from dataclasses import dataclass\n"
        "from typing import Any\n"
        "from langchain_core.tools import InjectedToolArg\n"
        "class InjectedState(InjectedToolArg):\n"
        "    def __init__(self, field=None): self.field = field\n"
        "class InjectedStore(InjectedToolArg): pass\n"
        "@dataclass\n"
        "class ToolRuntime(InjectedToolArg):\n"
        "    state: Any\n    context: Any\n    config: dict\n    stream_writer: Any\n"
        "    tool_call_id: str\n    store: Any\n",
        vars(module),
    )
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


async def test_tools_that_were_written_for_langgraph_get_what_they_ask_for(langgraph: Any) -> None:
    def look(
        what: str,
        messages: Annotated[list[Any], langgraph.InjectedState("messages")],
        store: Annotated[Any, langgraph.InjectedStore()],
        runtime: langgraph.ToolRuntime,
    ) -> str:
        """Looks."""
        return f"{what} {len(messages)} {store} {runtime.tool_call_id} {type(runtime).__module__}"

    wanted = "w 1 None c1 langgraph.stand_in"
    for made in (langchain_tool(look), tool(look)):
        message = await answer(made, what="w", messages=[], store=1, runtime={})
        assert message.content == wanted
