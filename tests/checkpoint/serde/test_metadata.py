"""Metadata as JSON: what comes back, what is refused, and how it tells where."""

import tracemalloc
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.base import Facts, Superstep
from aiograph.checkpoint.serde._metadata import dump_metadata, load_metadata, metadata_of
from aiograph.checkpoint.serde.base import UnstorableValueError

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=10,
)


@given(st.dictionaries(text, json))
def test_json_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    assert load_metadata(dump_metadata(metadata)) == metadata


@given(st.dictionaries(text, json), st.sampled_from([None, "loop", "fork"]), st.integers(-1, 2**40))
def test_what_a_run_has_in_common_is_told_once_and_comes_back_with_each_checkpoint(
    entries: dict[str, Any], source: str | None, step: int
) -> None:
    facts = Facts({key: value for key, value in entries.items() if key not in ("source", "step")})
    first = Superstep("t", "", None, "1", 0, {}, {}, {}, None, {}, None, facts, source, step)
    for superstep in (first, first._replace(step=step + 1)):
        assert load_metadata(metadata_of(superstep)) == superstep.metadata
    assert superstep.metadata.get("step") == (None if source is None else step + 1)


def test_ids_enums_and_tuples_become_json() -> None:
    class Mode(Enum):
        FAST = "fast"

    metadata = load_metadata(dump_metadata({"run": UUID(int=7), "mode": Mode.FAST, "pair": (1, 2)}))
    assert metadata == {"run": str(UUID(int=7)), "mode": "fast", "pair": [1, 2]}


def test_a_text_takes_no_more_memory_than_it_is_long() -> None:
    tracemalloc.start()
    try:
        texts = [dump_metadata({"step": step}) for step in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 100 * (200 + len(texts[-1]))
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("stored", ["[]", "null", '"text"', "1"])
def test_stored_text_that_is_no_object_is_refused(stored: str) -> None:
    with pytest.raises(ValueError, match="metadata has to be a JSON object"):
        load_metadata(stored)


@pytest.mark.parametrize("stored", ["", "{", '{"a": NaN}', b"\xff"])
def test_stored_text_that_is_no_json_is_refused(stored: bytes | str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        load_metadata(stored)


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


def test_what_contains_itself_is_refused_with_the_path_to_it() -> None:
    circle: dict[str, Any] = {"list": [1]}
    circle["list"].append(circle)
    with pytest.raises(UnstorableValueError, match="contains itself") as caught:
        dump_metadata(circle)
    assert caught.value.path == "metadata.list[1]"
