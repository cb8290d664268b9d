"""The contract of channels: what holds one key of the state between supersteps.

A channel takes the writes of a superstep all at once, answers what its value is, and says by itself
what is stored of it and when it empties. The engine asks; it never looks at a channel's class.

The engine works on copies: it copies a channel, updates the copy, and puts it in place when every
channel of the superstep has taken its writes. So no verb changes a value in place, and `copy` is cheap.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, Generic, Self, TypeVar

from aiograph.errors import EmptyChannelError, ErrorCode, InvalidUpdateError

__all__ = ["MISSING", "BaseChannel", "Missing"]

Value = TypeVar("Value")
Update = TypeVar("Update")
Checkpoint = TypeVar("Checkpoint")


class Missing(Enum):
    """The type of `MISSING`. An enum, so that copies and pickles are the object itself."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING
"""Stands where a value would stand if there were one; `None` is a value like any other."""


class BaseChannel(Generic[Value, Update, Checkpoint], ABC):
    """Base of all channels.

    To write one: subclass, define `update`, `get`, `checkpoint` and `from_checkpoint`, never change a
    value in place, and have `aiograph.testing.channels.ChannelContract` check it. Attributes of your
    own belong into `__slots__`; a subclass of one of the shipped channels that adds some overrides
    `copy` too, as the shipped ones copy what they know.

    Attributes:
        typ: The type of the value, or of one element where the channel collects.
        key: The state key that the channel stands for; messages of errors name it.
        transient: The value lasts one superstep: one that does not write the channel empties it, as
            `update([])` does.
        persistent: The value is stored in checkpoints.
        consumable: `consume` may change the channel. Set for every class that defines `consume`.
        awaits_finish: `finish` may change the channel. Set for every class that defines `finish`.
        replaces: `update` does nothing but put a write in the place of the value, so a conditional edge
            may be shown that write itself. What other channels make of writes is kept between that and
            the end of the superstep. Not inherited by a class whose `update`, `get` or `is_available` is
            another.
    """

    __slots__ = ("key", "typ")

    transient: bool = False
    persistent: bool = True
    consumable: bool = False
    awaits_finish: bool = False
    replaces: bool = False

    def __init__(self, typ: Any, key: str = "") -> None:
        self.typ = typ
        self.key = key

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for flag, verb in (("consumable", "consume"), ("awaits_finish", "finish")):
            if verb in vars(cls) and flag not in vars(cls):
                setattr(cls, flag, True)
        declaring = next(each for each in cls.__mro__ if "replaces" in vars(each))
        verbs = ("update", "get", "is_available")
        if any(getattr(cls, verb) is not getattr(declaring, verb) for verb in verbs):
            cls.replaces = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_shown(self.typ)}, key={self.key!r})"

    @property
    def ValueType(self) -> Any:
        """The type of what `get` returns."""
        return self.typ

    @property
    def UpdateType(self) -> Any:
        """The type of one write."""
        return self.typ

    @property
    def kind(self) -> str:
        """What has stored its values. Threads on which that has changed may have to be migrated."""
        return type(self).__name__

    # -- as a value ----------------------------------------------------------------------------

    def copy(self) -> Self:
        """A channel with the same value, independent of this one: neither sees the other's updates.

        The value itself is shared, as no verb changes it in place. Called for every written channel
        in every superstep; worth writing by hand.
        """
        return copy.copy(self)

    def named(self, key: str, typ: Any = None) -> Self:
        """A copy that stands for `key`. One that was made without a type takes `typ`.

        For channels that are given as instances in annotations, which several schemas may share.
        """
        named = self.copy()
        named.key = key
        if named.typ is None:
            named.typ = typ
        return named

    def is_same_spec(self, other: "BaseChannel[Any, Any, Any]") -> bool:
        """Whether the two behave alike, whatever they are called and hold: class, type, and options.

        Functions count as the same only if they are the same object; two lambdas never are.
        """
        return type(self) is type(other) and self._spec() == other._spec()

    def _spec(self) -> tuple[Any, ...]:
        """What, beside the class, makes out the behaviour."""
        return (self.typ,)

    # -- storage -------------------------------------------------------------------------------

    @abstractmethod
    def checkpoint(self) -> Checkpoint | Missing:
        """What has to be stored to make this channel again; `MISSING` if nothing has."""

    @abstractmethod
    def from_checkpoint(self, checkpoint: Checkpoint | Missing) -> Self:
        """A new channel of the same spec and key that holds what was stored.

        `MISSING` makes it as it was before its first write. This channel stays as it is.
        """

    # -- reading -------------------------------------------------------------------------------

    @abstractmethod
    def get(self) -> Value:
        """The current value.

        Raises:
            EmptyChannelError: There is none.
        """

    def is_available(self) -> bool:
        """Whether `get` returns a value; a channel that is not available triggers nothing."""
        try:
            self.get()
        except EmptyChannelError:
            return False
        return True

    def is_empty(self) -> bool:
        """Whether a new channel could take this one's place and nobody would see a difference."""
        return not self.is_available() and self.checkpoint() is MISSING

    # -- changing ------------------------------------------------------------------------------

    @abstractmethod
    def update(self, values: Sequence[Update]) -> bool:
        """Takes the writes of one superstep, in task order, and says whether the channel changed.

        All or nothing: if it raises, the channel is as before. An empty sequence means that the
        superstep did not write this channel.

        Raises:
            InvalidUpdateError: The channel does not take these writes.
        """

    def consume(self) -> bool:
        """Takes notice that a task which this channel triggered has run; says whether it changed.

        Comes before the `update` of the same superstep.
        """
        return False

    def finish(self) -> bool:
        """Takes notice that nothing else would run any more; says whether it changed."""
        return False

    # -- errors --------------------------------------------------------------------------------

    def _empty(self, why: str = "nothing has been written to it") -> EmptyChannelError:
        return EmptyChannelError(f"channel {self.key!r} holds no value: {why}")

    def _refused(self, why: str) -> InvalidUpdateError:
        return InvalidUpdateError(f"channel {self.key!r} {why}")

    def _contradicted(self, why: str) -> InvalidUpdateError:
        """For writes of one superstep that are fine one by one and do not go together."""
        error = self._refused(why)
        error.code = ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE
        return error


def _shown(typ: Any) -> str:
    return typ.__qualname__ if isinstance(typ, type) else repr(typ)
