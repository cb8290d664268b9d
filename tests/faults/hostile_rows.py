"""Rows that somebody forged: to run code, or to exhaust the process that reads them.

Run as a program, it reads one bomb, or all the rows that would run code, and prints what came of it as
JSON. A process of its own can be measured, and may have an audit hook, which nothing can remove.
"""

import dataclasses
import json
import pickle
import random
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from enum import IntFlag
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgpack  # type: ignore[import-untyped]  # has no annotations
import pydantic

from aiograph.checkpoint.serde._seal import seal_of
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError

Row = tuple[str, bytes]


@dataclasses.dataclass
class Record:
    x: int = 0
    items: list[int] = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    left: int = 0
    right: int = 0


class Bits(IntFlag):
    A = 1


class Model(pydantic.BaseModel):
    a: int = 0
    b: list[int] = []
    c: str = ""


def make_serializer() -> JsonPlusSerializer:
    """A serializer for the classes above, all of whose lazy parts have been loaded."""
    serializer = JsonPlusSerializer(allow=[Record, Pair, Bits, Model])
    serializer.loads_typed(serializer.dumps_typed([ZoneInfo("UTC"), Record(), Pair(), Bits.A, Model()]))
    return serializer


def read(serializer: JsonPlusSerializer, row: Row) -> Any:
    """The value of a row as a saver reads it, or the error that is allowed."""
    try:
        return serializer.loads_typed(seal_of(serializer).open(*row, b""))
    except CheckpointDeserializationError as error:
        return error


# -- how rows are written --------------------------------------------------------------------------


def ext(code: int, data: bytes = b"") -> bytes:
    return struct.pack(">BIb", 0xC9, len(data), code) + data


def short_ext(code: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBb", 0xC7, len(data), code) + data


def listed(*items: bytes) -> bytes:
    return struct.pack(">BI", 0xDD, len(items)) + b"".join(items)


def many(count: int, item: bytes) -> bytes:
    return struct.pack(">BI", 0xDD, count) + item * count


def keyed(keys: list[bytes]) -> bytes:
    return struct.pack(">BI", 0xDF, len(keys)) + b"".join(key + b"\xc0" for key in keys)


def define(kind: Any, name: Any, *fields: Any) -> bytes:
    return ext(64, msgpack.packb([kind, name, *fields]))


def instance(cls: type, kind: str) -> bytes:
    return b"\x91" + define(kind, f"{cls.__module__}:{cls.__qualname__}")


def big(number: int) -> bytes:
    return short_ext(1, number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True))


# -- rows that would run code ----------------------------------------------------------------------

TARGETS = [
    ("os", "system"), ("posix", "system"), ("subprocess", "Popen"), ("builtins", "eval"),
    ("builtins", "exec"), ("builtins", "__import__"), ("pickle", "loads"), ("marshal", "loads"),
    ("importlib", "import_module"), ("runpy", "run_path"), ("ctypes", "CDLL"), ("shutil", "rmtree"),
    ("code", "InteractiveInterpreter"), ("antigravity", "x"), ("webbrowser", "open"),
    ("pydantic", "BaseModel.parse_raw"),
    ("pydantic.v1", "BaseModel.parse_raw"), ("operator", "methodcaller"), ("types", "FunctionType"),
    ("numpy", "load"),
]  # fmt: skip
KINDS = ("record", "namedtuple", "enum", "flag", "pydantic", "registered")
TAGS = ("msgpack", "msgpack-rich", "msgpack+zlib", "bytes", "json", "pickle")
ARGUMENT = "mkdir exploded"


def shapes(module: str, name: str) -> Iterator[bytes]:
    """One target in all the ways in which some format would call it, ours first."""
    argument = msgpack.packb(ARGUMENT)
    for kind in KINDS:
        yield listed(define(kind, f"{module}:{name}", "args"), argument)
    yield listed(define("record", f"{module}.{name}", "args"), argument)
    yield listed(ext(64, msgpack.packb([module, name, [ARGUMENT]])), argument)
    yield listed(ext(65, f"{module}:{name}".encode()), argument)
    yield listed(ext(32), msgpack.packb(module), msgpack.packb(name), argument)
    yield ext(0, msgpack.packb([module, name, ARGUMENT]))
    yield b"\x81" + ext(0, msgpack.packb([module, name, ARGUMENT])) + b"\xc0"
    langchain = {"lc": 2, "type": "constructor", "id": [*module.split("."), name], "kwargs": {"a": ARGUMENT}}
    yield msgpack.packb(langchain)
    yield json.dumps(langchain).encode()
    yield msgpack.packb({"__type__": f"{module}.{name}", "args": [ARGUMENT]})
    yield json.dumps({"py/reduce": [{"py/function": f"{module}.{name}"}, {"py/tuple": [ARGUMENT]}]}).encode()
    yield b"c%b\n%b\n(S'%b'\ntR." % (module.encode(), name.encode(), ARGUMENT.encode())
    yield f"!!python/object/apply:{module}.{name} ['{ARGUMENT}']".encode()


