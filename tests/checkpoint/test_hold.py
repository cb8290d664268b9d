"""Holds: when a write may happen, as rules about values."""

from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint._hold import Head, Hold, Step, new_epoch

heads = st.none() | st.builds(Head, st.none() | st.sampled_from("abc"), st.integers(0, 3))


def test_of_two_holds_on_one_head_one_fits() -> None:
    head = Head("a", 1)
    first, second = Hold(head, "a"), Hold(head, "a")
    head = first.step("b").after
    assert not second.step("b").fits(head)
    assert first.step("c").fits(head)


def test_a_step_fits_again_until_the_next_one() -> None:
    hold = Hold(None, None)
    one, two = hold.step("a"), hold.step("b")
    assert one.fits(None)
    assert one.fits(one.after)
    assert two.fits(one.after)
    assert not one.fits(two.after)


@given(heads, heads, heads)
def test_a_step_fits_what_was_read_and_what_it_leaves_and_nothing_else(
    before: Head | None, after: Head | None, found: Head | None
) -> None:
    step = Step(before, after or Head("z", 9))
    assert step.fits(found) == (found in step)


@given(heads)
def test_a_claim_leaves_the_checkpoint_at_the_head(head: Head | None) -> None:
    hold = Hold(head, None)
    claim = hold.claim()
    assert claim.before == head
    assert claim.after == Head(hold.newest, hold.epoch)
    assert hold.step("next").fits(claim.after)


def test_a_run_is_behind_if_it_starts_from_anything_but_the_head() -> None:
    assert Hold(Head("b", 1), "a").is_behind
    assert not Hold(Head("b", 1), "b").is_behind
    assert not Hold(Head("b", 1), None).is_behind
    assert not Hold(None, None).is_behind


def test_only_the_start_of_a_fork_has_to_be_there_still() -> None:
    fork = Hold(Head("b", 1), "a")
    assert fork.required_parent("a") == "a"
    assert fork.required_parent("c") is None
    assert Hold(Head("b", 1), "b").required_parent("b") is None


def test_epochs_differ_and_fit_into_a_signed_number_of_64_bits() -> None:
    epochs = {new_epoch() for _ in range(1000)}
    assert len(epochs) == 1000
    assert min(epochs) >= 0
    assert max(epochs) < 2**63
