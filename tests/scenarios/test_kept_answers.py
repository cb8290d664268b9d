"""Questions and answers outlive the process, and a thread can go back and be answered otherwise."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import CheckpointError, InvalidUpdateError, UnknownInterruptError
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, fail_at
from aiograph.types import Command, Durability, interrupt
from tests.scenarios.test_interrupts import THREAD, Runs, asked, one_node, side_by_side


def test_a_new_process_finds_questions_and_answers_in_the_file(tmp_path: Path) -> None:
    for step, resume in enumerate([None, "x", "y"]):
        with SqliteSaver(tmp_path / "threads.db") as saver:
            graph = one_node(Runs().asking("a", 2), saver)
            output = graph.invoke({} if resume is None else Command(resume=resume), THREAD)
        assert list(asked(output)) == ([f"a {step}"] if step < 2 else [])
    assert output == {"log": ["a: x y"]}


ANSWERED_AND_KILLED = """
import os, signal, sys
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.types import Command, interrupt
from tests.scenarios.test_interrupts import THREAD, one_node


def node(state):
    interrupt("well?")
    os.kill(os.getpid(), signal.SIGKILL)


with SqliteSaver("threads.db") as saver:
    graph = one_node(node, saver)
    graph.invoke({}, THREAD)
    graph.invoke(Command(resume="yes"), THREAD, durability=sys.argv[1])
"""


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_an_answer_outlives_the_process_that_took_it(tmp_path: Path, durability: Durability) -> None:
    command = [sys.executable, "-c", ANSWERED_AND_KILLED, durability]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(command, cwd=tmp_path, env=env, check=False).returncode == -signal.SIGKILL
    with SqliteSaver(tmp_path / "threads.db") as saver:
        graph = one_node(lambda state: {"log": [interrupt("well?")]}, saver)
        assert graph.get_state(THREAD).interrupts == ()
        assert graph.invoke(None, THREAD) == {"log": ["yes"]}


async def next_input(graph: Any) -> Any:
    """What a caller passes who looks at the thread first."""
    state = await graph.aget_state(THREAD)
    if state.metadata is None:
        return {}
    answers = {question.id: question.value.upper() for question in state.interrupts}
    return Command(resume=answers) if answers else None


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_wherever_the_saver_fails_the_thread_comes_to_its_end(
    when: str, durability: Durability
) -> None:
    failures = 0
    for number in range(1, 30):
        kept = InMemorySaver()
        mishaps: Any = {when: fail_at(number, OSError)}
        faulty = FaultySaver(kept, **mishaps)
        nodes = {"a": Runs().asking("a", 2), "b": Runs().asking("b")}
        graph, looking = side_by_side(faulty, nodes), side_by_side(kept, nodes)
        output: Any = {"__interrupt__": ()}
        while "__interrupt__" in output:
            try:
                output = await graph.ainvoke(await next_input(looking), THREAD, durability=durability)
            except (OSError, CheckpointError):
                failures += 1
        assert output == {"log": ["a: A 0 A 1", "b: B 0"]}
    assert failures >= 8


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_questions_and_answers_are_kept_whatever_the_durability(durability: Durability) -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {"a": runs.asking("a", 2), "b": runs.quiet("b")})
    await graph.ainvoke({}, THREAD, durability=durability)
    for answer in "xy":
        output = await graph.ainvoke(Command(resume=answer), THREAD, durability=durability)
    assert output == {"log": ["a: x y", "b"]}
    assert (runs["a"], runs["b"]) == (3, 1)


async def test_another_answer_at_an_older_checkpoint_counts_and_the_old_history_stays() -> None:
    graph = one_node(Runs().asking("a", 2))
    await graph.ainvoke({}, THREAD)
    for answer in ("x", "y"):
        await graph.ainvoke(Command(resume=answer), THREAD)
    history = [each async for each in graph.aget_state_history(THREAD)]
    past = history[1].config
    assert await graph.ainvoke(Command(resume="other"), past) == {"log": ["a: x other"]}
    assert (await graph.aget_state(THREAD)).values == {"log": ["a: x other"]}
    assert [each async for each in graph.aget_state_history(THREAD)][-len(history) :] == history


async def test_going_on_from_an_older_checkpoint_asks_everything_again() -> None:
    graph = one_node(Runs().asking("a", 2))
    await graph.ainvoke({}, THREAD)
    for answer in ("x", "y"):
        await graph.ainvoke(Command(resume=answer), THREAD)
    past = [each async for each in graph.aget_state_history(THREAD)][1]
    assert list(asked(await graph.ainvoke(None, past.config))) == ["a 0"]
    assert [each.value for each in (await graph.aget_state(THREAD)).interrupts] == ["a 0"]
    assert list(asked(await graph.ainvoke(Command(resume="p"), THREAD))) == ["a 1"]
    assert await graph.ainvoke(Command(resume="q"), THREAD) == {"log": ["a: p q"]}


async def test_a_past_may_be_answered_in_part() -> None:
    runs = Runs()
    graph = side_by_side(
        InMemorySaver(), {"a": runs.asking("a"), "b": runs.asking("b"), "c": runs.quiet("c")}
    )
    old = asked(await graph.ainvoke({}, THREAD))
    await graph.ainvoke(Command(resume=dict.fromkeys(old.values(), "x")), THREAD)
    past = [each async for each in graph.aget_state_history(THREAD)][1].config
    new = asked(await graph.ainvoke(Command(resume={old["a 0"]: "other"}), past))
    assert (list(new), new["b 0"] in old.values(), runs["b"]) == (["b 0"], False, 2)
    with pytest.raises(UnknownInterruptError, match="nobody waits"):
        await graph.ainvoke(Command(resume={old["b 0"]: "y"}), THREAD)
    output: Any = await graph.ainvoke(Command(resume={new["b 0"]: "y"}), THREAD)
    assert output == {"log": ["a: other", "b: y", "c"]}


class Choice(TypedDict, total=False):
    chosen: str


async def test_answers_of_tasks_that_contradict_each_other_are_not_lost() -> None:
    """The first has finished beside the question of the second; it runs again, with its answer."""
    asked_again: list[str] = []

    def asking(name: str) -> Any:
        async def ask(state: Choice) -> Choice:
            asked_again.append(name)
            return {"chosen": interrupt(name)}

        return ask

    graph = (
        StateGraph(Choice)
        .add_node("a", asking("a"))
        .add_node("b", asking("b"))
        .add_edge(START, "a")
        .add_edge(START, "b")
        .compile(InMemorySaver())
    )
    first, second = (await graph.ainvoke({}, THREAD))["__interrupt__"]
    await graph.ainvoke(Command(resume={first.id: "left"}), THREAD)
    inputs: list[Any] = [Command(resume={second.id: "right"}), None]
    for input in inputs:
        with pytest.raises(InvalidUpdateError, match="'chosen'"):
            await graph.ainvoke(input, THREAD)
        assert (await graph.aget_state(THREAD)).interrupts == ()
    assert asked_again == ["a", "b", "a", "b", "a", "a", "b"]
