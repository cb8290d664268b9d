"""The commands, with their options and their help."""

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from aiograph.cli import _draw, _session, _show
from aiograph.cli._command import command, telling_errors
from aiograph.cli._given import read_answer, read_input
from aiograph.cli._load import load
from aiograph.cli._session import Limits, Thread
from aiograph.types import Durability, StateSnapshot, StreamMode

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)


# -- options ---------------------------------------------------------------------------------------


def _one_of(choices: tuple[str, ...]) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        if value is not None and value not in choices:
            raise typer.BadParameter(f"there is no {value!r}; there are {', '.join(choices)}")
        return value

    return check


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aiograph {_installed_version()}")
        raise typer.Exit


def _installed_version() -> str:
    try:
        return version("aiograph")
    except PackageNotFoundError:
        return "(run from its source, not installed)"


Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE_OR_FILE:NAME",
        show_default=False,
        help="The graph: a StateGraph, a compiled graph, or a function without arguments that returns one. "
        "NAME is `graph` if left out.",
    ),
]
ThreadId = Annotated[
    str,
    typer.Option(
        "--thread",
        "-t",
        metavar="ID",
        show_default=False,
        help="The thread whose state is kept, by a name of your choice.",
    ),
]
Db = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="The SQLite file that keeps the threads. By default `aiograph.db` in the current folder; "
        "a compiled graph that has a checkpointer keeps that one.",
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(
        "--stream",
        metavar="MODE",
        callback=_one_of(get_args(StreamMode)),
        help=f"Print the chunks of a stream mode as lines of JSON, in place of the progress display. "
        f"MODE is one of {', '.join(get_args(StreamMode))}.",
    ),
]
RecursionLimit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Supersteps that this run may take.")
]
MaxConcurrency = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Tasks that may run at the same time.")
]
DurabilityOption = Annotated[
    str | None,
    typer.Option(
        "--durability",
        metavar="MODE",
        callback=_one_of(get_args(Durability)),
        help="When a superstep is stored: `sync`, before the next one starts; `async`, the default, "
        "while the next one runs; `exit`, once at the end.",
    ),
]
Stats = Annotated[bool, typer.Option("--stats", help="Print, at the end, where the time went.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything, on one line of JSON, for programs.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.")]


@app.callback(epilog="`aiograph COMMAND --help` tells more and shows an example.")
def aiograph(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Runs stateful graphs, durable at every step: what was killed goes on where it was."""


# -- commands --------------------------------------------------------------------------------------


@app.command(epilog="Example: `aiograph run docs/examples/code_report.py:graph --thread demo`")
def run(
    target: Target,
    thread: ThreadId,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE", help="The input: JSON, or a file that holds it. Without one, `{}`."
        ),
    ] = None,
    db: Db = None,
    stream: Stream = None,
    recursion_limit: RecursionLimit = None,
    max_concurrency: MaxConcurrency = None,
    durability: DurabilityOption = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Start on the thread with the input, even if it is finished or half done."
        ),
    ] = False,
    stats: Stats = False,
    as_json: AsJson = False,
    full_traceback: Traceback = False,
) -> None:
    """Runs a graph on a thread, and prints its output.

    **The same command never does the same work twice.** A thread that was broken off, by Ctrl-C, an error or
    `kill -9`, goes on where it was. A thread that is finished stays as it is, and its output is shown.

    Another `--input` is other work: on a finished thread it starts a new run, which finds the state that the
    one before has left; on an unfinished one it is refused, as long as `--again` does not insist. For a state
    that is empty take another `--thread`.
    """
    limits = Limits(recursion_limit, max_concurrency, cast(Durability | None, durability))
    with command(target, thread, db, full_traceback=full_traceback) as this:
        given, display = read_input(input), this.display(stream)
        with this.measuring(stats) as measures:
            output = this.work(
                lambda opened: _session.run(opened.measured(measures), given, limits, display, again=again),
                creates=True,
            )
        this.print_values(output, as_json=as_json, aside=stream is not None)


@app.command(epilog="Example: `aiograph resume docs/examples/code_report.py:graph --thread demo`")
def resume(
    target: Target,
    thread: ThreadId,
    db: Db = None,
    stream: Stream = None,
    recursion_limit: RecursionLimit = None,
    max_concurrency: MaxConcurrency = None,
    durability: DurabilityOption = None,
    answer: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The answer to the question that has stopped the thread, as JSON or as it is; a dict whose "
            "keys are ids of questions answers each of them.",
        ),
    ] = None,
    stats: Stats = False,
    as_json: AsJson = False,
    full_traceback: Traceback = False,
) -> None:
    """Goes on with a thread that is not finished; never starts one."""
    limits = Limits(recursion_limit, max_concurrency, cast(Durability | None, durability))
    with command(target, thread, db, full_traceback=full_traceback) as this:
        display, given = this.display(stream), read_answer(answer)
        with this.measuring(stats) as measures:
            output = this.work(
                lambda opened: _session.resume(opened.measured(measures), limits, display, answer=given)
            )
        this.print_values(output, as_json=as_json, aside=stream is not None)


@app.command(epilog="Example: `aiograph history docs/examples/code_report.py:graph --thread demo --limit 5`")
def history(
    target: Target,
    thread: ThreadId,
    db: Db = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show so many, newest first.")] = 20,
    full_traceback: Traceback = False,
) -> None:
    """Lists the checkpoints of a thread: step, where it came from, id, age, and what runs next."""
    with command(target, thread, db, full_traceback=full_traceback) as this:
        snapshots = this.work(lambda opened: _history(opened, limit))
        this.output.print(_show.history_table(snapshots))


@app.command(epilog="Example: `aiograph state docs/examples/code_report.py:graph --thread demo`")
def state(
    target: Target,
    thread: ThreadId,
    db: Db = None,
    as_json: AsJson = False,
    full_traceback: Traceback = False,
) -> None:
    """Shows a thread as it is now: its whole state, what runs next, and the errors of tasks that failed."""
    with command(target, thread, db, full_traceback=full_traceback) as this:
        snapshot = this.work(Thread.existing)
        this.print_values(snapshot.values, as_json=as_json)
        if not as_json:
            this.print_standing(snapshot)


@app.command(epilog="Example: `aiograph draw docs/examples/code_report.py:graph --output graph.svg`")
def draw(
    target: Target,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            callback=_one_of(_draw.FORMATS),
            help=f"One of {', '.join(_draw.FORMATS)}. By default what the name of the output ends in, or "
            "`ascii`. Pictures need the `viz` extra, and no network.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Write to this file."),
    ] = None,
    xray: Annotated[bool, typer.Option("--xray", help="Show what is in nodes that are graphs.")] = False,
    full_traceback: Traceback = False,
) -> None:
    """Draws a graph. What is always followed is drawn solid, what is decided in the run dashed."""
    stdout, chosen = sys.stdout, _draw.format_for(format, output)
    with telling_errors(full_traceback=full_traceback):
        drawing = _draw.drawn(load(target).compiled.get_graph(xray=xray), chosen)
        _draw.put(drawing, output, stdout, is_text=chosen != "png")


async def _history(thread: Thread, limit: int) -> list[StateSnapshot]:
    await thread.existing()
    found = thread.graph.aget_state_history(thread.config, limit=limit)
    return [snapshot async for snapshot in found]
