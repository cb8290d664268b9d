"""Metadata as JSON, within what every saver and store can keep."""

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import orjson

from aiograph.checkpoint._superstep import Superstep
from aiograph.checkpoint.serde.base import UnstorableValueError

_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def dump_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as JSON text, as `dump_json` makes it."""
    return dump_json(metadata, "metadata")


def metadata_of(superstep: Superstep) -> bytes:
    """The metadata of a superstep as JSON text; what those of a run have in common is told once."""
    facts, source = superstep.facts, superstep.source
    if source is None:
        return dump_metadata(facts.entries)
    if facts.stem is None:
        text = dump_metadata(facts.entries)[:-1]
        facts.stem = text + b"," if facts.entries else text
    return b'%b"source":"%b","step":%d}' % (facts.stem, source.encode(), superstep.step)


def dump_json(value: Any, name: str) -> bytes:
    """A value as JSON text; UUIDs and enums become their text or value, tuples become lists.

    Args:
        value: The value.
        name: What it is; the path to a fault begins with it.

    Raises:
        UnstorableValueError: There is something that not every database can hold; its path is given.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        raise _fault(value, name) from None
    # `in` would try whether it is asked for a number first, which takes twice as long
    if text.find(b"null") >= 0 and (path := _path_of(value, _is_replaced_by_null, name)):
        raise UnstorableValueError(path, "JSON knows neither NaN nor infinity")
    if text.find(b"\\u0000") >= 0 and (path := _path_of(value, _has_nul, name)):
        raise UnstorableValueError(path, f"{name} is text, and PostgreSQL's has no NUL character")
    return b"%b" % text  # a copy of its own length: orjson's may hold on to kilobytes that it has not used


def load_metadata(text: bytes | str) -> dict[str, Any]:
    """The metadata of a JSON text.

    Raises:
        ValueError: It is not a JSON object.
    """
    metadata = orjson.loads(text)
    if not isinstance(metadata, dict):
        raise ValueError("metadata has to be a JSON object")
    return metadata


# -- faults, with the path to them


def _fault(value: Any, name: str) -> UnstorableValueError:
    path, outer = name, set[int]()
    while True:
        outer.add(id(value))
        for step, child in _children(value):
            if id(child) in outer:
                return UnstorableValueError(path + step, "it contains itself")
            if _refused(child) is not None:
                path, value = path + step, child
                break
        else:
            return UnstorableValueError(path, f"{name} is kept as JSON: {_refused(value)}")


def _refused(value: Any) -> str | None:
    try:
        orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:
        return str(error)
    return None


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f".{key}" if isinstance(key, str) else f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    return []


def _path_of(value: Any, is_fault: Callable[[Any], bool], path: str) -> str | None:
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
