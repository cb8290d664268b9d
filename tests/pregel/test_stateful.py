"""Whose call of a stateful graph it is, and whether two calls come from one superstep."""

from aiograph.pregel._place import without_ids
from aiograph.pregel._snapshot import by_depth, with_map
from aiograph.pregel._stateful import are_side_by_side, line_of


def test_a_line_runs_from_the_outermost_graph_inwards_however_it_was_stored() -> None:
    line = line_of({"a|b": "3", "a:1": "2", "": "1"}, "task")
    assert line.parents == (("", "1"), ("a:1", "2"), ("a|b", "3"))


def test_two_tasks_of_one_superstep_are_side_by_side() -> None:
    assert are_side_by_side(line_of({"": "1"}, "s"), line_of({"": "1"}, "t"))


def test_so_are_calls_that_two_such_tasks_lead_to() -> None:
    one, other = line_of({"": "1", "a:s": "2"}, "x"), line_of({"": "1", "a:t": "3"}, "y")
    assert are_side_by_side(one, other)


def test_tasks_of_different_supersteps_are_not() -> None:
    assert not are_side_by_side(line_of({"": "1"}, "s"), line_of({"": "2"}, "t"))


def test_nor_are_supersteps_of_a_graph_in_between() -> None:
    one, other = line_of({"": "1", "a:s": "2"}, "x"), line_of({"": "1", "a:s": "3"}, "y")
    assert not are_side_by_side(one, other)


def test_a_call_is_not_beside_itself() -> None:
    assert not are_side_by_side(line_of({"": "1"}, "s"), line_of({"": "1"}, "s"))


def test_a_namespace_without_ids_is_the_same_for_all_tasks() -> None:
    assert without_ids("a:1|b:2|1") == without_ids("a:3|b|1") == "a|b|1"


def test_namespaces_are_put_in_order_from_the_outermost_inwards() -> None:
    assert by_depth({"a:0123456789|b": 0, "a|c|d": 0, "a:0123456789": 0, "": 0}) == [
        "",
        "a:0123456789",
        "a:0123456789|b",
        "a|c|d",
    ]


def test_a_map_names_a_nested_checkpoint_and_those_around_it() -> None:
    nested = {"thread_id": "1", "checkpoint_ns": "a:1", "checkpoint_id": "2"}
    mapped = with_map({"configurable": nested}, {"": "1"})
    assert mapped["configurable"] == {**nested, "checkpoint_map": {"": "1", "a:1": "2"}}


def test_the_outermost_graph_needs_no_map() -> None:
    config = {"thread_id": "1", "checkpoint_ns": "", "checkpoint_id": "2"}
    assert with_map({"configurable": config}, {}) == {"configurable": config}
