"""The agent that is shipped as an example: its tools, and the whole of it as a user would run it."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.types import Command, RunnableConfig
from tests.models.server import running, said
from tests.models.wire import completion, openai_call

HOME = Path(__file__).parent.parent.parent
EXAMPLES = HOME / "docs" / "examples"
FIRST: RunnableConfig = {"configurable": {"thread_id": "first"}}
SECOND: RunnableConfig = {"configurable": {"thread_id": "second"}}

TREE = {
    "a.py": "import b\n\n\ndef short():\n    return b.longer()\n",
    "b.py": "def longer():\n    x = 1\n    return x\n\n\n# longer is longer\n",
}
FOUND = (
    "The longest function is `longer` in b.py:1. Its 3 lines are 50.0 % of the module, and 3 lines mention"
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a small tree in it, which is what the agent is asked about."""
    root = tmp_path / "tree"
    root.mkdir()
    for name, text in TREE.items():
        (root / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_FOLDER", str(root))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return root


@pytest.fixture
def example(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("agent")
    for name in ("agent", "agent_script", "agent_tools", "code_facts"):
        sys.modules.pop(name, None)


@pytest.fixture
def tools(example: ModuleType) -> ModuleType:
    return importlib.import_module("agent_tools")


# -- the tools -------------------------------------------------------------------------------------


def test_files_are_searched(tools: ModuleType) -> None:
    assert tools.search_files("longer()").splitlines() == [
        "a.py:5: return b.longer()",
        "b.py:1: def longer():",
    ]
    assert tools.search_files("shortest") == "nothing"


def test_queries_are_answered(tools: ModuleType) -> None:
    assert json.loads(tools.query("SELECT file, lines FROM modules ORDER BY file")) == [
        ["a.py", 5],
        ["b.py", 6],
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM modules",
        "ATTACH DATABASE 'stolen.db' AS stolen",
        "PRAGMA journal_mode",
        "SELECT * FROM nowhere",
        "SELECT 1; DROP TABLE modules",
    ],
)
def test_a_query_may_only_read(tools: ModuleType, sql: str) -> None:
    with pytest.raises(tools.BAD_REQUESTS):
        tools.query(sql)
    assert not Path("stolen.db").exists()


def test_a_query_may_not_take_for_ever(tools: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "QUERY_SECONDS", 0.01)
    with pytest.raises(tools.BAD_REQUESTS, match="interrupted"):
        tools.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")


@pytest.mark.parametrize(
    "expression", ["__import__('os')", "1 / 0", "(", "9 ** 9 ** 9 ** 9", "'a' * 10 ** 9"]
)
def test_arithmetic_is_all_that_is_calculated(tools: ModuleType, expression: str) -> None:
    with pytest.raises(tools.BAD_REQUESTS):
        tools.calculate(expression)


def test_a_calculation_has_a_result(tools: ModuleType) -> None:
    assert tools.calculate("round(100 * 7 / 12, 1)") == "58.3"


# -- the agent -------------------------------------------------------------------------------------


def test_the_report_is_written_if_the_user_agrees(example: ModuleType) -> None:
    agent = example.graph.with_checkpointer(InMemorySaver())
    (question,) = agent.invoke({"messages": "What is longest?"}, FIRST)["__interrupt__"]
    assert question.value["write"] == "agent_report.md"
    assert not Path("agent_report.md").exists()
    output = agent.invoke(Command(resume="yes"), FIRST)
    assert output["messages"][-1].text == "The longest function is longer. agent_report.md is written."
    assert Path("agent_report.md").read_text().startswith(FOUND)


def test_it_is_not_if_the_user_does_not(example: ModuleType) -> None:
    agent = example.graph.with_checkpointer(InMemorySaver())
    agent.invoke({"messages": "What is longest?"}, FIRST)
    output = agent.invoke(Command(resume="too short"), FIRST)
    assert "and says: too short" in output["messages"][-1].text
    assert not Path("agent_report.md").exists()


def test_another_thread_remembers_what_was_found(example: ModuleType) -> None:
    agent = example.graph.with_checkpointer(InMemorySaver())
    agent.invoke({"messages": "What is longest?"}, FIRST)
    agent.invoke(Command(resume="yes"), FIRST)
    output = agent.invoke({"messages": "What did you find before?"}, SECOND)
    assert output["messages"][-1].text.startswith(FOUND)


def test_with_a_key_a_model_of_openais_decides(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("AGENT_MODEL", "some-model")
    assert example.model() == "openai:some-model"


# -- as a user runs it -----------------------------------------------------------------------------


def aiograph(*words: str) -> Any:
    command = [sys.executable, "-m", "aiograph.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(("answer", "is_written"), [("yes", True), ("no", False)])
def test_the_commands_in_its_docstring(tree: Path, answer: str, is_written: bool) -> None:
    target = str(EXAMPLES / "agent.py:graph")
    asked = aiograph("run", target, "--thread", "demo", "--input", '{"messages": "What is longest?"}')
    assert "agent_report.md" in asked.stderr
    answered = aiograph("resume", target, "--thread", "demo", "--answer", answer)
    assert "The longest function is longer." in answered.stdout
    assert Path("agent_report.md").exists() is is_written


def converse(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "agent.py")],
        env={**os.environ, "PYTHONPATH": str(HOME), **environment},
        input="yes\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_conversation(tree: Path) -> None:
    output = converse()
    assert "May I write agent_report.md?" in output
    assert output.rstrip().splitlines()[-1].startswith(FOUND)


def test_the_conversation_with_a_model_of_openais(tree: Path) -> None:
    asking = openai_call("1", "query", '{"sql": "SELECT max(lines) FROM modules"}')
    writing = openai_call("2", "write_report", '{"text": "At most 6 lines."}')
    with running() as server:
        server.replies = [
            *(said(completion(tool_calls=[call], finish="tool_calls")) for call in (asking, writing)),
            said(completion("It is written.")),
            said(completion("I remember.")),
        ]
        output = converse(OPENAI_API_KEY="secret", OPENAI_BASE_URL=f"{server.url}/v1", AGENT_MODEL="some")
    assert "It is written." in output
    assert Path("agent_report.md").read_text() == "At most 6 lines."
    told = [request.body["messages"] for request in server.requests]
    assert told[1][-1] == {"role": "tool", "tool_call_id": "1", "content": "[[6]]"}
    assert "You found before: At most 6 lines." in told[3][0]["content"]
