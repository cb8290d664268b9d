"""How near vectors are: the same with numpy and without."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.store import _nearness
from aiograph.store._nearness import DISTANCES, Distance, Vector, nearness

NUMBERS = st.floats(-100, 100, width=32).map(lambda number: 0.0 if abs(number) < 1e-3 else number)


def vector(*numbers: float) -> Vector:
    return array("f", numbers)


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nearness, "_numpy", lambda: None)


@pytest.mark.parametrize(
    ("distance", "scores"), [("cosine", [1.0, 0.0, -1.0, 0.0]), ("inner_product", [2.0, 0.0, -1.0, 0.0])]
)
@pytest.mark.usefixtures("without_numpy")
def test_scores_without_numpy(distance: Distance, scores: list[float]) -> None:
    vectors = [vector(2, 0), vector(0, 3), vector(-1, 0), vector(0, 0)]
    assert nearness(vector(1, 0), vectors, distance) == pytest.approx(scores)


@pytest.mark.usefixtures("without_numpy")
def test_what_is_far_by_distance_has_a_low_score() -> None:
    assert nearness(vector(1, 1), [vector(1, 1), vector(4, 5)], "l2") == [0.0, -5.0]


@pytest.mark.parametrize("distance", DISTANCES)
def test_nothing_is_near_to_nothing(distance: Distance) -> None:
    assert nearness(vector(1, 0), [], distance) == []


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=2, max_size=6), st.sampled_from(DISTANCES))
def test_numpy_changes_nothing(numbers: list[tuple[float, float, float]], distance: Distance) -> None:
    assert _nearness._numpy() is not None
    query, *vectors = (vector(*each) for each in numbers)
    plain = [_nearness._PLAIN[distance](query, each) for each in vectors]
    scores = nearness(query, vectors, distance)
    assert scores == pytest.approx(plain, rel=1e-6, abs=1e-6)
