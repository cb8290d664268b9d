"""The contract of serializers."""

from typing import Any, Protocol, runtime_checkable

from aiograph.errors import CheckpointSerializationError

MAX_BYTES = 1_000_000_000
"""Largest blob that is written or read; databases take hardly more as one value."""


@runtime_checkable
class SerializerProtocol(Protocol):
    """Turns a value into a typed blob and back. May be called from several threads at once."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """`(type tag, bytes)` of a value.

        Raises:
            CheckpointSerializationError: The value cannot be stored; the message gives the path to it.
        """
        ...

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of a typed blob.

        Raises:
            CheckpointDeserializationError: The blob cannot be read back.
        """
        ...


class UnstorableValueError(CheckpointSerializationError):
    """A value cannot be stored.

    Attributes:
        path: Where it is, seen from the value that was to be stored: `[3].meta.x`.
        reason: Why it cannot be stored, and what to do about it.
        owner: What it was to be stored for: a checkpoint, a task.
    """

    def __init__(self, path: str, reason: str, owner: str = "") -> None:
        self.path = path
        self.reason = reason
        self.owner = owner
        prefix = f"{owner}: " if owner else ""
        super().__init__(f"{prefix}cannot store {path or 'the value'}: {reason}")

    def within(self, outer: str) -> "UnstorableValueError":
        """The same error seen from outside: `[3].x` within `messages` is `messages[3].x`."""
        return UnstorableValueError(outer + self.path, self.reason, self.owner)

    def of(self, owner: object) -> "UnstorableValueError":
        """The same error that tells what the value was to be stored for."""
        return UnstorableValueError(self.path, self.reason, str(owner))
