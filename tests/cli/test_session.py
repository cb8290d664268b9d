"""The rule of `run`, on real threads in a real file: the same command never does the same work twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.cli._given import Input, Refusal
from aiograph.cli._load import Loaded, load
from aiograph.cli._session import Limits, done_tasks, opened, resume, run
from aiograph.errors import CheckpointStorageError
from aiograph.types import StateSnapshot, StreamMode

NOTHING = Input({}, is_explicit=False)
FIVE = Input({"n": 5}, is_explicit=True)


class Notes:
    """A watcher that keeps what it is told."""

    modes: tuple[StreamMode, ...] = ("updates",)

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ran: list[str] = []
        self.kept: Mapping[str, int] = {}
        self.finished: bool | None = None

    def say(self, message: str) -> None:
        self.said.append(message)

    def begin(self, step: int, kept: Mapping[str, int]) -> None:
        self.kept = kept

    def take(self, mode: str, chunk: Any) -> None:
        self.ran += chunk

    def end(self, *, finished: bool) -> None:
        self.finished = finished


class Runs:
    """Runs commands on one thread of one graph."""

    def __init__(self, target: str = "graphs:counting", db: Path | None = None) -> None:
        self.loaded = load(target)
        self.db = db

    async def run(self, input: Input = NOTHING, *, again: bool = False, **limits: Any) -> Notes:
        self.notes = Notes()
        async with opened(self.loaded, "t", self.db, creates=True) as thread:
            self.result = await run(thread, input, Limits(**limits), self.notes, again=again)
        return self.notes

    async def resume(self, answer: Any = None) -> Notes:
        self.notes = Notes()
        async with opened(self.loaded, "t", self.db, creates=False) as thread:
            self.result = await resume(thread, Limits(), self.notes, answer=answer)
        return self.notes

    async def state(self) -> StateSnapshot:
        async with opened(self.loaded, "t", self.db, creates=False) as thread:
            return await thread.existing()


@pytest.fixture
def runs(folder: Path) -> Runs:
    return Runs()


async def broken_off(runs: Runs, folder: Path, input: Input) -> None:
    """Starts a run whose second node fails, and repairs the node."""
    (folder / "broken").touch()
    with pytest.raises(ValueError, match="two is broken"):
        await runs.run(input)
    (folder / "broken").unlink()


async def test_a_new_thread_is_started(runs: Runs) -> None:
    notes = await runs.run(FIVE)
    assert notes.said == ["starting thread 't', kept in aiograph.db"]
    assert (notes.ran, notes.finished) == (["one", "two"], True)
    assert runs.result == {"n": 6, "seen": [5, 100]}


async def test_a_finished_thread_is_shown(runs: Runs) -> None:
    await runs.run(FIVE)
    for input in (FIVE, NOTHING):
        notes = await runs.run(input)
        assert notes.said == ["thread 't' is finished, at step 2; --again runs it anew"]
        assert notes.ran == []
        assert runs.result["n"] == 6


async def test_another_input_on_a_finished_thread_is_a_new_run_on_its_state(runs: Runs) -> None:
    await runs.run(FIVE)
    notes = await runs.run(Input({"n": 7}, is_explicit=True))
    assert notes.ran == ["one", "two"]
    assert runs.result == {"n": 8, "seen": [5, 100, 7, 100]}


async def test_again_is_a_new_run_with_the_same_input(runs: Runs) -> None:
    await runs.run(FIVE)
    notes = await runs.run(FIVE, again=True)
    assert notes.ran == ["one", "two"]
    assert runs.result["seen"] == [5, 100, 5, 100]


@pytest.mark.parametrize("input", [FIVE, NOTHING])
async def test_a_thread_that_was_broken_off_goes_on(runs: Runs, folder: Path, input: Input) -> None:
    await broken_off(runs, folder, FIVE)
    assert runs.notes.finished is False
    notes = await runs.run(input)
    assert notes.said == ["going on with thread 't' at step 2"]
    assert notes.ran == ["two"]
    assert runs.result == {"n": 6, "seen": [5, 100]}


async def test_another_input_on_an_unfinished_thread_is_refused(runs: Runs, folder: Path) -> None:
    await broken_off(runs, folder, FIVE)
    with pytest.raises(Refusal, match=r"not finished .* another input; leave out --input .* --again"):
        await runs.run(Input({"n": 7}, is_explicit=True))
    assert (await runs.state()).next == ("two",)


async def test_again_on_an_unfinished_thread_drops_what_is_left(runs: Runs, folder: Path) -> None:
    await broken_off(runs, folder, FIVE)
    notes = await runs.run(Input({"n": 7}, is_explicit=True), again=True)
    assert notes.ran == ["one", "two"]
    assert runs.result["seen"] == [5, 7, 100]


async def test_the_input_is_known_however_often_a_thread_went_on(runs: Runs, folder: Path) -> None:
    await broken_off(runs, folder, FIVE)
    await runs.run()
    assert (await runs.run(FIVE)).ran == []


async def test_tasks_that_were_done_are_kept(folder: Path) -> None:
    runs = Runs("graphs:fanning")
    (folder / "broken").touch()
    with pytest.raises(ValueError, match="work is broken"):
        await runs.run(Input({"n": 3}, is_explicit=True), max_concurrency=1)
    assert done_tasks(await runs.state()) == {"work": 1}
    (folder / "broken").unlink()
    notes = await runs.run()
    assert notes.said == ["going on with thread 't' at step 1: 1 of its 3 tasks are done"]
    assert notes.kept == {"work": 1}
    assert runs.result["seen"] == [0, 1, 2]


async def test_a_superstep_whose_tasks_are_all_done_is_still_gone_on_with(folder: Path) -> None:
    """The moment between the last task's writes and the checkpoint that takes them in."""
    runs = Runs("graphs:fanning")
    (folder / "broken").touch()
    with pytest.raises(ValueError, match="work is broken"):
        await runs.run(Input({"n": 2}, is_explicit=True), max_concurrency=1)
    async with opened(runs.loaded, "t", None, creates=False) as thread:
        saver: Any = thread.graph.checkpointer
        [_, failed] = (await thread.existing()).tasks
        found = await saver.aget_tuple(thread.config)
        await saver.aput_writes(found.config, [("seen", [1])], failed.id, "")
        assert (await thread.existing()).next == ()
    notes = await runs.run()
    assert notes.said == ["going on with thread 't' at step 1: 2 of its 2 tasks are done"]
    assert (runs.result["seen"], (await runs.state()).tasks) == ([0, 1], ())


