"""`Filter`: what `list` looks for in metadata, parsed once, and what it means that a checkpoint fits.

Savers that ask a database in its own language compose their conditions from the parsed form; `matches`
says what they have to answer.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, TypeAlias, get_args

import orjson

from aiograph._ids import microseconds
from aiograph.checkpoint.serde._metadata import dump_metadata
from aiograph.errors import CheckpointQueryError, CheckpointSerializationError

Comparison: TypeAlias = Literal["ne", "gt", "gte", "lt", "lte", "in"]
"""What a user may write."""

Operator: TypeAlias = Literal["eq", "dict", Comparison]
"""What a condition holds; `dict` asks for any dict."""

_COMPARISONS = frozenset[str](get_args(Comparison))
_ORDERING = _COMPARISONS - {"ne", "in"}

_AFTER, _BEFORE = "created_after", "created_before"
_ESCAPE = "metadata."
"""Before the name of a metadata entry that would otherwise mean something else."""

MOST_KEYS = 1_000
"""Keys that a filter may name, each as often as a condition is about it. PostgreSQL plans in time that grows
with the square of their number, and cannot be interrupted then."""


class Condition(NamedTuple):
    """What has to be true of one entry; an entry that is not there fulfils no condition."""

    path: tuple[str, ...]
    """The keys that lead to it, at least one."""
    operator: Operator
    value: Any
    """As JSON has it."""


class Filter(NamedTuple):
    """Conditions that a checkpoint has to fulfil, all of them.

    Numbers compare by the value of their decimal text, however they are written: `1` is `1.0`, and `0.1` is
    one tenth. Text compares by code points. `True` is no number. Values of different kinds are never equal,
    and neither is smaller: of the comparisons, only `ne` holds between them.
    """

    conditions: tuple[Condition, ...]
    created_after: int | None = None
    """Microseconds since 1970, UTC; the checkpoint has to be younger."""
    created_before: int | None = None
    """Microseconds since 1970, UTC; the checkpoint has to be older."""

    @classmethod
    def parse(cls, filter: Mapping[str, Any]) -> Self:
        """Reads what a user wrote.

        An entry is a value to be equal to, a nested filter, or a dict whose keys are all among `ne`, `gt`,
        `gte`, `lt`, `lte` and `in`. An empty dict is a nested filter that fits any dict. `created_after` and
        `created_before` are aware datetimes or ISO 8601 text, which is in UTC unless it says otherwise;
        `metadata.NAME` is the metadata entry `NAME`, whatever it is called.

        Raises:
            CheckpointQueryError: It makes no sense, or holds what metadata cannot hold.
        """
        if not isinstance(filter, Mapping):
            raise CheckpointQueryError(
                f"a filter is a dict of metadata entries, not a {type(filter).__name__}"
            )
        times = {name: _moment(name, filter[name]) for name in (_AFTER, _BEFORE) if name in filter}
        entries = _as_json({name: wanted for name, wanted in filter.items() if name not in times})
        conditions = tuple(
            condition
            for name, wanted in entries.items()
            for condition in _conditions((name.removeprefix(_ESCAPE),), wanted)
        )
        if sum(len(condition.path) for condition in conditions) > MOST_KEYS:
            raise CheckpointQueryError(f"the filter names more than {MOST_KEYS:,} keys")
        return cls(conditions, times.get(_AFTER), times.get(_BEFORE))

    def matches(self, metadata: Mapping[str, Any], created_at: int) -> bool:
        """Whether a checkpoint fulfils all conditions.

        Args:
            metadata: As `load_metadata` returns it.
            created_at: Microseconds since 1970, UTC.
        """
        return (
            (self.created_after is None or created_at > self.created_after)
            and (self.created_before is None or created_at < self.created_before)
            and all(fulfils(metadata, condition) for condition in self.conditions)
        )

    def dump(self) -> str:
        """As JSON text, from which `load` makes an equal filter."""
        return orjson.dumps([[list(each) for each in self.conditions], *self[1:]]).decode()

    @classmethod
    def load(cls, text: str) -> Self:
        """The filter that `dump` made the text of; remembers the last few."""
        return cls(*_load(text))


# -- parsing


def _moment(name: str, value: Any) -> int:
    if isinstance(value, str):
        value = _read_moment(name, value)
    if not isinstance(value, datetime):
        raise CheckpointQueryError(
            f"{name} is a datetime or ISO 8601 text, not a {type(value).__name__}; "
            f"a metadata entry of this name is asked for as {_ESCAPE + name!r}"
        )
    if value.utcoffset() is None:
        raise CheckpointQueryError(
            f"{name} has no time zone: pass datetime.now(UTC), or value.astimezone() if it is local time"
        )
    return microseconds(value)


def _read_moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CheckpointQueryError(f"{name} is not ISO 8601 text: {text!r}") from error
    return moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment


def _as_json(entries: dict[str, Any]) -> dict[str, Any]:
    """The entries as they would look in stored metadata, so that they compare with it."""
    try:
        parsed: dict[str, Any] = orjson.loads(dump_metadata(entries))
    except CheckpointSerializationError as error:
        raise CheckpointQueryError(f"the filter matches no metadata: {error}") from error
    return parsed


def _conditions(path: tuple[str, ...], wanted: Any) -> Iterator[Condition]:
    if not isinstance(wanted, dict):
        yield Condition(path, "eq", wanted)
    elif not wanted:
        yield Condition(path, "dict", None)
    elif _COMPARISONS.isdisjoint(wanted):
        for key, nested in wanted.items():
            yield from _conditions((*path, key), nested)
    else:
        for operator, value in wanted.items():
            yield _comparison(path, operator, value)


def _comparison(path: tuple[str, ...], operator: Any, value: Any) -> Condition:
    where = ".".join(path)
    if operator not in _COMPARISONS:
        raise CheckpointQueryError(
            f"{where}: unknown operator {operator!r} beside known ones; there are "
            f"{', '.join(sorted(_COMPARISONS))}. A dict that has such keys is compared as a whole "
            "by {'in': [{...}]}"
        )
    if operator in _ORDERING and _kind(value) is None:
        raise CheckpointQueryError(f"{where}: {operator!r} compares with a number or text, not {value!r}")
    if operator == "in" and not isinstance(value, list):
        raise CheckpointQueryError(f"{where}: 'in' takes a list, not {value!r}")
    return Condition(path, operator, value)


@lru_cache(maxsize=64)
def _load(text: str) -> tuple[tuple[Condition, ...], int | None, int | None]:
    conditions, after, before = orjson.loads(text)
    return (
        tuple(Condition(tuple(path), operator, value) for path, operator, value in conditions),
        after,
        before,
    )


# -- matching


def fulfils(document: Any, condition: Condition) -> bool:
    """Whether a condition is true of a JSON value."""
    value = document
    for key in condition.path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return _TESTS[condition.operator](value, condition.value)


def _equal(one: Any, other: Any) -> bool:
    """Equality as JSON knows it: unlike in Python, `1` is not `true`."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if _kind(one) is None:
        return one is other  # `None`, `True` or `False`
    return _kind(one) is _kind(other) and bool(_exact(one) == _exact(other))


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(have: Any, wanted: Any) -> bool:
        return _kind(have) is _kind(wanted) and compare(_exact(have), _exact(wanted))

    return test


def _kind(value: Any) -> type | None:
    """What a value can be compared with, if there is an order at all."""
    if isinstance(value, str):
        return str
    return float if isinstance(value, int | float) and not isinstance(value, bool) else None


def _exact(value: Any) -> Any:
    """A float as what its text says, as databases keep it: a number of decimal digits."""
    return Decimal(repr(value)) if isinstance(value, float) else value


_TESTS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda have, wanted: not _equal(have, wanted),
    "gt": _ordered(lambda have, wanted: have > wanted),
    "gte": _ordered(lambda have, wanted: have >= wanted),
    "lt": _ordered(lambda have, wanted: have < wanted),
    "lte": _ordered(lambda have, wanted: have <= wanted),
    "in": lambda have, wanted: any(_equal(have, each) for each in wanted),
    "dict": lambda have, _: isinstance(have, dict),
}
