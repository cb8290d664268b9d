"""A chat model of LangChain's that answers by a script."""

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda


class TheirModel(BaseChatModel):
    """Says one answer after the other."""

    answers: list[Any]
    told: list[list[BaseMessage]] = []  # noqa: RUF012  # Pydantic copies it
    tools: list[Any] = []  # noqa: RUF012

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        answer = self.answers[len(self.told)]
        self.told.append(messages)
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy())])

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        self.tools.extend(tools)
        return self.bind(tools=tools)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return RunnableLambda(lambda messages: {"said": messages[-1].content})
