"""What an index may be, and what its embedder may make."""

from typing import Any

import pytest

from aiograph.errors import StoreValueError
from aiograph.store._index import VectorIndex
from aiograph.store.memory import InMemoryStore


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dims": 2}, "there is no embed"),
        ({"embed": lengths}, "there is no dims"),
        ({"dims": 0, "embed": lengths}, "dims is a positive integer"),
        ({"dims": 2, "embed": lengths, "distance_type": "far"}, "distance_type is one of cosine"),
        ({"dims": 2, "embed": lengths, "field": ["a"]}, "unknown in index: field"),
        ({"dims": 2, "embed": lengths, "fields": ["a["]}, "path"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InMemoryStore(index=config)


def test_each_text_is_indexed_once_and_nothing_for_what_is_empty() -> None:
    index = VectorIndex({"dims": 2, "embed": lengths, "fields": ["a", "b[*]"]})
    assert index.texts({"a": "x", "b": ["y", "x", "", None]}) == ("x", "y")
    assert index.texts({"a": "x", "c": "z"}, ["c"]) == ("z",)
    assert index.texts({"a": "x"}, []) == ()


async def test_texts_are_embedded_once_and_together() -> None:
    calls = []

    async def counting(texts: list[str]) -> list[list[float]]:
        calls.append(texts)
        return lengths(texts)

    index = VectorIndex({"dims": 2, "embed": counting})
    documents, queries = await index.embed(["a", "bb", "a"], ["q", "q"])
    assert calls == [["a", "bb"], ["q"]]
    assert [list(vector) for vector in documents.values()] == [[1.0, 1.0], [2.0, 1.0]]
    assert list(queries) == ["q"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([[1.0]], "a vector of 1 numbers, but the index has dims=2"),
        ([[1.0, 2.0], [1.0, 2.0]], "2 vectors of 1 texts"),
        ([[1.0, float("nan")]], "not finite"),
        ([["x", "y"]], "no vector"),
        ([5], "no vector"),
    ],
)
async def test_what_is_no_vector_is_refused(made: Any, message: str) -> None:
    index = VectorIndex({"dims": 2, "embed": lambda texts: made})
    with pytest.raises(StoreValueError, match=message):
        await index.embed(["a"], [])
