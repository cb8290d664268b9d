"""What the recorded databases hold, told in Python. Grows only: what was recorded once has to stay as it is.

A new stored type, or a new feature of the engine, gets a thread or a value of its own, and the next record.
"""

import dataclasses
import enum
import math
import operator
import os
import re
from collections import deque
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic

from aiograph.channels import WaitForNames
from aiograph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointMetadata, config_for
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.constants import ERROR, SCHEDULED
from aiograph.graph import END, START, StateGraph
from aiograph.graph.state import CompiledStateGraph
from aiograph.types import Command, Interrupt, Overwrite, RunnableConfig, Send

FOLDER = Path(__file__).parent

Seal: TypeAlias = Literal["plain", "encrypted"]

# -- values ----------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclasses.dataclass
class Point:
    x: Any
    y: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    twin: "Leaf | None" = None


class Pair(NamedTuple):
    left: Any
    right: Colour = Colour.RED


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    home: Leaf | None = None
    _seen: int = pydantic.PrivateAttr(default=0)


class Celsius:
    """A class that its user has registered."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __repr__(self) -> str:
        return f"Celsius({self.degrees})"


def serializer(seal: Seal) -> SerializerProtocol:
    """The serializer that rows were recorded with."""
    plain = JsonPlusSerializer(allow=[Colour, Access, Point, Leaf, Pair, Person])
    plain.register(Celsius, name="celsius", encode=operator.attrgetter("degrees"), decode=Celsius)
    if seal == "plain":
        return plain
    return EncryptedSerializer(plain, keys={"old": bytes(range(16)), "new": bytes(range(32))})


VALUES: dict[str, Any] = {
    "none": None,
    "bool": True,
    "int": -42,
    "int of 64 bits": 2**64 - 1,
    "int of more bits": -(2**64) - 1,
    "float": -0.0,
    "nan": math.nan,
    "inf": math.inf,
    "text": "ünï ☃ 🔑 \x00",
    "half a pair": "\ud800 half",
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"abc"),
    "list": [1, [2, [3]]],
    "tuple": (1, (2, [3, (4,)])),
    "set": {1, 2},
    "frozenset": frozenset({(1, 2)}),
    "dict": {"a": {"b": None}},
    "dict with other keys": {2: "int", 1.5: "float", None: "none", b"b": "bytes", (1, 2): "tuple"},
    "deque": deque([(1,), 2], maxlen=3),
    "datetime": datetime(2026, 1, 31, 8, 0, 0, 123456),
    "datetime in UTC": datetime(2026, 1, 31, tzinfo=UTC),
    "datetime with an offset": datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=1), "CET")),
    "datetime in a zone": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    "date": date(2026, 1, 31),
    "time": time(1, 2, 3, 4, tzinfo=UTC),
    "timedelta": timedelta(days=-1, microseconds=1),
    "timezone": timezone(timedelta(hours=2), "X"),
    "zone": ZoneInfo("America/New_York"),
    "uuid": UUID("12345678-1234-5678-1234-567812345678"),
    "decimal": Decimal("1.50"),
    "complex": complex(math.inf, -0.0),
    "fraction": Fraction(-7, 12),
    "pure path": PurePosixPath("a/../b"),
    "windows path": PureWindowsPath("C:\\a/b"),
    "IPv4 address": IPv4Address("127.0.0.1"),
    "IPv4 interface": IPv4Interface("10.1.2.3/8"),
    "IPv4 network": IPv4Network("10.0.0.0/8"),
    "IPv6 address": IPv6Address("fe80::1%eth0"),
    "IPv6 interface": IPv6Interface("fe80::1/64"),
    "IPv6 network": IPv6Network("2001:db8::/32"),
    "pattern": re.compile(rb"a.b", re.DOTALL | re.IGNORECASE),
    "range": range(10**30, 0, -3),
    "slice": slice(None, 3),
    "enum": Colour.GREEN,
    "flag": Access.READ | Access.WRITE,
    "dataclass": Point(1, [2]),
    "dataclass with slots": Leaf("a", Leaf("b")),
    "named tuple": Pair((1, {2}), Colour.GREEN),
    "pydantic model": Person.model_validate({"name": "ann", "home": Leaf("x"), "odd name": {1}}),
    "registered class": Celsius(36.6),
    "Send": Send("node", {"a": (1, 2)}),
    "Command": Command(update={"a": {1}}, goto=[Send("x", 1), "y"]),
    "Interrupt": Interrupt(value=("question", 1), id="i"),
    "Overwrite": Overwrite([1, (2,)]),
    "WaitForNames": WaitForNames(frozenset({"a"})),
    "a long list": [f"message {number}: {number * 7919 % 1000}" for number in range(300)],
    "a long list of rich items": [Leaf(f"leaf {number}") for number in range(100)],
    "a large dict": {f"key {number}": (number, "x" * 20) for number in range(100)},
    "a long text": "All work and no play. " * 500,
    "many bytes": b"".join((number * 2654435761 % 2**32).to_bytes(4, "big") for number in range(1000)),
    "depth": [[[[[[["x" * 300], "y" * 300], "z" * 300]]]]],
}
if os.name == "posix":  # elsewhere it comes back as a pure path
    VALUES["path"] = Path("here") / "and there"


def arrays() -> dict[str, Any]:
    """Values that need numpy."""
    import numpy as np

    return {
        "array": np.arange(12, dtype="<i4").reshape(3, 4),
        "large array": np.arange(2000, dtype="<f8"),
        "scalar": np.float32(1.5),
        "moment": np.datetime64("2026-01-31T08:00", "s"),
    }


def is_same(one: Any, other: Any) -> bool:
    """Equal, in all parts and their types; what is not equal to itself counts too."""
    return type(one) is type(other) and repr(one) == repr(other)


# -- checkpoints -----------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A checkpoint, and the writes beside it."""

    thread_id: str
    namespace: str
    number: int
    """Checkpoints have numbers here; ids are made of them."""
    parent: int | None
    values: dict[str, Any]
    metadata: CheckpointMetadata
    writes: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...] = ()
    """Task id, task path, and channels with values; in order."""

    @property
    def config(self) -> RunnableConfig:
        return config_for(self.thread_id, self.namespace, id_of(self.number))

    @property
    def parent_config(self) -> RunnableConfig | None:
        if self.parent is None:
            return None
        return config_for(self.thread_id, self.namespace, id_of(self.parent))

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            v=1,
            id=id_of(self.number),
            ts=f"2026-01-31T08:00:00.{self.number:06}+00:00",
            channel_values=self.values,
            channel_versions=dict.fromkeys(self.values, self.number),
            versions_seen={"node": dict.fromkeys(self.values, self.number)},
            updated_channels=sorted(self.values),
        )


