"""Schemas whose annotations are strings, as a module with the `annotations` future has them."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

if TYPE_CHECKING:
    from decimal import Decimal


class Base(TypedDict):
    log: Annotated[list[str], operator.add]
    name: str


class Derived(Base, total=False):
    extra: NotRequired[int]


@dataclass
class Point:
    x: Annotated[int, operator.add]
    y: int = 0


class Unresolvable(TypedDict):
    price: Decimal


class HoldsUnresolvable(TypedDict):
    inner: Unresolvable
    point: Point
