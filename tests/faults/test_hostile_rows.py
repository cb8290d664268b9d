"""Rows that somebody forged: reading them runs nothing, imports nothing, and ends soon."""

import json
import os
import random
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import msgpack  # type: ignore[import-untyped]  # has no annotations
import pytest

from aiograph.checkpoint.serde._budget import check_written
from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError
from aiograph.types import Command, Send
from tests.faults.hostile_rows import BOMBS, Bits, Model, Pair, Record, Row, make_serializer, read


def in_a_process_of_its_own(*arguments: str, place: Path | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.hostile_rows", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place, env=environment)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


# -- rows that would run code ----------------------------------------------------------------------


def test_no_forged_row_runs_code_or_imports_a_module(tmp_path: Path) -> None:
    report = in_a_process_of_its_own(place=tmp_path)
    assert report["events"] == []
    assert list(tmp_path.iterdir()) == []
    assert report["counts"][:2] == [2_160, 61_440]


# -- rows that would exhaust -----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_soon_and_takes_little_memory(name: str) -> None:
    report = in_a_process_of_its_own(name)
    assert report["times"] < 15  # twice the worst of them
    assert report["mib"] < 256


def test_what_could_not_be_read_back_is_refused_when_it_is_stored() -> None:
    serializer = make_serializer()
    heavy: list[Any] = [[{}] * 1_100_000, [[]] * 1_100_000, [deque()] * 300_000]
    for value in heavy:
        with pytest.raises(UnstorableValueError, match="too many lists, dicts and other objects"):
            serializer.dumps_typed(value)


@pytest.mark.parametrize(
    "value",
    [
        [[1.5, 2.5]] * 700_000,
        [(1.5, 2.5)] * 500_000,
        [Decimal("1.5")] * 500_000,
        [Record(number, [number]) for number in range(100_000)],
        ["\u0451\u0436" * 1000] * 2_000,
        {UUID(int=number << 64 | number): number for number in range(100_000)},
        {(number, str(number)) for number in range(100_000)},
    ],
    ids=["points", "tuples", "decimals", "records", "text", "keys", "set"],
)
def test_large_values_that_are_honest_come_back(value: Any) -> None:
    serializer = make_serializer()
    row = serializer.dumps_typed(value)
    check_written(row[1])
    assert serializer.loads_typed(row) == value


# -- any bytes -------------------------------------------------------------------------------------

SEEDS: list[Any] = [
    {"messages": [{"role": "user", "content": "hi", "n": 1.5}] * 3, "x": None},
    [Record(1, [2]), Record(), Pair(1, 2), Bits.A, Model(b=[1], c="x")],
    [(1, {2, 3}), frozenset({"a"}), deque([1], 3), range(3), slice(1, 2)],
    [Fraction(1, 3), Decimal("1.5"), 10**30, 1j, UUID(int=1), PurePosixPath("a/b"), b"x", bytearray(b"y")],
    [datetime(2026, 1, 31, tzinfo=UTC), Send("node", {"a": 1}), Command(goto="x", update={"k": (1,)})],
]


def mutations(seed: int, rows: list[Row]) -> Iterator[Row]:
    """Rows with some bytes flipped, cut out, doubled, or taken from another row."""
    draw = random.Random(seed)
    while True:
        tag, data = draw.choice(rows)
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            start = draw.randrange(len(damaged) + 1)
            end = min(len(damaged), start + draw.randint(0, 8))
            other = draw.choice(rows)[1]
            cut = draw.randrange(len(other) + 1)
            damaged[start:end] = draw.choice(
                [draw.randbytes(end - start), b"", damaged[start:end] * 2, other[cut : cut + end - start]]
            )
        yield draw.choice((tag, "msgpack-rich", "msgpack", "msgpack+zlib")), bytes(damaged)


def resident() -> float:
    """MiB of memory that this process holds."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzz(count: int) -> None:
    serializer = make_serializer()
    rows = [serializer.dumps_typed(seed) for seed in SEEDS]
    many = mutations(count, rows)
    for _ in range(2_000):
        read(serializer, next(many))
    before, modules = resident(), set(sys.modules)
    for _ in range(count):
        read(serializer, next(many))  # a value, or the one error that is allowed
    assert set(sys.modules) - modules == set()
    assert resident() - before < 64


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_damaged_rows_are_values_or_errors() -> None:
    fuzz(20_000)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_ten_million_damaged_rows_are_values_or_errors() -> None:
    fuzz(10_000_000)


# -- data that look like more ----------------------------------------------------------------------

SECRET = {"lc": 1, "type": "secret", "id": ["PATH"]}
LOOK_ALIKES: list[Any] = [
    SECRET,
    {"a": [SECRET]},
    *({"lc": version, "type": "constructor", "id": ["builtins", "eval"], "kwargs": {}} for version in (1, 2)),
    {"lc": 2, "type": "constructor", "id": ["os", "system"], "method": "parse_raw", "args": ["x"]},
    {"lc": 1, "type": "not_implemented", "id": ["x"], "repr": "x"},
    {"__type__": "set", "items": [1]},
    {"__class__": "os.system"},
    {"__reduce__": ["os.system", ["x"]]},
    {"__module__": "os", "__name__": "system"},
    {"__overwrite__": [1]},
    {"__interrupt__": [1]},
    {"__metadata__": {"x": 1}},
    {"__pregel_send": ["node", 1]},
    {"__dataclass__": "Record", "x": 1},
    {"__root__": {"x": 1}},
    {"py/object": "os.system"},
    {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["x"]}]},
    {"$type": "System.Diagnostics.Process"},
    {"@class": "java.lang.Runtime"},
    {"$ref": "#/a"},
    {"$oid": "507f1f77bcf86cd799439011"},
    {"_type": "llm", "_module": "os"},
    ["aiograph:Send", "node", 1],
    ["record", f"{Record.__module__}:Record", "x", "items"],
    [64, ["record", f"{Record.__module__}:Record"]],
    [32, 1, 2],
    (32, b""),
    (64, msgpack.packb(["record", f"{Record.__module__}:Record"])),
    ("msgpack-rich", b"\x91"),
    [["__tuple__", 1]],
    {"code": 64, "data": b"x"},
    b"\xd4\x40\x01",
    b"\xc7\x00\x20",
    b"\x91\xc7\x00\x20",
    b"x\x9c+\xce",
    b"\x80\x04N.",
    bytearray(b"\xc7\x00\x20"),
    "msgpack-rich",
    "!!python/object/apply:os.system ['x']",
    "cos\nsystem\n(S'x'\ntR.",
    "2026-01-31T08:00:00[Europe/Berlin]",
    "+zlib+aes",
    {(64, "x"): {("record", 1): [()]}},
]


def test_there_are_as_many_look_alikes_as_promised() -> None:
    assert len(LOOK_ALIKES) == 44


@pytest.mark.parametrize("value", LOOK_ALIKES, ids=lambda value: f"{value!r:.40}")
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
def test_what_looks_like_more_stays_what_it_is(value: Any, is_encrypted: bool) -> None:
    plain = make_serializer()
    serializer = EncryptedSerializer(plain, keys={"": bytes(32)}) if is_encrypted else plain
    for wrapped in (value, [value], {"key": value}, (value, Record()), Send("node", value)):
        again = serializer.loads_typed(serializer.dumps_typed(wrapped))
        assert again == wrapped
        assert repr(again) == repr(wrapped)


def test_a_row_may_not_name_what_another_serializer_allows() -> None:
    row = make_serializer().dumps_typed([Record()])
    with pytest.raises(CheckpointDeserializationError, match="Record', which is not allowed here"):
        JsonPlusSerializer().loads_typed(row)
