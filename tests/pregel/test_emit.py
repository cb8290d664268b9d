"""What is shown of a run, mode by mode, as chunks pushed to an outlet."""

from typing import Any

import pytest

from aiograph.channels import LastValue
from aiograph.constants import TAG_HIDDEN
from aiograph.pregel._apply import apply_writes
from aiograph.pregel._emit import Emitter, View, written
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import StreamMode
from tests.pregel.plans import at_start, done, node, plan_of

PLAN = plan_of(node("a", "in"), node("b", "x"), node("hidden", "in", tags=(TAG_HIDDEN,)), n=LastValue(int))


class Shown:
    """An outlet that remembers."""

    def __init__(self) -> None:
        self.chunks: list[Any] = []

    def push(self, chunk: Any) -> None:
        self.chunks.append(chunk)

    def push_from_anywhere(self, chunk: Any) -> None:
        self.push(chunk)

    is_full = False

    async def room(self) -> None: ...


def emitter(
    *modes: StreamMode, output: Any = ("n", "out"), tagged: bool = False
) -> tuple[Emitter, list[Any]]:
    shown = Shown()
    view = View(shown, frozenset(modes), tagged)
    return Emitter(PLAN, output, [view]), shown.chunks


def tasks_of_first_step() -> list[Task]:
    state = at_start(PLAN)
    apply_writes(PLAN, state, [done(PLAN, state, "caller", ("in", 1))])
    return due_tasks(PLAN, state, 5)


def test_a_task_is_shown_once_however_often_it_is_told_of() -> None:
    emit, chunks = emitter("updates")
    a, _ = tasks_of_first_step()
    a.writes = [("n", 1)]
    emit.started([a])
    emit.finished(a)
    emit.finished(a)
    assert chunks == [{"a": {"n": 1}}]


def test_hidden_nodes_are_not_shown() -> None:
    emit, chunks = emitter("updates", "tasks", "debug")
    (_, hidden) = tasks_of_first_step()
    hidden.writes = [("n", 1)]
    emit.started([hidden])
    emit.finished(hidden)
    assert chunks == []


def test_a_failed_task_has_no_update_but_a_result() -> None:
    emit, chunks = emitter("updates", "tasks", tagged=True)
    a, _ = tasks_of_first_step()
    a.error = OSError("bad")
    emit.finished(a)
    assert [(mode, chunk["error"]) for mode, chunk in chunks] == [("tasks", a.error)]


def test_a_task_finished_before_is_shown_at_the_start_as_an_update_alone() -> None:
    emit, chunks = emitter("updates", "tasks", tagged=True)
    a, _ = tasks_of_first_step()
    a.writes, a.cached = [("n", 1)], True
    emit.started([a])
    assert chunks == [("updates", {"a": {"n": 1}, "__metadata__": {"cached": True}})]


@pytest.mark.parametrize(("wrote", "is_shown"), [([("n", 1)], True), ([("x", 1)], False), ([], False)])
def test_values_are_shown_when_an_output_channel_was_written(wrote: Any, is_shown: bool) -> None:
    emit, chunks = emitter("values")
    state = at_start(PLAN)
    apply_writes(PLAN, state, [done(PLAN, state, "caller", *wrote)])
    emit.stepped(state, [])
    assert len(chunks) == is_shown


def test_custom_values_are_shown_only_to_those_who_asked() -> None:
    emit, chunks = emitter("values", "custom", tagged=True)
    emit.custom("x")
    quiet, nothing = emitter("values")
    quiet.custom("x")
    assert (chunks, nothing) == ([("custom", "x")], [])


def test_debug_wraps_tasks_with_their_step() -> None:
    emit, chunks = emitter("debug")
    a, _ = tasks_of_first_step()
    a.step = 7
    emit.started([a])
    assert [(chunk["type"], chunk["step"], chunk["payload"]["name"]) for chunk in chunks] == [
        ("task", 7, "a")
    ]


# -- what a task wrote ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writes", "output", "shown"),
    [
        ([], ("n", "out"), None),
        ([("x", 1)], ("n", "out"), None),
        ([("n", 1), ("x", 2), ("out", 3)], ("n", "out"), {"n": 1, "out": 3}),
        ([("n", 1), ("out", 2), ("n", 3)], ("n", "out"), [{"n": 1, "out": 2}, {"n": 3}]),
        ([("n", 1)], "n", 1),
        ([("n", 1), ("n", 2)], "n", [1, 2]),
        ([("out", 1)], "n", None),
        ([("n", None)], "n", None),
    ],
)
def test_what_a_task_wrote_to_the_output(writes: Any, output: Any, shown: Any) -> None:
    assert written(done(PLAN, at_start(PLAN), "a", *writes), output) == shown
