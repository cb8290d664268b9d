"""Arrays and scalars of numpy, for programs that use it: nothing here imports it.

An array is stored as its type, its shape, its order in memory, and its bytes. Where an array was stored,
numpy is installed; to read it back it has to be imported, and that is left to the program, as reading a
blob never imports anything.
"""

import re
import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._codecs import Scalar, Unfit

ARRAY = 23
SCALAR = 24

_TYPE = re.compile(r"[<>|][biufcSU]\d{1,9}|[<>][mM]8(\[\d{0,9}[a-zA-Zμ]{1,2}\])?", re.ASCII)
"""Types that are numbers, truth values, moments or text: no objects, no records."""

_LIMITS = {"b": ("u1", 1), "U": ("u4", sys.maxunicode)}
"""By the kind of an array: the integers that it is made of, and the largest that has a meaning."""


def array_scalar(cls: type) -> Scalar | None:
    """How instances of a class of numpy are stored, or `None` if the class is none of numpy's."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if cls is numpy.ndarray:
        return ARRAYS[0]
    return ARRAYS[1] if cls.__module__ == "numpy" and issubclass(cls, numpy.generic) else None


def _encode_array(array: Any) -> bytes:
    kind = _checked_type(array.dtype)
    if array.ndim and not array.itemsize:
        raise Unfit("the items of the array have no size")
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    head: bytes = msgpack.packb([kind, array.shape, order])
    raw: bytes = array.tobytes(order)
    return head + raw


def _encode_scalar(value: Any) -> bytes:
    array = sys.modules["numpy"].asarray(value)
    if array.dtype.kind in "SU" and array[()] != value:
        raise Unfit("numpy drops the zeros at its end")
    return _encode_array(array)


def _checked_type(dtype: Any) -> str:
    kind: str = dtype.str
    if _TYPE.fullmatch(kind) is None or sys.modules["numpy"].dtype(kind) != dtype:
        raise Unfit(f"arrays of the type {dtype!r} cannot be stored; store numbers, text or moments")
    return kind


def _decode_array(data: bytes) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        raise ValueError("it holds an array; import numpy before you read it")
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    kind, shape, order = unpacker.unpack()
    raw = memoryview(data)[unpacker.tell() :]
    if _TYPE.fullmatch(kind) is None or order not in ("C", "F"):
        raise ValueError(f"arrays have no type {kind!r:.100} in the order {order!r:.100}")
    dtype = numpy.dtype(kind)
    _check_shape(shape, dtype.itemsize, len(raw))
    array = numpy.ndarray(shape, dtype, buffer=raw, order=order).copy(order)
    _check_items(array)
    return array


def _check_shape(shape: Sequence[Any], itemsize: int, size: int) -> None:
    """numpy would take a shape that asks for less than there is."""
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("the shape of an array is a list of lengths")
    if prod(shape) * itemsize != size or (shape and not itemsize):
        raise ValueError(f"an array of {size} bytes does not have the shape it was stored with")


def _check_items(array: Any) -> None:
    """Refuses items that no array has whose items were set one by one."""
    base, most = _LIMITS.get(array.dtype.kind, ("", 0))
    if base and array.size and array.itemsize:
        items = array.reshape(-1, order="A").view(array.dtype.str[0].replace("|", "=") + base)
        if items.max() > most:
            raise ValueError("the items of an array are not what its type says")


def _decode_scalar(data: bytes) -> Any:
    array = _decode_array(data)
    if array.ndim:
        raise ValueError("a scalar has no shape")
    return array[()]


ARRAYS = (Scalar(ARRAY, _encode_array, _decode_array), Scalar(SCALAR, _encode_scalar, _decode_scalar))
