"""How writes become the next state, and how a superstep that is refused tells who is to blame."""

from typing import Any, TypedDict

import pytest

from aiograph.channels import (
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    UntrackedValue,
)
from aiograph.constants import NO_WRITES, TASKS
from aiograph.errors import InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Send
from tests.pregel.plans import at_start, done, node, plan_of


class State(TypedDict, total=False):
    value: int


async def write(state: State) -> State:
    return {"value": 1}


async def test_a_node_with_a_thousand_tasks_is_named_once() -> None:
    builder = StateGraph(State).add_node("many", write).add_node("one", write)
    builder.add_conditional_edges(
        START, lambda state: ["one", *(Send("many", {}) for _ in range(1000))], ["many", "one"]
    )
    with pytest.raises(InvalidUpdateError, match=r"\(written by 'one', 'many' 1000 times in step 1\)"):
        await builder.compile().ainvoke({})


# -- one superstep, without a run around it ------------------------------------------------------------

PLAN = plan_of(
    node("a", "x"),
    node("last", "late"),
    node("joined", "join"),
    late=LastValueAfterFinish(Any),
    join=NamedBarrierValue(str, {"a", "b"}),
    n=LastValue(int),
)


def step(state: RunState, *tasks: Task, **options: Any) -> list[str]:
    """Applies the tasks' writes and says who is due next."""
    apply_writes(PLAN, state, tasks, **options)
    return [task.name for task in due_tasks(PLAN, state, 5)]


def test_one_new_version_for_all_that_a_superstep_changed() -> None:
    state = at_start(PLAN)
    step(state, done(PLAN, state, "caller", ("n", 1), ("x", 1)))
    assert (state.versions, state.updated) == ({"n": 1, "x": 1}, ("n", "x"))
    step(state, done(PLAN, state, "a", ("n", 2)))
    assert state.versions == {"n": 2, "x": 2}  # x faded
    assert state.updated == ("n",)
    assert state.seen == {"a": {"x": 1}}


def test_writers_that_contradict_each_other_leave_everything_as_it_was() -> None:
    state = at_start(PLAN)
    step(state, done(PLAN, state, "caller", ("x", 1)))
    before = (dict(state.values), dict(state.versions), {**state.channels}, {**state.seen})
    with pytest.raises(ConflictingWrites) as caught:
        step(state, done(PLAN, state, "a", ("n", 1), ("x", 2)), done(PLAN, state, "b", ("n", 2)))
    assert [task.name for task in caught.value.tasks] == ["a", "b"]
    assert (state.values, state.versions, state.channels, state.seen) == before


@pytest.mark.parametrize("channel", [LastValue(Any), EphemeralValue(Any), UntrackedValue(Any)])
def test_writers_contradict_each_other_whatever_their_channel_is_called(channel: Any) -> None:
    plan = plan_of(node("a", "branch:to:a"), **{"branch:to:a": channel})
    state = at_start(plan)
    writers = [done(plan, state, name, ("branch:to:a", None)) for name in ("one", "other")]
    with pytest.raises(ConflictingWrites, match="takes one value per superstep and got 2"):
        apply_writes(plan, state, writers)
    apply_writes(plan, state, writers[:1])
    assert [task.name for task in due_tasks(plan, state, 1)] == ["a"]


def test_writes_to_channels_that_the_graph_does_not_have_are_passed_over() -> None:
    state = at_start(PLAN)
    assert step(state, done(PLAN, state, "caller", ("gone", 1), (NO_WRITES, None))) == []
    assert state.versions == {}


def test_a_channel_that_waits_for_the_end_becomes_readable_when_nothing_else_is_due() -> None:
    state = at_start(PLAN)
    assert step(state, done(PLAN, state, "caller", ("x", 1), ("late", 1))) == ["a"]
    assert step(state, done(PLAN, state, "a")) == ["last"]
    assert step(state, done(PLAN, state, "last")) == []


def test_a_pending_send_is_something_else_that_is_due() -> None:
    state = at_start(PLAN)
    assert step(state, done(PLAN, state, "caller", (TASKS, Send("a", 1)), ("late", 1))) == ["a"]


def test_a_join_is_due_once_all_have_come_and_then_starts_anew() -> None:
    state = at_start(PLAN)
    assert step(state, done(PLAN, state, "caller", ("join", "a"))) == []
    assert step(state, done(PLAN, state, "caller", ("join", "b"))) == ["joined"]
    assert step(state, done(PLAN, state, "joined", ("join", "a"))) == []


def test_a_kept_trigger_lasts_one_superstep_longer() -> None:
    state = at_start(PLAN)
    step(state, done(PLAN, state, "caller", ("x", 1), ("n", 1)))
    other = done(PLAN, state, "joined", ("n", 2))
    apply_writes(PLAN, state, [other], kept=frozenset({"x"}))
    state.updated = None
    assert [task.name for task in due_tasks(PLAN, state, 5)] == ["a"]
