"""Managed values: what they say in the first, the last but one, and the last possible superstep."""

from typing import get_args

import pytest

from aiograph.managed import IsLastStep, ManagedValue, RemainingSteps


@pytest.mark.parametrize(("remaining", "is_last"), [(4, False), (1, False), (0, True)])
def test_values_follow_from_the_supersteps_that_remain(remaining: int, is_last: bool) -> None:
    _, manager = get_args(RemainingSteps)
    assert manager.get(remaining) == remaining
    _, manager = get_args(IsLastStep)
    assert manager.get(remaining) is is_last


def test_managed_value_of_ones_own_needs_a_value() -> None:
    class Incomplete(ManagedValue[int]):
        pass

    with pytest.raises(TypeError, match="get"):
        Incomplete()  # type: ignore[abstract]  # what is refused
