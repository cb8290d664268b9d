"""Filters: what they let through follows from a few laws."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.serde._filter import MOST_KEYS, fulfils
from aiograph.errors import StoreQueryError
from aiograph.store._filter import parse_filter

FIELDS = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-1.0, 0.5, 1.0, 2.5]),
    st.sampled_from(["", "1", "a", "b"]),
)
VALUES = st.dictionaries(
    FIELDS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=2)
    ),
)
COMPARABLE = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0]), st.sampled_from(["", "1", "a"]))


def matches(value: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(fulfils(value, condition) for condition in parse_filter(wanted))


def kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


@given(VALUES)
def test_a_value_matches_each_of_its_own_fields(value: dict[str, Any]) -> None:
    assert all(matches(value, {field: {"$eq": own}}) for field, own in value.items())
    assert matches(value, {})


@given(VALUES, FIELDS, SCALARS)
def test_equal_and_unequal_exclude_each_other(value: dict[str, Any], field: str, wanted: Any) -> None:
    verdicts = [matches(value, {field: {name: wanted}}) for name in ("$eq", "$ne")]
    assert sum(verdicts) == (field in value)
    assert verdicts[0] is matches(value, {field: wanted})


@given(VALUES, FIELDS, COMPARABLE)
def test_exactly_one_of_less_equal_and_greater_holds_for_the_same_kind(
    value: dict[str, Any], field: str, wanted: Any
) -> None:
    less, equal, greater = (matches(value, {field: {name: wanted}}) for name in ("$lt", "$eq", "$gt"))
    assert less + equal + greater == (field in value and kind(value[field]) is kind(wanted))
    assert matches(value, {field: {"$lte": wanted}}) == (less or equal)
    assert matches(value, {field: {"$gte": wanted}}) == (greater or equal)


@given(VALUES, FIELDS, COMPARABLE, COMPARABLE)
def test_all_conditions_have_to_hold(value: dict[str, Any], field: str, low: Any, high: Any) -> None:
    both = matches(value, {field: {"$gt": low, "$lte": high}})
    assert both == (matches(value, {field: {"$gt": low}}) and matches(value, {field: {"$lte": high}}))


@given(VALUES, FIELDS, FIELDS, SCALARS)
def test_a_nested_filter_asks_the_dict_below(
    value: dict[str, Any], outer: str, inner: str, wanted: Any
) -> None:
    below = value.get(outer)
    expected = isinstance(below, dict) and matches(below, {inner: wanted})
    assert matches(value, {outer: {inner: wanted}}) == expected


@pytest.mark.parametrize(
    "filter", [{"a": {"$no": 1}}, {"a": {"b": {"$gt": None}}}, {"a": {"$gt": 1, "b": 1}}]
)
def test_what_a_filter_cannot_say_is_refused_before_any_value_is_seen(filter: dict[str, Any]) -> None:
    with pytest.raises(StoreQueryError, match=r"^a"):
        parse_filter(filter)


def test_a_filter_has_its_limits() -> None:
    assert len(parse_filter({str(number): 1 for number in range(MOST_KEYS)})) == MOST_KEYS
    with pytest.raises(StoreQueryError, match="more than 1,000"):
        parse_filter({str(number): 1 for number in range(MOST_KEYS + 1)})


def test_a_filter_is_a_dict() -> None:
    assert parse_filter(None) == ()
    with pytest.raises(TypeError, match="list"):
        parse_filter([("a", 1)])  # type: ignore[arg-type]  # the mistake at hand
