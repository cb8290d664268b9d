"""The contract of channels as tests: what the engine relies on, whatever a channel does with its writes.

Needs no particular test runner: the checks are methods called `test_...` that use plain `assert`.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from aiograph.channels.base import MISSING, BaseChannel
from aiograph.channels.last_value import LastValue
from aiograph.errors import EmptyChannelError, InvalidUpdateError

__all__ = ["ChannelContract"]

Channel: TypeAlias = BaseChannel[Any, Any, Any]
Verb: TypeAlias = Callable[[Channel], bool]


class _View(NamedTuple):
    """All that the engine can learn of a channel without changing it, as it was when it was looked at."""

    available: bool
    value: Any
    checkpoint: Any
    is_empty: bool


class ChannelContract(ABC):
    """What every channel has to do. Subclass it, name the subclass `Test...`, and say what to test with.

    The samples must be comparable with `==` and copyable with `copy.deepcopy`.

    Examples:
        >>> class TestMaximum(ChannelContract):
        ...     def channel(self):
        ...         return Maximum(int, key="peak")
        ...
        ...     def batches(self):
        ...         return [[3], [1, 7], [9]]
        ...
        ...     def refused(self):
        ...         return [["nine"], [10, "nine"]]
    """

    @abstractmethod
    def channel(self) -> Channel:
        """A new channel that has a key; each call makes another one, equal to the last."""

    @abstractmethod
    def batches(self) -> Sequence[Sequence[Any]]:
        """The writes of two or more supersteps, one after the other, each of which changes the channel."""

    def refused(self) -> Sequence[Sequence[Any]]:
        """Writes of a superstep that the channel never takes and answers with `InvalidUpdateError`."""
        return ()

    # -- reading -------------------------------------------------------------------------------

    def test_get_works_exactly_when_the_channel_is_available(self) -> None:
        for channel in self._stages():
            error = _raised_by(channel.get)
            assert (error is None) == channel.is_available(), f"{channel!r}: get raised {error!r}"

    def test_reading_nothing_is_an_error_that_names_the_key(self) -> None:
        for channel in self._stages():
            if not channel.is_available():
                error = _raised_by(channel.get)
                assert isinstance(error, EmptyChannelError), f"{channel!r}: get raised {error!r}"
                assert channel.key, "give the channel of the contract a key"
                assert channel.key in str(error), f"the message does not name {channel.key!r}: {error}"

    def test_an_empty_channel_is_like_a_new_one(self) -> None:
        for channel in self._stages():
            if channel.is_empty():
                assert _view(channel) == _view(self.channel())

    # -- copies --------------------------------------------------------------------------------

    def test_a_copy_is_the_same_and_stays_the_same(self) -> None:
        for channel in self._stages():
            twin = channel.copy()
            assert twin is not channel
            assert type(twin) is type(channel)
            assert (twin.key, twin.typ) == (channel.key, channel.typ)
            self._assert_alike(twin, channel)

    def test_what_happens_to_a_copy_never_shows_in_the_original(self) -> None:
        for channel in self._stages():
            before = _view(channel)
            for verb in self._verbs():
                verb(channel.copy())
                assert _view(channel) == before, f"{channel!r} changed with its copy"

    def test_what_happens_to_the_original_never_shows_in_a_copy(self) -> None:
        for channel in self._stages():
            twin, before = channel.copy(), _view(channel)
            for verb in self._verbs():
                verb(channel)
                assert _view(twin) == before, f"a copy of {channel!r} changed with it"

    def test_a_named_copy_bears_the_name_and_leaves_the_original_alone(self) -> None:
        channel = self.channel()
        key = channel.key
        named = channel.named("another", str)
        assert (channel.key, named.key) == (key, "another")
        if channel.typ is not None:
            assert named.typ == channel.typ
            self._assert_alike(named, channel)

    # -- storage -------------------------------------------------------------------------------

    def test_what_is_stored_makes_the_channel_again(self) -> None:
        for channel in self._stages():
            if channel.persistent:
                restored = self.channel().from_checkpoint(channel.checkpoint())
                assert type(restored) is type(channel)
                assert (restored.key, restored.typ) == (channel.key, channel.typ)
                self._assert_alike(restored, channel)

    def test_restoring_leaves_the_channel_alone_that_it_is_asked_of(self) -> None:
        for channel in self._stages():
            before = _view(channel)
            for stage in self._stages():
                assert channel.from_checkpoint(stage.checkpoint()) is not channel
                assert _view(channel) == before

    def test_restored_from_missing_it_is_as_before_the_first_write(self) -> None:
        for channel in self._stages():
            self._assert_alike(channel.from_checkpoint(MISSING), self.channel())

    def test_a_value_is_stored_unless_the_channel_is_not_persistent(self) -> None:
        for channel in self._stages():
            if not channel.persistent:
                assert channel.checkpoint() is MISSING
            elif channel.is_available():
                assert channel.checkpoint() is not MISSING

    # -- changes -------------------------------------------------------------------------------

    def test_every_batch_changes_the_channel(self) -> None:
        channel = self.channel()
        assert len(self.batches()) > 1, "batches() must give the writes of at least two supersteps"
        for batch in self.batches():
            assert channel.update(batch) is True, f"{channel!r} says that {batch!r} made no change"

    def test_a_change_never_goes_unsaid(self) -> None:
        for channel in self._stages():
            for verb in self._verbs():
                before = _view(channel)
                changed = verb(channel)
                assert changed or _view(channel) == before, f"{channel!r} changed and said False"

    def test_values_are_never_changed_in_place(self) -> None:
        for channel in self._stages():
            held = (channel.get() if channel.is_available() else None, channel.checkpoint(), self.batches())
            before = copy.deepcopy(held)
            for batch in held[2]:
                channel.update(batch)
            for verb in self._verbs():
                verb(channel)
            assert held == before, f"{channel!r} changed a value, a checkpoint or a write in place"

    def test_refused_writes_change_nothing(self) -> None:
        for batch in self.refused():
            for channel, untouched in zip(self._stages(), self._stages(), strict=True):
                error = _raised_by(partial(channel.update, batch))
                assert isinstance(error, InvalidUpdateError), f"{channel!r}: {batch!r} raised {error!r}"
                assert repr(channel.key) in str(error), f"the message does not name {channel.key!r}: {error}"
                self._assert_alike(channel, untouched)

    def test_a_superstep_without_writes_empties_it_if_it_is_transient_and_is_nothing_else(self) -> None:
        for channel in self._stages():
            before = _view(channel)
            changed = channel.update([])
            if channel.transient:
                assert changed == (not before.is_empty)
                self._assert_alike(channel, self.channel())
            else:
                assert not changed
                assert _view(channel) == before

    def test_only_consumable_channels_change_when_consumed(self) -> None:
        for channel in self._stages():
            assert not channel.consume() or channel.consumable

    def test_what_was_consumed_cannot_be_consumed_again(self) -> None:
        for channel in self._stages():
            channel.consume()
            assert channel.consume() is False

    def test_only_channels_that_await_the_finish_change_at_it(self) -> None:
        for channel in self._stages():
            assert not channel.finish() or channel.awaits_finish

    def test_the_finish_comes_once(self) -> None:
        for channel in self._stages():
            channel.finish()
            assert channel.finish() is False

    # -- specs ---------------------------------------------------------------------------------

    def test_equal_specs_are_recognised_whatever_the_channels_hold(self) -> None:
        new = self.channel()
        for channel in self._stages():
            assert channel.is_same_spec(new)
            assert new.is_same_spec(channel)

    def test_a_channel_of_another_class_has_another_spec(self) -> None:
        channel = self.channel()
        assert not channel.is_same_spec(_Stranger(channel.typ))
        assert not _Stranger(channel.typ).is_same_spec(channel)

    # -- tools ---------------------------------------------------------------------------------

    def _stages(self) -> list[Channel]:
        """Channels at every point of a life: new, after each batch, after the finish, after consumption."""
        lives = [self._lived(count) for count in range(len(self.batches()) + 1)]
        finished, consumed = self._lived(), self._lived()
        finished.finish()
        consumed.finish()
        consumed.consume()
        return [*lives, finished, consumed]

    def _lived(self, count: int | None = None) -> Channel:
        channel = self.channel()
        for batch in self.batches()[:count]:
            channel.update(batch)
        return channel

    def _verbs(self) -> list[Verb]:
        """Everything that may change a channel."""

        def writing(batch: Sequence[Any]) -> Verb:
            return lambda channel: channel.update(batch)

        updates = [writing(batch) for batch in [*self.batches(), []]]
        return [*updates, lambda channel: channel.finish(), lambda channel: channel.consume()]

    def _assert_alike(self, one: Channel, other: Channel) -> None:
        """Checks that the two are the same now and stay so, whatever happens to both. Uses them up."""
        assert _view(one) == _view(other)
        for verb in self._verbs():
            assert verb(one) == verb(other), f"{one!r} and {other!r} differ in what changes them"
            assert _view(one) == _view(other)


class _Stranger(LastValue[Any]):
    """A class that no tested channel has."""

    __slots__ = ()


def _view(channel: Channel) -> _View:
    value = channel.get() if channel.is_available() else MISSING
    return copy.deepcopy(_View(channel.is_available(), value, channel.checkpoint(), channel.is_empty()))


def _raised_by(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None
