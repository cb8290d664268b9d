"""The serializer that encrypts: AES in Galois/counter mode, with keys that can be replaced.

A row is `length of the key's id, id, nonce, ciphertext with its check`, and its type tag ends in `+aes`.
The check covers the id, the tag, and where the row is stored: so a row does not open if it was changed, if
it was given another tag, or if it was moved to another place.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

from aiograph.checkpoint.serde._seal import Seal, compressed, digest, expanded
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError, MissingExtraError

__all__ = ["EncryptedSerializer"]

T = TypeVar("T")

_AES = "+aes"
_NONCE_BYTES = 12
_CHECK_BYTES = 16
_KEY_LENGTHS = (16, 24, 32)

_VARIABLES = ("AIOGRAPH_AES_KEY", "LANGGRAPH_AES_KEY")
"""Where a key is looked for that was not given."""


class _Cipher(Protocol):
    """`AESGCM` of the cryptography package."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


class EncryptedSerializer:
    """Encrypts what another serializer makes; with a saver, all channel values and task writes.

    Metadata, and the names of threads, channels and nodes, are stored as they are, so that they can be
    searched for. Who can read the storage also sees how long values are, and which are equal within it.

    To replace a key, append the new one and keep the old ones: rows tell which key they need. A key should
    encrypt no more than 2³² rows. Plain rows do not open: a storage is encrypted from its first row on.

    Args:
        serde: What makes the bytes; by default a `JsonPlusSerializer`.
        keys: Keys of 16, 24 or 32 bytes by their ids, the oldest first. Ids are stored as they are.
        current: The id of the key that encrypts; by default the last one of `keys`.
        address_key: From it, equal values get equal addresses that tell nothing else about them. It has to
            stay the same as long as rows are kept. By default the first of `keys` serves, which then has to
            stay the first.

    Raises:
        MissingExtraError: The `crypto` extra is not installed.
        ValueError: A key or an id has the wrong length, or `current` is not among them.
    """

    def __init__(
        self,
        serde: SerializerProtocol | None = None,
        *,
        keys: Mapping[str, bytes],
        current: str | None = None,
        address_key: bytes | None = None,
    ) -> None:
        self._serde = JsonPlusSerializer() if serde is None else serde
        self._seal = _AesSeal(keys, current, address_key)

    @classmethod
    def from_pycryptodome_aes(
        cls, serde: SerializerProtocol | None = None, *, key: bytes | None = None
    ) -> "EncryptedSerializer":
        """With one key, whose id is `""`.

        The name is LangGraph's; what encrypts is the cryptography package.

        Args:
            serde: What makes the bytes; by default a `JsonPlusSerializer`.
            key: 16, 24 or 32 bytes; by default the text of the environment variable `AIOGRAPH_AES_KEY`, or
                else of `LANGGRAPH_AES_KEY`.

        Raises:
            MissingExtraError: The `crypto` extra is not installed.
            ValueError: There is no key, or it has the wrong length.
        """
        return cls(serde, keys={"": _key_of_environment() if key is None else key})

    @property
    def seal(self) -> Seal:
        """What closes and opens the blobs."""
        return self._seal

    @property
    def serde(self) -> SerializerProtocol:
        """What makes the blobs that are encrypted."""
        return self._serde

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """`(type tag, encrypted bytes)` of a value, bound to no place.

        Raises:
            CheckpointSerializationError: The value cannot be stored; the message gives the path to it.
        """
        return self._seal.close(*self._serde.dumps_typed(obj), b"")

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of an encrypted blob.

        Raises:
            CheckpointDeserializationError: The blob was not encrypted by one of the keys, was changed since,
                or cannot be read back.
        """
        return self._serde.loads_typed(self._seal.open(*data, b""))

    def allow(self, types: Iterable[type]) -> None:
        """As `JsonPlusSerializer.allow`; a serializer that allows everything is left alone."""
        allow = getattr(self._serde, "allow", None)
        if allow is not None:
            allow(types)

    def register(
        self, cls: type[T], *, name: str, encode: Callable[[T], Any], decode: Callable[[Any], T]
    ) -> None:
        """As `JsonPlusSerializer.register`.

        Raises:
            TypeError: The serializer inside cannot do it.
            ValueError: The name is empty or taken, or the class is stored as what it is anyway.
        """
        register = getattr(self._serde, "register", None)
        if register is None:
            raise TypeError(f"a {type(self._serde).__name__} does not register functions")
        register(cls, name=name, encode=encode, decode=decode)


class _AesSeal:
    """Compresses where that pays, and encrypts."""

    def __init__(self, keys: Mapping[str, bytes], current: str | None, address_key: bytes | None) -> None:
        if not keys:
            raise ValueError("there has to be a key")
        self._current = list(keys)[-1] if current is None else current
        if self._current not in keys:
            raise ValueError(f"the current key {self._current!r} is not among the keys")
        self._ciphers = {_checked_id(name): _cipher(name, key) for name, key in keys.items()}
        self._address_key = _derived(next(iter(keys.values())) if address_key is None else address_key)

    def address(self, tag: str, data: bytes, refs: bytes) -> bytes:
        return digest(tag.encode(), data, refs, self._address_key)

    def close(self, tag: str, data: bytes, bound: bytes) -> tuple[str, bytes]:
        tag, data = compressed(tag, data)
        tag, name, nonce = tag + _AES, self._current.encode(), os.urandom(_NONCE_BYTES)
        closed = self._ciphers[name].encrypt(nonce, data, _joined(name, tag.encode(), bound))
        return tag, b"".join((bytes([len(name)]), name, nonce, closed))

    def open(self, tag: str, data: bytes, bound: bytes) -> tuple[str, bytes]:
        if not tag.endswith(_AES):
            raise CheckpointDeserializationError(f"a value of the kind {tag!r:.100} is not encrypted")
        name, nonce, closed = _parts(data)
        cipher = self._ciphers.get(name)
        if cipher is None:
            shown = name.decode("utf-8", "replace")
            raise CheckpointDeserializationError(f"a value needs the key {shown!r}, which was not given")
        opened = _opened(cipher, nonce, closed, _joined(name, _encoded(tag), bound))
        return expanded(tag.removesuffix(_AES), opened)


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    """A row's key id, its nonce, and the rest."""
    start = 1 + data[0] if data else 0
    if len(data) < start + _NONCE_BYTES + _CHECK_BYTES:
        raise CheckpointDeserializationError("an encrypted value is cut short")
    return data[1:start], data[start : start + _NONCE_BYTES], data[start + _NONCE_BYTES :]


