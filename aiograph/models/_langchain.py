"""LangChain's chat models, used as they are. Whoever has one has LangChain: it is imported here only then."""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, cast

from aiograph._config_types import RunnableConfig
from aiograph.messages._langchain import to_langchain
from aiograph.models._choice import checked_choice, specs_of


def is_runnable(value: Any) -> bool:
    """Whether it is LangChain's: then its module is loaded, so nothing has to be imported to see it."""
    module = sys.modules.get("langchain_core.runnables.base")
    return module is not None and isinstance(value, module.Runnable)


class LangChainChat:
    """A chat model of LangChain, or a runnable made of one, with the verbs of `ChatModel`.

    Messages and tools of ours become LangChain's for the call. What the model answers is passed on
    untouched. Tokens reach the `"messages"` stream by LangChain's own callbacks.
    """

    def __init__(self, runnable: Any) -> None:
        self.runnable: Any = runnable
        """As it was given, or as binding has made it."""

    @property
    def bound_tools(self) -> tuple[str, ...]:
        """Names of the tools that the model may call."""
        return tuple(spec.name for spec in specs_of(_bound_tools(self.runnable)))

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None) -> "LangChainChat":
        """The same model, which may call `tools`.

        A runnable that has tools already is kept as it is.

        Raises:
            ValueError: It has tools already, and not all of these; or `tool_choice` names none of them.
            TypeError: Tools cannot be bound to it.
        """
        if _bound_tools(self.runnable):
            self._require(tools)
            return self
        bind = getattr(self.runnable, "bind_tools", None)
        if bind is None:
            raise TypeError(
                f"tools cannot be bound to {type(self.runnable).__name__}: bind them to the chat model in it"
            )
        offers = list(map(_offered, tools))
        choice = checked_choice(tool_choice, specs_of(tools))
        return LangChainChat(bind(offers) if choice is None else bind(offers, tool_choice=choice))

    def _require(self, tools: Sequence[Any]) -> None:
        bound = self.bound_tools
        missing = [spec.name for spec in specs_of(tools) if spec.name not in bound]
        if missing:
            raise ValueError(f"the model has tools bound already, and {missing} are not among them: {bound}")

    def with_structured_output(self, schema: Any) -> "LangChainChat":
        """The same model, which answers with an object of `schema`, in LangChain's way."""
        model = self.runnable
        if not hasattr(model, "with_structured_output"):
            raise TypeError(f"{type(model).__name__} has no with_structured_output(): it is no chat model")
        return LangChainChat(model.with_structured_output(schema))

    async def ainvoke(self, messages: Any, config: RunnableConfig | None = None) -> Any:
        """The whole answer, as LangChain's message."""
        return await self.runnable.ainvoke(to_langchain(messages), config)

    def invoke(self, messages: Any, config: RunnableConfig | None = None) -> Any:
        """The whole answer, by LangChain's own synchronous verb."""
        return self.runnable.invoke(to_langchain(messages), config)

    def astream(self, messages: Any, config: RunnableConfig | None = None) -> AsyncIterator[Any]:
        """The answer in LangChain's chunks."""
        return cast(AsyncIterator[Any], self.runnable.astream(to_langchain(messages), config))

    def stream(self, messages: Any, config: RunnableConfig | None = None) -> Iterator[Any]:
        """The answer in LangChain's chunks, by its own synchronous verb."""
        return cast(Iterator[Any], self.runnable.stream(to_langchain(messages), config))


# -- tools -------------------------------------------------------------------------------------------


def _bound_tools(runnable: Any) -> Sequence[Any]:
    """What was bound by LangChain's `bind_tools`, also to a model that stands in a sequence."""
    bound = next((step for step in getattr(runnable, "steps", ()) if _bound_tools(step)), runnable)
    kwargs = getattr(bound, "kwargs", None)
    tools = kwargs.get("tools") if isinstance(kwargs, Mapping) else None
    return tools or getattr(bound, "functions", None) or ()


def _offered(tool: Any) -> Any:
    """A tool in a form that LangChain's `bind_tools` takes; LangChain's own, and dicts, stay as they are."""
    if isinstance(tool, Mapping) or is_runnable(tool):
        return tool
    (spec,) = specs_of((tool,))
    return spec.as_openai_tool()
