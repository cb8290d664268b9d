"""Values, tables and errors for human eyes, and values as JSON for programs."""

import json
import math
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from aiograph.cli._given import Refusal
from aiograph.cli._progress import one_line
from aiograph.messages import Message
from aiograph.stats import Statistics
from aiograph.types import StateSnapshot

LONG_TEXT = 200
LONG_LIST = 10
LONG_DICT = 10
LONG_STATE = 30
"""The state itself may have so many keys."""
DEEP = 3
"""Beyond these, `shortened` says how much more there is."""

FITTING = 80
"""Columns that a line of JSON may have before it is broken up."""


# -- JSON ------------------------------------------------------------------------------------------


def as_json(value: Any) -> str:
    """A value as one line of JSON; what JSON does not know becomes a list, a dict or text."""
    return json.dumps(plain(value))


def plain(value: Any) -> Any:
    """A value made of what JSON knows."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [plain(item) for item in value]
    return _plain_object(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(plain(key))


def _plain_object(value: Any) -> Any:
    if isinstance(value, Message):
        return _plain_message(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if (dump := getattr(value, "model_dump", None)) is not None:  # Pydantic's
        return plain(dump())
    return repr(value) if isinstance(value, bytes | bytearray | BaseException) else str(value)


def _plain_message(message: Message) -> dict[str, Any]:
    """Who says what; what a message does not have is left out. It can be passed as input again."""
    values = {entry.name: plain(getattr(message, entry.name)) for entry in fields(message)}
    has = {name: value for name, value in values.items() if value or name == "content"}
    return {"type": message.type, **has}


def shortened(value: Any, depth: int = 0) -> Any:
    """A plain value cut down to what one wants to see; says what was left out."""
    if isinstance(value, str):
        return value if len(value) <= LONG_TEXT else f"{value[:LONG_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        if depth >= DEEP and value:
            return f"{{… {_count(value, 'key')}}}"
        limit = LONG_DICT if depth else LONG_STATE
        first = {key: shortened(value[key], depth + 1) for key in list(value)[:limit]}
        return first if len(value) <= limit else {**first, "…": f"{len(value) - limit:,} more keys"}
    if isinstance(value, list):
        if depth >= DEEP and value:
            return f"[… {_count(value, 'item')}]"
        items = [shortened(item, depth + 1) for item in value[:LONG_LIST]]
        return items if len(value) <= LONG_LIST else [*items, f"… {len(value) - LONG_LIST:,} more"]
    return value


def _count(items: Any, what: str) -> str:
    return f"{len(items):,} {what}{'' if len(items) == 1 else 's'}"


def laid_out(value: Any, indent: str = "") -> str:
    """A plain value as JSON: what fits on a line is on one, the rest is broken up."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(indent) + len(flat) <= FITTING:
        return flat
    inner = f"{indent}  "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key, ensure_ascii=False)}: {laid_out(value[key], inner)}" for key in value]
    else:
        lines = [laid_out(item, inner) for item in value]
    body = ",\n".join(f"{inner}{line}" for line in lines)
    return f"{flat[0]}\n{body}\n{indent}{flat[-1]}"


def print_values(console: Console, values: Any) -> None:
    """A state, for human eyes."""
    text = laid_out(shortened(plain(values)))
    # a lone surrogate, which JSON may hold, cannot be printed
    text = text.encode("utf-8", "backslashreplace").decode()
    console.print(JSONHighlighter()(Text(text)), soft_wrap=True)


# -- threads ---------------------------------------------------------------------------------------


def nodes_of(names: Iterable[str]) -> str:
    """Names of nodes, each once, with how often it occurs."""
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in Counter(names).items())


def age(created_at: str | None) -> str:
    """How long ago an ISO time was."""
    if created_at is None:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def history_table(snapshots: Iterable[StateSnapshot]) -> Table:
    """The checkpoints of a thread, one a line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("step", justify="right")
    table.add_column("source")
    table.add_column("checkpoint", style="dim", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("next")
    for snapshot in snapshots:
        metadata = snapshot.metadata or {}
        table.add_row(
            str(metadata.get("step", "")),
            str(metadata.get("source", "")),
            (snapshot.config.get("configurable") or {}).get("checkpoint_id", ""),
            age(snapshot.created_at),
            Text(nodes_of(snapshot.next)),
        )
    return table


def tasks_table(snapshot: StateSnapshot) -> Table:
    """What is left to do in a thread, a node a line, and what failed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("node", "tasks", "done"):
        table.add_column(name, justify="left" if name == "node" else "right", no_wrap=True)
    table.add_column("last error", style="red")
    tasks, left = Counter(task.name for task in snapshot.tasks), Counter(snapshot.next)
    for name, count in tasks.items():
        errors = [one_line(task.error) for task in snapshot.tasks if task.name == name and task.error]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        table.add_row(
            Text(name), str(count), str(count - left[name]), Text(errors[0] + more if errors else "")
        )
    return table


# -- time ------------------------------------------------------------------------------------------

STAGES = ("opening", "planning", "execution", "apply", "checkpoint", "output")


def time_tables(stats: Statistics) -> Iterator[Table]:
    """Where the time of the newest run went: by stage, then by node, the slowest first."""
    run = next(each for each in reversed(stats.runs) if not each.run.is_nested)
    spent = {stage: getattr(run, stage) for stage in STAGES}
    spent["other"] = max(0.0, run.seconds - sum(spent.values()))
    stages = _figures("stage", "seconds", "share")
    for stage, seconds in spent.items():
        stages.add_row(stage, f"{seconds:.3f}", f"{seconds / run.seconds:.0%}" if run.seconds else "")
    stages.add_row("total", f"{run.seconds:.3f}", "", style="bold")
    yield stages
    nodes = _figures("node", "tasks", "errors", "retries", "seconds")
    for name, node in sorted(run.nodes.items(), key=lambda item: -item[1].seconds):
        nodes.add_row(Text(name), *map(str, (node.tasks, node.errors, node.retries)), f"{node.seconds:.3f}")
    yield nodes


def _figures(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


# -- errors ----------------------------------------------------------------------------------------


def print_error(console: Console, error: BaseException, *, full: bool) -> None:
    """An error, in a few lines; with its traceback if `full`."""
    if full:
        console.print(Text("".join(traceback.format_exception(error))), end="", soft_wrap=True)
        return
    message = str(error)
    if not isinstance(error, Refusal):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        console.print(Text(f"  {note}", style="dim"), soft_wrap=True)
