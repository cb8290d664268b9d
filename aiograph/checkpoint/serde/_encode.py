"""One encoding: a packer call, a table from exact types to codecs, and the search for what was refused."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import is_
from typing import Any, Protocol

import msgpack  # type: ignore[import-untyped]  # has no annotations
from msgpack import ExtType, Timestamp

from aiograph.checkpoint.serde._arrays import array_scalar
from aiograph.checkpoint.serde._budget import MAX_PATTERN_COST, pattern_cost
from aiograph.checkpoint.serde._codecs import Bytearray, Container, Scalar, Unfit
from aiograph.checkpoint.serde._kinds import Recipe

DEFINE = 64
"""Head of an instance whose class appears for the first time: kind, name and fields follow."""

REFER = 65
"""Head of an instance whose class has appeared before: its number follows."""

_SUSPECT = frozenset({list, dict, bytearray, memoryview, ExtType, Timestamp})
"""Types that the packer stores without asking, though some come back as something else, or hold some."""

_new = tuple.__new__


class Refusal(Exception):
    """Some value inside of what is being encoded cannot be stored."""

    def __init__(self, value: Any, reason: str | None = None) -> None:
        self.value = value
        self.reason = reason
        """`None` if it is only its type that is not known."""
        super().__init__(reason)


class Codec(Protocol):
    """How values of one type become what the packer knows."""

    def encode(self, run: "Encoding", value: Any, /) -> Any: ...

    def children(self, value: Any, /) -> Iterable[tuple[str, Any]]:
        """The values inside, each with its step of the path."""
        ...


def extension(code: int, data: bytes) -> Any:
    """An `ExtType`, without the checks that make its constructor slow."""
    return _new(ExtType, (code, data))


def reference(number: int) -> bytes:
    """What refers to the class that a blob has defined after so many others."""
    return number.to_bytes(2, "big")


class ScalarCodec:
    """A value becomes one extension."""

    __slots__ = ("_code", "_encode")

    def __init__(self, scalar: Scalar) -> None:
        self._code, self._encode = scalar.code, scalar.encode

    def encode(self, run: "Encoding", value: Any, /) -> Any:
        return _new(ExtType, (self._code, self._encode(value)))

    def children(self, value: Any, /) -> Iterable[tuple[str, Any]]:
        return ()


class ContainerCodec:
    """A value becomes a list with a mark as its head, so its items are packed in the same pass."""

    __slots__ = ("_container", "_head")

    def __init__(self, container: Container) -> None:
        self._container = container
        self._head = extension(container.code, b"")

    def encode(self, run: "Encoding", value: Any, /) -> Any:
        return [self._head, *run.items(self._container.parts(value))]

    def children(self, value: Any, /) -> Iterable[tuple[str, Any]]:
        parts = enumerate(self._container.parts(value), -self._container.first_item)
        return [(f"[{index}]", part) for index, part in parts]


class PatternCodec(ContainerCodec):
    """A regular expression; there may be only so many, as reading them back compiles them."""

    __slots__ = ()

    def encode(self, run: "Encoding", value: Any, /) -> Any:
        run.pattern_cost += pattern_cost(value.pattern)
        if run.pattern_cost > MAX_PATTERN_COST:
            raise Unfit("the regular expressions here are too long; store their text, and compile it")
        return super().encode(run, value)


class CodecTable(dict[type, Codec]):
    """The codecs by exact type. Some classes join when the first of their instances turns up.

    Args:
        known: The others.
        meet: Makes a codec for a class, if it is one of those; beside them, there are numpy's.
    """

    def __init__(self, known: Mapping[type, Codec], meet: Callable[[type], Codec | None]) -> None:
        super().__init__(known)
        self._meet = meet

    def __missing__(self, cls: type) -> Codec:
        scalar = array_scalar(cls)
        codec = self._meet(cls) if scalar is None else ScalarCodec(scalar)
        if codec is None:
            raise KeyError(cls)
        self[cls] = codec
        return codec


class RecipeCodec:
    """An instance of an allowed class becomes a list; the class is told in full once per blob."""

    __slots__ = ("_definition", "_recipe")

    def __init__(self, recipe: Recipe, name: str) -> None:
        self._recipe = recipe
        self._definition = extension(DEFINE, msgpack.packb([recipe.kind, name, *recipe.fields]))

    def encode(self, run: "Encoding", value: Any, /) -> Any:
        return [run.head(self._recipe.type, self._definition), *run.items(self._recipe.take(value))]

    def children(self, value: Any, /) -> Iterable[tuple[str, Any]]:
        parts = self._recipe.take(value)
        if self._recipe.fields:
            return [(f".{name}", part) for name, part in zip(self._recipe.fields, parts, strict=True)]
        return [child for part in parts for child in _plain_children(part)]  # a Pydantic model's dicts


class Encoding:
    """The state of one encoding."""

    __slots__ = ("_classes", "_codecs", "_is_careful", "is_doubtful", "is_rich", "pattern_cost")

    def __init__(self, codecs: Mapping[type, Codec], *, is_careful: bool = False) -> None:
        self._codecs = codecs  # where a type is missing, a `CodecTable` may still find its codec
        self._is_careful = is_careful
        self._classes: dict[type, Any] = {}
        self.is_rich = False
        """Whether there are lists with heads."""
        self.is_doubtful = False
        """Whether they hold something that `shield` would have to look into."""
        self.pattern_cost = 0
        """What the regular expressions met so far may cost their reader."""

    def pack(self, value: Any) -> bytes:
        """One pass over `value`.

        Raises:
            Refusal: A value inside cannot be stored.
        """
        try:
            return self._pack(value, None)
        except UnicodeEncodeError:
            # half a surrogate pair, as models emit them at times; to keep it takes the packer's slow way
            self._classes.clear()
            self.pattern_cost = 0
            return self._pack(value, "surrogatepass")

    def _pack(self, value: Any, unicode_errors: str | None) -> bytes:
        packer = msgpack.Packer(default=self._convert, strict_types=True, unicode_errors=unicode_errors)
        return packer.pack(value)  # type: ignore[no-any-return]  # bytes

    def items(self, parts: Iterable[Any]) -> Iterable[Any]:
        """The parts of a value, as they go to the packer in a list with a head."""
        self.is_rich = True
        if self._is_careful:
            return map(shield, parts)
        if not self.is_doubtful and not _SUSPECT.isdisjoint(map(type, parts)):
            self.is_doubtful = True
        return parts

    def head(self, cls: type, definition: Any) -> Any:
        """What stands in front of the parts of an instance of `cls`."""
        refer = self._classes.get(cls)
        if refer is None:
            self._classes[cls] = extension(REFER, reference(len(self._classes)))
            return definition
        return refer

    def _convert(self, value: Any) -> Any:
        try:
            codec = self._codecs[type(value)]
        except KeyError:
            raise Refusal(value) from None
        try:
            return codec.encode(self, value)
        except Unfit as fault:
            raise Refusal(value, str(fault)) from None


def encode(codecs: Mapping[type, Codec], value: Any) -> tuple[bytes, bool]:
    """The bytes of `value`, and whether they hold lists with heads.

    The packer stores a `bytearray` as `bytes` without asking. So once there may be bytes of any kind,
    which shows in the output, the value is looked through, and packed again if need be.
    """
    run = Encoding(codecs)
    data = run.pack(value)
    if 0xC4 in data or 0xC5 in data or 0xC6 in data:
        shielded = shield(value)
        if run.is_doubtful or shielded is not value:
            run = Encoding(codecs, is_careful=True)
            data = run.pack(shielded)
    return data, run.is_rich


def shield(value: Any) -> Any:
    """`value`, or a copy in which what the packer would get wrong has types that it asks about."""
    kind = type(value)
    if kind not in _SUSPECT:
        return value
    if kind is bytearray:
        return Bytearray(value)
    if kind is list:
        return _shield_list(value)
    if kind is dict:
        _shield_list(list(value))  # of the keys none is replaced, but some are refused
        items = list(value.values())
        shielded = _shield_list(items)
        return value if shielded is items else dict(zip(value, shielded, strict=True))
    raise Refusal(value)


def _shield_list(items: list[Any]) -> list[Any]:
    if _SUSPECT.isdisjoint(map(type, items)):
        return items
    shielded = [shield(item) for item in items]
    return items if all(map(is_, items, shielded)) else shielded


# -- where a refused value is


def find_path(codecs: Mapping[type, Codec], root: Any, target: Any) -> str:
    """The path from `root` to the very object `target`; empty if it is not found."""
    stack, seen = [("", root)], {}
    while stack:
        path, value = stack.pop()
        if value is target:
            return path
        if id(value) not in seen:
            seen[id(value)] = value  # kept alive, so that no other value gets its id
            stack.extend((path + step, child) for step, child in _children(codecs, value))
    return ""


def _children(codecs: Mapping[type, Codec], value: Any) -> Iterable[tuple[str, Any]]:
    codec = codecs.get(type(value))
    try:
        return codec.children(value) if codec is not None else _plain_children(value)
    except Exception:  # the very fault that is being looked for
        return ()


def _plain_children(value: Any) -> Iterator[tuple[str, Any]]:
    if type(value) is list:
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif type(value) is dict:
        for key, item in value.items():
            is_name = isinstance(key, str) and key.isidentifier()
            yield (f".{key}" if is_name else f"[{key!r}]"), item
            yield f"[key {key!r:.80}]", key
