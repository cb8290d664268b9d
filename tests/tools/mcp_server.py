"""A server of tools for the tests, in this process or, run as a program, over stdio."""

import asyncio
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    AudioContent,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)


def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


def refuse() -> str:
    """Refuses."""
    raise ToolError("not today")


def draw() -> list[Any]:
    """Draws a picture."""
    return [
        TextContent(type="text", text="a dot"),
        ImageContent(type="image", data="ZG90", mime_type="image/png"),
    ]


def collect() -> list[Any]:
    """Collects all kinds of content."""
    return [
        AudioContent(type="audio", data="QQ==", mime_type="audio/wav"),
        EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///a", text="inside")),
        ResourceLink(type="resource_link", name="b", uri="file:///b"),
        TextContent(type="text", text="end"),
    ]


async def hang() -> None:
    """Hangs."""
    await asyncio.Event().wait()


def made() -> MCPServer:
    """A server of its own for each test: some ways to serve can be gone once only."""
    server = MCPServer("tests", log_level="CRITICAL")
    for tool in (add, refuse, draw, collect, hang):
        server.add_tool(tool)
    return server


if __name__ == "__main__":
    made().run("stdio")
