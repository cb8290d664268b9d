"""Arrays: what numpy holds comes back with its type, shape and order, and forged ones do not."""

import subprocess
import sys
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no annotations
import numpy as np
import pytest

from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError

SERIALIZER = JsonPlusSerializer()

ARRAYS = [
    np.arange(6, dtype="<i4").reshape(2, 3),
    np.arange(6, dtype=">u2").reshape(2, 3).T,
    np.asfortranarray(np.ones((3, 4), "f8")),
    np.array(1.5),
    np.zeros((0, 3)),
    np.zeros((3, 0), order="F"),
    np.arange(10)[::3],
    np.array([True, False]),
    np.array([1 + 2j], "c8"),
    np.array([np.nan, np.inf], "f2"),
    np.array(["ä", "long 🔑"]),
    np.array([b"x", b"yz"]),
    np.array(["2026-01-31T08:00", "NaT"], "M8[s]"),
    np.array([1, 2], "m8[25us]"),
]

SCALARS = [
    np.float64(1.5), np.float32("nan"), np.int8(-1), np.uint64(2**64 - 1), np.bool_(True), np.complex64(1j),
    np.str_("ä"), np.str_(""), np.bytes_(b"x"), np.datetime64("2026-01-31"), np.datetime64("NaT"),
    np.timedelta64(3, "h"),
]  # fmt: skip


def round_trip(value: Any) -> Any:
    return SERIALIZER.loads_typed(SERIALIZER.dumps_typed(value))


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype} {array.shape}")
def test_an_array_comes_back_as_what_it_was(array: Any) -> None:
    (again,) = round_trip((array,))
    assert type(again) is np.ndarray
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()
    assert again.flags.f_contiguous == array.flags.f_contiguous or not array.flags.contiguous
    assert again.flags.writeable
    assert again.flags.owndata


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_a_scalar_comes_back_as_what_it_was(value: Any) -> None:
    again = round_trip({"key": [value]})["key"][0]
    assert type(again) is type(value)
    assert repr(again) == repr(value)


def test_a_scalar_may_be_a_key() -> None:
    assert round_trip({np.int64(3): "three"}) == {3: "three"}


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([b"xx"], "V2"),
        np.void(b"xx"),
        np.str_("ends with\0"),
        np.ma.masked_array([1, 2], [True, False]),
        np.arange(2).view(np.recarray),
    ],
    ids=lambda value: f"{type(value).__name__} {value.dtype}",
)
def test_what_numpy_could_not_restore_from_bytes_is_refused(value: Any) -> None:
    with pytest.raises(UnstorableValueError, match=r"cannot store \[0\]: "):
        SERIALIZER.dumps_typed([value])


def forged(kind: Any, shape: Any, order: Any, raw: bytes, code: int = 23) -> tuple[str, bytes]:
    return "msgpack", msgpack.packb(msgpack.ExtType(code, msgpack.packb([kind, shape, order]) + raw))


@pytest.mark.parametrize(
    "blob",
    [
        forged("<i4", [2], "C", b"\0" * 4),
        forged("<i4", [1], "C", b"\0" * 8),
        forged("<i4", [-1, -1], "C", b"\0" * 4),
        forged("<i4", [2**62, 4], "C", b""),
        forged("<i4", [2**63, 0], "C", b""),
        forged("<i4", [1] * 100, "C", b"\0" * 4),
        forged("<i4", [True], "C", b"\0" * 4),
        forged("<i4", 1, "C", b"\0" * 4),
        forged("<i4", [1], "Q", b"\0" * 4),
        forged("<i4", [1], None, b"\0" * 4),
        forged("|O", [1], "C", b"\0" * 8),
        forged("|O8", [1], "C", b"\0" * 8),
        forged("<i4,<i4", [1], "C", b"\0" * 8),
        forged([["a", "|O"]], [1], "C", b"\0" * 8),
        forged("os.system", [1], "C", b"\0" * 8),
        forged("<U0", [10**15], "C", b""),
        forged("<U999999999", [0], "C", b"x"),
        forged("<U1", [1], "C", b"\xff" * 4),
        forged("|b1", [1], "C", b"\x02"),
        forged("<f3", [1], "C", b"\0" * 3),
        forged("<i4", [1], "C", b"\0" * 4, code=24),
        ("msgpack", msgpack.packb(msgpack.ExtType(23, b""))),
        ("msgpack", msgpack.packb(msgpack.ExtType(23, b"\xdd\xff\xff\xff\xff"))),
        ("msgpack", msgpack.packb(msgpack.ExtType(24, b"\x01"))),
    ],
    ids=lambda blob: repr(blob[1][:30]),
)
def test_forged_arrays_are_refused(blob: tuple[str, bytes]) -> None:
    with pytest.raises(CheckpointDeserializationError):
        SERIALIZER.loads_typed(blob)


def test_reading_an_array_does_not_import_numpy() -> None:
    blob = SERIALIZER.dumps_typed(np.arange(3))
    program = f"""
import sys
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
try:
    JsonPlusSerializer().loads_typed({blob!r})
except Exception as error:
    print(error)
print("numpy" in sys.modules)
import numpy
print(JsonPlusSerializer().loads_typed({blob!r}))
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines() == [
        "cannot read a stored value: it holds an array; import numpy before you read it (ValueError)",
        "False",
        "[0 1 2]",
    ]
