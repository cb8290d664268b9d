"""What a chat model is: the verbs that agents and nodes call, and what a call asks for."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiograph._config_types import RunnableConfig
from aiograph.tools import ToolSpec


class AnswersInShape(Protocol):
    """What `with_structured_output` gives."""

    async def ainvoke(self, messages: Any, config: RunnableConfig | None = None) -> Any:
        """The model's answer, as an object of the schema."""
        ...


class ChatModel(Protocol):
    """Answers conversations. `BaseChatModel` gives all of it to whoever defines how an answer is streamed.

    `messages` is a list of messages of ours or of LangChain's, of tuples or dicts that make some, or text.
    """

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None) -> "ChatModel":
        """The same model, which may call `tools`."""
        ...

    def with_structured_output(self, schema: Any) -> AnswersInShape:
        """The same model, which answers with an object of `schema`."""
        ...

    async def ainvoke(self, messages: Any, config: RunnableConfig | None = None) -> Any:
        """The whole answer, as a message."""
        ...

    def astream(self, messages: Any, config: RunnableConfig | None = None) -> AsyncIterator[Any]:
        """The answer in chunks, as the model writes it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One call of a model, whatever the provider."""

    messages: Sequence[Any]
    """The conversation: messages of ours, or LangChain's, which have the same fields."""
    tools: Sequence[ToolSpec] = ()
    """What the model may call."""
    tool_choice: str | None = None
    """`None` and `"auto"` leave it to the model, `"any"` wants a call, `"none"` none; else a tool's name."""
    response_schema: ToolSpec | None = None
    """What the text of the answer has to be, for models that know how: JSON that keeps to `parameters`."""
