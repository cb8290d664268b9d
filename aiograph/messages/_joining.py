"""How pieces of what a model says are joined: content, extra keys and usage. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from aiograph.messages._parts import Content, Part, UsageMetadata, parts_of

_NAMES = frozenset({"type", "id", "index", "name", "role"})
"""Keys whose text names something: the first one counts, it is not written in pieces."""


def join_contents(contents: Sequence[Content]) -> Content:
    """Text, if all is text; otherwise parts, of which those with one `"index"` are joined.

    Text that is a part by itself is joined with text beside it.
    """
    filled = [content for content in contents if content]
    if not filled:
        return contents[0] if contents else ""
    texts = [content for content in filled if isinstance(content, str)]
    if len(texts) == len(filled):
        return "".join(texts)
    joined: list[Part] = []
    for content in filled:
        for part in parts_of(content):
            _add_part(joined, part)
    return joined


def _add_part(joined: list[Part], part: Part) -> None:
    if isinstance(part, str):
        last = joined[-1] if joined else None
        if isinstance(last, str):
            joined[-1] = last + part
        else:
            joined.append(part)
        return
    index = part.get("index")
    for place, begun in enumerate(joined):
        if index is not None and isinstance(begun, Mapping) and begun.get("index") == index:
            joined[place] = join_extras([begun, part])
            return
    joined.append(part)


def join_extras(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Dicts that come in pieces: text, lists and dicts are joined; of all else the last counts."""
    joined: dict[str, Any] = {}
    for piece in pieces:
        for key, value in piece.items():
            joined[key] = _continued(key, joined[key], value) if key in joined else value
    return joined


def _continued(key: str, begun: Any, more: Any) -> Any:
    if more is None:
        return begun
    if isinstance(begun, str) and isinstance(more, str):
        return begun or more if key in _NAMES else begun + more
    if isinstance(begun, list) and isinstance(more, list):
        return [*begun, *more]
    if isinstance(begun, Mapping) and isinstance(more, Mapping):
        return join_extras([begun, more])
    return more


def add_usage(first: UsageMetadata | None, second: UsageMetadata | None) -> UsageMetadata | None:
    """The sum of two usages; `None` if there are none."""
    if first is None or second is None:
        return second if first is None else first
    total: UsageMetadata = {
        "input_tokens": first["input_tokens"] + second["input_tokens"],
        "output_tokens": first["output_tokens"] + second["output_tokens"],
        "total_tokens": first["total_tokens"] + second["total_tokens"],
    }
    for key in _DETAILS:
        if key in first or key in second:
            total[key] = _add_details(first.get(key) or {}, second.get(key) or {})
    return total


_DETAILS: tuple[Literal["input_token_details"], Literal["output_token_details"]] = (
    "input_token_details",
    "output_token_details",
)


def _add_details(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {key: first.get(key, 0) + second.get(key, 0) for key in (*first, *second)}
