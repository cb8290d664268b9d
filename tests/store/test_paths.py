"""Paths into values."""

import pytest

from aiograph.store.base import get_text_at_path, tokenize_path

VALUE = {
    "a": {"b": "x", "c": {"d": 3}},
    "l": [{"t": "p"}, {"t": "q"}, "s"],
    "n": 5,
    "none": None,
    "bool": True,
    "empty": "",
}


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("a.b", ["x"]),
        ("$.a.b", ["x"]),
        ("a.{b,c.d}", ["x", "3"]),
        ("{n, bool}", ["5", "True"]),
        ("a.c", ['{"d": 3}']),
        ("a.*", ["x", '{"d": 3}']),
        ("l[*].t", ["p", "q"]),
        ("l[0].t", ["p"]),
        ("l[-1]", ["s"]),
        ("l[9]", []),
        ("l[-9]", []),
        ("l.t", []),
        ("a[0]", []),
        ("n.x", []),
        ("n.*", []),
        ("none", []),
        ("empty", [""]),
        ("missing.deeper", []),
    ],
)
def test_the_texts_at_a_path(path: str, texts: list[str]) -> None:
    assert get_text_at_path(VALUE, path) == texts
    assert get_text_at_path(VALUE, tokenize_path(path)) == texts


@pytest.mark.parametrize("path", ["$", ""])
def test_the_whole_value_is_one_text(path: str) -> None:
    assert get_text_at_path({"b": "é", "a": [1]}, path) == ['{"a": [1], "b": "é"}']


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("", []),
        ("a.b", ["a", "b"]),
        ("a[0][*].b", ["a", "[0]", "[*]", "b"]),
        ("a.{b,c.d}.e", ["a", "{b,c.d}", "e"]),
    ],
)
def test_the_steps_of_a_path(path: str, tokens: list[str]) -> None:
    assert tokenize_path(path) == tokens


@pytest.mark.parametrize("path", ["a[0", "a]", "{a,b", "a..b", ".a", "a."])
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        tokenize_path(path)


def test_an_index_is_a_number_or_a_star() -> None:
    with pytest.raises(ValueError, match="neither a number"):
        get_text_at_path(VALUE, "l[x]")
