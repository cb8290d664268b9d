"""Whatever stands for a chat model, as one: objects of ours and of LangChain's, and `"provider:name"`."""

from typing import Any, cast

from aiograph.models._base import BaseChatModel
from aiograph.models._langchain import LangChainChat, is_runnable
from aiograph.models._protocol import ChatModel


def as_chat_model(model: Any) -> ChatModel:
    """`model` with the verbs of `ChatModel`.

    Args:
        model: A model of ours, or any object with those verbs, which is returned as it is; a chat model of
            LangChain, or a runnable made of one; `"openai:NAME"` or `"anthropic:NAME"`.

    Raises:
        TypeError: It is nothing of that.
        ValueError: The provider is unknown.
        MissingExtraError: The provider's extra is not installed.
    """
    if isinstance(model, str):
        return _by_name(model)
    if isinstance(model, BaseChatModel):
        return model
    if is_runnable(model):
        return LangChainChat(model)
    if callable(getattr(model, "ainvoke", None)) and callable(getattr(model, "bind_tools", None)):
        return cast(ChatModel, model)
    raise TypeError(
        f"{model!r} is no chat model: it needs ainvoke() and bind_tools(), as BaseChatModel or LangChain's "
        "models have them, or is a name such as 'openai:NAME'"
    )


def _by_name(text: str) -> BaseChatModel:
    provider, _, name = text.partition(":")
    if name and provider == "openai":
        from aiograph.models.openai import OpenAIChat

        return OpenAIChat(name)
    if name and provider == "anthropic":
        from aiograph.models.anthropic import AnthropicChat

        return AnthropicChat(name)
    raise ValueError(
        f"{text!r} names no model that is known here: use 'openai:NAME' or 'anthropic:NAME'; "
        "for other providers pass a chat model, such as one of LangChain's"
    )
