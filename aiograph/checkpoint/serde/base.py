"""The contract of serializers."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class SerializerProtocol(Protocol):
    """Turns a value into a typed blob and back."""

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
