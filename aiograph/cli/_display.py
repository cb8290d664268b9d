"""How a run is watched: on a live display, as plain lines, or as the chunks of a stream mode."""

import os
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from aiograph.cli._progress import Progress, Superstep
from aiograph.cli._show import as_json
from aiograph.types import StreamMode

REFRESHES = 10
"""Per second."""

NODES_SHOWN = 12
"""Lines that a live display uses at most for nodes."""

QUIET_SECONDS = 5.0
"""Without a terminal, a superstep that takes longer is reported on in between."""

STOPPING = "stopping: waiting for the nodes that run; press Ctrl-C again not to wait"


class Display:
    """Watches a run and says the little that has to be said in any case."""

    modes: tuple[StreamMode, ...] = ("debug", "custom")

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None

    @property
    def step(self) -> int | None:
        """The superstep that the run is at; `None` before it has begun, or when it is not known."""
        return None if self._progress is None else self._progress.superstep.number

    def say(self, message: str) -> None:
        self._console.print(Text(message), soft_wrap=True)

    def begin(self, step: int, kept: Mapping[str, int]) -> None:
        self._progress = Progress(step, kept)

    def take(self, mode: str, chunk: Any) -> None:
        if self._progress is None:
            return
        ended = self._progress.take(mode, chunk)
        if ended is not None:
            self._ended(ended, self._progress)

    def end(self, *, finished: bool) -> None:
        progress = self._progress
        if progress is None:
            return
        last = progress.close()
        if last is not None:
            self._ended(last, progress)
        if finished:
            count = progress.totals.total()
            text = f": {count:,} task{'' if count == 1 else 's'} in {progress.elapsed:.1f} s"
            done = (f"finished at step {progress.superstep.number}", "bold green")
            self._console.print(Text.assemble(done, text))

    def stopping(self) -> None:
        """Ctrl-C was pressed. Called by a signal handler, so streams with a lock are out of bounds."""
        os.write(2, f"{STOPPING}\n".encode())

    def _ended(self, superstep: Superstep, progress: Progress) -> None:
        """A superstep has ended, in whatever way."""


class LineDisplay(Display):
    """One line per superstep, some more when it takes long: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last_line = 0.0

    def take(self, mode: str, chunk: Any) -> None:
        super().take(mode, chunk)
        progress = self._progress
        if progress is not None and progress.elapsed - self._last_line >= QUIET_SECONDS:
            self._line(progress, progress.superstep, "so far")

    def _ended(self, superstep: Superstep, progress: Progress) -> None:
        self._line(progress, superstep, f"{superstep.seconds:.2f} s")

    def _line(self, progress: Progress, superstep: Superstep, time: str) -> None:
        self._last_line = progress.elapsed
        nodes = ", ".join(_outcome(name, superstep) for name in superstep.nodes)
        self.say("  ".join(filter(None, [f"step {superstep.number}", nodes, time, progress.note])))


def _outcome(name: str, superstep: Superstep) -> str:
    node = superstep.nodes[name]
    text = name if node.announced == 1 else f"{name} x{node.announced}"
    if node.left:
        text += f" ({node.ended} ended)"
    return text + (f" ({node.failed} failed)" if node.failed else "")


class LiveDisplay(Display):
    """Redraws itself: the superstep, what runs in it, and how often each node has run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._spinner = Spinner("dots")
        self._is_stopping = False
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=REFRESHES, transient=True
        )

    def begin(self, step: int, kept: Mapping[str, int]) -> None:
        super().begin(step, kept)
        self._live.start()

    def end(self, *, finished: bool) -> None:
        self._live.stop()
        super().end(finished=finished)

    def stopping(self) -> None:
        self._is_stopping = True

    def _render(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            return ""
        superstep = progress.superstep
        self._spinner.update(text=self._headline(progress))
        return Group(self._spinner, _nodes_table(progress, superstep))

    def _headline(self, progress: Progress) -> Text:
        return Text.assemble(
            (f"step {progress.superstep.number}", "bold"),
            f"  {progress.elapsed:.1f} s  ",
            (STOPPING, "yellow") if self._is_stopping else (progress.note, "cyan"),
        )


def _nodes_table(progress: Progress, superstep: Superstep) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for _ in range(2):
        table.add_column(justify="right", no_wrap=True)
    # copies: the run goes on while another thread draws
    running, totals = dict(superstep.nodes), dict(progress.totals)
    names = [*totals] if len(totals) <= NODES_SHOWN else [*running][:NODES_SHOWN]
    for name in names:
        node = running.get(name)
        total = f"{totals.get(name, 0):,} done"
        if node is None:
            table.add_row("", Text(name, style="dim"), "", "", Text(total, style="dim"))
            continue
        bar = ProgressBar(total=node.announced, completed=node.ended, width=30, complete_style="green")
        table.add_row("", name, bar, f"{node.left} running" if node.left else "", total)
    return table


class ChunkDisplay(Display):
    """Prints the chunks of one stream mode as lines of JSON, in place of any progress."""

    def __init__(self, console: Console, mode: StreamMode, output: TextIO) -> None:
        super().__init__(console)
        self.modes = (mode,)
        self._output = output

    def begin(self, step: int, kept: Mapping[str, int]) -> None:
        pass

    def take(self, mode: str, chunk: Any) -> None:
        print(as_json(chunk), file=self._output, flush=True)