async def test_resume_goes_on_but_never_starts(runs: Runs, folder: Path) -> None:
    await broken_off(runs, folder, FIVE)
    assert (await runs.resume()).ran == ["two"]
    notes = await runs.resume()
    assert notes.said == ["thread 't' is finished, at step 2: there is nothing to go on with"]
    assert notes.ran == []


async def test_a_question_is_shown_and_answered(folder: Path) -> None:
    runs = Runs("graphs:asking")
    notes = await runs.run()
    assert notes.finished is False
    assert notes.said[1].endswith(": 'how many?'")
    assert "--answer" in notes.said[2]
    assert (await runs.resume()).said[1].endswith(": 'how many?'")
    (question,) = (await runs.state()).interrupts
    assert (await runs.resume({question.id: 3})).said[1].endswith(": 'and what?'")
    assert (await runs.resume("four")).finished is True
    assert runs.result == {"n": 7, "seen": []}


async def test_resume_needs_a_thread(runs: Runs, folder: Path) -> None:
    with pytest.raises(Refusal, match=r"there is no database 'aiograph.db'; name one with --db"):
        await runs.resume()
    assert not (folder / "aiograph.db").exists()
    await runs.run()
    with pytest.raises(Refusal, match=r"there is no thread 'u' in aiograph.db; `aiograph run` starts one"):
        async with opened(runs.loaded, "u", None, creates=False) as thread:
            await resume(thread, Limits(), Notes())


async def test_the_database_can_be_named(folder: Path) -> None:
    runs = Runs(db=Path("other.db"))
    assert (await runs.run()).said == ["starting thread 't', kept in other.db"]
    assert not (folder / "aiograph.db").exists()


async def test_a_database_that_cannot_be_made_says_where(folder: Path) -> None:
    with pytest.raises(CheckpointStorageError, match=r"nowhere/x\.db.*does its folder exist"):
        await Runs(db=Path("nowhere/x.db")).run()


async def test_a_graph_keeps_its_own_saver_unless_a_database_is_named(folder: Path) -> None:
    own = Runs()
    own.loaded = Loaded("g", load("graphs:counting").with_saver(InMemorySaver()))
    assert (await own.run()).said == ["starting thread 't', kept in the graph's own InMemorySaver"]
    assert not (folder / "aiograph.db").exists()
    own.db = Path("named.db")
    assert (await own.run()).said == ["starting thread 't', kept in named.db"]
    assert (await own.run()).said == ["thread 't' is finished, at step 2; --again runs it anew"]


async def test_a_run_that_hits_its_limit_goes_on_with_a_new_one(runs: Runs) -> None:
    with pytest.raises(RecursionError, match="recursion_limit of 1"):
        await runs.run(FIVE, recursion_limit=1)
    assert (await runs.run(FIVE)).ran == ["two"]
