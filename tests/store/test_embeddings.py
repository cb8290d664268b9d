"""Whatever makes vectors is accepted, in either colour."""

import asyncio
import functools
import threading
from typing import Any

import pytest

from aiograph.store.base import Embeddings, ensure_embeddings

CALLERS = list[threading.Thread]()


def plain(texts: list[str]) -> list[list[float]]:
    CALLERS.append(threading.current_thread())
    return [[float(len(text))] for text in texts]


async def patient(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return plain(texts)


class Callable:
    async def __call__(self, texts: list[str]) -> list[list[float]]:
        return await patient(texts)


class Documents:
    """Like an object of LangChain's, with one method only."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return plain(texts)


class Both(Documents):
    """Like an object of LangChain's."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await patient(texts)

    def embed_query(self, text: str) -> list[float]:
        return [-1.0]


class Own(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:  # type: ignore[override]  # one colour
        return plain(texts)


KINDS = [
    plain,
    patient,
    functools.partial(patient),
    Callable(),
    lambda texts: patient(texts),
    Documents(),
    Own(),
]


@pytest.mark.parametrize("embed", KINDS)
async def test_vectors_of_texts(embed: Any) -> None:
    embeddings = ensure_embeddings(embed)
    assert await embeddings.aembed_documents(["a", "bcd"]) == [[1.0], [3.0]]
    assert await embeddings.aembed_query("ab") == [2.0]
    assert await asyncio.to_thread(embeddings.embed_documents, ["abc"]) == [[3.0]]
    assert ensure_embeddings(embeddings) is embeddings


async def test_a_query_may_be_embedded_in_its_own_way() -> None:
    embeddings = ensure_embeddings(Both())
    assert await embeddings.aembed_query("ab") == [-1.0]
    assert await embeddings.aembed_documents(["ab"]) == [[2.0]]


async def test_plain_functions_do_not_block_the_loop() -> None:
    CALLERS.clear()
    await ensure_embeddings(plain).aembed_documents(["a"])
    await ensure_embeddings(Documents()).aembed_documents(["a"])
    assert threading.current_thread() not in CALLERS


@pytest.mark.parametrize("embed", [None, 5, object(), ["vector"]])
def test_what_makes_no_vectors_is_refused(embed: Any) -> None:
    with pytest.raises(TypeError, match="embed is a function"):
        ensure_embeddings(embed)


def test_a_name_of_a_model_is_refused_with_what_makes_one_of_it() -> None:
    with pytest.raises(TypeError, match=r"init_embeddings\('openai:small'\)"):
        ensure_embeddings("openai:small")
