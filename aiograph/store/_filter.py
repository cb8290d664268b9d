"""Filters of searches, parsed into the conditions that savers have for metadata: one meaning for both.

Numbers compare as numbers and text by code points; values of different kinds are never equal, and neither
is smaller. A field that is not there fulfils nothing. As in JSON, `1` is not `true`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from aiograph.checkpoint.serde._filter import MOST_KEYS, Condition, Operator
from aiograph.checkpoint.serde._metadata import dump_json
from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.errors import StoreQueryError

_OPERATORS: Mapping[str, Operator] = {
    "$eq": "eq",
    "$ne": "ne",
    "$gt": "gt",
    "$gte": "gte",
    "$lt": "lt",
    "$lte": "lte",
}
_EQUALITY = ("$eq", "$ne")


def parse_filter(filter: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """Reads what a user wrote.

    An entry is a value to be equal to, a dict of operators, or a nested filter. An empty dict is a nested
    filter that fits any dict.

    Raises:
        StoreQueryError: It makes no sense, or holds what no value can hold.
        TypeError: It is no dict.
    """
    if filter is None:
        return ()
    if not isinstance(filter, Mapping):
        raise TypeError(f"a filter is a dict, not a {type(filter).__name__}")
    entries = _as_json(filter)
    conditions = tuple(each for key, wanted in entries.items() for each in _conditions((key,), wanted))
    if sum(len(condition.path) for condition in conditions) > MOST_KEYS:
        raise StoreQueryError(f"the filter names more than {MOST_KEYS:,} keys")
    return conditions


def _as_json(filter: Mapping[str, Any]) -> dict[str, Any]:
    """The filter as it would look if it were stored, so that it compares with what is."""
    try:
        entries: dict[str, Any] = orjson.loads(dump_json(dict(filter), "filter"))
    except UnstorableValueError as error:
        raise StoreQueryError(f"the filter matches no value: {error.path}: {error.reason}") from error
    return entries


def _conditions(path: tuple[str, ...], wanted: Any) -> Iterator[Condition]:
    if path[-1].startswith("$"):
        raise StoreQueryError(f"{'.'.join(path)}: an operator stands inside a field: {{field: {{'$gt': 1}}}}")
    if not isinstance(wanted, dict):
        yield Condition(path, "eq", wanted)
    elif not wanted:
        yield Condition(path, "dict", None)
    elif any(key.startswith("$") for key in wanted):
        for name, value in wanted.items():
            yield _comparison(path, name, value)
    else:
        for key, nested in wanted.items():
            yield from _conditions((*path, key), nested)


def _comparison(path: tuple[str, ...], name: str, value: Any) -> Condition:
    where = ".".join(path)
    if name not in _OPERATORS:
        raise StoreQueryError(f"{where}: unknown operator {name!r}; there are {', '.join(_OPERATORS)}")
    if name not in _EQUALITY and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise StoreQueryError(f"{where}: {name!r} compares with a number or text, not {value!r}")
    if name == "$eq" and isinstance(value, dict):
        return Condition(path, "in", [value])  # the whole dict; as `eq`, savers know plain values only
    return Condition(path, _OPERATORS[name], value)
