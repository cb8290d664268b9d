"""Chunks of an answer, and the message that they make."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from aiograph._ids import random_id
from aiograph.messages import AIMessage, AIMessageChunk, join_chunks

Chunks: TypeAlias = AsyncGenerator[AIMessageChunk, None]
"""One answer, as a model writes it. A generator, so that it can be closed before its end."""


def identified(answer: AIMessage) -> AIMessage:
    """The answer with an id.

    Adapters leave out the provider's own: servers that imitate a provider repeat theirs.
    """
    return answer if answer.id else replace(answer, id=random_id())


async def whole(chunks: Chunks) -> AIMessage:
    """The message that the chunks make; they are closed, whatever happens.

    Raises:
        ConnectionError: There are none.
    """
    async with aclosing(chunks) as source:
        pieces = [chunk async for chunk in source]
    if not pieces:
        raise ConnectionError("the answer ended before it began")
    return join_chunks(pieces).message()
