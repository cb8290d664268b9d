"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads(text_of("pyproject.toml"))


def text_of(path: str) -> str:
    return (HOME / path).read_text(encoding="utf-8")


def test_pre_commit_uses_the_pinned_ruff(pyproject: dict[str, Any]) -> None:
    pinned = [each for each in pyproject["project"]["optional-dependencies"]["test"] if "ruff" in each]
    assert set(re.findall(r"ruff==[\d.]+", text_of(".pre-commit-config.yaml"))) == set(pinned)
    assert len(pinned) == 1


def test_continuous_integration_needs_the_test_extra_only(pyproject: dict[str, Any]) -> None:
    assert re.findall(r"'\.\[(.+)\]'", text_of(".ci/run")) == ["test"]
    assert "test" in pyproject["project"]["optional-dependencies"]


def test_every_page_of_the_documentation_exists() -> None:
    pages = re.findall(r"[\w/-]+\.md", text_of("mkdocs.yml"))
    assert pages
    assert [page for page in pages if not (HOME / "docs" / page).is_file()] == []


def test_every_task_is_one_word_and_explained(pyproject: dict[str, Any]) -> None:
    tasks = pyproject["tool"]["poe"]["tasks"]
    assert set(tasks) == {"fix", "lint", "types", "test", "docs", "bench", "check", "torture"}
    assert [name for name, task in tasks.items() if not task.get("help")] == []


def test_change_fragments_are_of_a_known_kind() -> None:
    fragments = [path.name for path in (HOME / "docs" / "changes").iterdir() if path.name != "README.md"]
    pattern = re.compile(r"[a-z0-9-]+\.(feature|fix|change|removal|perf)\.md")
    assert [name for name in fragments if not pattern.fullmatch(name)] == []