def _opened(cipher: _Cipher, nonce: bytes, closed: bytes, associated: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(nonce, closed, associated)
    except InvalidTag as error:
        raise CheckpointDeserializationError(
            "an encrypted value does not open: it was changed, belongs elsewhere, or its key is another one"
        ) from error


def _joined(*parts: bytes) -> bytes:
    """The parts with their lengths, so that no other parts join to the same."""
    return b"".join([len(part).to_bytes(8, "big") + part for part in parts])


def _encoded(tag: str) -> bytes:
    return tag.encode("utf-8", "surrogatepass")  # whatever the storage holds


# -- keys


def _checked_id(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > 255:
        raise ValueError(f"the id of a key has 255 bytes at most: {name!r:.100}")
    return encoded


def _cipher(name: str, key: object) -> _Cipher:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtraError("EncryptedSerializer", "crypto") from error
    if not isinstance(key, bytes) or len(key) not in _KEY_LENGTHS:
        raise ValueError(f"the key {name!r} has to be 16, 24 or 32 bytes")
    return AESGCM(key)


def _derived(key: bytes) -> bytes:
    """A key for addresses: one key is not used for two things."""
    if len(key) < min(_KEY_LENGTHS):
        raise ValueError("the key for addresses needs at least 16 bytes")
    return blake2b(b"", key=key[:64], digest_size=32, person=b"aiograph address").digest()


def _key_of_environment() -> bytes:
    for variable in _VARIABLES:
        text = os.environ.get(variable)
        if text:
            return text.encode()
    raise ValueError(f"there is no key; pass one, or set {_VARIABLES[0]}")
