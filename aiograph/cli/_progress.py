"""What is known of a run while it runs, gathered from its stream. Knows no terminal."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class NodeProgress:
    """The tasks of one node in one superstep."""

    announced: int = 0
    ended: int = 0
    """However they ended."""
    failed: int = 0

    @property
    def left(self) -> int:
        return self.announced - self.ended


@dataclass(slots=True)
class Superstep:
    """One superstep."""

    number: int
    began: float
    nodes: dict[str, NodeProgress] = field(default_factory=dict)
    seconds: float = 0.0
    """How long it took; known when it has ended."""


class Progress:
    """The supersteps and tasks of a run.

    Args:
        step: The superstep that comes first.
        kept: Per node, how many tasks of that superstep were done before.
        clock: Seconds, from any origin.
    """

    def __init__(
        self, step: int, kept: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._began = clock()
        self._kept = dict(kept)
        self.superstep = Superstep(step, self._began)
        self.totals: Counter[str] = Counter()
        """Per node, how many tasks have ended in this run; nodes in the order in which they first ran."""
        self.note = ""
        """What a node wrote last to its stream writer."""

    def take(self, mode: str, chunk: Any) -> Superstep | None:
        """Takes in a chunk of the `debug` or `custom` stream; returns the superstep that ended with it."""
        if mode == "custom":
            self.note = one_line(chunk)
        elif chunk["type"] == "task":
            return self._announced(chunk["step"], chunk["payload"]["name"])
        elif chunk["type"] == "task_result":
            self._ended(chunk["payload"])
        return None

    def _announced(self, step: int, name: str) -> Superstep | None:
        ended = None if step == self.superstep.number else self.close()
        if step != self.superstep.number:
            self.superstep = Superstep(step, self._clock())
        nodes = self.superstep.nodes
        if name not in nodes:
            nodes[name] = NodeProgress(ended=self._kept.pop(name, 0))
            self.totals.setdefault(name, 0)
        nodes[name].announced += 1
        return ended

    def _ended(self, result: Mapping[str, Any]) -> None:
        name = result["name"]
        node = self.superstep.nodes[name]
        node.ended += 1
        node.failed += result["error"] is not None
        self.totals[name] += 1

    def close(self) -> Superstep | None:
        """The current superstep, ended; `None` if nothing ran in it."""
        self.superstep.seconds = self._clock() - self.superstep.began
        return self.superstep if self.superstep.nodes else None

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began


def one_line(value: Any, width: int = 100) -> str:
    """Anything as a line of text that is not too long."""
    line = " ".join((value if isinstance(value, str) else repr(value)).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
