from collections.abc import Iterator
from itertools import count
from typing import Any

from aiograph.cli._progress import Progress, one_line


def ticking() -> Iterator[float]:
    return map(float, count())


def progress(step: int = 1, kept: dict[str, int] | None = None) -> Progress:
    clock = ticking()
    return Progress(step, kept or {}, lambda: next(clock))


def started(step: int, name: str) -> dict[str, Any]:
    return {"type": "task", "step": step, "payload": {"name": name}}


def ended(step: int, name: str, error: object = None) -> dict[str, Any]:
    return {"type": "task_result", "step": step, "payload": {"name": name, "error": error}}


def test_tasks_are_counted_per_node_and_superstep() -> None:
    run = progress()
    for event in [started(1, "a"), started(1, "a"), started(1, "b"), ended(1, "a"), ended(1, "b", "broken")]:
        run.take("debug", event)
    nodes = run.superstep.nodes
    assert (nodes["a"].announced, nodes["a"].ended, nodes["a"].left) == (2, 1, 1)
    assert (nodes["b"].left, nodes["b"].failed) == (0, 1)


def test_a_superstep_ends_when_the_next_one_begins() -> None:
    run = progress()
    assert run.take("debug", started(1, "a")) is None
    assert run.take("debug", ended(1, "a")) is None
    before = run.take("debug", started(2, "a"))
    assert before is not None
    assert (before.number, before.nodes["a"].ended, before.seconds) == (1, 1, 1.0)
    assert (run.superstep.number, run.superstep.nodes["a"].ended) == (2, 0)


def test_the_whole_run_is_counted_too() -> None:
    run = progress()
    for event in [started(1, "b"), ended(1, "b"), started(2, "a"), ended(2, "a"), started(3, "b")]:
        run.take("debug", event)
    assert list(run.totals.items()) == [("b", 1), ("a", 1)]


def test_tasks_that_were_done_before_count_in_the_first_superstep_only() -> None:
    run = progress(7, {"a": 2})
    for _ in range(3):
        run.take("debug", started(7, "a"))
    assert run.superstep.nodes["a"].left == 1
    assert run.totals["a"] == 0
    run.take("debug", started(8, "a"))
    assert run.superstep.nodes["a"].left == 1


def test_a_run_in_which_nothing_runs_has_no_superstep() -> None:
    assert progress().close() is None


def test_what_nodes_write_is_noted() -> None:
    run = progress()
    run.take("custom", "half\nof it")
    assert run.note == "half of it"
    run.take("custom", {"done": 1})
    assert run.note == "{'done': 1}"


def test_checkpoints_change_nothing() -> None:
    run = progress()
    assert run.take("debug", {"type": "checkpoint", "step": 5, "payload": {}}) is None
    assert run.superstep.number == 1


def test_a_line_is_cut() -> None:
    assert one_line("x" * 200, 10) == "xxxxxxxxx…"
