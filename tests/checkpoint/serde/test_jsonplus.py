"""The serializer: what goes in comes out as what it was, or does not go in."""

import dataclasses
import enum
import math
import os
import re
import sys
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack  # type: ignore[import-untyped]  # has no annotations
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.channels import WaitForNames
from aiograph.checkpoint.serde.base import SerializerProtocol, UnstorableValueError
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError, CheckpointSerializationError
from aiograph.types import Command, Interrupt, Overwrite, Send

T = TypeVar("T")


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"
    ROT = 1  # another name of RED


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "y"


class Outside:
    class Inside(enum.Enum):
        YES = "yes"


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Bits(enum.IntFlag):
    """May have bits without a name."""

    ONE = 1


@dataclasses.dataclass
class Point:
    x: Any
    y: list[int] = dataclasses.field(default_factory=list)
    norm: float = dataclasses.field(init=False, default=0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    twin: "Leaf | None" = None


@dataclasses.dataclass(slots=True)
class Unready:
    """Has a field that nobody has to set."""

    value: int = dataclasses.field(init=False)


@dataclasses.dataclass
class Fussy:
    """Its constructor must not run when it is read back."""

    made: int

    def __post_init__(self) -> None:
        self.made += 1


@dataclasses.dataclass
class Watched:
    """Its attributes must not be set by its own code when it is read back."""

    changes: int = 0
    price: int = 0

    def __setattr__(self, name: str, value: int) -> None:
        super().__setattr__(name, value)
        if name == "price":
            self.changes += 1


class Pair(NamedTuple):
    left: Any
    right: Colour = Colour.RED


class Person(pydantic.BaseModel):
    name: str
    home: Leaf | None = None
    _seen: int = pydantic.PrivateAttr(default=0)


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    a: int = 1


class Box(pydantic.BaseModel, Generic[T]):
    content: T


ALLOWED = (
    Outside.Inside,
    Colour,
    Level,
    Word,
    Access,
    Bits,
    Point,
    Leaf,
    Unready,
    Fussy,
    Watched,
    Pair,
    Person,
    Open,
    Box[int],
)


@pytest.fixture
def serializer() -> JsonPlusSerializer:
    return JsonPlusSerializer(allow=ALLOWED)


def round_trip(serializer: SerializerProtocol, value: T) -> T:
    """The value after storing it; looks whether all types are what they were."""
    again = serializer.loads_typed(serializer.dumps_typed(value))
    assert type(again) is type(value)
    assert repr(again) == repr(value)
    return again


# -- round trips -----------------------------------------------------------------------------------

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**400,
    -(10**400),
    0.0,
    -0.0,
    1e300,
    math.inf,
    "",
    "ünï ☃ 🔑",
    "\x00",
    "\ud800 half a pair",
    b"",
    b"\x00\xff",
    bytearray(b"abc"),
    [],
    [1, [2, [3]]],
    (),
    (1, (2, [3, (4,)])),
    set(),
    {1, 2},
    frozenset({(1, 2)}),
    {},
    {"a": {"b": None}},
    {2: "int", 1.5: "float", None: "none", True: "bool", b"b": "bytes", (1, 2): "tuple"},
    {frozenset({1}): {"deep": ({1},)}},
    deque([1, 2]),
    deque([(1,), 2], maxlen=3),
    datetime(2026, 1, 31, 8, 0, 0, 123456),
    datetime(1, 1, 1),
    datetime(2026, 1, 31, tzinfo=UTC),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(seconds=1, microseconds=5))),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=1), "CE[T]")),
    datetime(2026, 10, 25, 2, 30, fold=1),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2026, 7, 1, tzinfo=ZoneInfo("America/New_York")),
    date(2026, 1, 31),
    time(23, 59, 59, 999999),
    time(1, 2, tzinfo=UTC),
    time(1, 2, fold=1),
    timedelta(days=-1, microseconds=1),
    timedelta.max,
    UTC,
    timezone(timedelta(hours=2), "X"),
    ZoneInfo("Europe/Berlin"),
    UUID(int=0),
    UUID("12345678-1234-5678-1234-567812345678"),
    Decimal("1.50"),
    Decimal("-0"),
    Decimal("1E+100000"),
    1.5 - 2j,
    complex(math.inf, -0.0),
    Fraction(-7, 12),
    Fraction(10**300 + 1, 10**300),
    PurePosixPath("a/../b"),
    PurePosixPath("/\udcff"),
    PureWindowsPath("C:\\a/b"),
    Path("."),
    Path("here") / "and there",
    IPv4Address("127.0.0.1"),
    IPv4Interface("10.1.2.3/8"),
    IPv4Network("10.0.0.0/8"),
    IPv6Address("fe80::1%eth0"),
    IPv6Interface("fe80::1%eth0/64"),
    IPv6Network("2001:db8::/32"),
    re.compile(r"(\w+)\s"),
    re.compile(rb"a.b", re.DOTALL | re.IGNORECASE),
    re.compile("# none", re.ASCII | re.VERBOSE | re.MULTILINE),
    range(5),
    range(10**30, 0, -3),
    slice(None, 3),
    slice(1, 10**30, -2),
    {Fraction(1, 3): {range(3): (IPv4Address("1.1.1.1"), re.compile("x"))}},
    Colour.GREEN,
    Colour.ROT,
    Outside.Inside.YES,
    Level.LOW,
    Word.YES,
    Access.READ | Access.WRITE,
    Access(0),
    Bits(1 << 40 | 1),
    Point(1, [2]),
    Leaf("a", Leaf("b")),
    [Leaf("a"), Leaf("b"), Point(1), Leaf("c")],
    Pair(1),
    Pair((1, {2}), Colour.GREEN),
    Person(name="ann", home=Leaf("x")),
    Open.model_validate({"a": 2, "b": [1], "odd name": {1}}),
    Box[int](content=3),
    Send("node", {"a": (1, 2)}),
    Command(update={"a": {1}}, goto=[Send("x", 1), "y"]),
    Interrupt(value=("question", 1), id="i"),
    Overwrite([1, (2,)]),
    WaitForNames(frozenset({"a"})),
    [bytearray(b"1"), (bytearray(b"2"), {"k": b"3"}), Point([bytearray(b"4")])],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {value!r:.30}")
