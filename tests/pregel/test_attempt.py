"""How long a retry waits."""

from aiograph.pregel._attempt import delay
from aiograph.types import RetryPolicy


def test_delays_grow_up_to_the_greatest_one() -> None:
    policy = RetryPolicy(initial_interval=0.5, backoff_factor=2.0, max_interval=3.0, jitter=False)
    assert [delay(policy, number) for number in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_delay_that_no_float_can_hold_is_the_greatest_one() -> None:
    assert delay(RetryPolicy(max_attempts=10_000, jitter=False), 5_000) == 128.0