def forged_rows() -> Iterator[Row]:
    """2,160 rows: 20 targets in 18 shapes under 6 tags."""
    for target in TARGETS:
        for shape in shapes(*target):
            for tag in TAGS:
                yield tag, zlib.compress(shape) if tag.endswith("zlib") else shape


def forged_extensions() -> Iterator[Row]:
    """Every target under every extension code: alone, as a key, and as a head."""
    for module, name in TARGETS:
        for payload in (msgpack.packb([module, name, ARGUMENT]), f"{module}:{name}".encode()):
            for code in range(-128, 128):
                for row in (ext(code, payload), b"\x81" + ext(code, payload) + b"\x01",
                            listed(ext(code, payload), b"\x01")):  # fmt: skip
                    yield "msgpack", row
                    yield "msgpack-rich", row


class Exploding:
    """Its pickle makes a directory."""

    def __reduce__(self) -> Any:
        return __import__("os").mkdir, ("exploded",)


def pickles() -> Iterator[Row]:
    for tag in (*TAGS, "null", "msgpack+aes", ""):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield tag, pickle.dumps(Exploding(), protocol)


# -- rows that would exhaust -----------------------------------------------------------------------

MIB = 2**20
PRIME = 2**61 - 1
"""Integers that differ by a multiple of it have the same hash."""


def _nested_extensions() -> bytes:
    row = b""
    while len(row) < 300_000:
        row = ext(7, row) if len(row) < 1000 else ext(7, row * 3)
    return row


def _zones() -> bytes:
    names = [b"Asia/Aden", b"Asia/Oral", b"Asia/Omsk", b"Asia/Hovd", b"Asia/Gaza", b"Asia/Baku", b"Asia/Dili",
             b"Asia/Dubai", b"Asia/Kabul", b"Asia/Macau", b"Asia/Qatar", b"Asia/Seoul"]  # fmt: skip
    pairs = [b"\x01" + short_ext(10, names[number % len(names)]) for number in range(70_000)]
    return struct.pack(">BI", 0xDF, len(pairs)) + b"".join(pairs)