def test_values_come_back_as_what_they_were(serializer: JsonPlusSerializer, value: Any) -> None:
    assert round_trip(serializer, value) == value


def test_a_path_of_another_system_comes_back_as_one_that_leads_nowhere(
    serializer: JsonPlusSerializer,
) -> None:
    foreign = 13 if os.name == "nt" else 15
    pure = PurePosixPath if os.name == "nt" else PureWindowsPath
    again = serializer.loads_typed(("msgpack", msgpack.packb(msgpack.ExtType(foreign, b"a/b"))))
    assert type(again) is pure
    assert again == pure("a/b")


@pytest.mark.parametrize("value", [math.nan, Decimal("NaN"), Decimal("sNaN123")], ids=repr)
def test_what_is_not_a_number_stays_that(serializer: JsonPlusSerializer, value: Any) -> None:
    round_trip(serializer, value)


def test_time_zones_stay_what_they_were(serializer: JsonPlusSerializer) -> None:
    moment = datetime(2026, 1, 31, tzinfo=ZoneInfo("Europe/Berlin"))
    assert round_trip(serializer, moment).tzinfo is moment.tzinfo
    assert round_trip(serializer, moment.astimezone(UTC)).tzinfo is UTC
    named = datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=1), "CET"))
    assert round_trip(serializer, named).tzname() == "CET"
    assert round_trip(serializer, datetime(2026, 10, 25, 2, 30, fold=1)).fold == 1


def test_a_limited_deque_keeps_its_limit(serializer: JsonPlusSerializer) -> None:
    assert round_trip(serializer, deque([1, 2], maxlen=2)).maxlen == 2


