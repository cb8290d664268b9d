"""What a filter means, and which ones are refused."""

from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph._ids import microseconds
from aiograph.checkpoint.serde._filter import Filter
from aiograph.checkpoint.serde._metadata import dump_metadata, load_metadata
from aiograph.errors import CheckpointQueryError


def fits(metadata: dict[str, Any], filter: dict[str, Any], created_at: int = 0) -> bool:
    return Filter.parse(filter).matches(load_metadata(dump_metadata(metadata)), created_at)


# -- what a filter means ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"step": 3},
        {"step": 3.0, "source": "loop"},
        {"step": {"gte": 3, "lt": 4}},
        {"step": {"gt": 2.9, "lte": 3}},
        {"step": {"ne": "3"}},
        {"step": {"in": [1, 2, 3]}},
        {"source": {"gt": "input"}},
        {"source": {"in": ("loop",)}},
        {"nested": {"deep": {"x": 1}}},
        {"nested": {"deep": {"x": {"lt": 2}}}},
        {"nested": {}},
        {"nested": {"in": [{"deep": {"x": 1.0}}]}},
        {"list": [1, {"a": True}]},
        {"nothing": None},
        {"metadata.step": 3},
    ],
)
def test_a_checkpoint_fits(filter: dict[str, Any]) -> None:
    metadata = {"step": 3, "source": "loop", "nested": {"deep": {"x": 1}}}
    assert fits({**metadata, "list": [1.0, {"a": True}], "nothing": None}, filter)


@pytest.mark.parametrize(
    "filter",
    [
        {"step": 2},
        {"step": True},
        {"flag": 1},
        {"flag": {"gte": 0}},
        {"flag": {"in": [1, 0]}},
        {"step": {"gt": 3}},
        {"step": {"gt": ""}},
        {"source": {"lt": 10**18}},
        {"step": {"in": []}},
        {"step": {"ne": 3.0}},
        {"step": {"gte": 3, "lt": 3}},
        {"step": {}},
        {"step": {"x": 1}},
        {"list": 1},
        {"list": [1]},
        {"list": [2, 1]},
        {"list": {"0": 1}},
        {"metadata": {"step": 1}},
    ],
)
def test_a_checkpoint_does_not_fit(filter: dict[str, Any]) -> None:
    assert not fits({"step": 3, "source": "loop", "flag": True, "list": [1, 2]}, filter)


@pytest.mark.parametrize("wanted", [None, 1, {"ne": 1}, {"in": [None]}, {"lt": 1}, {}])
def test_an_entry_that_is_not_there_fulfils_nothing(wanted: Any) -> None:
    assert not fits({"b": 1}, {"a": wanted})
    assert not fits({"a": {"b": 1}}, {"a": {"a": wanted}})


def test_numbers_compare_by_their_decimal_text() -> None:
    assert fits({"n": 2**53 + 1}, {"n": {"gt": float(2**53)}})
    assert fits({"n": 2**63 - 1}, {"n": {"ne": float(2**63)}})
    assert fits({"n": 0.1 + 0.2}, {"n": {"gt": 0.3}})
    assert fits({"n": -0.0}, {"n": 0})
    assert fits({"n": 10**16}, {"n": 1e16})


def test_text_compares_by_code_points() -> None:
    assert fits({"t": "Z"}, {"t": {"lt": "a"}})
    assert fits({"t": "z"}, {"t": {"lt": "é"}})
    assert fits({"t": "\uffff"}, {"t": {"lt": "\U00010000"}})
    assert fits({"t": "e\u0301"}, {"t": {"ne": "é"}})


class Colour(Enum):
    RED = "red"


def test_values_of_a_filter_become_json_as_those_of_metadata_do() -> None:
    number = UUID(int=7)
    assert fits({"id": number, "colour": Colour.RED}, {"id": str(number), "colour": "red"})
    assert fits({"id": str(number), "colour": "red"}, {"id": number, "colour": {"in": (Colour.RED,)}})


@given(st.dictionaries(st.text("ab"), st.booleans() | st.floats(0, 2) | st.lists(st.text("ab")), max_size=3))
def test_metadata_of_plain_values_fits_itself(metadata: dict[str, Any]) -> None:
    assert fits(metadata, metadata)
    assert fits({"more": 1, **metadata}, metadata)


