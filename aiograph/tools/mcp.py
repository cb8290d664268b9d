"""Tools of MCP servers, by way of the `mcp` SDK (extra `mcp`, version 2).

A session belongs to the event loop that it was opened on. Tools may be called from any loop and thread: what
they have to say travels there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from aiograph.bridge import Verb, at_home
from aiograph.bridge._twins import BlockingContext
from aiograph.errors import MissingExtraError
from aiograph.messages import Part, ToolMessage
from aiograph.tools._arguments import check_by_keys
from aiograph.tools._spec import ToolSpec, without_titles
from aiograph.tools._tool import Tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["mcp_tools"]


class mcp_tools(
    AbstractAsyncContextManager[list[Tool]], AbstractContextManager[list[Tool]]
):  # called like a function
    """The tools of an MCP server, while the block lasts: `async with mcp_tools(...) as tools`, or `with`.

    Text that a tool returns becomes the content of its message, images and the like become parts of it, and
    structured content is its artifact. What a server calls an error becomes a message with that status, so
    that the model is told.

    Args:
        server: How to start the server (`mcp.StdioServerParameters`), its URL, a transport of the SDK, a
            server object in this process, or a session that is open already, which stays open.
        prefix: Put before the names of the tools, where those of several servers meet.
        timeout: Seconds that a call may take.

    Raises:
        MissingExtraError: The `mcp` extra is not installed.
    """

    def __init__(self, server: Any, *, prefix: str = "", timeout: float | None = None) -> None:
        self._server = server
        self._prefix = prefix
        self._timeout = timeout
        self._open: AsyncExitStack | None = None
        self._waiting: BlockingContext[list[Tool]] | None = None

    async def __aenter__(self) -> list[Tool]:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(_session(self._server))
            tools = [self._tool(each, session) for each in await session.described()]
            self._open = stack.pop_all()
        return tools

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._open is not None
        return await self._open.__aexit__(kind, error, trace)

    def __enter__(self) -> list[Tool]:
        again = mcp_tools(self._server, prefix=self._prefix, timeout=self._timeout)
        self._waiting = BlockingContext(lambda: again, Verb.entered("mcp_tools"))
        return self._waiting.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._waiting is not None
        return self._waiting.__exit__(kind, error, trace)

    def _tool(self, described: Mapping[str, Any], session: "_Session") -> Tool:
        name, schema = described["name"], without_titles(described["inputSchema"])
        check = check_by_keys(schema)

        async def call(arguments: dict[str, Any]) -> ToolMessage:
            return message_of(await session.call(name, arguments))

        return Tool(
            spec=ToolSpec(self._prefix + name, described.get("description") or "", schema),
            function=call,
            keywords=lambda given, runtime: {"arguments": check(given)},
            timeout=self._timeout,
        )


class _Session:
    """A session with a server, and the loop that it belongs to."""

    def __init__(self, client: Any) -> None:
        self._client = client
        """The SDK's client, or a session."""
        self.home: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()

    async def described(self) -> list[dict[str, Any]]:
        """What the server says of its tools, in the words of the protocol."""
        session, found, cursor = getattr(self._client, "session", self._client), [], None
        params = import_module("mcp.types").PaginatedRequestParams
        while True:
            page = _plain(await session.list_tools(params=params(cursor=cursor) if cursor else None))
            found += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return found

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to a call, in the words of the protocol."""

        async def ask() -> dict[str, Any]:
            return _plain(await self._client.call_tool(name, arguments))

        return await at_home(self, ask, verb=f"the MCP tool {name!r}")


def _plain(answer: Any) -> dict[str, Any]:
    """By alias, as versions of the SDK differ in the names that their fields have in Python."""
    plain: dict[str, Any] = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain


@asynccontextmanager
async def _session(server: Any) -> "AsyncIterator[_Session]":
    try:
        mcp = import_module("mcp")
    except ImportError as error:
        raise MissingExtraError("aiograph.tools.mcp", "mcp") from error
    if isinstance(server, mcp.ClientSession | mcp.Client):
        yield _Session(server)
        return
    async with mcp.Client(server) as client:
        yield _Session(client)


# -- results -------------------------------------------------------------------------------------------


def message_of(result: Mapping[str, Any]) -> ToolMessage:
    """What a server answers to a call, as a message that is still to be told whose it is."""
    parts = [_part(block) for block in result.get("content", ())]
    texts = [str(part["text"]) for part in parts if part.get("type") == "text"]
    content: str | Sequence[Part] = "\n".join(texts) if len(texts) == len(parts) else parts
    return ToolMessage(
        content,
        tool_call_id="",
        artifact=result.get("structuredContent"),
        status="error" if result.get("isError") else "success",
    )


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    match block:
        case {"type": "text", "text": text}:
            return {"type": "text", "text": text}
        case {"type": "image" | "audio" as kind, "data": data, "mimeType": mime_type}:
            return {"type": kind, "base64": data, "mime_type": mime_type}
        case {"type": "resource", "resource": {"text": text}}:
            return {"type": "text", "text": text}
        case {"type": "resource", "resource": {"blob": data, **resource}}:
            mime_type = resource.get("mimeType", "application/octet-stream")
            return {"type": "file", "base64": data, "mime_type": mime_type}
        case {"type": "resource_link", "uri": uri, "name": name}:
            return {"type": "text", "text": f"{name}: {uri}"}
    return dict(block)
