"""A filter as conditions in PostgreSQL's language: the same answers as `Filter.matches`.

They are about the columns `metadata jsonb` and `created_at bigint`, in microseconds since 1970. Keys and
values are parameters, each a `?`: the text depends on operators, kinds and depth alone.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import orjson

from aiograph.checkpoint.serde._filter import Condition, Filter

SqlCondition: TypeAlias = tuple[str, list[Any]]
"""Text and parameters."""

_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def conditions(filter: Filter) -> list[SqlCondition]:
    """Conditions that a row has to fulfil, all of them."""
    return [*_times(filter), *map(_condition, filter.conditions)]


def _times(filter: Filter) -> Iterator[SqlCondition]:
    if filter.created_after is not None:
        yield "created_at > ?::bigint", [filter.created_after]
    if filter.created_before is not None:
        yield "created_at < ?::bigint", [filter.created_before]


def _condition(condition: Condition) -> SqlCondition:
    path, operator, value = condition
    # Of a key that is not there, or of what is no object, `->` makes NULL, which fulfils nothing.
    found = "metadata" + " -> ?::text" * len(path)
    match operator:
        case "eq":
            return _equal(found, condition)
        case "ne":
            return f"{found} <> ?::jsonb", [*path, _json(value)]
        case "in":
            # hashed, unlike an array that is known only when the statement runs
            return f"{found} IN (SELECT jsonb_array_elements(?::jsonb))", [*path, _json(value)]
        case "dict":
            return f"jsonb_typeof({found}) = 'object'", [*path]
        case _ if isinstance(value, str):
            return _text_order(found, condition)
        case _:
            return _number_order(found, condition)


def _equal(found: str, condition: Condition) -> SqlCondition:
    """By containment, for which there are indexes; an array contains others than its equals, too."""
    path, _, value = condition
    document = value
    for key in reversed(path):
        document = {key: document}
    if isinstance(value, list):
        return f"(metadata @> ?::jsonb AND {found} = ?::jsonb)", [_json(document), *path, _json(value)]
    return "metadata @> ?::jsonb", [_json(document)]


def _number_order(found: str, condition: Condition) -> SqlCondition:
    path, operator, value = condition
    text = f"(jsonb_typeof({found}) = 'number' AND {found} {_ORDER[operator]} ?::jsonb)"
    return text, [*path, *path, _json(value)]


def _text_order(found: str, condition: Condition) -> SqlCondition:
    path, operator, value = condition
    as_text = "metadata" + " -> ?::text" * (len(path) - 1) + " ->> ?::text"
    # jsonb would compare text by the rules of the database's language
    text = f"(jsonb_typeof({found}) = 'string' AND ({as_text}) COLLATE \"C\" {_ORDER[operator]} ?::text)"
    return text, [*path, *path, value]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
