"""Serializers: plain data, a chat, and values that msgpack does not know by itself."""

import warnings
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Goal, Setup, Work
from bench._packages import OURS, Package
from bench.cases.conversation import message

TOPIC = "Serializers"


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


def plain() -> Any:
    return {f"key{number}": [number, number / 7, f"text {number}", None, True] for number in range(150)}


def chat() -> Any:
    return [message(number) for number in range(100)]


def rich() -> Any:
    return [
        {
            "id": UUID(int=number),
            "at": datetime(2026, 1, 1, 12, number % 60, tzinfo=UTC),
            "price": Decimal(number) / 8,
            "tags": {"a", f"b{number}"},
            "color": Color.RED,
            "point": Point(number, -number),
            "pair": (number, str(number)),
            "raw": bytes(8),
        }
        for number in range(100)
    ]


def rich_as_plain() -> Any:
    """What one would pack by hand."""
    return [
        {
            **record,
            "id": record["id"].bytes,
            "at": record["at"].isoformat(),
            "price": str(record["price"]),
            "tags": sorted(record["tags"]),
            "color": record["color"].value,
            "point": asdict(record["point"]),
        }
        for record in rich()
    ]


def serializer(package: Package) -> Any:
    kind = package.find("checkpoint.serde.jsonplus", "JsonPlusSerializer")
    warnings.filterwarnings("ignore", module=r"langgraph\.")  # about what it will not allow one day
    if package == OURS:
        return kind(allow=[Color, Point])
    return kind(**package.options(kind, allowed_msgpack_modules=[Color, Point]))


def dumped(make: Callable[[], Any]) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        dumps, value = serializer(package).dumps_typed, make()
        return lambda: [dumps(value) for _ in range(setup.size)] and len(value)

    return subject


def loaded(make: Callable[[], Any]) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        serde = serializer(package)
        stored = serde.dumps_typed(make())
        return lambda: len([serde.loads_typed(stored) for _ in range(setup.size)][-1])

    return subject


def packed(make: Callable[[], Any]) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        value = make()
        return lambda: [msgpack.packb(value) for _ in range(setup.size)] and len(value)

    return floor


def unpacked(make: Callable[[], Any]) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        data = msgpack.packb(make())
        return lambda: len([msgpack.unpackb(data) for _ in range(setup.size)][-1])

    return floor


GOALS = {"dumps_rich": (Goal(0.40),), "loads_rich": (Goal(0.30),)}

CASES = [
    Case(
        name=f"{verb}_{name}",
        unit="value",
        size=20,
        floor=floor(by_hand),
        subject=subject(make),
        goals=GOALS.get(f"{verb}_{name}", ()),
        note=note,
    )
    for name, make, by_hand, note in (
        ("plain", plain, plain, "a dict of 150 lists; the floor is msgpack"),
        ("chat", chat, chat, "100 messages of 1 kB; the floor is msgpack"),
        (
            "rich",
            rich,
            rich_as_plain,
            "100 records of 8 rich fields; the floor has text, LangGraph loses tuples",
        ),
    )
    for verb, floor, subject in (("dumps", packed, dumped), ("loads", unpacked, loaded))
]
