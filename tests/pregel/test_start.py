"""Where a run starts: new input, or the thread as it stands."""

from typing import Any

import pytest

from aiograph.channels import LastValue, LastValueAfterFinish
from aiograph.constants import START, TASKS
from aiograph.errors import EmptyInputError, InvalidUpdateError
from aiograph.pregel._apply import apply_writes
from aiograph.pregel._plan import Call, Route
from aiograph.pregel._start import hand_on_input, take_input
from aiograph.pregel._state import fresh_state
from aiograph.pregel._tasks import due_tasks
from aiograph.types import Command, Send
from tests.pregel.plans import done, node, plan_of

PLAN = plan_of(node("a", "in"), node("b", "x"))
KEYED = plan_of(node("a", "k", "m"), input=("k", "m"), k=LastValue(int), m=LastValue(int))


def test_input_on_a_fresh_thread_makes_its_readers_due() -> None:
    state = fresh_state(PLAN)
    assert take_input(PLAN, state, "hello") is True
    assert state.step == 0
    assert [task.name for task in due_tasks(PLAN, state, 5)] == ["a"]
    assert state.values["in"] == "hello"


@pytest.mark.parametrize("empty", [{}, "", 0, False, []])
def test_an_empty_value_is_an_input(empty: Any) -> None:
    state = fresh_state(PLAN)
    assert take_input(PLAN, state, empty) is True
    assert state.values["in"] == empty


def test_no_input_leaves_a_thread_as_it_stands() -> None:
    state = fresh_state(PLAN)
    take_input(PLAN, state, 1)
    before = (dict(state.values), dict(state.versions), state.step)
    assert take_input(PLAN, state, None) is False
    assert (state.values, state.versions, state.step) == before


def test_no_input_on_a_fresh_thread_is_refused() -> None:
    with pytest.raises(EmptyInputError, match="graph 'plan' got None as input"):
        take_input(PLAN, fresh_state(PLAN), None)


def test_new_input_drops_what_was_due() -> None:
    state = fresh_state(PLAN)
    apply_writes(PLAN, state, [done(PLAN, state, "caller", ("x", 1), (TASKS, Send("b", 1)))])
    assert [task.name for task in due_tasks(PLAN, state, 5)] == ["b", "b"]
    take_input(PLAN, state, "new")
    assert [task.name for task in due_tasks(PLAN, state, 5)] == ["a"]


def test_new_input_counts_on_from_the_step_of_the_thread() -> None:
    state = fresh_state(PLAN)
    state.step = 4
    take_input(PLAN, state, "new")
    assert state.step == 5


def test_the_keys_of_an_input_go_to_their_channels_and_others_nowhere() -> None:
    state = fresh_state(KEYED)
    take_input(KEYED, state, {"m": 2, "other": 3})
    assert state.values == {"m": 2}


@pytest.mark.parametrize(("input", "error"), [("text", InvalidUpdateError), ({"o": 1}, EmptyInputError)])
def test_an_input_that_fits_no_channel_is_refused(input: Any, error: type[Exception]) -> None:
    state = fresh_state(KEYED)
    with pytest.raises(error, match=r"\['k', 'm'\]"):
        take_input(KEYED, state, input)
    assert state.versions == {}


def test_a_command_goes_on_with_a_thread_and_cannot_begin_one() -> None:
    with pytest.raises(EmptyInputError, match="no checkpoint to resume from"):
        take_input(PLAN, fresh_state(PLAN), Command(resume="a"))


# -- the superstep that hands it on --------------------------------------------------------------------


def entry(**fields: Any) -> Any:
    return node(START, "in", read=lambda values, remaining: values["in"], after=(("x", None),), **fields)


def test_the_input_is_handed_on_as_by_two_supersteps() -> None:
    plan = plan_of(entry(), node("b", "x"), n=LastValue(int))
    at_once, by_supersteps = fresh_state(plan), fresh_state(plan)
    assert hand_on_input(plan, at_once, {"n": 1})
    take_input(plan, by_supersteps, {"n": 1})
    apply_writes(plan, by_supersteps, [done(plan, by_supersteps, START, ("n", 1), ("x", None))])
    assert at_once.step == 1
    assert at_once.values == by_supersteps.values
    assert at_once.channels.keys() == by_supersteps.channels.keys()
    assert at_once.fading == by_supersteps.fading
    assert at_once.updated == by_supersteps.updated


def test_what_waits_for_the_end_comes_at_once_if_the_input_triggers_nothing() -> None:
    entry = node(START, "in", read=lambda values, remaining: values["in"])
    plan = plan_of(entry, n=LastValueAfterFinish(int))
    state = fresh_state(plan)
    assert hand_on_input(plan, state, {"n": 1})
    assert state.values == {"n": 1}


def refuse(output: Any) -> Any:
    raise InvalidUpdateError("no")


ROUTE = Route(
    "route", Call(lambda state, scope: "b", False), lambda values, remaining: values, lambda name: []
)


@pytest.mark.parametrize(
    "fields",
    [{"write": refuse}, {"routes": (ROUTE,)}, {"write": lambda _: [("n", 1)] * 2}, {"call": ROUTE.call}],
)
def test_what_may_go_wrong_or_wait_is_left_to_the_superstep(fields: Any) -> None:
    plan = plan_of(entry(**fields), node("b", "x"), n=LastValue(int))
    state = fresh_state(plan)
    assert not hand_on_input(plan, state, {"n": 1})
    assert state.step == -1
    assert due_tasks(plan, state, 5) == []
    assert "n" not in state.values


def test_an_input_that_triggers_others_too_is_left_to_the_superstep() -> None:
    plan = plan_of(entry(), node("b", "in"), n=LastValue(int))
    assert not hand_on_input(plan, fresh_state(plan), {"n": 1})


@pytest.mark.parametrize("input", [None, Command(update={"n": 1})])
def test_what_is_no_plain_input_is_not_handed_on(input: Any) -> None:
    plan = plan_of(entry(), node("b", "x"), n=LastValue(int))
    assert not hand_on_input(plan, fresh_state(plan), input)
