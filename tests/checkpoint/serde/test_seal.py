"""Seals: what is closed opens as what it was, and takes less room where that pays."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.serde._seal import COMPRESS_FROM, PLAIN, content_serde, seal_of
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError

TEXT = b"the same words again and again, " * 100


def test_a_plain_serializer_has_the_plain_seal_and_is_its_own_content() -> None:
    serializer = JsonPlusSerializer()
    assert seal_of(serializer) is PLAIN
    assert content_serde(serializer) is serializer


@given(st.binary() | st.binary(min_size=1).map(lambda part: part * COMPRESS_FROM))
def test_what_is_closed_opens_as_what_it_was(data: bytes) -> None:
    assert PLAIN.open(*PLAIN.close("msgpack", data, b"here"), b"here") == ("msgpack", data)


def test_small_values_stay_the_very_same_objects() -> None:
    data = b"x" * (COMPRESS_FROM - 1)
    assert PLAIN.close("msgpack", data, b"") == ("msgpack", data)
    assert PLAIN.close("msgpack", data, b"")[1] is data
    assert PLAIN.open("msgpack", data, b"")[1] is data


@pytest.mark.parametrize("tag", ["mine+zlib", "mine+as-is", "mine+zlib+as-is", "+zlib", "mine+aes"])
@pytest.mark.parametrize("data", [b"small", os.urandom(5_000), TEXT], ids=["small", "random", "text"])
def test_tags_that_end_like_ours_are_not_taken_for_ours(tag: str, data: bytes) -> None:
    assert PLAIN.open(*PLAIN.close(tag, data, b""), b"") == (tag, data)


def test_large_values_are_compressed_and_their_tag_says_so() -> None:
    tag, data = PLAIN.close("msgpack", TEXT, b"")
    assert tag == "msgpack+zlib"
    assert len(data) < len(TEXT) / 10


def test_what_would_save_less_than_a_fifth_stays_as_it_is() -> None:
    mixed = os.urandom(9_000) + b"a" * 1_000
    assert PLAIN.close("bytes", mixed, b"") == ("bytes", mixed)


def test_what_would_grow_without_measure_is_not_compressed() -> None:
    zeros = bytes(9 * 2**20)
    assert PLAIN.close("bytes", zeros, b"")[0] == "bytes"
    assert PLAIN.close("bytes", zeros[: 8 * 2**20], b"")[0] == "bytes+zlib"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not compressed at all",
        zlib.compress(TEXT)[:-1],
        zlib.compress(TEXT)[:-5],
        zlib.compress(TEXT) + b"x",
        zlib.compress(TEXT) + zlib.compress(TEXT),
        zlib.compress(bytes(9 * 2**20)),
    ],
    ids=["empty", "plain", "cut", "cut more", "one byte more", "two", "bomb"],
)
def test_damaged_and_swollen_values_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointDeserializationError, match="a compressed value is"):
        PLAIN.open("msgpack+zlib", data, b"")


def test_an_address_is_that_of_the_content_and_nothing_else() -> None:
    address = PLAIN.address("msgpack", b"data", b"refs")
    assert len(address) == 16
    assert address == PLAIN.address("msgpack", b"data", b"refs")
    others = [("bytes", b"data", b"refs"), ("msgpack", b"datar", b"efs"), ("msgpack", b"data", b"")]
    assert address not in [PLAIN.address(*other) for other in others]
