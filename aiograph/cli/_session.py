"""A thread of a graph, opened for one command, and what the command does with it.

The rule of `run`: the same command never does the same work twice. On a thread that is not finished it
goes on; on one that is, it shows the result. Another input is other work, and `--again` insists.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.cli._given import Input, Refusal
from aiograph.cli._load import AnyGraph, Loaded
from aiograph.stats import Statistics
from aiograph.types import Command, Durability, RunnableConfig, StateSnapshot, StreamMode

DEFAULT_DB = "aiograph.db"
DIGEST = "input_digest"
"""Checkpoint metadata: the input that the run began with."""


class Thread(NamedTuple):
    """A graph whose threads are kept somewhere, and one of these threads."""

    graph: AnyGraph
    id: str
    where: str
    """Where threads are kept, for messages."""

    @property
    def config(self) -> RunnableConfig:
        return {"configurable": {"thread_id": self.id}}

    def measured(self, stats: Statistics | None) -> "Thread":
        """The same, with the runs of the graph measured, if there is something to measure them with."""
        return self if stats is None else self._replace(graph=self.graph.with_stats(stats))

    async def existing(self) -> StateSnapshot:
        """The thread as it is now.

        Raises:
            Refusal: There is no such thread.
        """
        snapshot = await self.graph.aget_state(self.config)
        if is_unknown(snapshot):
            raise Refusal(f"there is no thread {self.id!r} in {self.where}; `aiograph run` starts one")
        return snapshot


@asynccontextmanager
async def opened(loaded: Loaded, thread_id: str, db: Path | None, *, creates: bool) -> AsyncIterator[Thread]:
    """Opens a thread: in the database that was named, else where the graph keeps its own, else in the
    default one.

    Raises:
        Refusal: There is no such database, and none is to be made.
    """
    own = loaded.own_saver
    if db is None and own is not None:
        yield Thread(loaded.with_saver(own), thread_id, f"the graph's own {type(own).__name__}")
        return
    file = db or Path(DEFAULT_DB)
    if not creates and not file.exists():
        raise Refusal(
            f"there is no database {str(file)!r}; name one with --db, or start a thread with `aiograph run`"
        )
    async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
        yield Thread(loaded.with_saver(saver), thread_id, str(file))


# -- what to do ------------------------------------------------------------------------------------


def is_unknown(snapshot: StateSnapshot) -> bool:
    return snapshot.metadata is None


def is_finished(snapshot: StateSnapshot) -> bool:
    """Whether nothing is left to do; tasks that are done but whose superstep is not count as something."""
    return not snapshot.tasks


def step_of(snapshot: StateSnapshot) -> int:
    """The superstep that a checkpoint ends."""
    return int((snapshot.metadata or {}).get("step", -1))


class Move(Enum):
    """What to do with a thread."""

    START = "start"
    GO_ON = "go on"
    SHOW = "show"


def next_move(snapshot: StateSnapshot, input: Input, *, again: bool) -> Move:
    """What `run` does with a thread in this state.

    Raises:
        Refusal: It is not finished, and was started with another input.
    """
    if again or is_unknown(snapshot):
        return Move.START
    is_other = input.is_explicit and input.digest != (snapshot.metadata or {}).get(DIGEST)
    if is_finished(snapshot):
        return Move.START if is_other else Move.SHOW
    if is_other:
        raise Refusal(
            "the thread is not finished and was started with another input; leave out --input to go on, "
            "or add --again to drop what is left to do and start with this one"
        )
    return Move.GO_ON


def result_of(thread: Thread, snapshot: StateSnapshot) -> Any:
    """What the graph's output is, out of the whole state."""
    keys, values = thread.graph.output_channels, snapshot.values
    if isinstance(keys, str) or not isinstance(values, dict):
        return values
    return {key: values[key] for key in keys if key in values}


