"""The shipped example: its parts on small trees, and the whole of it as a user would run it."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.cli._app import app

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("code_facts")
    sys.modules.pop("code_report", None)
    sys.modules.pop("code_facts", None)


@pytest.fixture
def report(facts: ModuleType) -> ModuleType:
    return importlib.import_module("code_report")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three modules that import each other, one that does not, and two that cannot be read."""
    files = {
        "a.py": "import b\n\n\ndef short():\n    return 1\n",
        "b.py": "from pack import c\n\n\ndef longer():\n    x = 1\n    return x\n",
        "pack/__init__.py": "",
        "pack/c.py": "import a, os\n\n\nclass C:\n    def method(self):\n        def inner(): ...\n",
        "alone.py": "if True:\n    async def short(): ...\n",
        "broken.py": "def (:\n",
        "nul.py": "x = '\0'\n",
        "site-packages/foreign.py": "def foreign(): ...\n",
        ".hidden/secret.py": "def secret(): ...\n",
        "notes.txt": "no Python",
    }
    root = tmp_path / "tree"
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


# -- facts -----------------------------------------------------------------------------------------


def test_files_are_found_but_for_what_is_left_out(facts: ModuleType, tree: Path) -> None:
    found = set(facts.python_files(tree, ["pack"]))
    assert found == {"a.py", "b.py", "alone.py", "broken.py", "nul.py"}


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.py", "a"), ("pack/__init__.py", "pack"), ("pack/c.py", "pack.c"), ("__init__.py", "")],
)
def test_modules_are_named_from_the_root(facts: ModuleType, tmp_path: Path, path: str, name: str) -> None:
    assert facts.module_name(tmp_path, path) == name


def test_a_tree_that_is_a_package_gives_its_name(facts: ModuleType, tree: Path) -> None:
    names = [facts.module_name(tree / "pack", path) for path in ("__init__.py", "c.py")]
    assert names == ["pack", "pack.c"]


def facts_of(facts: ModuleType, tmp_path: Path, text: str, path: str = "pack/mod.py") -> Any:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return facts.facts_of(tmp_path, path)


def test_functions_are_measured_wherever_they_are(facts: ModuleType, tmp_path: Path) -> None:
    text = (
        "@decorated\n"
        "def outer():\n"
        "    async def inner():\n"
        "        pass\n"
        "class C:\n"
        "    try:\n"
        "        pass\n"
        "    except E:\n"
        "        def method(self): ...\n"
        "match x:\n"
        "    case 1:\n"
        "        def last(): ...\n"
    )
    _, functions = facts_of(facts, tmp_path, text)
    assert [(each["name"], each["line"], each["length"]) for each in functions] == [
        ("outer", 2, 3),
        ("outer.inner", 3, 2),
        ("C.method", 9, 1),
        ("last", 12, 1),
    ]


def test_imports_count_that_run_when_the_module_is_imported(facts: ModuleType, tmp_path: Path) -> None:
    text = (
        "import a.b, c as d\n"
        "from e import f\n"
        "try:\n    import g\nexcept ImportError:\n    import h\n"
        "if TYPE_CHECKING:\n    import left_out\n"
        "if typing.TYPE_CHECKING:\n    import left_out\n"
        "def later():\n    import left_out\n"
        "class C:\n    import i\n"
        "if __name__ == '__main__':\n    import left_out\n"
    )
    module, _ = facts_of(facts, tmp_path, text)
    assert module["imports"] == ["a.b", "c", "e.f", "g", "h", "i"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("p/q/mod.py", ["p.q.x", "p.q.y.z", "p.w"]), ("p/q/__init__.py", ["p.q.x", "p.q.y.z", "p.w"])],
)
def test_relative_imports_are_resolved(
    facts: ModuleType, tmp_path: Path, path: str, expected: list[str]
) -> None:
    module, _ = facts_of(facts, tmp_path, "from . import x\nfrom .y import z\nfrom .. import w\n", path)
    assert module["imports"] == expected


def test_the_import_graph_knows_modules_only(facts: ModuleType) -> None:
    modules = [
        {"name": "a", "lines": 1, "imports": ["os", "p.q.function", "p", "a.x"]},
        {"name": "p", "lines": 1, "imports": []},
        {"name": "p.q", "lines": 1, "imports": ["a"]},
    ]
    assert facts.import_graph(modules) == {"a": ["p", "p.q"], "p": [], "p.q": ["a"]}


