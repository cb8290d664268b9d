"""Runs that race on one thread, with each other and with whoever else changes it: nothing lost, nothing torn.

In this process by tasks and by threads, and across processes; also with one that is killed, or stands still.
"""

import asyncio
import operator
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.errors import ConcurrentUpdateError
from aiograph.graph import START, StateGraph
from aiograph.types import RunnableConfig
from tests.bridge.kit import PATIENCE, Background, until
from tests.faults import backends
from tests.faults.racer import State, all_of, begin, build, outcome
from tests.faults.rig import turns

HOME = Path(__file__).parent.parent.parent

NAMES = "abcdefgh"


def thread(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


@pytest.fixture(params=backends.ALL)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> backends.Backend:
    return backends.backend_of(request, tmp_path)


@pytest.fixture
def saver(backend: backends.Backend) -> Iterator[Any]:
    """Opened by a synchronous caller, so that a pool's own tasks are not those of the test."""
    with backend.saver() as opened:
        opened.get_tuple(thread("t"))
        yield opened


@pytest.fixture(params=backends.SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> backends.Backend:
    return backends.backend_of(request, tmp_path)


def assert_fair(saver: Any, thread_id: str, answers: dict[str, str]) -> None:
    """All that succeeded are in the state as a whole, the others at most with their beginning."""
    assert set(answers.values()) <= {"done", "refused"}, answers
    won = {name for name, answer in answers.items() if answer == "done"}
    newest = backends.in_line(saver.list(thread(thread_id)))[-1]
    found = newest.checkpoint["channel_values"]
    assert found.get("count", 0) == len(won) > 0
    names = list(dict.fromkeys(line[0] for line in found["log"]))
    pieces = {name: [line for line in found["log"] if line[0] == name] for name in names}
    assert reduce(operator.add, pieces.values()) == found["log"], f"mixed up: {found['log']}"
    assert {name for name in names if pieces[name] == all_of(name)} == won
    assert all(piece == all_of(name)[: len(piece)] for name, piece in pieces.items())


# -- in one process --------------------------------------------------------------------------------


def race_of_tasks(saver: Any, thread_id: str, names: str) -> dict[str, str]:
    """Runs as tasks of one loop."""
    graph = build(saver)

    async def run(name: str) -> str:
        await turns(random.randrange(20))
        try:
            await graph.ainvoke(begin(name), thread(thread_id))
        except ConcurrentUpdateError:
            return "refused"
        return "done"

    async def main() -> dict[str, str]:
        return dict(zip(names, await asyncio.gather(*map(run, names)), strict=True))

    return asyncio.run(main())


def race_of_threads(saver: Any, thread_id: str, names: str) -> dict[str, str]:
    """Synchronous calls that start at once."""
    graph, start = build(saver), threading.Barrier(len(names))

    def run(name: str) -> str:
        start.wait(PATIENCE)
        return outcome(graph, name, thread_id)

    calls = {name: Background(partial(run, name)) for name in names}
    return {name: call.result() for name, call in calls.items()}


@pytest.mark.parametrize("size", [2, 8])
@pytest.mark.parametrize("race", [race_of_tasks, race_of_threads])
def test_races_in_one_process_are_fair(saver: Any, race: Callable[..., dict[str, str]], size: int) -> None:
    try_out(race, saver, size, rounds=8 if size == 2 else 4)


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 8])
@pytest.mark.parametrize("race", [race_of_tasks, race_of_threads])
def test_a_hundred_races_in_one_process_are_fair(
    saver: Any, race: Callable[..., dict[str, str]], size: int
) -> None:
    try_out(race, saver, size, rounds=100)


def try_out(race: Callable[..., dict[str, str]], saver: Any, size: int, rounds: int) -> None:
    for number in range(rounds):
        thread_id = f"{race.__name__} {size} {number}"
        assert_fair(saver, thread_id, race(saver, thread_id, NAMES[:size]))


@pytest.mark.parametrize("race", [race_of_tasks, race_of_threads])
def test_a_thread_that_is_raced_for_again_and_again_counts_every_success(
    saver: Any, race: Callable[..., dict[str, str]]
) -> None:
    answers = [race(saver, "t", NAMES[:4]) for _ in range(8)]
    done = sum(list(each.values()).count("done") for each in answers)
    values = saver.get(thread("t"))["channel_values"]
    assert values["count"] == done >= len(answers)
    assert sum(line.endswith("ends") for line in values["log"]) == done