# -- doing it --------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """The options of a run that are the engine's own."""

    recursion_limit: int | None = None
    max_concurrency: int | None = None
    durability: Durability | None = None

    def config(self, thread: Thread, metadata: Mapping[str, Any]) -> RunnableConfig:
        config: RunnableConfig = {**thread.config, "metadata": dict(metadata)}
        if self.recursion_limit is not None:
            config["recursion_limit"] = self.recursion_limit
        if self.max_concurrency is not None:
            config["max_concurrency"] = self.max_concurrency
        return config


class Watcher(Protocol):
    """Who is told what a run does."""

    modes: tuple[StreamMode, ...]

    def say(self, message: str) -> None:
        """Shows a message."""

    def begin(self, step: int, kept: Mapping[str, int]) -> None:
        """A run begins at a superstep; of its tasks, so many per node are done already."""

    def take(self, mode: str, chunk: Any) -> None:
        """The run streams a chunk."""

    def end(self, *, finished: bool) -> None:
        """The run has ended, in whatever way."""


async def run(thread: Thread, input: Input, limits: Limits, watcher: Watcher, *, again: bool) -> Any:
    """Starts on a thread, goes on with it, or leaves it as it is; returns its output."""
    snapshot = await thread.graph.aget_state(thread.config)
    move = next_move(snapshot, input, again=again)
    if move is Move.GO_ON:
        return await go_on(thread, snapshot, limits, watcher)
    if move is Move.SHOW:
        watcher.say(f"thread {thread.id!r} is finished, at step {step_of(snapshot)}; --again runs it anew")
        return result_of(thread, snapshot)
    watcher.say(f"starting thread {thread.id!r}, kept in {thread.where}")
    config = limits.config(thread, {DIGEST: input.digest})
    watcher.begin(step_of(snapshot) + 1, {})
    return await _drive(thread, input.value, config, limits, watcher)


async def resume(thread: Thread, limits: Limits, watcher: Watcher, *, answer: Any = None) -> Any:
    """Goes on with a thread that is not finished; returns its output.

    Args:
        thread: The thread.
        limits: The run's options.
        watcher: Is told what the run does.
        answer: The answer to the question that has stopped it, or answers by the questions' ids.

    Raises:
        Refusal: There is no such thread.
    """
    snapshot = await thread.existing()
    if not is_finished(snapshot):
        return await go_on(thread, snapshot, limits, watcher, answer=answer)
    watcher.say(
        f"thread {thread.id!r} is finished, at step {step_of(snapshot)}: there is nothing to go on with"
    )
    return result_of(thread, snapshot)


async def go_on(
    thread: Thread, snapshot: StateSnapshot, limits: Limits, watcher: Watcher, *, answer: Any = None
) -> Any:
    step, kept = step_of(snapshot) + 1, done_tasks(snapshot)
    done = f": {kept.total()} of its {len(snapshot.tasks)} tasks are done" if kept else ""
    watcher.say(f"going on with thread {thread.id!r} at step {step}{done}")
    digest = (snapshot.metadata or {}).get(DIGEST)
    config = limits.config(thread, {} if digest is None else {DIGEST: digest})
    watcher.begin(step, kept)
    input: Command[Any] | None = None if answer is None else Command(resume=answer)
    return await _drive(thread, input, config, limits, watcher)


def done_tasks(snapshot: StateSnapshot) -> Counter[str]:
    """Per node, how many tasks of the superstep to come are done already."""
    return Counter(task.name for task in snapshot.tasks) - Counter(snapshot.next)


async def _drive(thread: Thread, input: Any, config: RunnableConfig, limits: Limits, watcher: Watcher) -> Any:
    finished = False
    stream: Any = thread.graph.astream(input, config, stream_mode=watcher.modes, durability=limits.durability)
    try:
        async with aclosing(stream) as chunks:
            async for mode, chunk in chunks:
                watcher.take(mode, chunk)
        snapshot = await thread.graph.aget_state(thread.config)
        finished = is_finished(snapshot)
    finally:
        watcher.end(finished=finished)
    for question in snapshot.interrupts:
        watcher.say(f"question {question.id}: {question.value!r}")
    if snapshot.interrupts:
        watcher.say("answer by `aiograph resume ... --answer TEXT`, or with JSON: a dict answers by id")
    return result_of(thread, snapshot)
