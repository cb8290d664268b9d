"""A report on a source tree: its size, its longest functions, its import cycles.

    aiograph run docs/examples/code_report.py:graph --thread demo

reads the standard library of the Python in use and writes `code_report.md`. Kill it half-way, type the
same command again, and it goes on where it was. Other trees, and folders to leave out, are input:

    aiograph run docs/examples/code_report.py:graph --thread mine \\
        --input '{"root": "src", "output": "mine.md", "skip": ["tests"]}'

The graph; every arrow ends a superstep, and every superstep is stored:

    find_files ─→ next_batch ─→ 32 x parse_file ─┐
                   │      ↑                      │
                   │      └──────────────────────┘
                   └─→ measure_functions, find_cycles ─→ write_report

What the nodes know about Python source stands in `code_facts.py`, beside this file.
"""

import heapq
import operator
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from code_facts import Function, Module, cycles_in, facts_of, import_graph, percentile, python_files

from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, Overwrite, Send, StreamWriter

BATCH = 32
"""Files per superstep. A kill loses no more than the ones of this many that were being parsed."""

LONGEST = 20
"""Functions in the list of the longest ones."""

# Recent Pythons warn of odd string escapes while they parse; here they are somebody else's.
warnings.filterwarnings("ignore", category=SyntaxWarning)


# -- the state -------------------------------------------------------------------------------------


def add_counts(left: dict[int, int], right: dict[int, int]) -> dict[int, int]:
    return dict(Counter(left) + Counter(right))


def keep_longest(left: list[Function], right: list[Function]) -> list[Function]:
    return heapq.nsmallest(LONGEST, [*left, *right], key=by_length)


def by_length(function: Function) -> tuple[int, str, int]:
    return -function["length"], function["file"], function["line"]


class Input(TypedDict, total=False):
    root: str
    """The tree; the standard library by default."""
    output: str
    """The file to write; `code_report.md` by default."""
    skip: list[str]
    """Names of further folders to leave out, `["test"]` for example."""


class Output(TypedDict, total=False):
    report: str
    """Where the report is."""
    summary: dict[str, int]


class State(Input, Output, total=False):
    """Plain data: all of it is stored. Parallel tasks write the annotated keys, whose functions combine."""

    files: list[str]
    position: int
    """How many of the files have been handed out."""
    modules: Annotated[dict[str, Module], operator.or_]
    failures: Annotated[dict[str, str], operator.or_]
    lengths: Annotated[dict[int, int], add_counts]
    """Length of a function, in lines → how many functions are that long."""
    longest: Annotated[list[Function], keep_longest]
    percentiles: dict[str, int]
    cycles: list[list[str]]


class FileToParse(TypedDict):
    root: str
    path: str


# -- the nodes -------------------------------------------------------------------------------------


def find_files(state: State) -> dict[str, Any]:
    """Lists the tree, sorted, as disks have orders of their own; forgets what an earlier run found."""
    root = Path(state.get("root") or sysconfig.get_path("stdlib")).absolute()
    if not root.is_dir():
        raise NotADirectoryError(f"there is no folder {str(root)!r} to report on")
    found: dict[str, Any] = {"modules": {}, "failures": {}, "lengths": {}, "longest": []}
    return {
        "root": str(root),
        "files": sorted(python_files(root, state.get("skip", ()))),
        "position": 0,
        **{key: Overwrite(nothing) for key, nothing in found.items()},
    }


def next_batch(
    state: State, writer: StreamWriter
) -> Command[Literal["parse_file", "measure_functions", "find_cycles"]]:
    """Sends the next files to a task each; when there are none left, to the nodes that sum up."""
    start, files = state["position"], state["files"]
    writer(f"{start:,} of {len(files):,} files")
    if start >= len(files):
        return Command(goto=["measure_functions", "find_cycles"])
    batch = files[start : start + BATCH]
    return Command(
        update={"position": start + len(batch)},
        goto=[Send("parse_file", {"root": state["root"], "path": path}) for path in batch],
    )


def parse_file(file: FileToParse) -> dict[str, Any]:
    """Reads one file. A plain function: it runs in a worker thread and holds nobody up."""
    path = file["path"]
    try:
        module, functions = facts_of(Path(file["root"]), path)
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return {"failures": {path: f"{type(error).__name__}: {error}"}}
    lengths = Counter(function["length"] for function in functions)
    return {"modules": {path: module}, "lengths": dict(lengths), "longest": keep_longest([], functions)}


def measure_functions(state: State) -> dict[str, Any]:
    return {"percentiles": {f"{p} %": percentile(state["lengths"], p) for p in (50, 90, 99, 100)}}


def find_cycles(state: State) -> dict[str, Any]:
    return {"cycles": cycles_in(import_graph(state["modules"].values()))}


def write_report(state: State) -> dict[str, Any]:
    """Writes the report. Around a crash a node may run twice: this one leaves a whole file either way."""
    summary = {
        "modules": len(state["modules"]),
        "lines": sum(module["lines"] for module in state["modules"].values()),
        "functions": sum(state["lengths"].values()),
        "import cycles": len(state["cycles"]),
        "files that could not be parsed": len(state["failures"]),
    }
    report = Path(state.get("output") or "code_report.md").absolute()
    draft = report.with_name(f"{report.name}.draft")
    draft.write_text("\n".join(report_lines(state, summary)) + "\n", encoding="utf-8")
    draft.replace(report)
    return {"report": str(report), "summary": summary}


# -- the report ------------------------------------------------------------------------------------


def report_lines(state: State, summary: Mapping[str, int]) -> Iterator[str]:
    """The report depends on the tree alone: on no clock, and on no order in which tasks finished."""
    yield f"# Code report\n\nOf `{state['root']}`.\n"
    yield from table("in the tree", "count", [(what, f"{count:,}") for what, count in summary.items()])
    yield "\n## Length of functions\n"
    yield from table("of all functions", "have at most lines", state["percentiles"].items())
    yield "\n## Longest functions\n"
    yield from table("function", "lines", [(where(each), each["length"]) for each in state["longest"]])
    yield "\n## Import cycles\n\nModules that import each other when imported, directly or through others.\n"
    yield from bullets(", ".join(f"`{name}`" for name in cycle) for cycle in state["cycles"])
    yield "\n## Files that could not be parsed\n"
    yield from bullets(f"{path}: {error}" for path, error in sorted(state["failures"].items()))


def where(function: Function) -> str:
    return f"`{function['name']}`, {function['file']}:{function['line']}"


def table(what: str, number: str, rows: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    for left, right in ((what, number), ("---", "---:"), *rows):
        yield f"| {left} | {right} |"


def bullets(items: Iterable[str]) -> Iterator[str]:
    yield from [f"- {item}" for item in items] or ["None."]


# -- the graph -------------------------------------------------------------------------------------

graph = StateGraph(State, input_schema=Input, output_schema=Output)
graph.add_node(find_files)
graph.add_node(next_batch, inline=True)
graph.add_node(parse_file, input_schema=FileToParse)
graph.add_node(measure_functions)
graph.add_node(find_cycles)
graph.add_node(write_report)
graph.add_edge(START, "find_files")
graph.add_edge("find_files", "next_batch")
graph.add_edge("parse_file", "next_batch")
graph.add_edge(["measure_functions", "find_cycles"], "write_report")
graph.add_edge("write_report", END)
