"""Checkpoints of a state, and what is kept of tasks."""

import operator
from typing import Any

import pytest

from aiograph.channels import BinaryOperatorAggregate, LastValue, UntrackedValue
from aiograph.constants import ERROR, NO_WRITES, SCHEDULED, SHAPE
from aiograph.pregel._apply import apply_writes
from aiograph.pregel._snapshot import (
    changed_versions,
    restore_writes,
    run_metadata,
    storable_writes,
)
from aiograph.pregel._state import RunState, restored_state
from aiograph.pregel._tasks import due_tasks
from aiograph.types import RunnableConfig
from tests.pregel.plans import at_start, checkpoint_of, done, node, plan_of

PLAN = plan_of(
    node("a", "branch:to:a"),
    node("b", "branch:to:b"),
    log=BinaryOperatorAggregate(list, operator.add),
    n=LastValue(int),
    secret=UntrackedValue(str),
)


def written(*writes: Any) -> RunState:
    state = at_start(PLAN)
    apply_writes(PLAN, state, [done(PLAN, state, "caller", *writes)])
    state.checkpoint_id = "c1"
    return state


def test_a_checkpoint_holds_what_was_written_but_for_what_is_never_stored() -> None:
    checkpoint = checkpoint_of(PLAN, written(("n", 1), ("secret", "x"), ("branch:to:a", None)))
    values = {name: value for name, value in checkpoint["channel_values"].items() if name != SHAPE}
    assert values == {"n": 1, "branch:to:a": None}
    assert checkpoint["id"] == "c1"
    assert checkpoint["updated_channels"] == ["branch:to:a", "n", "secret"]
    assert checkpoint["channel_versions"] == {"n": 1, "secret": 1, "branch:to:a": 1}


def test_a_state_restored_from_its_checkpoint_has_the_same_values_and_the_same_tasks_to_do() -> None:
    state = written(("n", 1), ("log", ["x"]), ("branch:to:a", None), ("branch:to:b", None))
    apply_writes(PLAN, state, [done(PLAN, state, "b", ("log", ["y"]), ("branch:to:a", None))])
    state.checkpoint_id, state.step = "c2", 4
    restored = restored_state(PLAN, checkpoint_of(PLAN, state), {"step": 3}, "")
    assert restored.values == state.values
    assert (restored.versions, restored.seen, restored.step) == (state.versions, state.seen, 4)
    assert [task.id for task in due_tasks(PLAN, restored, 5)] == [
        task.id for task in due_tasks(PLAN, state, 5)
    ]


def test_a_channel_that_the_graph_has_no_more_is_passed_over() -> None:
    checkpoint = checkpoint_of(PLAN, written(("n", 1)))
    checkpoint["channel_values"]["gone"] = 5
    assert restored_state(PLAN, checkpoint, {"step": 0}, "").values == {"n": 1, "log": []}


def test_changed_versions_are_those_that_differ() -> None:
    state = written(("n", 1), ("log", ["x"]))
    before = dict(state.versions)
    assert changed_versions(before, state) == {}
    apply_writes(PLAN, state, [done(PLAN, state, "caller", ("n", 2), ("secret", "x"))])
    assert changed_versions(before, state) == {"n": 2, "secret": 2}


# -- metadata ------------------------------------------------------------------------------------------


def test_metadata_of_a_run_are_plain_entries_of_configurable_and_all_of_metadata() -> None:
    config: RunnableConfig = {
        "configurable": {"thread_id": "t", "checkpoint_id": "c", "user": "ada", "n": 1, "deep": {}, "__x": 1},
        "metadata": {"user": "bob", "list": [1]},
    }
    assert run_metadata(config, {}, None) == {"user": "bob", "n": 1, "list": [1], "parents": {}}
    assert run_metadata({}, {"": "p"}, "task") == {"parents": {"": "p"}, "called_by": "task"}


def test_what_the_engine_knows_wins_over_what_the_user_passed() -> None:
    assert run_metadata({"metadata": {"parents": "mine", "step": 7, "source": "me"}}, {}, None) == {
        "parents": {}
    }


# -- writes of tasks -----------------------------------------------------------------------------------


def test_writes_are_kept_but_for_what_is_never_stored() -> None:
    task = done(PLAN, at_start(PLAN), "a", ("n", 1), ("secret", "x"), ("gone", 2))
    assert storable_writes(PLAN, task) == [("n", 1), ("gone", 2)]


@pytest.mark.parametrize("writes", [[], [("secret", "x")]])
def test_a_task_that_wrote_nothing_that_is_kept_is_still_known_to_have_finished(writes: Any) -> None:
    assert storable_writes(PLAN, done(PLAN, at_start(PLAN), "a", *writes)) == [(NO_WRITES, None)]


def test_finished_tasks_get_their_writes_back_and_others_do_not() -> None:
    a, b = due_tasks(PLAN, written(("branch:to:a", None), ("branch:to:b", None)), 5)
    restore_writes(
        [a, b], [(a.id, "n", 1), (a.id, "log", ["x"]), (b.id, ERROR, "OSError()"), ("other", "n", 9)]
    )
    assert (a.writes, a.cached, a.recorded) == ([("n", 1), ("log", ["x"])], True, True)
    assert (b.writes, b.cached) == (None, False)


def test_writes_that_were_withdrawn_do_not_come_back() -> None:
    (a,) = due_tasks(PLAN, written(("branch:to:a", None)), 5)
    restore_writes([a], [(a.id, "n", 1), (a.id, SCHEDULED, None)])
    assert a.writes is None
