"""mypy and pyright accept each line of the examples, but for those marked `# rejected`.

The examples are read, never run. A line that is marked has to be refused by both checkers.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent.parent
EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.py"))
MARK = "# rejected"

Lines = set[tuple[str, int]]
"""Files, by name, and line numbers."""


def marked(files: list[Path]) -> Lines:
    lines = ((file, number, line) for file in files for number, line in enumerate(text_of(file), 1))
    return {(file.name, number) for file, number, line in lines if line.endswith(MARK)}


def text_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def refused_by_mypy(files: list[Path]) -> Lines:
    told = output_of("mypy", "--no-error-summary", "--hide-error-context", *map(str, files))
    found = re.findall(r"^(.+?):(\d+): error:", told, re.MULTILINE)
    assert found or not told, told
    return {(Path(file).name, int(number)) for file, number in found}


def refused_by_pyright(files: list[Path]) -> Lines:
    # without being told, pyright looks for packages in whichever python the PATH names
    told = json.loads(output_of("pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, files)))
    assert told["summary"]["filesAnalyzed"] == len(files)
    errors = [found for found in told["generalDiagnostics"] if found["severity"] == "error"]
    return {(Path(found["file"]).name, found["range"]["start"]["line"] + 1) for found in errors}


def output_of(checker: str, *arguments: str) -> str:
    """What a checker prints, run at the project's home with the project's settings."""
    command = [sys.executable, "-m", checker, *arguments]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: there are errors, which is the point
    return done.stdout


@pytest.mark.parametrize("refused", [refused_by_mypy, refused_by_pyright])
def test_checkers_refuse_what_is_marked_and_nothing_else(refused: Callable[[list[Path]], Lines]) -> None:
    assert refused(EXAMPLES) == marked(EXAMPLES)


def test_there_are_examples_of_both_kinds() -> None:
    assert marked(EXAMPLES)
    assert len(marked(EXAMPLES)) < sum(len(text_of(file)) for file in EXAMPLES)