# -- when a checkpoint was made --------------------------------------------------------------------

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "noon",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=-8))),
        "2026-01-02T12:00:00",
        "2026-01-02T12:00:00Z",
        "2026-01-02 13:30+01:30",
    ],
)
def test_a_time_excludes_itself(noon: datetime | str) -> None:
    at = microseconds(NOON)
    assert [fits({}, {"created_after": noon}, at + late) for late in (-1, 0, 1)] == [False, False, True]
    assert [fits({}, {"created_before": noon}, at + late) for late in (-1, 0, 1)] == [True, False, False]


def test_both_times_make_a_span() -> None:
    day = {"created_after": "2026-01-02", "created_before": "2026-01-03"}
    assert fits({}, day, microseconds(NOON))
    assert not fits({}, day, microseconds(NOON + timedelta(days=1)))


@pytest.mark.parametrize("name", ["created_after", "created_before", "metadata.", "metadata.created_after"])
def test_an_entry_of_any_name_can_be_asked_for(name: str) -> None:
    assert fits({name: "x"}, {f"metadata.{name}": "x"})
    assert not fits({name: "y"}, {f"metadata.{name}": "x"})
    assert not fits({}, {f"metadata.{name}": "x"})


def test_within_a_dict_names_mean_nothing_special() -> None:
    metadata = {"a": {"created_after": 1, "metadata.b": 2}}
    assert fits(metadata, metadata)


@pytest.mark.parametrize("moment", [None, 1, True, [], {}, {"gt": 1}, NOON.date(), "", "noon", "2026-13-01"])
@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_a_time_that_is_none_is_refused(name: str, moment: Any) -> None:
    with pytest.raises(CheckpointQueryError, match=f"{name} is .*ISO 8601 text"):
        Filter.parse({name: moment})


def test_a_datetime_of_unknown_zone_is_refused() -> None:
    with pytest.raises(CheckpointQueryError, match=r"no time zone: pass datetime\.now\(UTC\)"):
        Filter.parse({"created_after": datetime(2026, 1, 2)})


def test_the_ends_of_time_are_times() -> None:
    far = {
        "created_after": datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        "created_before": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    }
    assert fits({}, far, microseconds(NOON))


# -- what is refused -------------------------------------------------------------------------------


def test_an_unknown_operator_beside_known_ones_is_named() -> None:
    with pytest.raises(CheckpointQueryError, match=r"a\.b: unknown operator '\$gt' beside known ones"):
        Filter.parse({"a": {"b": {"gte": 1, "$gt": 3}}})


@pytest.mark.parametrize("operator", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}])
def test_what_has_no_order_is_refused(operator: str, value: Any) -> None:
    with pytest.raises(CheckpointQueryError, match=f"step: '{operator}' compares with a number or text"):
        Filter.parse({"step": {operator: value}})


@pytest.mark.parametrize("value", [None, 3, "abc", {"a": 1}])
def test_in_takes_a_list(value: Any) -> None:
    with pytest.raises(CheckpointQueryError, match="step: 'in' takes a list"):
        Filter.parse({"step": {"in": value}})


@pytest.mark.parametrize("value", [float("nan"), {"gt": float("inf")}, "\0", "\ud800", {1}, 2**64, object()])
def test_what_metadata_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(CheckpointQueryError, match=r"matches no metadata: cannot store metadata\.a"):
        Filter.parse({"a": value})


@pytest.mark.parametrize("filter", [[], "step", 1, [("step", 1)]])
def test_a_filter_is_a_dict(filter: Any) -> None:
    with pytest.raises(CheckpointQueryError, match="a filter is a dict"):
        Filter.parse(filter)


def test_a_filter_of_boundless_size_is_refused() -> None:
    nested: Any = 1
    for _ in range(100):
        nested = {"a": nested}
    Filter.parse({str(number): nested for number in range(9)})
    with pytest.raises(CheckpointQueryError, match="more than 1,000 keys"):
        Filter.parse({str(number): nested for number in range(10)})
