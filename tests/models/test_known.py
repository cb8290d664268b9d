"""What stands for a chat model."""

import subprocess
import sys
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

from aiograph.models import LangChainChat, as_chat_model
from aiograph.models.anthropic import AnthropicChat
from aiograph.models.openai import OpenAIChat
from aiograph.testing import ScriptedModel


def test_a_model_of_ours_is_itself() -> None:
    model = ScriptedModel([])
    assert as_chat_model(model) is model


def test_a_model_of_langchain_is_wrapped() -> None:
    model = GenericFakeChatModel(messages=iter([]))
    wrapped = as_chat_model(model)
    assert isinstance(wrapped, LangChainChat)
    assert wrapped.runnable is model


def test_anything_with_the_verbs_is_itself() -> None:
    class Own:
        async def ainvoke(self, messages: Any, config: Any = None) -> str:
            return "yes"

        def bind_tools(self, tools: Any, *, tool_choice: Any = None) -> "Own":
            return self

    model: Any = Own()
    assert as_chat_model(model) is model


@pytest.mark.parametrize(
    ("name", "kind"), [("openai:gpt-x", OpenAIChat), ("anthropic:claude-x:1", AnthropicChat)]
)
def test_a_name_makes_an_adapter(name: str, kind: type[OpenAIChat | AnthropicChat]) -> None:
    model = as_chat_model(name)
    assert isinstance(model, kind)
    assert model.model == name.partition(":")[2]


@pytest.mark.parametrize("name", ["gpt-x", "openai:", "acme:model", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names no model that is known here"):
        as_chat_model(name)


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="is no chat model"):
        as_chat_model(object())


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_room_imports_no_sdk_and_nothing_of_langchain() -> None:
    loaded = run(
        "import sys, aiograph.models, aiograph.models.openai, aiograph.models.anthropic; print(*sys.modules)"
    )
    assert not {"openai", "anthropic", "langchain_core", "pydantic", "httpx"} & set(loaded.split())


@pytest.mark.parametrize(
    ("kind", "extra"), [("openai.OpenAIChat", "openai"), ("anthropic.AnthropicChat", "anthropic")]
)
def test_a_missing_sdk_is_told_of_with_its_extra(kind: str, extra: str) -> None:
    module, name = kind.split(".")
    code = f"""
import sys
sys.modules["{extra}"] = None
from aiograph.errors import MissingExtraError
from aiograph.models.{module} import {name}
try:
    {name}("x")
except MissingExtraError as error:
    print(error)
"""
    assert f"pip install 'aiograph[{extra}]'" in run(code)
