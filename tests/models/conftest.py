"""What the tests of models share: a server, and a model that has it as its provider."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from aiograph.models.anthropic import AnthropicChat
from aiograph.models.openai import OpenAIChat
from tests.models.server import ModelServer, running


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def openai(server: ModelServer) -> OpenAIChat:
    """Tries no request again by itself."""
    return openai_model(server)


@pytest.fixture
def anthropic(server: ModelServer) -> AnthropicChat:
    """Tries no request again by itself."""
    return anthropic_model(server)


def openai_model(server: ModelServer, **options: Any) -> OpenAIChat:
    url = f"{server.url}/v1"
    return OpenAIChat(
        "gpt-test", client=lambda: AsyncOpenAI(api_key="k", base_url=url, max_retries=0), **options
    )


def anthropic_model(server: ModelServer, **options: Any) -> AnthropicChat:
    url = server.url
    return AnthropicChat(
        "claude-test", client=lambda: AsyncAnthropic(api_key="k", base_url=url, max_retries=0), **options
    )
