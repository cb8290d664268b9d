"""The code in the README and in the documentation runs, and prints what the pages say.

A fenced block marked `python` is run; the blocks of a page are one story and share their names. What a
block prints stands in the `text` block right below it, which may use `...`; a block without one prints
nothing. Blocks in other languages are only read.
"""

import doctest
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from aiograph import errors, warnings

HOME = Path(__file__).parents[2]
PAGES = sorted(
    str(page.relative_to(HOME))
    for page in (HOME / "README.md", *(HOME / "docs").rglob("*.md"))
    if "changes" not in page.parts
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAME_TEXT = doctest.OutputChecker().check_output


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int


class Step(NamedTuple):
    """Code of a page, and what it says to print."""

    code: str
    line: int
    output: str


def blocks(page: str) -> list[Block]:
    text = (HOME / page).read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)
    ]


def steps(page: str) -> Iterator[Step]:
    for block, after in itertools.pairwise([*blocks(page), Block("", "", 0)]):
        if block.language == "python":
            yield Step(block.text, block.line, after.text if after.language == "text" else "")


TOLD = [page for page in PAGES if any(steps(page))]
"""The pages that tell a story in code."""


def test_there_are_pages_with_code() -> None:
    assert len(TOLD) >= 5


@pytest.mark.parametrize("page", TOLD)
def test_the_code_of_a_page_runs_and_prints_what_it_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for step in steps(page):
        # as many empty lines before the code as the page has, so that a traceback points into the page
        source = "\n" * step.line + step.code
        exec(compile(source, HOME / page, "exec", dont_inherit=True), vars(module))
        printed = capsys.readouterr().out
        where = f"{page}, line {step.line}"
        assert SAME_TEXT(step.output, printed, doctest.ELLIPSIS), f"{where} prints:\n{printed}"


def test_a_type_checker_accepts_the_code_of_the_pages(tmp_path: Path) -> None:
    files = [tmp_path / (re.sub(r"\W", "_", page) + ".py") for page in TOLD]
    for page, file in zip(TOLD, files, strict=True):
        lines: list[str] = []
        for step in steps(page):
            lines += [""] * (step.line - len(lines)) + step.code.splitlines()
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, files)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    # errors in the package itself are another test's business
    assert [line for line in done.stdout.splitlines() if line.startswith(str(tmp_path))] == []


# -- the README's two commands ---------------------------------------------------------------------


def commands() -> list[str]:
    lines = (block.text.splitlines() for block in blocks("README.md") if block.language == "sh")
    return [line for line in itertools.chain.from_iterable(lines) if line.strip()]


def test_the_readme_has_two_commands_that_start_from_nothing() -> None:
    assert len(commands()) == 2
    assert [line.startswith("python3 -m venv .venv && ") for line in commands()] == [True, True]


def test_the_extras_and_files_that_the_commands_name_exist() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ",".join(itertools.chain(*(re.findall(r"\.\[(.+?)\]", line) for line in commands())))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (target,) = re.findall(r"aiograph run (\S+):graph ", commands()[0])
    assert (HOME / target).is_file()


# -- the page on errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("module", [errors, warnings])
def test_every_error_and_warning_is_explained(module: ModuleType) -> None:
    page = (HOME / "docs/how-to/errors.md").read_text(encoding="utf-8")
    own = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
    ]
    assert [name for name in own if f"`{name}`" not in page] == []
