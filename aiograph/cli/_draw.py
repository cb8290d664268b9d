"""A graph as a drawing: on a terminal, or in a file of the format that its name tells."""

from pathlib import Path
from typing import Literal, TextIO, cast, get_args

from aiograph.cli._given import Refusal
from aiograph.drawing import Graph

Format = Literal["ascii", "mermaid", "svg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)

_SUFFIXES: dict[str, Format] = {".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg", ".png": "png"}


def format_for(named: str | None, output: Path | None) -> Format:
    """The format that was named, else what the output's name tells, else characters."""
    if named is not None:
        return cast(Format, named)
    return "ascii" if output is None else _SUFFIXES.get(output.suffix.lower(), "ascii")


def drawn(graph: Graph, format: Format) -> bytes:
    """The drawing; text is UTF-8.

    Raises:
        MissingExtraError: The format needs the `viz` extra, which is not installed.
    """
    if format == "png":
        return graph.draw_png()
    text = {"ascii": graph.draw_ascii, "mermaid": graph.draw_mermaid, "svg": graph.draw_svg}[format]()
    return text.encode()


def put(drawing: bytes, output: Path | None, stdout: TextIO, *, is_text: bool) -> None:
    """Writes a drawing to a file, or to standard output.

    Raises:
        Refusal: The file cannot be written, or a picture would go to a terminal.
    """
    if output is not None:
        try:
            output.write_bytes(drawing)
        except OSError as error:
            raise Refusal(f"--output {output} cannot be written: {error}") from error
    elif is_text:
        print(drawing.decode(), end="", file=stdout)
    elif stdout.isatty():
        raise Refusal("a PNG picture is nothing for a terminal; name a file, as in --output graph.png")
    else:
        stdout.flush()
        stdout.buffer.write(drawing)
