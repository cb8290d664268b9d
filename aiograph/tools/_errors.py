"""What can go wrong with a call of a tool, by whose fault it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiograph.errors import AiographError


class ToolInvocationError(AiographError, ValueError):
    """A model has given arguments that a tool does not take. The tool has not been called.

    Attributes:
        tool_name: The tool.
        tool_kwargs: What the model gave; nothing that was injected.
        faults: What is wrong, one sentence each.
    """

    def __init__(self, tool_name: str, tool_kwargs: Mapping[str, Any], faults: Sequence[str]) -> None:
        self.tool_name = tool_name
        self.tool_kwargs = dict(tool_kwargs)
        self.faults = tuple(faults)
        listed = "\n".join(f" {fault}" for fault in faults)
        super().__init__(
            f"Error invoking tool '{tool_name}' with kwargs {self.tool_kwargs} with error:\n{listed}\n"
            " Please fix the error and try again."
        )


class ToolTimeoutError(AiographError, TimeoutError):
    """A tool took longer than its timeout allows; what it would have returned is discarded.

    Attributes:
        tool_name: The tool.
        timeout: The limit, in seconds.
    """

    def __init__(self, tool_name: str, timeout: float) -> None:
        self.tool_name = tool_name
        self.timeout = timeout
        super().__init__(f"tool '{tool_name}' did not finish within its timeout of {timeout} s")


class ToolResultError(AiographError, ValueError):
    """What a tool returned makes no answer to its call: it is no JSON, or has not one message for the call.

    Attributes:
        tool_name: The tool.
    """

    def __init__(self, tool_name: str, what: str) -> None:
        self.tool_name = tool_name
        super().__init__(f"tool '{tool_name}' returned {what}")


class ToolCallError(AiographError, ValueError):
    """There is no call that could be answered: no message with calls, or a call without an id."""