def test_attributes_come_back_without_running_the_constructor(serializer: JsonPlusSerializer) -> None:
    assert round_trip(serializer, Fussy(1)).made == 2
    point = Point(1)
    point.norm = 2.5
    assert round_trip(serializer, point).norm == 2.5


def test_attributes_come_back_without_running_what_sets_them(serializer: JsonPlusSerializer) -> None:
    watched = Watched(price=2)
    assert watched.changes == 1
    assert round_trip(serializer, watched).changes == 1


def test_private_attributes_and_set_fields_of_models_are_kept(serializer: JsonPlusSerializer) -> None:
    person = Person(name="ann")
    person._seen = 3
    again = round_trip(serializer, person)
    assert again._seen == 3
    assert again.model_fields_set == {"name"}


def test_a_plain_value_is_plain_msgpack(serializer: JsonPlusSerializer) -> None:
    value = {"messages": [{"role": "user", "content": "hi", "n": 1.5}] * 3}
    tag, data = serializer.dumps_typed(value)
    assert tag == "msgpack"
    assert msgpack.unpackb(data) == value


def test_a_class_is_told_once_per_blob(serializer: JsonPlusSerializer) -> None:
    _, data = serializer.dumps_typed([Leaf(str(number)) for number in range(100)])
    assert data.count(b":Leaf") == 1
    assert len(data) < 1000


def test_what_looks_like_ours_is_not_taken_for_ours(serializer: JsonPlusSerializer) -> None:
    for value in (
        {"lc": 2, "type": "constructor", "id": ["builtins", "eval"], "kwargs": {}},
        {"__type__": "set", "items": [1]},
        ["aiograph:Send", "node", 1],
        {"py/object": "os.system"},
        "msgpack-rich",
    ):
        assert round_trip(serializer, value) == value


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())  # half surrogate pairs included
    | st.binary()
    | st.binary().map(bytearray)
    | st.datetimes(timezones=st.none() | st.timezone_keys(allow_prefix=False).map(ZoneInfo))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.sampled_from([*Colour, *Level]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
        | st.lists(inner).map(deque)
        | st.frozensets(st.text() | st.integers())
        | st.sets(st.tuples(st.text(), st.integers()))
        | inner.map(Point)
        | inner.map(Pair)
        | st.builds(Send, st.text(), inner)
    ),
    max_leaves=20,
)

SHARED = JsonPlusSerializer(allow=ALLOWED)


@given(plain)
def test_whatever_is_made_of_these_comes_back(value: Any) -> None:
    again = SHARED.loads_typed(SHARED.dumps_typed(value))
    assert again == value
    assert _shape(again) == _shape(value)


