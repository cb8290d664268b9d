"""What is typed on the command line: refusals, and the input of a run."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple


class Refusal(Exception):
    """What was asked for cannot be done; the message says what to ask for in its place."""


class Input(NamedTuple):
    """The input of a run."""

    value: Any
    is_explicit: bool
    """Whether it was typed, rather than left out."""

    @property
    def digest(self) -> str:
        """Equal for equal inputs; kept with a thread, to tell the same command from another one."""
        text = json.dumps(self.value, sort_keys=True)
        return blake2b(text.encode(), digest_size=8).hexdigest()


def read_input(text: str | None) -> Input:
    """The input that `--input` gives: JSON, or `@` and the name of a file that holds JSON.

    Raises:
        Refusal: It is neither.
    """
    if text is None:
        return Input({}, is_explicit=False)
    source, where = (_text_of(text[1:]), f" in {text[1:]}") if text.startswith("@") else (text, "")
    try:
        return Input(json.loads(source), is_explicit=True)
    except ValueError as error:
        raise Refusal(
            f"--input is not JSON{where}: {error}; "
            "pass for example --input '{\"key\": 1}' or --input @file.json"
        ) from error


def read_answer(text: str | None) -> Any:
    """The answer that `--answer` gives: JSON, or else the text itself; `None` if it was left out."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Refusal(f"--input @{file} cannot be read: {error}") from error
