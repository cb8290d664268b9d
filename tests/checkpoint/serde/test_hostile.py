"""Hostile bytes: whatever a row holds, reading it gives a value or an error, and runs nothing."""

import dataclasses
import enum
import os
import pickle
import struct
import sys
import time
from typing import Any
from zoneinfo import ZoneInfo

import msgpack  # type: ignore[import-untyped]  # has no annotations
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiograph.checkpoint.serde.base import MAX_BYTES
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError

TAGS = ("null", "bytes", "msgpack", "msgpack-rich")


@dataclasses.dataclass
class Allowed:
    x: int = 0


class Bits(enum.Flag):
    A = 1


class Model(pydantic.BaseModel):
    x: int = 0


SERIALIZER = JsonPlusSerializer(allow=[Allowed, Bits, Model])
# The first zone makes the standard library look for its list of zones, and import what it needs for that.
SERIALIZER.loads_typed(SERIALIZER.dumps_typed(ZoneInfo("UTC")))


def ext(code: int, data: bytes) -> bytes:
    return struct.pack(">BIb", 0xC9, len(data), code) + data


def define(kind: Any, name: Any, *fields: Any) -> bytes:
    return ext(64, msgpack.packb([kind, name, *fields]))


def head(code: int, *items: bytes) -> bytes:
    """A list with a head."""
    return listed(ext(code, b""), *items)


def listed(*items: bytes) -> bytes:
    return struct.pack(">BI", 0xDD, len(items)) + b"".join(items)


def read(tag: str, data: bytes) -> Any:
    """The value, or the one error that is allowed."""
    try:
        return SERIALIZER.loads_typed((tag, data))
    except CheckpointDeserializationError as error:
        return error


# -- any bytes -------------------------------------------------------------------------------------

valid = st.builds(
    lambda value: SERIALIZER.dumps_typed(value)[1],
    st.recursive(
        st.integers() | st.text() | st.binary() | st.just(Allowed(1)) | st.dates() | st.decimals(),
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    ),
)
extensions = st.builds(ext, st.integers(-128, 127), st.binary(max_size=40))
mixed = st.lists(extensions | valid | st.binary(max_size=8)).map(lambda parts: listed(*parts))


@given(st.sampled_from(TAGS), st.binary() | valid | extensions | mixed)
@example("msgpack-rich", ext(65, b""))
@example("msgpack-rich", define("record", "no.such:Name"))
def test_any_bytes_are_a_value_or_an_error(tag: str, data: bytes) -> None:
    modules = set(sys.modules)
    read(tag, data)
    assert {name for name in set(sys.modules) - modules if not name.startswith("hypothesis")} == set()


@given(valid.filter(bool), st.data())
def test_damaged_bytes_are_a_value_or_an_error(blob: bytes, data: st.DataObject) -> None:
    damaged = bytearray(blob)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    read("msgpack-rich", bytes(damaged))


@given(st.text(), st.binary())
def test_unknown_tags_are_refused(tag: str, data: bytes) -> None:
    if tag not in TAGS:
        assert isinstance(read(tag, data), CheckpointDeserializationError)


