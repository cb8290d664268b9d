"""Descriptions out of a Google-style docstring: of the function, and of each parameter. Pure."""

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?|Attributes):\s*$")
_OF_PARAMETERS = ("Args:", "Arguments:", "Parameters:")
_PARAMETER = re.compile(r"^\*{0,2}(?P<name>\w+)(\s*\([^)]*\))?\s*:\s*(?P<text>.*)$")


class Described(NamedTuple):
    """What a docstring says."""

    text: str
    """All that comes before the first section."""
    parameters: dict[str, str]


def read_docstring(doc: str) -> Described:
    """Takes a docstring apart."""
    lines = inspect.cleandoc(doc).splitlines()
    first = next((at for at, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    return Described("\n".join(lines[:first]).strip(), dict(_parameters(_section(lines[first:]))))


def _section(lines: list[str]) -> Iterator[str]:
    """The lines of the section about parameters."""
    is_inside = False
    for line in lines:
        if _SECTION.match(line):
            is_inside = line.strip() in _OF_PARAMETERS
        elif is_inside and line and not line[0].isspace():
            return  # text goes on after the section
        elif is_inside:
            yield line


def _parameters(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name, text, indent = "", list[str](), None
    for line in filter(str.strip, lines):
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        found = _PARAMETER.match(line.strip()) if depth <= indent else None
        if found is None:
            text.append(line.strip())
            continue
        if name:
            yield name, " ".join(filter(None, text))
        name, text = found["name"], [found["text"]]
    if name:
        yield name, " ".join(filter(None, text))
