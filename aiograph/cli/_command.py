"""What the commands share: a graph and a thread, where to print, and how errors and Ctrl-C end.

Exit codes: 0 for success, 1 for a run that failed, 2 for what cannot be asked for, 130 after Ctrl-C.
"""

import shlex
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar, cast

import typer
from rich.console import Console
from rich.text import Text

from aiograph import bridge
from aiograph.cli import _session, _show
from aiograph.cli._display import ChunkDisplay, Display, LineDisplay, LiveDisplay
from aiograph.cli._given import Refusal
from aiograph.cli._load import load
from aiograph.cli._session import Thread, opened
from aiograph.stats import Statistics
from aiograph.types import StateSnapshot, StreamMode

T = TypeVar("T")


WIDE = 200
"""Columns where there is no terminal to count them."""


class Command:
    """One command while it runs: a graph, a thread, and where to print."""

    def __init__(self, target: str, thread_id: str, db: Path | None) -> None:
        self._target = target
        self._thread_id = thread_id
        self._db = db
        self._stdout = sys.stdout
        self.output = _console(sys.stdout)
        self.messages = _console(sys.stderr)
        self._display: Display | None = None

    def display(self, stream: str | None) -> Display:
        """Watches the run of this command."""
        if stream is not None:
            self._display = ChunkDisplay(self.messages, cast(StreamMode, stream), self._stdout)
        elif self.messages.is_terminal:
            self._display = LiveDisplay(self.messages)
        else:
            self._display = LineDisplay(self.messages)
        return self._display

    def work(self, act: Callable[[Thread], Awaitable[T]], *, creates: bool = False) -> T:
        """Does something with the thread, on the bridge's loop.

        This thread waits there, which makes Ctrl-C cancel the work and wait for its clean-up, and a second
        one give up on synchronous nodes.
        """
        loaded = load(self._target)

        async def opened_and_done() -> T:
            async with opened(loaded, self._thread_id, self._db, creates=creates) as thread:
                return await act(thread)

        with _telling_ctrl_c(self._display):
            return bridge.run(opened_and_done, verb="work")

    def print_values(self, values: Any, *, as_json: bool, aside: bool = False) -> None:
        """Prints a state or an output; `aside`, where standard output is for something else."""
        if as_json:
            print(_show.as_json(values), file=self._stdout)
        else:
            _show.print_values(self.messages if aside else self.output, values)

    @contextmanager
    def measuring(self, wanted: bool) -> Iterator[Statistics | None]:
        """Prints where the time went, however the run inside the block ends; nothing, if nothing has run."""
        stats = Statistics() if wanted else None
        try:
            yield stats
        finally:
            if stats is not None and stats.runs:
                for table in _show.time_tables(stats):
                    self.messages.print(table)

    def print_standing(self, snapshot: StateSnapshot) -> None:
        """Prints what a human wants to know beside the values."""
        stands = "finished" if _session.is_finished(snapshot) else "not finished"
        step, ago = _session.step_of(snapshot), _show.age(snapshot.created_at)
        following = _show.nodes_of(snapshot.next) or "nothing"
        self.output.print(Text(f"\n{stands}, at step {step}, {ago} ago; next: {following}"))
        if snapshot.tasks:
            self.output.print(_show.tasks_table(snapshot))

    def print_stopped(self) -> None:
        """Says, after Ctrl-C, how to go on."""
        step = None if self._display is None else self._display.step
        place = "" if step is None else f" at step {step}"
        words = ["aiograph", "resume", self._target, "--thread", self._thread_id]
        words += ["--db", str(self._db)] if self._db else []
        text = (
            f"stopped{place}; what is done is kept, and the same command goes on, or\n  {shlex.join(words)}"
        )
        self.messages.print(Text(text), soft_wrap=True)


def _console(file: TextIO) -> Console:
    return Console(file=file, highlight=False, width=None if file.isatty() else WIDE)


@contextmanager
def command(target: str, thread_id: str, db: Path | None, *, full_traceback: bool) -> Iterator[Command]:
    """Turns errors into messages and exit codes, and leaves standard output to results."""
    this = Command(target, thread_id, db)
    with telling_errors(this.messages, full_traceback=full_traceback):
        try:
            yield this
        except KeyboardInterrupt:
            this.print_stopped()
            raise typer.Exit(130) from None


@contextmanager
def telling_errors(messages: Console | None = None, *, full_traceback: bool) -> Iterator[None]:
    """What `command` does, for commands without a thread."""
    messages = messages or _console(sys.stderr)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Refusal as error:
        _show.print_error(messages, error, full=full_traceback)
        raise typer.Exit(2) from None
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        _show.print_error(messages, error, full=full_traceback)
        raise typer.Exit(1) from None


@contextmanager
def _telling_ctrl_c(display: Display | None) -> Iterator[None]:
    """Says at once that Ctrl-C was seen, as nodes may take their time."""
    if display is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(number: int, frame: FrameType | None) -> None:
        display.stopping()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