@pytest.mark.parametrize(
    ("graph", "cycles"),
    [
        ({}, []),
        ({"a": ["b"], "b": []}, []),
        ({"a": ["b"], "b": ["a"]}, [["a", "b"]]),
        ({"d": ["a"], "a": ["b"], "b": ["c"], "c": ["a", "e"], "e": []}, [["a", "b", "c"]]),
        ({"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_cycles(facts: ModuleType, graph: dict[str, list[str]], cycles: list[list[str]]) -> None:
    assert facts.cycles_in(graph) == cycles


def test_a_chain_may_be_longer_than_the_stack_is_deep(facts: ModuleType) -> None:
    ring = {f"{number:05}": [f"{(number + 1) % 5000:05}"] for number in range(5000)}
    assert [len(cycle) for cycle in facts.cycles_in(ring)] == [5000]


def test_percentiles(facts: ModuleType) -> None:
    counts = {1: 50, 2: 40, 10: 9, 100: 1}
    assert [facts.percentile(counts, p) for p in (50, 51, 90, 99, 100)] == [1, 2, 2, 10, 100]
    assert facts.percentile({}, 50) == 0


# -- the graph -------------------------------------------------------------------------------------


def test_the_report_says_what_is_in_the_tree(report: ModuleType, tree: Path) -> None:
    output = tree.parent / "report.md"
    graph = report.graph.compile()
    result = graph.invoke({"root": str(tree), "output": str(output)})
    summary = {
        "modules": 5,
        "lines": 19,
        "functions": 5,
        "import cycles": 1,
        "files that could not be parsed": 2,
    }
    assert result == {"report": str(output), "summary": summary}
    text = output.read_text()
    assert "| `longer`, b.py:4 | 3 |\n| `short`, a.py:4 | 2 |\n| `C.method`, pack/c.py:5 | 2 |\n" in text
    assert "| 50 % | 2 |\n" in text
    assert "- `a`, `b`, `pack.c`\n" in text
    assert "- broken.py: SyntaxError: " in text
    assert "- nul.py: " in text
    assert "foreign" not in text
    assert "secret" not in text


def test_the_report_does_not_depend_on_who_finishes_first(report: ModuleType, tree: Path) -> None:
    texts = set()
    for limit in (1, 2, None):
        output = tree.parent / "report.md"
        report.graph.compile().invoke({"root": str(tree), "output": str(output)}, {"max_concurrency": limit})
        texts.add(output.read_bytes())
    assert len(texts) == 1


def test_files_are_handed_out_in_batches(
    report: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "BATCH", 3)
    graph = report.graph.compile()
    chunks = list(
        graph.stream({"root": str(tree), "output": str(tree.parent / "r.md")}, stream_mode="custom")
    )
    assert chunks == ["0 of 7 files", "3 of 7 files", "6 of 7 files", "7 of 7 files"]


def test_a_second_run_on_a_thread_starts_from_nothing(report: ModuleType, tree: Path) -> None:
    graph, config = report.graph.compile(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    input = {"root": str(tree), "output": str(tree.parent / "report.md")}
    first = graph.invoke(input, config)
    assert graph.invoke(input, config) == first
    (tree / "a.py").unlink()
    assert graph.invoke(input, config)["summary"]["modules"] == 4


def test_an_empty_tree_has_a_report(report: ModuleType, tmp_path: Path) -> None:
    output = tmp_path / "report.md"
    report.graph.compile().invoke({"root": str(tmp_path), "output": str(output)})
    assert output.read_text().count("None.") == 2


def test_a_root_that_is_no_folder_is_named(report: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"there is no folder '.*nowhere' to report on"):
        report.graph.compile().invoke({"root": str(tmp_path / "nowhere")})


def test_the_standard_library_is_the_default(
    report: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report.sysconfig, "get_path", {"stdlib": str(tree)}.__getitem__)
    monkeypatch.chdir(tree.parent)
    report.graph.compile().invoke({})
    assert (tree.parent / "code_report.md").read_text().startswith(f"# Code report\n\nOf `{tree}`.\n")


def test_the_command_in_its_docstring(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.parent)
    words = ["run", str(EXAMPLES / "code_report.py:graph"), "--thread", "mine", "--input"]
    result = CliRunner().invoke(app, [*words, '{"root": "tree", "output": "mine.md", "skip": ["pack"]}'])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["summary"]["modules"] == 3
    assert Path("mine.md").read_text().startswith("# Code report")
