"""Those who look on while a run goes: who is shown what it does, and who waits for a sign of life from it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Listener(Protocol):
    """Somebody who is shown what a run does, and runs nested in it."""

    @property
    def modes(self) -> frozenset[str]:
        """The stream modes that are listened to."""
        ...

    @property
    def sees_nested_runs(self) -> bool:
        """Whether what nested runs do is to be shown as well."""
        ...

    @property
    def heard(self) -> Any:
        """Messages that they know of."""
        ...

    def show(self, mode: str, payload: Any) -> None:
        """Shows something, from any loop or thread."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        ...

    async def room(self) -> None:
        """Holds the run back while there is no room for more."""
        ...

    def within(self, place: tuple[str, ...]) -> "Listener":
        """The same listener, for a run that is nested here, at `place`."""
        ...


class Pulse(Protocol):
    """Those who wait for a sign of life from a piece of work. Signs may come from any thread."""

    @property
    def is_over(self) -> bool:
        """Whether they have given up: nothing that the work does counts any more."""
        ...

    def progress(self) -> None:
        """The work has got on."""
        ...

    def heartbeat(self) -> None:
        """The work says that it is alive."""
        ...


class Audience(Protocol):
    """Those who are shown messages."""

    speaking: dict[Any, Any]
    """Calls of models that are under way, by what a library knows them by."""

    def hear(self, message: Any, metadata: Mapping[str, Any]) -> None:
        """Shows what a model says, or a piece of it, from any loop or thread."""
        ...

    async def room(self) -> None:
        """Waits while one of them is slow."""
        ...

    def take_in(self, input: Any) -> None:
        """Notes the messages that a node is called with: that it hands them on is no news."""
        ...

    def read(self, writes: Sequence[Any], metadata: Mapping[str, Any]) -> list[Any]:
        """Shows the messages that a task has written, as far as they are news; returns what to keep."""
        ...


class Showing(Protocol):
    """Shows what a run does to those who listen."""

    @property
    def listeners(self) -> Sequence[Listener]:
        """Those who are shown what runs nested in it do."""
        ...

    @property
    def messages(self) -> Audience | None:
        """Those who are shown messages; `None` if nobody is."""
        ...

    def custom(self, value: Any) -> None:
        """Shows what a node has put on the `"custom"` stream."""
        ...
