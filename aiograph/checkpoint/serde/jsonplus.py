"""The default serializer: strict, compact, and deaf to anything that a stored row may suggest.

Values become [msgpack](https://msgpack.org). What msgpack itself does not know is either an extension
(`_codecs` has the table), or a list whose first item, the head, is an extension that tells what the list
stands for: a tuple, a set, an instance of an allowed class. So everything is packed in a single pass, and
depth and size are bounded by msgpack's own limits.

| tag | the blob is |
|---|---|
| `null` | empty: `None` |
| `bytes` | the `bytes` themselves |
| `msgpack` | msgpack without heads |
| `msgpack-rich` | msgpack with heads |

| extension codes | are |
|---|---|
| 1 to 31 | scalars: integers of more than 64 bits, bytearray, datetime, UUID, Decimal, arrays, ... |
| 32 to 63 | heads of containers: tuple, set, frozenset, deque, ... |
| 64 | the head of an instance: msgpack of its class's kind, name and field names |
| 65 | the head of another instance of the n-th class that the blob has defined |

A class is named `module:qualified name`, one of our own `aiograph:Name`, and a registered one `:name`.
How a tag goes on, as in `msgpack+zlib`, tells what a seal has done to the blob.

Tags and codes are part of the stored format; they never change their meaning.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, TypeVar

from msgpack import packb  # type: ignore[import-untyped]  # has no annotations

from aiograph.channels.dynamic_barrier_value import WaitForNames
from aiograph.checkpoint.serde._budget import check_written
from aiograph.checkpoint.serde._codecs import CONTAINERS, SCALARS
from aiograph.checkpoint.serde._decode import Definitions, RichDecoding, decode_plain, joinable, joined
from aiograph.checkpoint.serde._encode import (
    Codec,
    CodecTable,
    ContainerCodec,
    PatternCodec,
    RecipeCodec,
    Refusal,
    ScalarCodec,
    encode,
    find_path,
)
from aiograph.checkpoint.serde._kinds import Recipe, recipe_for, record, registered
from aiograph.checkpoint.serde._messages import name_of, recipe_named
from aiograph.checkpoint.serde._reach import reachable
from aiograph.checkpoint.serde.base import MAX_BYTES, UnstorableValueError
from aiograph.errors import CheckpointDeserializationError
from aiograph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy

T = TypeVar("T")

_BUILT_IN: dict[type, Codec] = {
    **{cls: ScalarCodec(scalar) for cls, scalar in SCALARS.items()},
    **{cls: ContainerCodec(container) for cls, container in CONTAINERS.items()},
    re.Pattern: PatternCodec(CONTAINERS[re.Pattern]),
}

_NATIVE = frozenset({type(None), bool, int, float, str, bytes, bytearray, list, dict})
"""Types that the packer stores without asking."""

_ATOMS = frozenset({bool, int, float, str})
"""Types that need none of the machinery, as a rule."""

_OWN = (Command, Interrupt, Overwrite, TimeoutPolicy, WaitForNames)
"""Our own dataclasses; always allowed, and stored under names that moving them does not change."""


class JsonPlusSerializer:
    """Stores plain data, common types of the standard library, and instances of the classes it allows.

    Enums, dataclasses, named tuples and Pydantic models have to be allowed; those that a graph's schemas
    mention are, and so are the messages of aiograph and of LangChain. Values come back as what they were. A
    value that could not be read back is refused when it is stored. Reading imports no module but those of
    messages and never runs code of a class that is not allowed; of an allowed class it runs default
    factories, for fields that a stored instance lacks. What a blob may cost its reader is bounded. Classes of
    any other kind can be stored by functions that `register` is given.

    Args:
        allow: Classes to allow, with all that their annotations mention.
        allowed_msgpack_modules: Further classes to allow, given as classes or as `(module, name)`; those
            modules are imported at once.

    Examples:
        >>> serializer = JsonPlusSerializer()
        >>> serializer.loads_typed(serializer.dumps_typed({1, 2}))
        {1, 2}
    """

    def __init__(
        self,
        *,
        allow: Iterable[type] = (),
        allowed_msgpack_modules: Iterable[type | tuple[str, str]] | None = None,
    ) -> None:
        self._codecs = CodecTable(_BUILT_IN, self._meet)
        self._recipes: dict[str, Recipe] = {}
        self._definitions = Definitions(self._recipe)
        self._seen: set[Any] = set()
        self._settled: set[type] = {*_BUILT_IN, *_OWN, Send}
        """Types that `allow` leaves alone."""
        self._learn("aiograph:Send", record(Send, ("node", "arg", "timeout"), {"timeout": lambda: None}))
        for cls in _OWN:
            self._learn(f"aiograph:{cls.__name__}", recipe_for(cls))
        self._seen.update(self._codecs)
        self._readers: dict[str, Callable[[bytes], Any]] = {
            "null": _read_nothing,
            "bytes": bytes,
            "msgpack": decode_plain,
            "msgpack-rich": self._read_rich,
        }
        self.allow(allow)
        self.allow(_resolve(each) for each in allowed_msgpack_modules or ())

    def allow(self, types: Iterable[type]) -> None:
        """Allows classes, and all classes that their annotations mention.

        Classes whose instances cannot be stored are left out: it is only an instance that is refused. Of
        two classes with the same module and name, stored instances become those of the later one.
        """
        new = [cls for cls in types if cls not in self._seen]
        self._seen.update(new)
        for cls in reachable(new):
            self._allow_one(cls)

    def register(
        self, cls: type[T], *, name: str, encode: Callable[[T], Any], decode: Callable[[Any], T]
    ) -> None:
        """Stores instances of one class, not of its subclasses, as what a function makes of them.

        Args:
            cls: The class.
            name: Stands for the class in storage. It has to stay the same as long as values are kept.
            encode: Makes plain data, or anything else that can be stored, of an instance.
            decode: Makes an instance of that again. Its argument comes from the storage, so it should
                look at what it gets.

        Raises:
            ValueError: The name is empty or taken, or the class is stored as what it is anyway.

        Examples:
            >>> from array import array
            >>> serializer = JsonPlusSerializer()
            >>> serializer.register(array, name="array", encode=list, decode=lambda items: array("d", items))
            >>> serializer.loads_typed(serializer.dumps_typed(array("d", [1.5])))
            array('d', [1.5])
        """
        stored_name = f":{name}"  # the name of an allowed class begins with its module
        if not name or stored_name in self._recipes:
            raise ValueError(f"the name {name!r} is taken, or none")
        if cls in self._settled or cls in _NATIVE:
            raise ValueError(f"how instances of {cls.__qualname__} are stored is settled already")
        self._settled.add(cls)
        self._learn(stored_name, registered(cls, encode, decode))

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """`(type tag, bytes)` of a value.

        Raises:
            CheckpointSerializationError: The value cannot be stored; the message gives the path to it.
        """
        if obj is None:
            return "null", b""
        if type(obj) is bytes:
            return "bytes", obj
        data, is_rich = self._encode_atom(obj) if type(obj) in _ATOMS else self._encode(obj)
        if len(data) > MAX_BYTES:
            raise UnstorableValueError("", f"it takes {len(data):,} bytes, which is more than {MAX_BYTES:,}")
        return ("msgpack-rich" if is_rich else "msgpack"), data

    def dumps_plain(self, items: list[Any]) -> tuple[str, bytes]:
        """What `dumps_typed` makes, sooner, of a list that holds but names, numbers and lists of these.

        Raises:
            CheckpointSerializationError: It holds something else, which cannot be stored.
        """
        try:
            return "msgpack", packb(items, strict_types=True)
        except (TypeError, OverflowError, ValueError):
            return self.dumps_typed(items)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of a typed blob.

        Raises:
            CheckpointDeserializationError: The blob cannot be read back.
        """
        tag, blob = data
        read = self._readers.get(tag)
        if read is None:
            raise CheckpointDeserializationError(f"cannot read a value of the unknown kind {tag!r:.100}")
        if len(blob) > MAX_BYTES:
            raise CheckpointDeserializationError(f"a value of {len(blob):,} bytes is larger than any stored")
        try:
            return read(blob)
        except Exception as error:
            raise CheckpointDeserializationError(f"cannot read a stored value: {_brief(error)}") from error

    def loads_many(self, tag: str, blobs: Sequence[bytes]) -> list[Any]:
        """The values of blobs of one kind, in order; what is small is read in one piece with others.

        Raises:
            CheckpointDeserializationError: One of them cannot be read back.
        """
        if tag != "msgpack":
            return [self.loads_typed((tag, blob)) for blob in blobs]
        values: list[Any] = []
        for group in joinable(blobs):
            if len(group) == 1:
                values.append(self.loads_typed((tag, group[0])))
            else:
                values += self.loads_typed((tag, joined(group)))
        return values

    # -- allowing

    def _allow_one(self, cls: type) -> None:
        if cls not in self._settled and self._meet(cls) is None:
            recipe = recipe_for(cls)
            if recipe is not None:
                self._learn(f"{cls.__module__}:{cls.__qualname__}", recipe)

    def _meet(self, cls: type) -> Codec | None:
        """The codec of a class of messages: they are allowed, but not imported before there is one."""
        name = name_of(cls)
        recipe = None if name is None else self._recipe(name)
        return self._codecs[cls] if recipe is not None and recipe.type is cls else None

    def _recipe(self, name: str) -> Recipe | None:
        recipe = self._recipes.get(name)
        if recipe is None and (recipe := recipe_named(name)) is not None:
            self._learn(name, recipe)
        return recipe

    def _learn(self, name: str, recipe: Recipe | None) -> None:
        assert recipe is not None
        self._recipes[name] = recipe
        self._definitions.forget()
        self._codecs[recipe.type] = RecipeCodec(recipe, name)

    # -- encoding and decoding

    def _encode_atom(self, value: Any) -> tuple[bytes, bool]:
        try:
            return packb(value), False
        except (OverflowError, UnicodeEncodeError):  # beyond what msgpack knows
            return self._encode(value)

    def _encode(self, value: Any) -> tuple[bytes, bool]:
        try:
            data, is_rich = encode(self._codecs, value)
            check_written(data)
            return data, is_rich
        except Refusal as refusal:
            path = find_path(self._codecs, value, refusal.value)
            raise UnstorableValueError(path, refusal.reason or _why(type(refusal.value))) from None
        except Exception as error:
            is_endless = isinstance(error, RecursionError) or "recursion limit" in str(error)
            reason = "it contains itself, or is nested too deeply" if is_endless else _brief(error)
            raise UnstorableValueError("", reason) from error

    def _read_rich(self, blob: bytes) -> Any:
        return RichDecoding(self._definitions).load(blob)


def _read_nothing(blob: bytes) -> None:
    if blob:
        raise ValueError("there are bytes where none belong")


def _resolve(cls: "type | tuple[str, str]") -> type:
    """The class that a user has named."""
    if isinstance(cls, type):
        return cls
    module, name = cls
    found = getattr(import_module(module), name)
    if not isinstance(found, type):
        raise TypeError(f"allowed_msgpack_modules: {module}.{name} is not a class")
    return found


def _why(cls: type) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if recipe_for(cls) is None:
        return (
            f"values of the type {name} cannot be stored; store what they can be made from, or keep them "
            "in an UntrackedValue channel"
        )
    return (
        f"the type {name} is not allowed; mention it in the graph's state schema or a task's annotations, or "
        f"pass JsonPlusSerializer(allow=[{cls.__name__}]) to the saver"
    )


def _brief(error: Exception) -> str:
    return f"{error!s:.1000} ({type(error).__name__})"
