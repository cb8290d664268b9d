"""How near vectors are to each other, by numpy where it is installed. Higher is nearer."""

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import mul
from typing import Any, Literal, TypeAlias

Vector: TypeAlias = "array[float]"
"""Numbers of single precision, as databases keep them."""

Distance: TypeAlias = Literal["cosine", "inner_product", "l2"]

DISTANCES: tuple[Distance, ...] = ("cosine", "inner_product", "l2")


def nearness(query: Vector, vectors: Sequence[Vector], distance: Distance) -> list[float]:
    """The score of each vector: the cosine or inner product, or the Euclidean distance below zero.

    A vector of zeros has no direction; its cosine is 0.
    """
    if not vectors:
        return []
    numpy = _numpy()
    if numpy is None:
        score = _PLAIN[distance]
        return [score(query, vector) for vector in vectors]
    matrix = numpy.frombuffer(b"".join(vectors), numpy.float32).reshape(len(vectors), -1)
    # in double precision, so that the order does not depend on whether numpy is there
    scores = _BY_MATRIX[distance](numpy, numpy.array(query, numpy.float64), matrix.astype(numpy.float64))
    found: list[float] = scores.tolist()
    return found


@cache
def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


# -- without numpy


def _inner_product(one: Vector, other: Vector) -> float:
    return math.fsum(map(mul, one, other))


def _cosine(one: Vector, other: Vector) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return _inner_product(one, other) / lengths if lengths else 0.0


_PLAIN: Mapping[Distance, Callable[[Vector, Vector], float]] = {
    "cosine": _cosine,
    "inner_product": _inner_product,
    "l2": lambda one, other: -math.dist(one, other),
}

# -- with numpy


def _cosines(numpy: Any, query: Any, matrix: Any) -> Any:
    lengths = numpy.linalg.norm(matrix, axis=1) * numpy.linalg.norm(query)
    products = matrix @ query
    return numpy.divide(products, lengths, out=numpy.zeros_like(products), where=lengths != 0)


_BY_MATRIX: Mapping[Distance, Callable[[Any, Any, Any], Any]] = {
    "cosine": _cosines,
    "inner_product": lambda numpy, query, matrix: matrix @ query,
    "l2": lambda numpy, query, matrix: -numpy.linalg.norm(matrix - query, axis=1),
}
