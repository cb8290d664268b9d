"""Which tasks a superstep has, in which order, under which ids."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiograph.channels import LastValue
from aiograph.checkpoint._model import task_id_of
from aiograph.constants import TASKS
from aiograph.pregel._apply import apply_writes
from aiograph.pregel._plan import Plan
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Send
from tests.pregel.plans import at_start, done, node, plan_of


def written(plan: Plan, *writes: Any) -> RunState:
    """The state after the caller has written this."""
    state = at_start(plan)
    apply_writes(plan, state, [done(plan, state, "caller", *writes)])
    return state


def names(tasks: list[Task]) -> list[str]:
    return [task.name for task in tasks]


def test_nothing_is_due_before_anything_was_written() -> None:
    plan = plan_of(node("a", "x"))
    assert due_tasks(plan, at_start(plan), 5) == []


def test_a_node_is_due_when_a_channel_it_subscribes_to_was_written() -> None:
    plan = plan_of(node("a", "x"), node("b", "y"), node("c", "x", "y"))
    assert names(due_tasks(plan, written(plan, ("y", 1)), 5)) == ["b", "c"]


def test_triggers_are_those_channels_of_the_node_that_hold_a_value() -> None:
    plan = plan_of(node("a", "x", "y", "z"))
    (task,) = due_tasks(plan, written(plan, ("z", 1), ("x", 1)), 5)
    assert task.triggers == ("x", "z")


def test_a_node_that_has_seen_a_version_is_not_due_again() -> None:
    plan = plan_of(node("a", "x"), x=LastValue(int))
    state = written(plan, ("x", 1))
    apply_writes(plan, state, [done(plan, state, "a")])
    assert due_tasks(plan, state, 5) == []
    apply_writes(plan, state, [done(plan, state, "caller", ("x", 1))])
    assert names(due_tasks(plan, state, 5)) == ["a"]


def test_without_knowing_what_changed_all_subscribers_are_looked_at() -> None:
    plan = plan_of(node("a", "x"), node("b", "y"))
    state = written(plan, ("x", 1), ("y", 1))
    state.updated = None
    assert names(due_tasks(plan, state, 5)) == ["a", "b"]


@given(st.permutations(["a", "b", "c", "d"]))
def test_nodes_come_by_name_and_sends_after_them_in_their_own_order(order: list[str]) -> None:
    plan = plan_of(*(node(name, "x") for name in order))
    sends = [Send(name, number) for number, name in enumerate(order)]
    tasks = due_tasks(plan, written(plan, ("x", 1), *((TASKS, send) for send in sends)), 5)
    assert names(tasks) == ["a", "b", "c", "d", *order]
    assert [task.path for task in tasks[4:]] == [("__pregel_push", index, False) for index in range(4)]


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_paths_as_text_sort_like_tasks(one: int, other: int) -> None:
    plan = plan_of(node("a"), node("b"))
    state = at_start(plan)
    pulls = [Task(plan.nodes[name], ("__pregel_pull", name), (), state) for name in "ab"]
    first, second = sorted((one, other))
    pushes = [Task(plan.nodes["a"], ("__pregel_push", index, False), (), state) for index in (first, second)]
    texts = [task.path_text for task in (*pulls, *pushes)]
    assert texts == sorted(texts)


def test_a_send_hands_on_its_argument_and_a_node_reads_the_state() -> None:
    plan = plan_of(node("a", "x", read=lambda values, remaining: (values["x"], remaining)))
    pull, push = due_tasks(plan, written(plan, ("x", 7), (TASKS, Send("a", "arg"))), 3)
    assert (pull.input, push.input) == ((7, 3), "arg")


# -- ids -----------------------------------------------------------------------------------------------


def ids(**changes: Any) -> list[str]:
    options = {"checkpoint": "c1", "step": 1, "namespace": "", "name": "a", "trigger": "x", **changes}
    plan = plan_of(node(options["name"], options["trigger"]))
    state = written(
        plan, (options["trigger"], 1), (TASKS, Send(options["name"], 1)), (TASKS, Send(options["name"], 1))
    )
    state.checkpoint_id, state.step = options["checkpoint"], options["step"]
    state.origin.namespace = options["namespace"]
    return [task.id for task in due_tasks(plan, state, 5)]


def test_ids_are_the_same_for_the_same_place() -> None:
    assert ids() == ids()
    assert len(set(ids())) == 3


def test_ids_differ_by_checkpoint_step_namespace_and_node() -> None:
    places = [ids(), ids(checkpoint="c2"), ids(step=2), ids(namespace="n:1"), ids(name="b")]
    assert len({task_id for found in places for task_id in found}) == 15


def test_the_trigger_counts_for_nodes_but_not_for_sends() -> None:
    one, other = ids(), ids(trigger="y")
    assert [mine == theirs for mine, theirs in zip(one, other, strict=True)] == [False, True, True]


def test_all_that_an_id_is_a_digest_of_stands_for_it_until_somebody_asks() -> None:
    plan = plan_of(node("a", "x"))
    (task,) = due_tasks(plan, written(plan, ("x", 1)), 5)
    place = task.id_or_place
    assert isinstance(place, tuple)
    assert task_id_of(place) == task.id == task.id_or_place


def test_without_a_saver_ids_are_the_same_throughout_a_superstep_and_differ_between_runs() -> None:
    assert ids(checkpoint=None) != ids(checkpoint=None)
