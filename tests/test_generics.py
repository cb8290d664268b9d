"""Values of generic classes may be made with the types spelled out."""

from typing import Any, Literal

import pytest

from aiograph.func import entrypoint
from aiograph.runtime import Runtime
from aiograph.tools import ToolRuntime
from aiograph.types import Command

TOOL = dict.fromkeys(("state", "context", "config", "stream_writer", "tool_call_id", "store"))


@pytest.mark.parametrize(
    ("kind", "types", "fields"),
    [
        (Command, Literal["a"], {"goto": "a"}),
        (Runtime, int, {"context": 1}),
        (ToolRuntime, (int, int), TOOL),
        (entrypoint.final, (int, int), {"value": 1, "save": 2}),
    ],
)
def test_spelling_the_types_out_makes_no_difference(kind: Any, types: Any, fields: dict[str, Any]) -> None:
    assert kind[types](**fields) == kind(**fields)