def id_of(number: int) -> str:
    return f"1f0fe500-0000-6000-8000-{number:012}"


_FIRST: CheckpointMetadata = {"source": "input", "step": -1, "parents": {}}
_THEN: CheckpointMetadata = {"source": "loop", "step": 0, "parents": {}}
_RICH: Any = {"source": "update", "step": 1, "text": 'ünï "☃" \\', "list": [1, 2.5, None, {"a": True}]}

STORY = [
    Entry("values", "", 1, None, VALUES, _FIRST),
    # a line, a fork, and writes of every kind
    Entry("tree", "", 1, None, {"n": 1}, _FIRST, (("task a", "~a", (("n", 2), ("m", ("x",)))),)),
    Entry("tree", "", 2, 1, {"n": 2, "long": VALUES["a long list"]}, _THEN),
    Entry("tree", "", 3, 2, {"n": 3, "long": [*VALUES["a long list"], "one more"]}, _RICH),
    Entry("tree", "", 4, 2, {"n": 4}, {"source": "fork", "step": 1}),
    Entry(
        "tree",
        "",
        5,
        4,
        {},
        {},
        (
            ("task b", "~b", (("n", 5), ("n", Point(1)))),
            ("task c", "~c", ((ERROR, "went wrong"), (SCHEDULED, True))),
        ),
    ),
    # namespaces of one thread
    Entry("spaces", "", 1, None, {"n": "outer"}, _FIRST),
    Entry("spaces", "inner:1", 2, None, {"n": "inner"}, {"parents": {"": id_of(1)}}),
    Entry("spaces", "inner:1|inmost", 3, None, {"n": "inmost"}, {}, (("task", "", (("n", b"w"),)),)),
    Entry("names: ünï ' \" ; --", "%_\\", 1, None, {"odd ' \" name": 1}, {}),
]


def story() -> list[Entry]:
    """All that is recorded, with what needs numpy."""
    return [*STORY, Entry("arrays", "", 1, None, arrays(), _FIRST)]


async def tell(saver: BaseCheckpointSaver) -> None:
    """Stores the story."""
    for entry in story():
        parent = entry.parent_config or config_for(entry.thread_id, entry.namespace)
        checkpoint = entry.checkpoint
        await saver.aput(parent, checkpoint, entry.metadata, checkpoint["channel_versions"])
        for task_id, task_path, writes in entry.writes:
            await saver.aput_writes(entry.config, writes, task_id, task_path)


# -- a run that was left in the middle -------------------------------------------------------------

RUN: RunnableConfig = {"configurable": {"thread_id": "run"}}


class State(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]


class Trouble(Exception):
    """What the run was left with."""


def build(saver: BaseCheckpointSaver, *, is_mended: bool) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A graph with tasks that were sent, a graph inside, and a task that fails until it is mended."""

    async def one(state: State) -> State:
        return {"trail": ["one"]}

    async def two(state: State) -> State:
        if not is_mended:
            raise Trouble
        return {"trail": ["two"]}

    async def work(state: Any) -> State:
        return {"trail": [f"work {state['number']}"]}

    async def nested(state: State) -> State:
        output = await inner.ainvoke({"trail": []})
        return {"trail": [f"nested({'+'.join(output['trail'])})"]}

    async def last(state: State) -> State:
        return {"trail": ["last"]}

    def spread(state: State) -> list[Any]:
        return [*(Send("work", {"number": number}) for number in range(2)), "nested"]

    chain = StateGraph(State).add_node("one", one).add_node("two", two)
    inner = chain.add_edge(START, "one").add_edge("one", "two").add_edge("two", END).compile()
    builder = StateGraph(State).add_node("first", one).add_node("work", work)
    builder.add_node("nested", nested).add_node("last", last)
    builder.add_edge(START, "first").add_conditional_edges("first", spread, ["work", "nested"])
    builder.add_edge("nested", "last").add_edge("last", END)
    return builder.compile(checkpointer=saver)


async def run_into_trouble(saver: BaseCheckpointSaver) -> None:
    graph = build(saver, is_mended=False)
    with suppress(Trouble):
        await graph.ainvoke({"trail": ["input"]}, RUN, durability="sync", on_error="finish")


async def go_on(saver: BaseCheckpointSaver) -> Any:
    """Has the run go on to its end."""
    return await build(saver, is_mended=True).ainvoke(None, RUN)
