"""Seals: what happens to encoded bytes between the serializer and the storage.

A seal gives content an address, by which a saver finds what it has stored already, and closes it: the
bytes are compressed where that pays, and encrypted where that is asked for. What was done to them stands
in the type tag: `msgpack+zlib`. The plain seal is here; the one that encrypts comes with its serializer.
"""

import zlib
from hashlib import blake2b
from struct import Struct
from typing import Protocol, runtime_checkable

from aiograph.checkpoint.serde.base import MAX_BYTES, SerializerProtocol
from aiograph.errors import CheckpointDeserializationError

ADDRESS_BYTES = 16
"""Length of an address."""

COMPRESS_FROM = 2048
"""Bytes from which on compression is tried."""

_LEVEL = 1
"""Higher levels of zlib save a few percent more and take three times as long."""

_ZLIB = "+zlib"
_AS_IS = "+as-is"
_MARKS = (_ZLIB, _AS_IS)
"""A tag of someone's serializer that ends like ours gets the second one, so that it is not taken for ours."""

_FREE_GROWTH = 8 * 2**20
_MAX_GROWTH = 16
"""A row may grow to the larger of 8 MiB and 16 times its size: what would grow further is not compressed."""


class Seal(Protocol):
    """Closes content before it is stored, and opens it again. May be used from several threads at once."""

    def address(self, tag: str, data: bytes, refs: bytes) -> bytes:
        """16 bytes that identify this content.

        Args:
            tag: The type tag of the serializer.
            data: What the serializer made.
            refs: The addresses of the contents that this one refers to, joined.
        """
        ...

    def close(self, tag: str, data: bytes, bound: bytes) -> tuple[str, bytes]:
        """What is stored of it.

        Args:
            tag: The type tag of the serializer.
            data: What the serializer made.
            bound: Where it is stored. Nothing that is closed here opens elsewhere, if the seal can see to it.
        """
        ...

    def open(self, tag: str, data: bytes, bound: bytes) -> tuple[str, bytes]:
        """What was closed.

        Raises:
            CheckpointDeserializationError: It was not closed by a seal of this kind, or elsewhere, or was
                changed since.
        """
        ...


@runtime_checkable
class SealingSerializer(SerializerProtocol, Protocol):
    """A serializer that has a seal of its own, such as the one that encrypts."""

    @property
    def seal(self) -> Seal:
        """What closes and opens the blobs."""
        ...

    @property
    def serde(self) -> SerializerProtocol:
        """What makes the blobs that the seal closes."""
        ...


def seal_of(serde: SerializerProtocol) -> Seal:
    """The seal that goes with a serializer: its own, or else the one that only compresses."""
    return serde.seal if isinstance(serde, SealingSerializer) else PLAIN


def content_serde(serde: SerializerProtocol) -> SerializerProtocol:
    """The serializer of what is to be sealed: the one inside of a sealing one, or else itself."""
    return serde.serde if isinstance(serde, SealingSerializer) else serde


class PlainSeal:
    """Compresses where that pays. Who can write to the storage can forge what it opens."""

    def address(self, tag: str, data: bytes, refs: bytes) -> bytes:
        return digest(tag.encode(), data, refs)

    def close(self, tag: str, data: bytes, bound: bytes) -> tuple[str, bytes]:
        return compressed(tag, data)

    def open(self, tag: str, data: bytes, bound: bytes) -> tuple[str, bytes]:
        return expanded(tag, data) if tag.endswith(_MARKS) else (tag, data)


PLAIN = PlainSeal()


def digest(tag: bytes, data: bytes, refs: bytes, key: bytes = b"") -> bytes:
    """The address of some content; with a key, one that says nothing about it to those without the key.

    The lengths go in too, so that no content has the address of another that only joins to the same bytes.
    """
    lengths = _LENGTHS.pack(len(tag), len(data), len(refs))
    return blake2b(lengths + tag + data + refs, digest_size=ADDRESS_BYTES, key=key).digest()


_LENGTHS = Struct(">3Q")


# -- compression


def compressed(tag: str, data: bytes) -> tuple[str, bytes]:
    """Tag and data, compressed if that saves a fifth."""
    if len(data) >= COMPRESS_FROM:
        packed = zlib.compress(data, _LEVEL)
        pays = len(packed) * 5 <= len(data) * 4
        if pays and len(data) <= _limit(packed):
            return tag + _ZLIB, packed
    return (tag + _AS_IS if tag.endswith(_MARKS) else tag), data


def expanded(tag: str, data: bytes) -> tuple[str, bytes]:
    """What `compressed` was given.

    Raises:
        CheckpointDeserializationError: The data are damaged, or would take more memory than any that were
            compressed here.
    """
    if not tag.endswith(_ZLIB):
        return tag.removesuffix(_AS_IS), data
    limit, reader = _limit(data), zlib.decompressobj()
    try:
        plain = reader.decompress(data, limit + 1)
    except zlib.error as error:
        raise CheckpointDeserializationError(f"a compressed value is damaged: {error}") from error
    if len(plain) > limit:
        raise CheckpointDeserializationError("a compressed value is larger than any that was stored")
    if not reader.eof or reader.unused_data:
        raise CheckpointDeserializationError("a compressed value is damaged: its end is not where it belongs")
    return tag.removesuffix(_ZLIB), plain


def _limit(packed: bytes) -> int:
    """How many bytes a compressed value may stand for."""
    return min(MAX_BYTES, max(_FREE_GROWTH, _MAX_GROWTH * len(packed)))