# -- several processes -----------------------------------------------------------------------------


class Racer:
    """Another process on the same storage."""

    def __init__(self, backend: backends.Backend, name: str, folder: Path | None = None) -> None:
        arguments = [backend.name, backend.address, name, *([str(folder)] if folder else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.racer", *arguments],
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, *thread_ids: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{each}\n" for each in thread_ids))
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


@contextmanager
def racers(backend: backends.Backend, names: str, folder: Path | None = None) -> Iterator[dict[str, Racer]]:
    with ExitStack() as stack:
        found = {name: Racer(backend, name, folder) for name in names}
        for racer in found.values():
            stack.callback(racer.end)
        yield found


def race_of_processes(backend: backends.Backend, size: int, rounds: int) -> None:
    with backend.saver() as saver, racers(backend, NAMES[:size]) as crew:
        for number in range(rounds):
            for racer in crew.values():
                racer.tell(str(number))
            assert_fair(saver, str(number), {name: racer.answer() for name, racer in crew.items()})


@pytest.mark.parametrize("size", [2, 4])
def test_races_of_processes_are_fair(shared: backends.Backend, size: int) -> None:
    race_of_processes(shared, size, rounds=8)


@pytest.mark.long
@pytest.mark.parametrize("size", [2, 8])
def test_a_hundred_races_of_processes_are_fair(shared: backends.Backend, size: int) -> None:
    race_of_processes(shared, size, rounds=100)


def write_side_by_side(file: Path, runs: int) -> None:
    """Four processes, each on threads of its own in one SQLite file."""
    backend = backends.Backend("sqlite", str(file))
    with racers(backend, "abcd") as crew:
        for name, racer in crew.items():
            racer.tell(*(f"{name}{number}" for number in range(runs // 4)))
        for racer in crew.values():
            assert [racer.answer() for _ in range(runs // 4)] == ["done"] * (runs // 4)
    with backend.saver() as saver:
        counts = [
            saver.get(thread(each.thread_id))["channel_values"]["count"] for each in saver.list_threads()
        ]
    assert counts == [1] * runs


def test_four_processes_write_one_sqlite_file(tmp_path: Path) -> None:
    write_side_by_side(tmp_path / "checkpoints.db", runs=120)


@pytest.mark.long
def test_four_processes_write_one_sqlite_file_for_long(tmp_path: Path) -> None:
    write_side_by_side(tmp_path / "checkpoints.db", runs=1000)


# -- processes that do not come back, or come back late --------------------------------------------


@contextmanager
def at_work(backend: backends.Backend, folder: Path, saver: Any) -> Iterator[Racer]:
    """A process in the middle of a run on thread `t`: its input is stored, and its first node works."""
    with racers(backend, "x", folder) as crew:
        crew["x"].tell("t")
        until(lambda: "log" in (saver.get(thread("t")) or {}).get("channel_values", {}))
        yield crew["x"]


@pytest.mark.parametrize("verb", ["invoke", "update", "resume"])
def test_a_process_that_was_killed_blocks_nobody(shared: backends.Backend, tmp_path: Path, verb: str) -> None:
    with shared.saver() as saver:
        graph = build(saver)
        with at_work(shared, tmp_path, saver) as racer:
            racer.process.send_signal(signal.SIGKILL)
            racer.process.wait(PATIENCE)
        if verb == "update":
            graph.update_state(thread("t"), {"log": ["update"]}, "ends")
        else:
            graph.invoke(begin("y") if verb == "invoke" else None, thread("t"))
        left = {"invoke": all_of("y"), "update": ["update"], "resume": all_of("x")[1:]}[verb]
        assert saver.get(thread("t"))["channel_values"]["log"] == ["x begins", *left]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_process_that_stood_still_cannot_write_after_others_did(
    shared: backends.Backend, tmp_path: Path
) -> None:
    with shared.saver() as saver, at_work(shared, tmp_path, saver) as racer:
        racer.process.send_signal(signal.SIGSTOP)
        build(saver).invoke(begin("y"), thread("t"))
        before = list(saver.list(thread("t")))
        (tmp_path / "go").touch()
        racer.process.send_signal(signal.SIGCONT)
        assert racer.answer() == "refused"
        assert list(saver.list(thread("t"))) == before
        assert before[0].checkpoint["channel_values"]["log"] == ["x begins", *all_of("y")]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_process_that_stood_still_goes_on_if_nobody_has_written(
    shared: backends.Backend, tmp_path: Path
) -> None:
    with shared.saver() as saver, at_work(shared, tmp_path, saver) as racer:
        racer.process.send_signal(signal.SIGSTOP)
        (tmp_path / "go").touch()
        racer.process.send_signal(signal.SIGCONT)
        assert racer.answer() == "done"
        assert saver.get(thread("t"))["channel_values"]["log"] == all_of("x")


# -- a run and somebody else -----------------------------------------------------------------------


class Meeting:
    """A run on a thread of two earlier runs, and a rival that does something to the thread meanwhile."""

    def __init__(self, saver: BaseCheckpointSaver, thread_id: str, chance: random.Random) -> None:
        self.saver = saver
        self.graph = build(saver)
        self.thread = thread(thread_id)
        self.thread_id = thread_id
        self.chance = chance
        self.past: RunnableConfig = self.thread

    async def take_place(self, rival: "Rival") -> tuple[str, str]:
        """What became of the run `x` and of its rival."""
        for name in "vw":
            config: RunnableConfig = {**self.thread, "metadata": {"run_id": name}}
            await self.graph.ainvoke(begin(name), config)
            states = [state async for state in self.graph.aget_state_history(self.thread)]
            self.past = next(state.config for state in states if state.next == ("works",))
        work = self.graph.ainvoke(begin("x"), self.thread, durability=self.chance.choice(["sync", "async"]))
        answers = await asyncio.gather(self._late(work), self._late(rival(self)))
        return answers[0], answers[1]

    async def _late(self, work: Awaitable[Any]) -> str:
        # real time, as databases take some: the two are to meet at different points
        await asyncio.sleep(self.chance.choice([0, 0.001, 0.003, 0.01]))
        try:
            await work
        except ConcurrentUpdateError:
            return "refused"
        return "done"

    async def log(self) -> list[str]:
        found = await self.saver.aget(self.thread)
        return [] if found is None else found["channel_values"].get("log", [])


Rival = Callable[[Meeting], Awaitable[Any]]
"""What somebody does to a thread."""

RIVALS: dict[str, Rival] = {
    "update": lambda at: at.graph.aupdate_state(at.thread, {"log": ["update"]}, "ends"),
    "clear": lambda at: at.graph.aclear_state(at.thread),
    "fork": lambda at: at.graph.ainvoke(None, at.past),
    "delete": lambda at: at.saver.adelete_thread(at.thread_id),
    "delete by prune": lambda at: at.saver.aprune([at.thread_id], strategy="delete"),
    "prune": lambda at: at.saver.aprune([at.thread_id]),
    "copy": lambda at: at.saver.acopy_thread(at.thread_id, f"{at.thread_id} copy"),
    "delete for runs": lambda at: at.saver.adelete_for_runs(["w"]),
}

BEFORE = all_of("v", "w")


def outcomes_of(rival: str, run: str) -> Sequence[list[str]]:
    """Logs that a thread may have in the end, by what became of the run."""
    after, begun = [*BEFORE, *all_of("x")], [*BEFORE, "x begins"]
    unfinished = [*begun, "x works"]
    if rival == "update":
        mixed = [[*each, "update"] for each in (BEFORE, begun, unfinished, after)]
        return [*mixed, [*BEFORE, "update", *all_of("x")], after] if run == "done" else mixed
    if rival == "clear":
        return [[], all_of("x"), after] if run == "done" else [[]]
    if rival == "fork":
        # the fork had got as far as its copy, or as `w works`
        overtaken = [[*BEFORE[:end], *all_of("x")] for end in (-2, -1)]
        return [after, BEFORE, *overtaken] if run == "done" else [BEFORE]
    if rival.startswith("delete") and rival != "delete for runs":
        return [[], all_of("x")] if run == "done" else [[]]
    if rival == "delete for runs":
        return [after, all_of("v", "x")] if run == "done" else [all_of("v"), begun, unfinished]
    return [after]


async def meet(backend: backends.Backend, saver: Any, rounds: int, seed: int) -> None:
    for number in range(rounds):
        rival = list(RIVALS)[number % len(RIVALS)]
        meeting = Meeting(saver, f"{number} {rival}", random.Random(seed + number))
        run, other = await meeting.take_place(RIVALS[rival])
        where = f"seed {seed}, round {number}: {rival} was {other}, the run was {run}"
        assert "done" in (run, other), where
        assert await meeting.log() in outcomes_of(rival, run), where
        await assert_whole(backend, saver, meeting.thread_id, where)
        await assert_whole(backend, saver, f"{meeting.thread_id} copy", where)


async def assert_whole(backend: backends.Backend, saver: Any, thread_id: str, where: str) -> None:
    """All that is there can be read and belongs to something; of a thread that is gone, nothing is there."""
    found = [each async for each in saver.alist(thread(thread_id))]
    assert bool(found) == (thread_id in [each.thread_id async for each in saver.alist_threads()]), where
    if backend.name == "memory":
        return
    assert await asyncio.to_thread(backend.lost_rows, thread_id) == {}, where
    if not found:
        assert not (await asyncio.to_thread(backend.remains, thread_id)).total(), where


async def test_whoever_meets_a_run_leaves_the_thread_whole(backend: backends.Backend, saver: Any) -> None:
    await meet(backend, saver, rounds=64, seed=7)


@pytest.mark.long
async def test_whoever_meets_a_run_leaves_the_thread_whole_a_thousand_times(
    backend: backends.Backend, saver: Any
) -> None:
    """AIOGRAPH_SEED replays a sequence."""
    seed = int(os.environ.get("AIOGRAPH_SEED", random.randrange(10**6)))
    await meet(backend, saver, rounds=1000, seed=seed)


@pytest.mark.parametrize("cleans_up", ["aprune", "adelete_thread"])
def test_a_clean_up_while_a_fork_is_under_way_leaves_nothing_behind(
    shared: backends.Backend, cleans_up: str
) -> None:
    """One of its tasks has finished by then, and the other one has not."""
    with shared.saver() as saver:

        async def clean_up(state: State) -> State:
            if state["by"] == "fork":
                await (saver.aprune(["t"]) if cleans_up == "aprune" else saver.adelete_thread("t"))
            return {"log": ["cleaned"]}

        builder = StateGraph(State).add_node("quick", lambda state: {"log": ["quick"]}, inline=True)
        builder.add_node("clean_up", clean_up).add_edge(START, "quick").add_edge(START, "clean_up")
        graph = builder.compile(saver)
        fork = graph.update_state(thread("t"), begin("fork"), START)
        graph.invoke(begin("w"), thread("t"))
        if cleans_up == "aprune":  # the fork is the newest checkpoint: that is kept, and the run goes on
            state = graph.invoke(None, fork, durability="sync")
            assert state["log"] == ["fork begins", "cleaned", "quick"]
            assert len(list(saver.list(thread("t")))) == 2
        else:
            with pytest.raises(ConcurrentUpdateError):
                graph.invoke(None, fork, durability="sync")
            assert list(saver.list(thread("t"))) == []
    assert shared.lost_rows("t") == {}


@pytest.mark.postgres
async def test_a_thread_is_not_mixed_with_one_that_is_copied_onto_it_meanwhile(
    postgres_database: str,
) -> None:
    """The copy is held up after it has found nobody on the target; then a run starts there."""
    import psycopg

    async with backends.Backend("postgres", postgres_database).saver() as saver:
        await saver.asetup()
        graph = build(saver)
        await graph.ainvoke(begin("w"), thread("source"))
        async with await psycopg.AsyncConnection.connect(postgres_database) as other:
            await other.execute("LOCK TABLE checkpoint_blobs IN EXCLUSIVE MODE")
            copying = asyncio.create_task(saver.acopy_thread("source", "target"))
            await _held_up(other, 1)
            running = asyncio.create_task(graph.ainvoke(begin("x"), thread("target")))
            await _held_up(other, 2, running)
        await copying
        with pytest.raises(ConcurrentUpdateError):
            await running
        newest = (await backends.line_of(saver, "target"))[-1]
        assert newest.checkpoint["channel_values"]["log"] == all_of("w")


async def _held_up(connection: Any, count: int, task: "asyncio.Task[Any] | None" = None) -> None:
    """Waits until so many statements wait for locks, or a task is done; the server tells nobody of it."""
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    async with asyncio.timeout(PATIENCE):
        while task is None or not task.done():
            found = await (await connection.execute(query)).fetchone()
            if found[0] >= count:
                return
            await asyncio.sleep(0.01)
