"""Metadata as JSON: what it refuses, and how it tells where."""

from enum import Enum
from typing import Any

import pytest

from aiograph.checkpoint.serde._metadata import dump_metadata, load_metadata
from aiograph.checkpoint.serde.base import UnstorableValueError


class Odd(Enum):
    NUL = "a\0b"
    NAN = float("nan")
    NESTED = (1.0, float("inf"))


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"a": "\0"}, "metadata.a"),
        ({"a": ["", {"b": "x\0y"}]}, "metadata.a[1].b"),
        ({"a": {"\0": 1}}, "metadata.a"),
        ({"\0": 1}, "metadata"),
        ({"a": Odd.NUL}, "metadata.a"),
    ],
)
def test_the_nul_character_is_refused_as_postgresql_cannot_keep_it(metadata: Any, path: str) -> None:
    with pytest.raises(UnstorableValueError, match="NUL") as caught:
        dump_metadata(metadata)
    assert caught.value.path == path


def test_text_about_the_nul_character_is_kept() -> None:
    metadata = {"regex": "\\u0000", "\\u0000": ["\\", "u0000"]}
    assert load_metadata(dump_metadata(metadata)) == metadata


@pytest.mark.parametrize(
    ("value", "path"),
    [(Odd.NAN, "metadata.a"), (Odd.NESTED, "metadata.a[1]"), ([float("inf")], "metadata.a[0]")],
)
def test_what_json_would_silently_replace_is_refused_within_enums_too(value: Any, path: str) -> None:
    with pytest.raises(UnstorableValueError, match="neither NaN nor infinity") as caught:
        dump_metadata({"a": value})
    assert caught.value.path == path


@pytest.mark.parametrize("metadata", [{"a": "\ud800"}, {"\ud800": 1}, {"a": 2**64}, {1: 2}])
def test_what_is_no_json_is_refused(metadata: Any) -> None:
    with pytest.raises(UnstorableValueError, match="metadata is kept as JSON"):
        dump_metadata(metadata)
