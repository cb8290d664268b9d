"""The state as a node's routes see it, and the errors of channels that refuse."""

import operator
from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels import MISSING, BinaryOperatorAggregate, LastValue
from aiograph.constants import TASKS
from aiograph.errors import ChannelUpdateError, ErrorCode, InvalidUpdateError
from aiograph.pregel._apply import apply_writes
from aiograph.pregel._writes import fresh_values, refusal
from aiograph.types import Send
from tests.pregel.plans import at_start, done, node, plan_of

PLAN = plan_of(node("a", "branch:to:a"), log=BinaryOperatorAggregate(list, operator.add), n=LastValue(int))


def test_own_writes_are_applied_and_the_state_stays_as_it_was() -> None:
    state = at_start(PLAN)
    apply_writes(PLAN, state, [done(PLAN, state, "caller", ("log", ["x"]), ("n", 1))])
    values = fresh_values(PLAN, state, [("log", ["y"]), ("log", ["z"])], "a")
    assert values == {"log": ["x", "y", "z"], "n": 1}
    assert state.values == {"log": ["x"], "n": 1}


def counted(counts: list[int]) -> Any:
    def add(left: list[Any], right: list[Any]) -> list[Any]:
        counts.append(len(right))
        return left + right

    return add


@pytest.mark.parametrize(("more", "expected"), [((), [1]), ((("log", ["z"]),), [1, 1, 1])])
def test_what_a_router_has_been_shown_is_not_combined_again(more: Any, expected: list[int]) -> None:
    counts: list[int] = []
    plan = plan_of(node("a", "x"), log=BinaryOperatorAggregate(list, counted(counts)), n=LastValue(int))
    state = at_start(plan)
    shown = done(plan, state, "a", ("log", ["y"]), ("n", 1))
    assert fresh_values(plan, state, shown.writes or (), "a") == {"log": ["y"], "n": 1}
    apply_writes(plan, state, [shown, done(plan, state, "b", *more)])
    assert counts == expected
    assert state.values == {"log": ["y", *(item for _, [item] in more)], "n": 1}


def test_what_a_router_has_been_shown_holds_for_its_superstep_alone() -> None:
    state, task = at_start(PLAN), done(PLAN, at_start(PLAN), "a", ("log", ["y"]))
    fresh_values(PLAN, state, task.writes or (), "a")
    apply_writes(PLAN, state, [task])
    apply_writes(PLAN, state, [task])
    assert state.values == {"log": ["y", "y"]}


class Capped(LastValue[int]):
    def update(self, values: Sequence[int]) -> bool:
        return super().update([min(each, 10) for each in values])


class Positive(LastValue[int]):
    def is_available(self) -> bool:
        return self.value is not MISSING and self.value > 0


@pytest.mark.parametrize(
    ("channel", "write", "shown"),
    [
        (LastValue(int), 99, {"it": 99}),
        (LastValue(int), MISSING, {}),
        (Capped(int), 99, {"it": 10}),
        (Positive(int), 99, {"it": 99}),
        (Positive(int), -1, {}),
    ],
)
def test_a_router_is_shown_what_the_channel_makes_of_a_write(channel: Any, write: Any, shown: Any) -> None:
    plan = plan_of(node("a", "x"), it=channel)
    state = at_start(plan)
    apply_writes(plan, state, [done(plan, state, "caller", ("it", 1))])
    assert fresh_values(plan, state, [("it", write)], "a") == shown
    apply_writes(plan, state, [done(plan, state, "a", ("it", write))])
    assert state.values == shown


def test_writes_that_only_trigger_are_left_out() -> None:
    writes: list[Any] = [("branch:to:a", None), (TASKS, Send("a", 1)), ("__no_writes__", None)]
    assert fresh_values(PLAN, at_start(PLAN), writes, "a") == {"log": []}


def test_writes_that_contradict_each_other_name_their_writer() -> None:
    with pytest.raises(InvalidUpdateError, match=r"'n'.*written by 'a' in step 0") as caught:
        fresh_values(PLAN, at_start(PLAN), [("n", 1), ("n", 2)], "a")
    assert caught.value.code is ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE


def test_what_a_reducer_raises_is_the_cause_of_an_error_that_names_the_channel() -> None:
    cause = ZeroDivisionError("by zero")
    error = refusal(cause, "log", "'a', 'b'", 3)
    assert isinstance(error, ChannelUpdateError)
    assert error.__cause__ is cause
    assert "channel 'log' raised ZeroDivisionError: by zero (written by 'a', 'b' in step 3)" in str(error)
