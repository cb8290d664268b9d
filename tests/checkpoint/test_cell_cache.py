"""What a saver keeps of cells: never more than it may, and never a cell without what it leads to."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint._relational._cache import NOTHING, CellCache
from aiograph.checkpoint.serde._cells import Cell

LINE = ("t", "")


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def cells(*numbers: int, size: int = 1000) -> dict[bytes, Cell]:
    return {name(number): Cell("bytes", b"x" * size) for number in numbers}


def names(*numbers: int) -> frozenset[bytes]:
    return frozenset(map(name, numbers))


def test_what_a_checkpoint_leads_to_is_known_with_the_next_one() -> None:
    cache = CellCache(10**6)
    cache.follow(LINE, cells(1, 2), names(1, 2))
    cache.follow(LINE, cells(3), names(2, 3))
    known = cache.known(LINE)
    assert known.whole == names(2, 3)
    assert known.whole <= known.cells.keys()
    assert cache.known(("t", "inner")) is NOTHING


def test_what_is_not_needed_any_more_is_let_go_of_now_and_then() -> None:
    cache = CellCache(10**9)
    for number in range(1000):
        cache.follow(LINE, cells(number, size=10_000), names(number))
    assert cache.known(LINE).size < 100_000


def test_whoever_was_given_cells_keeps_them() -> None:
    cache = CellCache(10**9)
    cache.follow(LINE, cells(0, size=10_000), names(0))
    known = cache.known(LINE)
    for number in range(1, 100):
        cache.follow(LINE, cells(number, size=10_000), names(number))
    assert name(0) in known.cells
    assert name(0) not in cache.known(LINE).cells


def test_a_checkpoint_of_which_something_is_missing_is_not_known() -> None:
    cache = CellCache(10**6)
    cache.follow(LINE, cells(1), names(1))
    cache.follow(LINE, cells(3), names(2, 3))
    assert cache.known(LINE) is NOTHING


def test_what_was_read_beside_something_that_has_gone_is_not_known() -> None:
    cache = CellCache(10**6)
    cache.learn(LINE, NOTHING, cells(1))
    known = cache.known(LINE)
    cache.forget("t")
    cache.learn(LINE, known, cells(2))
    assert cache.known(LINE) is NOTHING


def test_who_reads_again_and_again_what_others_write_keeps_no_more_than_is_worth_it() -> None:
    cache = CellCache(10**9)
    for number in range(1000):
        cache.learn(LINE, cache.known(LINE), cells(number, size=10_000))
    assert cache.known(LINE).size < 100_000


def test_those_that_were_not_used_for_longest_are_forgotten() -> None:
    cache = CellCache(3 * 1256)
    for thread in "abc":
        cache.follow((thread, ""), cells(1), names(1))
    assert cache.known(("a", "")) is not NOTHING
    cache.follow(("d", ""), cells(1), names(1))
    assert [thread for thread in "abcd" if cache.known((thread, "")) is NOTHING] == ["b"]


def test_nothing_is_forgotten_for_what_is_too_large_to_be_kept() -> None:
    cache = CellCache(10_000)
    cache.follow(LINE, cells(1), names(1))
    cache.follow(("large", ""), cells(2, size=20_000), names(2))
    cache.learn(("large", ""), NOTHING, cells(2, size=20_000))
    assert cache.known(("large", "")) is NOTHING
    assert cache.known(LINE).whole == names(1)


def test_threads_without_cells_take_no_room() -> None:
    cache = CellCache(10**6)
    cache.follow(LINE, {}, frozenset())
    assert cache.known(LINE) is NOTHING


COMMITS = st.lists(
    st.tuples(st.sampled_from("ab"), st.frozensets(st.integers(0, 9)), st.booleans()), max_size=40
)


@given(COMMITS)
def test_no_cell_is_said_to_be_whole_that_is_not_there(
    commits: Iterable[tuple[str, frozenset[int], bool]],
) -> None:
    cache = CellCache(20_000)
    for thread, numbers, is_read in commits:
        line = (thread, "")
        known = cache.known(line)
        if is_read:
            cache.learn(line, known, cells(*numbers))
        else:
            cache.follow(line, cells(*sorted(numbers)[::2]), names(*numbers))
        assert cache.known(line).whole <= cache.known(line).cells.keys()
