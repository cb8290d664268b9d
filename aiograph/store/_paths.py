"""Paths into values, for what is to be indexed: `"a.b"`, `"tags[*]"`, `"{title,body}"`, `"$"`."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_TOKEN = re.compile(r"\[[^\[\]]*\]|(?:\{[^{}]*\}|[^.\[\]{}])+")


def tokenize_path(path: str) -> list[str]:
    """Cuts a path into its steps.

    Raises:
        ValueError: A bracket or brace has no partner, or a step is empty.

    Examples:
        >>> tokenize_path("memories[*].{title,author.name}")
        ['memories', '[*]', '{title,author.name}']
    """
    tokens, position = list[str](), 0
    while position < len(path):
        found = _TOKEN.match(path, position)
        if found is None:
            raise ValueError(f"the path {path!r} cannot be read from position {position} on")
        tokens.append(found[0])
        position = _next_step(path, found.end())
    return tokens


def _next_step(path: str, position: int) -> int:
    if not path.startswith(".", position):
        return position
    if position + 1 == len(path):
        raise ValueError(f"the path {path!r} ends in a dot")
    return position + 1


def get_text_at_path(obj: Any, path: str | Sequence[str]) -> list[str]:
    """The texts at a path in a JSON value; what is no text is told as JSON, and `None` is left out.

    Steps are keys, `[0]`, `[-1]`, `[*]` for each element, `*` for each value, and `{a,b.c}` for several
    paths. `"$"` and the empty path mean the whole value. What is not there gives no text.

    Raises:
        ValueError: The path cannot be read.

    Examples:
        >>> get_text_at_path({"tags": ["red", "blue"], "by": {"name": "Ann"}}, "tags[*]")
        ['red', 'blue']
    """
    tokens = tokenize_path(path) if isinstance(path, str) else list(path)
    if tokens[:1] == ["$"]:
        tokens = tokens[1:]
    return [text for value in _values(obj, tokens) if (text := _text(value)) is not None]


def _values(value: Any, tokens: Sequence[str]) -> Iterator[Any]:
    if not tokens:
        yield value
        return
    for child, rest in _step(value, tokens[0], tokens[1:]):
        yield from _values(child, rest)


def _step(value: Any, token: str, rest: Sequence[str]) -> Iterator[tuple[Any, Sequence[str]]]:
    if token.startswith("{") and token.endswith("}"):
        for path in token[1:-1].split(","):
            yield value, [*tokenize_path(path.strip()), *rest]
    elif token.startswith("["):
        yield from ((element, rest) for element in _elements(value, token[1:-1]))
    elif token == "*":
        yield from ((child, rest) for child in _children(value))
    elif isinstance(value, dict) and token in value:
        yield value[token], rest


def _elements(value: Any, index: str) -> Sequence[Any]:
    if index != "*" and re.fullmatch(r"-?\d+", index) is None:
        raise ValueError(f"[{index}] in a path is neither a number nor '*'")
    if not isinstance(value, list):
        return ()
    if index == "*":
        return value
    at = int(index)
    return value[at : at + 1 or None]


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)