# -- attempts to run code --------------------------------------------------------------------------


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("tag", ["pickle", "json", "msgpack+aes", *TAGS])
def test_pickles_stay_shut(tag: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read(tag, pickle.dumps(Bomb()))
    assert list(tmp_path.iterdir()) == []


NAMES = ("os:system", "builtins:eval", "subprocess:Popen", "antigravity:x", f"{__name__}:Bomb", "", "a:b:c")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["record", "enum", "flag", "namedtuple", "pydantic", "function", 1, None])
def test_names_lead_nowhere(name: str, kind: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    argument = msgpack.packb("mkdir exploded")
    blob = listed(define(kind, name, "args"), argument)
    assert isinstance(read("msgpack-rich", blob), CheckpointDeserializationError)
    assert list(tmp_path.iterdir()) == []
    assert set(sys.modules) == modules


@pytest.mark.parametrize("code", range(-128, 128))
def test_every_extension_code_is_data_or_refused(code: int) -> None:
    for data in (b"", b"\x00", b"os\x00system", msgpack.packb(["os", "system", ["true"]]), b"\xff" * 16):
        for blob in (ext(code, data), listed(ext(code, data), b"\x01"), b"\x81" + ext(code, data) + b"\x01"):
            for tag in ("msgpack", "msgpack-rich"):
                assert type(read(tag, blob)).__module__ not in ("os", "subprocess")


@pytest.mark.parametrize("key", ["../../../../etc/passwd", "/etc/passwd", "os/path", "Europe", "", "a\x00b"])
def test_a_time_zone_leads_to_no_other_file(key: str) -> None:
    modules = set(sys.modules)
    assert isinstance(read("msgpack", ext(10, key.encode())), CheckpointDeserializationError)
    moment = f"2026-01-01T00:00:00[{key}]".encode()
    assert isinstance(read("msgpack", ext(3, moment)), CheckpointDeserializationError)
    assert set(sys.modules) == modules


@pytest.mark.parametrize(
    "blob",
    [
        ext(32, b""),  # a head without a list
        listed(b"\x01", ext(32, b"")),  # not at the head of its list
        listed(ext(32, b""), ext(32, b"")),  # two heads
        b"\x81" + ext(32, b"") + b"\x01",  # a head as a key
        b"\x81\x01" + ext(33, b""),  # a head as a value
        head(33, b"\x90"),  # a set of lists
        head(35, b"\xa1a"),  # a deque whose maxlen is text
        head(35),  # a deque without anything
        ext(65, b"\x00\x00"),  # an instance of a class that was not defined
        listed(define("record", f"{__name__}:Allowed", "x"), b"\x01", b"\x02"),  # too many parts
        listed(define("record", f"{__name__}:Allowed", "x")),  # too few
        listed(define("record", f"{__name__}:Allowed", "x", "x"), b"\x01"),
        listed(define("record", [1]), b"\x01"),
        listed(listed(define("flag", f"{__name__}:Bits"), b"\x01"), listed(ext(65, b"\x00"), b"\x01")),
        listed(define("flag", f"{__name__}:Bits"), b"\x01", b"\xa3A B"),  # as the functional syntax has it
        listed(define("flag", f"{__name__}:Bits"), b"\xa1A"),
        listed(define("pydantic", f"{__name__}:Model"), b"\x80", b"\x01", b"\x90", b"\xc0"),
        listed(define("pydantic", f"{__name__}:Model"), b"\x80", b"\xc0", b"\x90", b"\x01"),
        listed(define("pydantic", f"{__name__}:Model"), b"\x90", b"\xc0", b"\x90", b"\xc0"),
        listed(ext(64, b"")),
        listed(ext(64, b"\xc1")),
        ext(7, b"short"),
        ext(4, b"2026-99-99"),
        ext(8, b"one"),
        b"\xc1",  # never used in msgpack
        b"\x01\x01",  # something left over
        b"",
    ],
)
def test_forged_structures_are_refused(blob: bytes) -> None:
    assert isinstance(read("msgpack-rich", blob), CheckpointDeserializationError)


# -- attempts to exhaust ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blob",
    [
        b"\x91" * 1_000_000 + b"\x01",  # deep lists
        b"\x81\x01" * 500_000 + b"\x01",  # deep dicts
        (b"\x92" + ext(32, b"")) * 100_000 + b"\x01",  # deep tuples
        b"\xdd\xff\xff\xff\xff",  # a list that claims four billion items
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        listed(*[b"\x90"] * 300_000),
        listed(*[b"\x80"] * 300_000),
        ext(1, b"\x7f" * 300_000),
        ext(8, b"9" * 300_000),
        ext(8, b"1E+999999999999"),
        listed(*[define("record", f"x:{number}") for number in range(5000)]),
    ],
    ids=lambda blob: f"{len(blob)} bytes {blob[:8].hex()}",
)
def test_bombs_do_not_go_off(blob: bytes) -> None:
    start = time.perf_counter()
    read("msgpack-rich", blob)
    assert time.perf_counter() - start < 2


def test_what_is_larger_than_anything_stored_is_refused_unseen() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_BYTES + 1

    assert "larger than any stored" in str(read("bytes", Huge()))


def test_definitions_are_not_remembered_without_end() -> None:
    serializer = JsonPlusSerializer(allow=[Allowed])
    for number in range(3000):
        blob = listed(define("record", f"{__name__}:Allowed", f"lost{number}"), b"\x01")
        assert serializer.loads_typed(("msgpack-rich", blob)) == Allowed()
    assert len(serializer._definitions._heads) <= 1024