def _expanding(item: bytes) -> Row:
    """8 MiB of a short item, compressed to a few kilobytes."""
    return "msgpack-rich+zlib", zlib.compress(many(8 * MIB // len(item) - 5, item), 9)


def _expanding_far(item: bytes) -> Row:
    """The same in a row of a megabyte: noise that does not compress, so that the rest may grow."""
    noise = random.Random(1).randbytes(MIB * 9 // 10)
    items = many(14 * MIB // len(item), item)
    return "msgpack-rich+zlib", zlib.compress(listed(msgpack.packb(noise), items), 9)


BOMBS: dict[str, Callable[[], Row]] = {
    "deep lists": lambda: ("msgpack-rich", b"\x91" * MIB + b"\x01"),
    "deep dicts": lambda: ("msgpack", b"\x81\x01" * (MIB // 2) + b"\x01"),
    "deep tuples": lambda: ("msgpack-rich", (b"\x92" + ext(32)) * 100_000 + b"\x01"),
    "extensions in extensions": lambda: ("msgpack", _nested_extensions()),
    "definitions in definitions": lambda: ("msgpack-rich", listed(ext(64, ext(64, b"\x91" * 300_000)))),
    "a list of four billion": lambda: ("msgpack", b"\xdd\xff\xff\xff\xff"),
    "a dict of four billion": lambda: ("msgpack", b"\xdf\xff\xff\xff\xff"),
    "text of four gigabytes": lambda: ("msgpack", b"\xdb\xff\xff\xff\xff"),
    "bytes of four gigabytes": lambda: ("msgpack", b"\xc6\xff\xff\xff\xff"),
    "an extension of four gigabytes": lambda: ("msgpack", b"\xc9\xff\xff\xff\xff\x01"),
    "lists of a million each": lambda: ("msgpack", b"\xdd\x00\x0f\xff\xff" * 200_000),
    "empty lists": lambda: ("msgpack", many(MIB, b"\x90")),
    "empty dicts": lambda: ("msgpack", many(MIB, b"\x80")),
    "dicts of one": lambda: ("msgpack", many(MIB // 3, b"\x81\x01\x01")),
    "empty sets": lambda: ("msgpack-rich", many(MIB // 4, b"\x91" + short_ext(33))),
    "empty deques": lambda: ("msgpack-rich", many(MIB // 5, b"\x92" + short_ext(35) + b"\xc0")),
    "instances of nothing but defaults": lambda: (
        "msgpack-rich", listed(instance(Record, "record"), *[b"\x91\xd4\x41\x00"] * (MIB // 4))),
    "models of nothing but defaults": lambda: (
        "msgpack-rich", listed(b"\x95" + instance(Model, "pydantic")[1:] + b"\x80\xc0\x90\xc0",
                               *[b"\x95\xd4\x41\x00\x80\xc0\x90\xc0"] * (MIB // 8))),
    "definitions": lambda: (
        "msgpack-rich", listed(*[b"\x92" + define("record", f"{__name__}:Record", f"f{number}") + b"\x01"
                                 for number in range(30_000)])),
    "definitions of many fields": lambda: (
        "msgpack-rich", listed(*[listed(define("record", f"{__name__}:Record", *[str(number)] * 10_000))
                                 for number in range(30)])),
    "a number of many digits": lambda: ("msgpack", ext(1, b"\x7f" * MIB)),
    "a decimal of many digits": lambda: ("msgpack", ext(8, b"9" * MIB)),
    "decimals of giant exponents": lambda: (
        "msgpack", keyed([short_ext(8, b"%dE+999999999999999999" % number) for number in range(1, 40_000)])),
    "a fraction of long numbers": lambda: (
        "msgpack-rich", listed(ext(36), ext(1, b"\x77" * (MIB // 2)), ext(1, b"\x55" * (MIB // 2)))),
    "numbers of one hash": lambda: ("msgpack", keyed([big(PRIME * number) for number in range(70_000)])),
    "identifiers of one hash": lambda: (
        "msgpack", keyed([short_ext(7, (PRIME * number).to_bytes(16, "big")) for number in range(52_000)])),
    "tuples of one hash": lambda: (
        "msgpack-rich", listed(ext(33), *[b"\x92" + short_ext(32) + big(PRIME * number)
                                          for number in range(60_000)])),
    "a pattern of wide ranges": lambda: (
        "msgpack-rich", listed(ext(39), msgpack.packb("[\0-\U0010ffff]" * 100_000), b"\x02")),
    "many patterns": lambda: (
        "msgpack-rich", listed(*[b"\x93" + short_ext(39) + msgpack.packb(f"(a{number}*)*") + b"\x20"
                                 for number in range(70_000)])),
    "a flag of many bits": lambda: ("msgpack-rich", listed(define("flag", f"{__name__}:Bits"),
                                                           ext(1, b"\x7f" * MIB))),
    "zones that are loaded again": lambda: ("msgpack", _zones()),
    "an array of no bytes": lambda: ("msgpack", ext(23, msgpack.packb(["<f8", [2**62], "C"]))),
    "compressed zeros": lambda: ("bytes+zlib", zlib.compress(bytes(500 * MIB), 9)),
    "compressed dicts": lambda: _expanding(b"\x80"),
    "compressed dicts of one": lambda: _expanding(b"\x81\x01\x01"),
    "compressed deques": lambda: _expanding(b"\x92" + short_ext(35) + b"\xc0"),
    "compressed decimals": lambda: _expanding(b"\xd4\x081"),
    "compressed paths": lambda: _expanding(b"\xd4\x0ca"),
    "many compressed dicts of one": lambda: _expanding_far(b"\x81\x01\x01"),
    "many compressed deques": lambda: _expanding_far(b"\x92" + short_ext(35) + b"\xc0"),
    "compressed instances": lambda: _expanding(b"\x91" + short_ext(64, msgpack.packb(
        ["record", f"{__name__}:Record"]))),
}  # fmt: skip


# -- the program -----------------------------------------------------------------------------------


def explode(name: str) -> dict[str, Any]:
    """Reads one bomb; tells what it took beside an honest value, the MiB it needed, and what came of it."""
    import resource

    serializer, row = make_serializer(), BOMBS[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome, seconds = timed(lambda: read(serializer, row))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    _, honest = timed(lambda: serializer.loads_typed(serializer.dumps_typed(HONEST)))
    return {"times": seconds / honest, "mib": grown / 1024, "outcome": type(outcome).__name__}


HONEST = [Record(number, [number]) for number in range(50_000)]
"""Takes its time to store and read back: the yardstick, as machines are fast or slow, and busy at times."""


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work returns, and the seconds of processor time that it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def provoke() -> dict[str, Any]:
    """Reads all rows that would run code, and tells what else happened meanwhile."""
    serializer, events, is_armed = make_serializer(), [], False

    def hook(event: str, arguments: Any) -> None:
        if is_armed and not event.startswith(("object.__", "gc.", "sys._getframe")):
            events.append(f"{event} {arguments!r:.100}")

    sys.addaudithook(hook)
    counts = []
    for rows in (forged_rows, forged_extensions, pickles):
        ready = list(rows())
        modules, is_armed = set(sys.modules), True
        for row in ready:
            read(serializer, row)
        is_armed = False
        events += [f"import {name}" for name in set(sys.modules) - modules]
        counts.append(len(ready))
    return {"events": events, "counts": counts}


if __name__ == "__main__":
    print(json.dumps(explode(sys.argv[1]) if len(sys.argv) > 1 else provoke()))
