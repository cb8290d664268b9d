"""The contract of channels finds fault: each of these broken channels fails the check that is about it."""

from collections.abc import Sequence
from typing import Any, Self

import pytest

from aiograph.channels import LastValue
from aiograph.channels.base import MISSING, BaseChannel, Missing
from aiograph.errors import InvalidUpdateError
from aiograph.testing.channels import ChannelContract

Any_ = BaseChannel[Any, Any, Any]


class Log(BaseChannel[list[int], int, list[int]]):
    """A sound channel that the broken ones derive from: collects numbers."""

    def __init__(self, typ: Any = list, key: str = "log") -> None:
        super().__init__(typ, key)
        self.items: list[int] = []

    def checkpoint(self) -> list[int] | Missing:
        return self.items or MISSING

    def from_checkpoint(self, checkpoint: list[int] | Missing) -> Self:
        new = self.copy()
        new.items = [] if checkpoint is MISSING else checkpoint
        return new

    def get(self) -> list[int]:
        if not self.items:
            raise self._empty()
        return self.items

    def update(self, values: Sequence[int]) -> bool:
        if any(value < 0 for value in values):
            raise self._refused("takes no negative numbers")
        self.items = [*self.items, *values]
        return bool(values)


class InPlace(Log):
    def update(self, values: Sequence[int]) -> bool:
        self.items.extend(values)
        return bool(values)


class NotAtomic(Log):
    def update(self, values: Sequence[int]) -> bool:
        changed = False
        for value in values:
            changed |= super().update([value])
        return changed


class Silent(Log):
    def update(self, values: Sequence[int]) -> bool:
        super().update(values)
        return False


class Forgetful(Log):
    def from_checkpoint(self, checkpoint: list[int] | Missing) -> Self:
        new = super().from_checkpoint(checkpoint)
        new.items = new.items[1:]
        return new


class Nameless(Log):
    def from_checkpoint(self, checkpoint: list[int] | Missing) -> Self:
        new = super().from_checkpoint(checkpoint)
        new.key = ""
        return new


class Sticky(Log):
    def from_checkpoint(self, checkpoint: list[int] | Missing) -> Self:
        return self.copy() if checkpoint is MISSING else super().from_checkpoint(checkpoint)


class Itself(Log):
    def copy(self) -> Self:
        return self


class Lying(Log):
    def is_available(self) -> bool:
        return True


class WrongError(Log):
    def get(self) -> list[int]:
        if not self.items:
            raise LookupError(self.key)
        return self.items

    def is_available(self) -> bool:
        return bool(self.items)


class Refusing(Log):
    def update(self, values: Sequence[int]) -> bool:
        try:
            return super().update(values)
        except InvalidUpdateError:
            raise ValueError(self.key) from None


class HalfTransient(Log):
    transient = True


class Leaking(Log):
    persistent = False


class Restless(Log):
    def consume(self) -> bool:
        return True


class Endless(Log):
    def finish(self) -> bool:
        return True


class Unmarked(Log):
    consumable = False

    def consume(self) -> bool:
        changed = bool(self.items)
        self.items = []
        return changed


class Unasked(Log):
    awaits_finish = False

    def finish(self) -> bool:
        changed = bool(self.items)
        self.items = []
        return changed


class Moody(Log):
    def is_same_spec(self, other: Any_) -> bool:
        return super().is_same_spec(other) and self.items == getattr(other, "items", None)


class Broad(Log):
    def is_same_spec(self, other: Any_) -> bool:
        return True


class Vanishing(Log):
    def is_empty(self) -> bool:
        return True


class Renaming(Log):
    def named(self, key: str, typ: Any = None) -> Self:
        self.key = key
        return self


def contract_of(kind: type[Log]) -> ChannelContract:
    class Contract(ChannelContract):
        def channel(self) -> Any_:
            return kind()

        def batches(self) -> Sequence[Sequence[Any]]:
            return [[1], [2, 3]]

        def refused(self) -> Sequence[Sequence[Any]]:
            return [[4, -1]]

    return Contract()


CHECKS = [name for name in dir(ChannelContract) if name.startswith("test_")]


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_channel_passes(check: str) -> None:
    getattr(contract_of(Log), check)()


BROKEN: list[tuple[type[Log], str]] = [
    (InPlace, "test_what_happens_to_a_copy_never_shows_in_the_original"),
    (InPlace, "test_what_happens_to_the_original_never_shows_in_a_copy"),
    (InPlace, "test_values_are_never_changed_in_place"),
    (InPlace, "test_refused_writes_change_nothing"),
    (NotAtomic, "test_refused_writes_change_nothing"),
    (Refusing, "test_refused_writes_change_nothing"),
    (Silent, "test_a_change_never_goes_unsaid"),
    (Silent, "test_every_batch_changes_the_channel"),
    (Forgetful, "test_what_is_stored_makes_the_channel_again"),
    (Nameless, "test_what_is_stored_makes_the_channel_again"),
    (Sticky, "test_restored_from_missing_it_is_as_before_the_first_write"),
    (Itself, "test_a_copy_is_the_same_and_stays_the_same"),
    (Itself, "test_restoring_leaves_the_channel_alone_that_it_is_asked_of"),
    (Lying, "test_get_works_exactly_when_the_channel_is_available"),
    (WrongError, "test_reading_nothing_is_an_error_that_names_the_key"),
    (HalfTransient, "test_a_superstep_without_writes_empties_it_if_it_is_transient_and_is_nothing_else"),
    (Leaking, "test_a_value_is_stored_unless_the_channel_is_not_persistent"),
    (Restless, "test_what_was_consumed_cannot_be_consumed_again"),
    (Endless, "test_the_finish_comes_once"),
    (Unmarked, "test_only_consumable_channels_change_when_consumed"),
    (Unasked, "test_only_channels_that_await_the_finish_change_at_it"),
    (Moody, "test_equal_specs_are_recognised_whatever_the_channels_hold"),
    (Broad, "test_a_channel_of_another_class_has_another_spec"),
    (Vanishing, "test_an_empty_channel_is_like_a_new_one"),
    (Renaming, "test_a_named_copy_bears_the_name_and_leaves_the_original_alone"),
]


def test_every_check_has_a_channel_that_fails_it() -> None:
    assert {check for _, check in BROKEN} == set(CHECKS)


@pytest.mark.parametrize(("kind", "check"), BROKEN)
def test_a_broken_channel_fails(kind: type[Log], check: str) -> None:
    with pytest.raises(AssertionError):
        getattr(contract_of(kind), check)()


def test_one_batch_is_too_little_to_judge_by() -> None:
    class Contract(ChannelContract):
        def channel(self) -> Any_:
            return LastValue(int, "total")

        def batches(self) -> Sequence[Sequence[Any]]:
            return [[1]]

    with pytest.raises(AssertionError, match="at least two supersteps"):
        Contract().test_every_batch_changes_the_channel()
