"""Metadata as JSON, and what it means that metadata matches a filter."""

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import orjson

from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.errors import CheckpointQueryError, CheckpointSerializationError

_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def dump_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as JSON text; UUIDs and enums become their text or value, tuples become lists.

    Raises:
        CheckpointSerializationError: There is something that not every saver can hold; its path is given.
    """
    try:
        text = orjson.dumps(metadata, option=_OPTIONS)
    except TypeError:
        raise _fault(metadata) from None
    if b"null" in text and (path := _path_of(metadata, _is_replaced_by_null)):
        raise UnstorableValueError(path, "JSON knows neither NaN nor infinity")
    if b"\\u0000" in text and (path := _path_of(metadata, _has_nul)):
        raise UnstorableValueError(path, "metadata is text, and PostgreSQL's has no NUL character")
    return text


def load_metadata(text: bytes | str) -> dict[str, Any]:
    """The metadata of a JSON text.

    Raises:
        ValueError: It is not a JSON object.
    """
    metadata = orjson.loads(text)
    if not isinstance(metadata, dict):
        raise ValueError("metadata has to be a JSON object")
    return metadata


def dump_filter(filter: Mapping[str, Any]) -> bytes:
    """A filter as JSON, so that its values compare with what metadata becomes.

    Raises:
        CheckpointQueryError: It holds what metadata cannot hold.
    """
    try:
        return dump_metadata(filter)
    except CheckpointSerializationError as error:
        raise CheckpointQueryError(f"the filter matches no metadata: {error}") from error


def matches(metadata: Any, filter: Mapping[str, Any]) -> bool:
    """Whether all entries of `filter` are in `metadata`, and equal; a nested dict is a nested filter."""
    return isinstance(metadata, dict) and all(
        key in metadata and _fits(metadata[key], wanted) for key, wanted in filter.items()
    )


def _fits(have: Any, wanted: Any) -> bool:
    return matches(have, wanted) if isinstance(wanted, dict) else _equal(have, wanted)


def _equal(one: Any, other: Any) -> bool:
    """Equality as JSON knows it: unlike in Python, `1` is not `true`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)


# -- faults, with the path to them


def _fault(metadata: Any) -> UnstorableValueError:
    path, value = "metadata", metadata
    while True:
        for step, child in _children(value):
            if _refused(child) is not None:
                path, value = path + step, child
                break
        else:
            return UnstorableValueError(path, _refused(value) or "it is not JSON")


def _refused(value: Any) -> str | None:
    try:
        orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:
        return f"metadata is kept as JSON: {error}"
    return None


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f".{key}" if isinstance(key, str) else f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    return []


def _path_of(value: Any, is_fault: Callable[[Any], bool], path: str = "metadata") -> str | None:
    if isinstance(value, Enum):
        value = value.value
    if is_fault(value):
        return path
    found = (_path_of(child, is_fault, path + step) for step, child in _children(value))
    return next((each for each in found if each), None)


def _is_replaced_by_null(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _has_nul(value: Any) -> bool:
    """Whether it is a text, or a dict with a key, that contains the NUL character."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, dict) else ()
    return any("\0" in text for text in texts)
