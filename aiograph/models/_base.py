"""A chat model from one method: how its provider streams an answer."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, Self, TypeVar, overload

from aiograph._config_types import RunnableConfig
from aiograph._ids import random_id
from aiograph.bridge import blocking, blocking_iter
from aiograph.config import MessageStream, get_message_stream
from aiograph.messages import AIMessage, coerce_messages
from aiograph.models._choice import checked_choice, specs_of
from aiograph.models._chunks import Chunks, identified, whole
from aiograph.models._protocol import ModelRequest
from aiograph.models._structured import StructuredModel, shape_of

T = TypeVar("T")


class BaseChatModel:
    """A chat model whose subclass says how an answer is streamed. The rest is derived.

    Inside of a node, and when somebody listens to the `"messages"` stream, every chunk goes there too, also
    those of `ainvoke`. All chunks of an answer, and the message they make, have one id.

    Cancellation closes what the provider's client has open for the call.
    """

    keeps_to_schemas: bool = False
    """Whether `_astream` heeds `response_schema`; if not, structured output is a forced call of a tool."""

    # values of the class, so that subclasses need not call a constructor of this one
    _bound = ModelRequest(messages=())
    _config: RunnableConfig = {}  # noqa: RUF012  # never changed, only replaced

    # -- what a subclass defines ---------------------------------------------------------------------

    def _astream(self, request: ModelRequest) -> Chunks:
        """Streams the answer to `request`: an async generator."""
        raise NotImplementedError(f"{type(self).__name__} does not define _astream")

    async def _agenerate(self, request: ModelRequest) -> AIMessage:
        """The whole answer, where nobody wants chunks; by default, what `_astream` makes."""
        return await whole(self._astream(request))

    # -- bound ---------------------------------------------------------------------------------------

    @property
    def bound_tools(self) -> tuple[str, ...]:
        """Names of the tools that the model may call."""
        return tuple(spec.name for spec in self._bound.tools)

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None) -> Self:
        """The same model, which may call `tools` in place of those it had.

        Args:
            tools: Whatever `as_tool` makes a tool of, or a `ToolSpec`. A dict that describes no function is
                passed to the provider as it is.
            tool_choice: `"auto"` or `None`: as the model likes; `"any"` or `"required"`: some tool;
                `"none"`: no tool; else the name of the one that must be called.

        Raises:
            ValueError: There is no tool of that name.
        """
        specs = specs_of(tools)
        choice = checked_choice(tool_choice, specs)
        return self._rebound(replace(self._bound, tools=specs, tool_choice=choice))

    @overload
    def with_structured_output(self, schema: type[T]) -> StructuredModel[T]: ...
    @overload
    def with_structured_output(self, schema: Mapping[str, Any]) -> StructuredModel[dict[str, Any]]: ...
    def with_structured_output(self, schema: Any) -> StructuredModel[Any]:
        """The same model, which answers with an object of `schema`.

        Args:
            schema: A Pydantic model, a dataclass, a `TypedDict`, or a JSON schema, for which the answer is
                a dict that is not checked further.

        Raises:
            TypeError: It is none of them.
            MissingExtraError: It is a type, and the `schema` extra is not installed.
        """
        shape = shape_of(schema)
        if self.keeps_to_schemas:
            asked = replace(self._bound, response_schema=shape.spec)
        else:
            asked = replace(self._bound, tools=(shape.spec,), tool_choice=shape.spec.name)
        return StructuredModel(self._rebound(asked), shape)

    def with_config(
        self,
        config: RunnableConfig | None = None,
        *,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """The same model, whose calls bear more tags and metadata on the `"messages"` stream."""
        added: RunnableConfig = {"tags": [*tags], "metadata": {**(metadata or {})}}
        other = copy.copy(self)
        other._config = _joined(_joined(self._config, config), added)
        return other

    def _rebound(self, bound: ModelRequest) -> Self:
        other = copy.copy(self)
        other._bound = bound
        return other

    # -- called --------------------------------------------------------------------------------------

    async def ainvoke(self, messages: Any, config: RunnableConfig | None = None) -> AIMessage:
        """The whole answer to a conversation.

        Args:
            messages: Messages, ours or LangChain's, tuples or dicts that make some, or just text.
            config: Its tags and metadata go with the chunks to the `"messages"` stream.

        Raises:
            Exception: What the provider's client raises, as it is, with a note that names the model.
        """
        stream, request = get_message_stream(), self._request(messages)
        with self._noted():
            if stream is None:
                return identified(await self._agenerate(request))
            return await whole(self._shown(request, stream, config))

    async def astream(self, messages: Any, config: RunnableConfig | None = None) -> Chunks:
        """The answer to a conversation in chunks, as the model writes it; see `ainvoke`."""
        chunks = self._shown(self._request(messages), get_message_stream(), config)
        async with aclosing(chunks) as source:
            with self._noted():
                async for chunk in source:
                    yield chunk

    invoke = blocking(ainvoke)
    stream = blocking_iter(astream)

    async def _shown(
        self, request: ModelRequest, stream: MessageStream | None, config: RunnableConfig | None
    ) -> Chunks:
        """The chunks of the answer under one id, shown to whoever listens."""
        called = _joined(self._config, config)
        answer_id: str | None = None
        async with aclosing(self._astream(request)) as chunks:
            async for chunk in chunks:
                answer_id = answer_id or chunk.id or random_id()
                if chunk.id != answer_id:
                    chunk = replace(chunk, id=answer_id)
                if stream is not None:
                    stream.emit(chunk, tags=called["tags"], metadata=called["metadata"])
                    await stream.room()
                yield chunk

    def _request(self, messages: Any) -> ModelRequest:
        return replace(self._bound, messages=coerce_messages(messages))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            note = f"The model is {self!r}."
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            raise


def _joined(config: RunnableConfig, more: RunnableConfig | None) -> RunnableConfig:
    """Both tags and metadata; those of `more` win."""
    more = more or {}
    return {
        "tags": [*dict.fromkeys((*(config.get("tags") or ()), *(more.get("tags") or ())))],
        "metadata": {**(config.get("metadata") or {}), **(more.get("metadata") or {})},
    }
