"""Texts into vectors: what a user brings for it, made into one kind of object."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from aiograph.bridge import blocking, complete_verb, off_loop

Vectors: TypeAlias = Sequence[Sequence[float]]
EmbeddingsFunc: TypeAlias = Callable[[list[str]], Vectors]
"""Makes one vector for each text; called on a worker thread."""

AEmbeddingsFunc: TypeAlias = Callable[[list[str]], Awaitable[Vectors]]
"""Makes one vector for each text; called on whichever event loop asks."""


class Embeddings:
    """Turns texts into vectors. Subclasses define either colour of `embed_documents`.

    LangChain's embeddings have the same methods and may be passed wherever these can.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in ("embed_documents", "embed_query"):
            complete_verb(cls, verb)

    async def aembed_documents(self, texts: list[str]) -> Vectors:
        """One vector for each text that is stored."""
        raise NotImplementedError

    async def aembed_query(self, text: str) -> Sequence[float]:
        """The vector of a text that is searched for; by default, as if it were stored."""
        vectors = await self.aembed_documents([text])
        return vectors[0]

    embed_documents = blocking(aembed_documents)
    embed_query = blocking(aembed_query)


class EmbedsDocuments(Protocol):
    """An object that is used like `Embeddings`, such as those of LangChain."""

    def embed_documents(self, texts: list[str], /) -> Vectors:
        """One vector for each text."""
        ...


Embed: TypeAlias = Embeddings | EmbedsDocuments | EmbeddingsFunc | AEmbeddingsFunc
"""What an index accepts."""


def ensure_embeddings(embed: Any) -> Embeddings:
    """Embeddings made of a function, plain or asynchronous, or of an object like `Embeddings`.

    Raises:
        TypeError: It is none of them.
    """
    if isinstance(embed, Embeddings):
        return embed
    if hasattr(embed, "embed_documents") or hasattr(embed, "aembed_documents"):
        return _Foreign(embed)
    if isinstance(embed, str):
        raise TypeError(
            f"embed={embed!r}: pass a function or an object; "
            f"with LangChain, langchain.embeddings.init_embeddings({embed!r}) makes one"
        )
    if not callable(embed):
        raise TypeError(f"embed is a function or an object with embed_documents, not {embed!r}")
    return _Function(embed)


class _Function(Embeddings):
    def __init__(self, embed: Callable[[list[str]], Any]) -> None:
        self._embed = embed
        self._is_async = _is_async(embed)

    async def aembed_documents(self, texts: list[str]) -> Vectors:
        return await _called(self._embed, self._is_async, texts)  # type: ignore[no-any-return]  # checked by the index


class _Foreign(Embeddings):
    """An object that has some of the methods."""

    def __init__(self, embed: Any) -> None:
        self._embed = embed

    async def aembed_documents(self, texts: list[str]) -> Vectors:
        return await self._call("embed_documents", texts)  # type: ignore[no-any-return]  # checked by the index

    async def aembed_query(self, text: str) -> Sequence[float]:
        if self._has("embed_query"):
            return await self._call("embed_query", text)  # type: ignore[no-any-return]
        return await super().aembed_query(text)

    def _has(self, verb: str) -> bool:
        return hasattr(self._embed, verb) or hasattr(self._embed, f"a{verb}")

    async def _call(self, verb: str, argument: Any) -> Any:
        is_async = hasattr(self._embed, f"a{verb}")
        return await _called(getattr(self._embed, f"a{verb}" if is_async else verb), is_async, argument)


def _is_async(embed: Any) -> bool:
    while isinstance(embed, partial):
        embed = embed.func
    return inspect.iscoroutinefunction(embed) or inspect.iscoroutinefunction(type(embed).__call__)


async def _called(embed: Callable[[Any], Any], is_async: bool, argument: Any) -> Any:
    result = embed(argument) if is_async else await off_loop(partial(embed, argument))
    return await result if inspect.isawaitable(result) else result
