"""What waits for PostgreSQL: who comes next, how much of it, and what becomes of those who wait no more."""

import pytest

from aiograph._sql.queues import Queues, Request


def asked(about: str, *, writes: bool = True, order: str = "") -> Request:
    return Request(about, [], writes=writes, order=(order,))


def names(group: list[Request]) -> list[object]:
    return [request.about for request in group]


async def test_reads_and_writes_take_turns() -> None:
    queues = Queues()
    for number in range(10):
        queues.add(asked(f"write {number}"))
        queues.add(asked(f"read {number}", writes=False))
    shares = [names(queues.share(2)) for _ in range(4)]
    assert [share[0] for share in shares] == ["write 0", "read 0", "write 8", "read 8"]
    assert not queues


@pytest.mark.parametrize(("waiting", "hands", "taken"), [(3, 8, 3), (12, 8, 8), (40, 4, 10), (80, 1, 32)])
async def test_a_share_is_worth_a_connection_and_leaves_work_for_the_others(
    waiting: int, hands: int, taken: int
) -> None:
    queues = Queues()
    for number in range(waiting):
        queues.add(asked(str(number)))
    assert len(queues.share(hands)) == taken


async def test_who_must_be_alone_shares_with_nobody() -> None:
    queues = Queues()
    alone = asked("alone")
    alone.is_alone = True
    for request in (asked("before"), alone, asked("after")):
        queues.add(request)
    assert [names(queues.share(1)) for _ in range(3)] == [["before"], ["alone"], ["after"]]


async def test_a_share_is_in_the_order_in_which_rows_are_locked() -> None:
    queues = Queues()
    for order in "cab":
        queues.add(asked(order, order=order))
    assert names(queues.share(1)) == ["a", "b", "c"]


async def test_what_was_broken_off_comes_first_and_can_be_withdrawn_again() -> None:
    queues = Queues()
    queues.add(asked("first"))
    (broken,) = queues.share(1)
    queues.add(asked("second"))
    queues.put_back(broken)
    assert not broken.is_claimed
    assert names(queues.share(1)) == ["first", "second"]


async def test_what_was_withdrawn_is_left_out() -> None:
    queues = Queues()
    withdrawn = asked("withdrawn")
    for request in (withdrawn, asked("waiting")):
        queues.add(request)
    assert withdrawn.claim()
    assert names(queues.share(1)) == ["waiting"]


async def test_those_whose_wait_is_over_are_taken_out_and_the_rest_keeps_its_order() -> None:
    queues = Queues()
    for name in ("a", "late b", "c", "late d"):
        queues.add(asked(name))
    over = queues.sort_out(lambda request: str(request.about).startswith("late"))
    assert names(over) == ["late b", "late d"]
    assert all(request.is_claimed for request in over)
    assert names(queues.share(1)) == ["a", "c"]
