"""`VectorIndex`: which texts of a value are indexed, and their vectors."""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from aiograph.errors import StoreValueError
from aiograph.store._embeddings import Embed, ensure_embeddings
from aiograph.store._nearness import DISTANCES, Distance, Vector
from aiograph.store._paths import get_text_at_path, tokenize_path


class IndexConfig(TypedDict, total=False):
    """How a store finds items by what they are about. `dims` and `embed` are required."""

    dims: int
    """How many numbers a vector has."""
    embed: Embed
    """Makes vectors of texts: a function, plain or asynchronous, or an object like `Embeddings`."""
    fields: list[str] | None
    """Paths to what is indexed; by default `["$"]`, the whole value as one text."""
    distance_type: Distance
    """What near means: `"cosine"`, the default, `"inner_product"`, or `"l2"`, the Euclidean distance."""


class VectorIndex:
    """An `IndexConfig` that was checked.

    Raises:
        TypeError: `embed` cannot make vectors.
        ValueError: Something is missing, unknown or senseless.
    """

    def __init__(self, config: IndexConfig) -> None:
        if unknown := config.keys() - IndexConfig.__annotations__.keys():
            raise ValueError(f"unknown in index: {', '.join(sorted(unknown))}")
        if missing := [name for name in ("dims", "embed") if name not in config]:
            raise ValueError(f"an index needs dims and embed; there is no {' and no '.join(missing)}")
        self.dims = config["dims"]
        if not (type(self.dims) is int and self.dims > 0):
            raise ValueError(f"dims is a positive integer, not {self.dims!r}")
        self.embeddings = ensure_embeddings(config["embed"])
        fields = config.get("fields")
        self.paths = [tokenize_path(path) for path in (["$"] if fields is None else fields)]
        self.distance: Distance = config.get("distance_type", "cosine")
        if self.distance not in DISTANCES:
            raise ValueError(f"distance_type is one of {', '.join(DISTANCES)}, not {self.distance!r}")

    def texts(self, value: Mapping[str, Any], paths: Sequence[str] | None = None) -> tuple[str, ...]:
        """What of a JSON value is indexed; each text once, empty ones never."""
        steps = self.paths if paths is None else [tokenize_path(path) for path in paths]
        found = (text for path in steps for text in get_text_at_path(value, path))
        return tuple(dict.fromkeys(text for text in found if text))

    async def embed(
        self, documents: Iterable[str], queries: Iterable[str]
    ) -> tuple[Mapping[str, Vector], Mapping[str, Vector]]:
        """The vectors of texts that are stored and of texts that are searched for, by text.

        Raises:
            StoreValueError: What the embedder made are no vectors of the right length.
        """
        texts = list(dict.fromkeys(documents))
        made = await self.embeddings.aembed_documents(texts) if texts else []
        if len(made) != len(texts):
            raise StoreValueError(f"the embedder made {len(made)} vectors of {len(texts)} texts")
        asked = list(dict.fromkeys(queries))
        answers = [await self.embeddings.aembed_query(query) for query in asked]
        return self._by_text(texts, made), self._by_text(asked, answers)

    def _by_text(self, texts: Sequence[str], vectors: Iterable[Sequence[float]]) -> Mapping[str, Vector]:
        return {text: self._checked(vector) for text, vector in zip(texts, vectors, strict=True)}

    def _checked(self, made: Sequence[float]) -> Vector:
        try:
            vector = array("f", map(float, made))
        except (TypeError, ValueError) as error:
            raise StoreValueError(f"the embedder made {made!r} of a text, which is no vector") from error
        if len(vector) != self.dims:
            raise StoreValueError(
                f"the embedder made a vector of {len(vector)} numbers, but the index has dims={self.dims}"
            )
        if not all(map(math.isfinite, vector)):
            raise StoreValueError("the embedder made a vector with a number that is not finite")
        return vector
