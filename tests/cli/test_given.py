from pathlib import Path

import pytest

from aiograph.cli._given import Input, Refusal, read_input


def test_json_is_the_input() -> None:
    assert read_input('{"a": [1, null]}') == Input({"a": [1, None]}, is_explicit=True)


def test_without_one_it_is_an_empty_dict() -> None:
    assert read_input(None) == Input({}, is_explicit=False)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"ä": "ö"}', encoding="utf-8")
    assert read_input(f"@{file}").value == {"ä": "ö"}


def test_equal_inputs_have_equal_digests() -> None:
    left, right = read_input('{"a": 1, "b": 2}'), read_input('{"b":2, "a":1}')
    assert left.digest == right.digest != read_input('{"a": 1}').digest


@pytest.mark.parametrize("text", ["{", "", "{'a': 1}", "@"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="--input"):
        read_input(text)


def test_a_file_without_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_bytes(b"\xff")
    with pytest.raises(Refusal, match=r"input\.json cannot be read"):
        read_input(f"@{file}")
    file.write_text("[1,")
    with pytest.raises(Refusal, match=r"--input is not JSON in \S*input\.json: Expecting value.*for example"):
        read_input(f"@{file}")
    with pytest.raises(Refusal, match=r"nowhere\.json cannot be read: .*No such file"):
        read_input("@nowhere.json")
