import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from aiograph.cli import _display
from aiograph.cli._display import ChunkDisplay, LineDisplay, LiveDisplay


def started(step: int, name: str) -> dict[str, Any]:
    return {"type": "task", "step": step, "payload": {"name": name}}


def ended(step: int, name: str, error: object = None) -> dict[str, Any]:
    return {"type": "task_result", "step": step, "payload": {"name": name, "error": error}}


@pytest.fixture
def output() -> StringIO:
    return StringIO()


def lines(output: StringIO) -> list[str]:
    """What was printed, without times."""
    return [re.sub(r"\d+\.\d+ s", "0 s", line) for line in output.getvalue().splitlines()]


def test_a_line_tells_what_ran_how_it_ended_and_what_was_noted(output: StringIO) -> None:
    display = LineDisplay(Console(file=output, width=40))
    display.begin(1, {})
    for chunk in (started(1, "a"), started(1, "a"), started(1, "b"), ended(1, "a"), ended(1, "b", "no")):
        display.take("debug", chunk)
    display.take("custom", "half of [it]")
    display.end(finished=False)
    assert lines(output) == ["step 1  a x2 (1 ended), b (1 failed)  0 s  half of [it]"]


def test_a_superstep_that_takes_long_is_told_of_in_between(
    output: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    display = LineDisplay(Console(file=output))
    display.begin(1, {})
    display.take("debug", started(1, "a"))
    display.take("debug", started(1, "a"))
    monkeypatch.setattr(_display, "QUIET_SECONDS", 0.0)
    display.take("debug", ended(1, "a"))
    assert lines(output) == ["step 1  a x2 (1 ended)  so far"]


def test_a_run_that_is_finished_is_summed_up(output: StringIO) -> None:
    display = LineDisplay(Console(file=output))
    display.begin(3, {})
    display.take("debug", started(3, "a"))
    display.take("debug", ended(3, "a"))
    display.end(finished=True)
    assert lines(output) == ["step 3  a  0 s", "finished at step 3: 1 task in 0 s"]
    assert display.step == 3


def test_a_run_that_never_began_has_nothing_to_tell(output: StringIO) -> None:
    display = LineDisplay(Console(file=output))
    display.end(finished=False)
    assert (display.step, output.getvalue()) == (None, "")


def drawn(display: LiveDisplay, width: int = 80) -> list[str]:
    """One picture of a live display."""
    output = StringIO()
    Console(file=output, width=width, force_terminal=True, color_system=None).print(display._render())
    return lines(output)


def test_a_picture_shows_the_superstep_and_every_node(output: StringIO) -> None:
    display = LiveDisplay(Console(file=output))
    display.begin(1, {"b": 1})
    for chunk in (started(1, "b"), started(1, "b"), started(1, "b"), ended(1, "b")):
        display.take("debug", chunk)
    display.take("custom", "a note")
    headline, row = drawn(display)
    assert re.fullmatch(r". step 1  0 s  a note", headline)
    assert re.fullmatch(r" *b +[━╸╺]+ +1 running +1 done", row)
    display.take("debug", started(2, "a"))
    assert [row.split()[0] for row in drawn(display)[1:]] == ["b", "a"]
    display.stopping()
    assert "stopping: waiting for the nodes that run" in drawn(display, 120)[0]
    display.end(finished=False)


def test_a_picture_of_many_nodes_shows_those_that_run(output: StringIO) -> None:
    display = LiveDisplay(Console(file=output))
    display.begin(1, {})
    for number in range(20):
        display.take("debug", started(1, f"early{number}"))
        display.take("debug", ended(1, f"early{number}"))
    display.take("debug", started(2, "late"))
    assert [row.split()[0] for row in drawn(display)[1:]] == ["late"]
    display.end(finished=False)


def test_chunks_are_lines_of_their_own(output: StringIO) -> None:
    messages = StringIO()
    display = ChunkDisplay(Console(file=messages), "updates", output)
    assert display.modes == ("updates",)
    display.begin(1, {})
    display.take("updates", {"a": {1, 2}})
    display.end(finished=True)
    assert (output.getvalue(), messages.getvalue(), display.step) == ('{"a": [1, 2]}\n', "", None)
