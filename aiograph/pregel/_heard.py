"""Which messages somebody knows who is shown a run. Pure."""

from typing import Any


class Heard:
    """The messages that a consumer has been shown, or that nodes had before they began."""

    __slots__ = ("_ids", "_nameless")

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._nameless: dict[int, Any] = {}
        """Those without an id, by that of the object, which is kept so that no other gets it."""

    def __contains__(self, message: Any) -> bool:
        return message.id in self._ids or id(message) in self._nameless

    def add(self, message: Any) -> None:
        """Notes a message."""
        if message.id is None:
            self._nameless[id(message)] = message
        else:
            self._ids.add(message.id)
