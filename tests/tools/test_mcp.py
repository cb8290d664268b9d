"""Tools of MCP servers: in this process, and over stdio."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp import Client, StdioServerParameters

from aiograph.messages import AIMessage, ToolMessage
from aiograph.prebuilt import ToolNode
from aiograph.tools import Tool, ToolInvocationError, ToolTimeoutError
from aiograph.tools.mcp import mcp_tools
from tests.tools.mcp_server import made

PROGRAM = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))])


@pytest.fixture
async def tools() -> AsyncIterator[dict[str, Tool]]:
    async with mcp_tools(made()) as found:
        yield {tool.name: tool for tool in found}


def said(name: str, **args: Any) -> list[Any]:
    return [AIMessage(tool_calls=[{"name": name, "args": args, "id": "c1"}])]


async def test_tools_are_described_by_the_server(tools: dict[str, Tool]) -> None:
    assert tools["add"].description == "Adds two numbers."
    assert tools["add"].spec.parameters["properties"]["a"] == {"type": "integer"}


async def test_a_result_becomes_a_message_with_what_is_structured_beside(tools: dict[str, Tool]) -> None:
    answers = await ToolNode([*tools.values()]).ainvoke(said("add", a=1, b=2))
    assert answers == [ToolMessage("3", name="add", tool_call_id="c1", artifact={"result": 3})]


async def test_what_a_server_calls_an_error_is_told_the_model(tools: dict[str, Tool]) -> None:
    (answer,) = await ToolNode([*tools.values()]).ainvoke(said("refuse"))
    assert answer.status == "error"
    assert "not today" in answer.content


async def test_pictures_become_parts_of_the_content(tools: dict[str, Tool]) -> None:
    message = await tools["draw"].ainvoke({})
    assert message.content == [
        {"type": "text", "text": "a dot"},
        {"type": "image", "base64": "ZG90", "mime_type": "image/png"},
    ]


async def test_other_kinds_of_content_are_told_too(tools: dict[str, Tool]) -> None:
    message = await tools["collect"].ainvoke({})
    assert message.content == [
        {"type": "audio", "base64": "QQ==", "mime_type": "audio/wav"},
        {"type": "text", "text": "inside"},
        {"type": "text", "text": "b: file:///b"},
        {"type": "text", "text": "end"},
    ]


async def test_what_is_required_has_to_be_there(tools: dict[str, Tool]) -> None:
    with pytest.raises(ToolInvocationError, match="a: Field required"):
        await tools["add"].ainvoke({"b": 1})


async def test_names_may_be_told_apart_by_a_prefix() -> None:
    async with mcp_tools(made(), prefix="math_") as (add, *_):
        assert add.name == "math_add"
        assert (await add.ainvoke({"a": 1})).content == "2"


async def test_calls_may_be_limited_in_time() -> None:
    async with mcp_tools(made(), timeout=0.05) as found:
        hang = next(tool for tool in found if tool.name == "hang")
        with pytest.raises(ToolTimeoutError):
            await hang.ainvoke({})


async def test_tools_may_be_called_from_another_thread(tools: dict[str, Tool]) -> None:
    message = await asyncio.to_thread(tools["add"].invoke, {"a": 5})
    assert message.content == "6"


async def test_a_session_that_is_open_stays_open() -> None:
    async with Client(made()) as client:
        async with mcp_tools(client.session) as (add, *_):
            assert (await add.ainvoke({"a": 1})).content == "2"
        assert (await client.call_tool("add", {"a": 2})).structured_content == {"result": 3}


async def test_a_server_may_be_a_program() -> None:
    async with mcp_tools(PROGRAM) as (add, *_):
        assert (await add.ainvoke({"a": 1, "b": 41})).content == "42"


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The URL of a server over HTTP."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(made().streamable_http_app(), log_level="critical")
        web = uvicorn.Server(config)
        serving = asyncio.create_task(web.serve(sockets=[listening]))
        while not web.started:  # noqa: ASYNC110  # it tells nobody when it has
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            web.should_exit = True
            await serving


async def test_a_server_may_be_a_url() -> None:
    async with served() as url, mcp_tools(url) as (add, *_):
        assert (await add.ainvoke({"a": 1})).content == "2"


def test_synchronous_code_may_open_one_as_well() -> None:
    with mcp_tools(PROGRAM) as (add, *_):
        assert add.invoke({"a": 1, "b": 41}).content == "42"
        assert ToolNode([add]).invoke(said("add", a=1))[0].content == "2"


async def test_a_server_that_cannot_be_started_is_told() -> None:
    with pytest.raises((OSError, ExceptionGroup)):
        async with mcp_tools(StdioServerParameters(command="/nowhere/at/all")):
            pass