def _shape(value: Any) -> Any:
    """The types inside, as equality does not see all of them."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = [_shape(each) for pair in value.items() for each in pair]
    elif isinstance(value, list | tuple | deque):
        inner = [_shape(each) for each in value]
    elif isinstance(value, Point):
        inner = _shape(value.x)
    elif isinstance(value, Send):
        inner = _shape(value.arg)
    elif isinstance(value, datetime):
        inner = (value.fold, str(value.tzinfo))
    return type(value), inner


# -- refusals --------------------------------------------------------------------------------------


class Unknown:
    def __repr__(self) -> str:
        return "Unknown()"


@dataclasses.dataclass
class Stranger:
    x: int = 1


class Dict(dict[str, int]):
    pass


class Text(str):
    __slots__ = ()


class OddZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([1, [2, Unknown()]], "[1][1]"),
        ({"a": {"b": (1, Unknown())}}, ".a.b[1]"),
        ({"odd key": Unknown()}, "['odd key']"),
        ({3: Unknown()}, "[3]"),
        ({"a": {Text("k"): 1}}, ".a[key 'k']"),
        ([{Unknown()}], "[0][0]"),
        (deque([1, Unknown()]), "[1]"),
        (Point([Unknown()]), ".x[0]"),
        (Pair(Unknown()), ".left"),
        (Person.model_construct(name=Unknown()), ".name"),
        (Open.model_validate({"extra": Unknown()}), ".extra"),
        (Send("x", {"k": Unknown()}), ".arg.k"),
        (Command(update=[("k", Unknown())]), ".update[0][1]"),
        ([datetime(2026, 1, 1, tzinfo=OddZone())], "[0]"),
        ([memoryview(b"x")], "[0]"),
        ([msgpack.ExtType(1, b"x"), b"x"], "[0]"),
        ([Unready()], "[0]"),
        ([slice(1, "x")], "[0]"),
        ([Bits(1 << 2000)], "[0]"),
        ([re.compile("x" * 60_000)], "[0]"),
        ({"a": [re.compile(f"{n}-" * 50) for n in range(4)]}, ".a[3]"),
    ],
)
def test_a_refused_value_is_named_by_its_path(serializer: JsonPlusSerializer, value: Any, path: str) -> None:
    with pytest.raises(UnstorableValueError, match=re.escape(f"cannot store {path}: ")) as caught:
        serializer.dumps_typed(value)
    assert caught.value.path == path
    assert str(caught.value.within("messages")).startswith(f"cannot store messages{path}: ")


@pytest.mark.parametrize(
    "value",
    [Unknown(), Dict(a=1), Text("x"), OrderedDict(a=1), defaultdict(int), lambda: 1, int, object(),
     threading.Lock(), iter([1]), ValueError("x"), sys],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_unknown_types_are_refused(serializer: JsonPlusSerializer, value: Any) -> None:
    with pytest.raises(CheckpointSerializationError, match=r"cannot be stored; store what they"):
        serializer.dumps_typed([value])


def test_a_class_that_could_be_allowed_is_refused_with_a_hint(serializer: JsonPlusSerializer) -> None:
    with pytest.raises(CheckpointSerializationError, match=r"not allowed; .*JsonPlusSerializer\(allow=\[Str"):
        serializer.dumps_typed({"a": Stranger()})


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner,)])
def test_what_is_nested_too_deeply_is_refused(
    serializer: JsonPlusSerializer, wrap: Callable[[Any], Any]
) -> None:
    value: Any = 1
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(CheckpointSerializationError, match="nested too deeply"):
        serializer.dumps_typed(value)
    while not isinstance(value, int):  # taken apart gently: the interpreter has a stack, too
        (value,) = value.values() if isinstance(value, dict) else value


def test_what_contains_itself_is_refused(serializer: JsonPlusSerializer) -> None:
    loop: list[Any] = []
    loop.append((loop,))
    with pytest.raises(CheckpointSerializationError, match="contains itself"):
        serializer.dumps_typed({"a": loop})


def test_what_is_nested_as_deeply_as_allowed_can_be_read_back(serializer: JsonPlusSerializer) -> None:
    value: Any = 1
    for _ in range(200):
        value = [(value,)]
    assert serializer.loads_typed(serializer.dumps_typed(value)) == value


def test_a_model_without_all_its_values_is_refused(serializer: JsonPlusSerializer) -> None:
    with pytest.raises(CheckpointSerializationError, match=r"its fields \['name'\] have no value"):
        serializer.dumps_typed(Person.model_construct())


# -- allowing --------------------------------------------------------------------------------------


class Inner(NamedTuple):
    value: int


@dataclasses.dataclass
class Outer:
    inner: list[Inner] | None
    colour: Annotated[Colour, "any"] = Colour.RED
    level: Literal[Level.LOW] = Level.LOW
    call: Callable[[Leaf], Pair] | None = None


class State(TypedDict, total=False):
    outer: dict[str, tuple[Outer, ...]]


def test_classes_are_allowed_with_all_that_they_mention() -> None:
    serializer = JsonPlusSerializer()
    serializer.allow([State])
    value = {"outer": {"x": (Outer([Inner(1)]),)}, "more": [Leaf("x"), Pair(1, Colour.GREEN)]}
    assert round_trip(serializer, value) == value


def test_annotations_that_cannot_be_resolved_hide_only_themselves() -> None:
    @dataclasses.dataclass
    class Odd:
        known: Leaf
        unknown: "NoSuchName"  # type: ignore[name-defined]  # noqa: F821  # as under TYPE_CHECKING

    serializer = JsonPlusSerializer(allow=[Odd])
    assert round_trip(serializer, Odd(Leaf("x"), 1)) == Odd(Leaf("x"), 1)


def test_classes_that_cannot_be_stored_may_be_among_those_allowed() -> None:
    serializer = JsonPlusSerializer(allow=[Unknown, Dict, int, list, type(sys), threading.Thread])
    with pytest.raises(CheckpointSerializationError):
        serializer.dumps_typed(Unknown())
    assert round_trip(serializer, [1]) == [1]


def test_a_dataclass_that_is_more_than_its_attributes_cannot_be_stored() -> None:
    @dataclasses.dataclass
    class Odd(dict[str, int]):
        x: int = 1

    with pytest.raises(CheckpointSerializationError):
        JsonPlusSerializer(allow=[Odd]).dumps_typed(Odd())


def test_of_two_classes_with_one_name_the_later_one_is_read() -> None:
    def make() -> type:
        @dataclasses.dataclass
        class Same:
            x: int = 1

        return Same

    first, second = make(), make()
    serializer = JsonPlusSerializer(allow=[first])
    blob = serializer.dumps_typed(first())
    serializer.allow([second])
    assert type(serializer.loads_typed(blob)) is second
    assert type(serializer.loads_typed(serializer.dumps_typed(first()))) is second


def test_modules_can_be_named_as_the_anchor_names_them() -> None:
    serializer = JsonPlusSerializer(allowed_msgpack_modules=[("fractions", "Fraction"), Leaf])
    assert round_trip(serializer, Leaf("x")) == Leaf("x")
    with pytest.raises(TypeError, match="is not a class"):
        JsonPlusSerializer(allowed_msgpack_modules=[("os", "sep")])
    with pytest.raises(ModuleNotFoundError):
        JsonPlusSerializer(allowed_msgpack_modules=[("no_such_module_anywhere", "X")])


def test_serializers_do_not_share_what_they_allow() -> None:
    blob = JsonPlusSerializer(allow=[Stranger]).dumps_typed(Stranger())
    with pytest.raises(CheckpointDeserializationError, match=r"'.*:Stranger', which is not allowed"):
        JsonPlusSerializer().loads_typed(blob)


# -- registered functions --------------------------------------------------------------------------


class Money:
    """A class that no kind covers."""

    def __init__(self, amount: str, currency: str) -> None:
        self.amount, self.currency = amount, currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.amount)

    def __repr__(self) -> str:
        return f"Money({self.amount}, {self.currency})"


def split(money: Money) -> tuple[str, str]:
    return money.amount, money.currency


def join(parts: Any) -> Money:
    amount, currency = parts
    return Money(amount, currency)


@pytest.fixture
def teller() -> JsonPlusSerializer:
    serializer = JsonPlusSerializer(allow=ALLOWED)
    serializer.register(Money, name="money", encode=split, decode=join)
    return serializer


def test_registered_functions_store_a_class_of_any_kind(teller: JsonPlusSerializer) -> None:
    for value in (Money("1.50", "EUR"), {"a": [Money("1", "USD"), Point({Money("2", "EUR"): 1})]}):
        assert round_trip(teller, value) == value


def test_registered_functions_win_over_what_a_schema_allows() -> None:
    serializer = JsonPlusSerializer()
    serializer.register(
        Leaf, name="leaf", encode=lambda leaf: leaf.name.upper(), decode=lambda name: Leaf(name)
    )
    serializer.allow([Leaf])
    assert serializer.loads_typed(serializer.dumps_typed(Leaf("x"))) == Leaf("X")


def test_a_registered_name_outlives_its_class(teller: JsonPlusSerializer) -> None:
    other = JsonPlusSerializer()
    other.register(Pair, name="money", encode=list, decode=lambda parts: Pair(*parts))
    assert other.loads_typed(teller.dumps_typed(Money("1", "EUR"))) == ("1", "EUR")


def test_what_a_registered_function_raises_is_told_with_the_path(teller: JsonPlusSerializer) -> None:
    broken = Money("1", "EUR")
    del broken.amount
    with pytest.raises(UnstorableValueError, match=r"cannot store \[0\]\.a: .*has no attribute 'amount'"):
        teller.dumps_typed([{"a": broken}])
    blob = teller.dumps_typed([Money("1", "EUR")])
    deaf = JsonPlusSerializer()
    deaf.register(Money, name="money", encode=split, decode=lambda parts: join(parts[0]))
    with pytest.raises(CheckpointDeserializationError, match="values to unpack"):
        deaf.loads_typed(blob)
    with pytest.raises(CheckpointDeserializationError, match="':money', which is not allowed"):
        JsonPlusSerializer().loads_typed(blob)


@pytest.mark.parametrize(
    ("cls", "name"),
    [(Money, "again"), (Pair, "money"), (Pair, ""), (int, "n"), (list, "l"), (Decimal, "d"), (Send, "s")],
)
def test_what_is_settled_cannot_be_registered(teller: JsonPlusSerializer, cls: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"taken, or none|settled already"):
        teller.register(cls, name=name, encode=repr, decode=cls)


# -- classes that change ---------------------------------------------------------------------------


def version(name: str, **fields: Any) -> type:
    """A dataclass of this name, as one release of a program has it."""
    cls = dataclasses.make_dataclass(
        name, [(key, object, dataclasses.field(**how)) for key, how in fields.items()]
    )
    cls.__module__, cls.__qualname__ = "program", name
    return cls


def stored_as(old: Any, new: type) -> Any:
    """What an instance becomes if its class is another one when it is read."""
    blob = JsonPlusSerializer(allow=[type(old)]).dumps_typed(old)
    return JsonPlusSerializer(allow=[new]).loads_typed(blob)


def test_a_new_field_gets_its_default_and_a_lost_one_is_left_out() -> None:
    old = version("C", a={}, lost={})
    new = version("C", a={}, b={"default_factory": list}, c={"default": 3})
    assert stored_as(old(1, 2), new) == new(a=1)


def test_a_new_field_without_a_default_is_an_error() -> None:
    old, new = version("C", a={}), version("C", a={}, b={})
    with pytest.raises(CheckpointDeserializationError, match=r"nothing is stored of the fields \['b'\] of C"):
        stored_as(old(1), new)


def test_a_class_that_became_another_kind_of_class_is_an_error() -> None:
    old = version("C", a={})
    new = type("C", (Inner,), {"__module__": "program"})
    with pytest.raises(CheckpointDeserializationError, match="was stored as a record and is a namedtuple"):
        stored_as(old(1), new)


def test_a_lost_member_of_an_enum_is_an_error() -> None:
    def members(*names: str) -> Any:
        return enum.Enum(value="E", names=names, module="program")

    with pytest.raises(CheckpointDeserializationError, match="has no member 'B'"):
        stored_as(members("A", "B")["B"], members("A"))


def test_models_change_like_dataclasses() -> None:
    old = pydantic.create_model("M", a=(int, 1), lost=(int, 2))
    new = pydantic.create_model("M", a=(int, 1), b=(list[int], [5]))
    assert stored_as(old(a=7), new) == new(a=7)
    strict = pydantic.create_model("M", c=(int, ...))
    with pytest.raises(CheckpointDeserializationError, match="nothing is stored of the field 'c' of M"):
        stored_as(old(), strict)


# -- threads ---------------------------------------------------------------------------------------


def test_it_may_be_used_from_many_threads_at_once(serializer: JsonPlusSerializer) -> None:
    wrong = []

    def use(number: int) -> None:
        for step in range(200):
            value = {"n": (number, step), "leaf": [Leaf(str(number)), Leaf(str(step))]}
            if serializer.loads_typed(serializer.dumps_typed(value)) != value:
                wrong.append(value)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
