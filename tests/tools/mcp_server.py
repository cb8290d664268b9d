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

server = MCPServer("tests", log_level="CRITICAL")


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def refuse() -> str:
    """Refuses."""
    raise ToolError("not today")


@server.tool()
def draw() -> list[Any]:
    """Draws a picture."""
    return [
        TextContent(type="text", text="a dot"),
        ImageContent(type="image", data="ZG90", mime_type="image/png"),
    ]


@server.tool()
def collect() -> list[Any]:
    """Collects all kinds of content."""
    return [
        AudioContent(type="audio", data="QQ==", mime_type="audio/wav"),
        EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///a", text="inside")),
        ResourceLink(type="resource_link", name="b", uri="file:///b"),
        TextContent(type="text", text="end"),
    ]


@server.tool()
async def hang() -> None:
    """Hangs."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    server.run("stdio")
