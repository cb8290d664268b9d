"""The tools of `agent.py`: what is true of a tree of Python files, and a report, if one may write it."""

import asyncio
import functools
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from code_facts import facts_of, python_files
from simpleeval import InvalidExpression, simple_eval

from aiograph.prebuilt import ToolNode, ToolRuntime
from aiograph.types import interrupt

FOLDER = Path(os.environ.get("AGENT_FOLDER") or Path(asyncio.__file__).parent).resolve()
REPORT = Path("agent_report.md")

FINDINGS = ("findings",)
"""Where the agent's memory is in the store; it belongs to no thread."""

MOST_ROWS = 50
QUERY_SECONDS = 5.0

TABLES = """
CREATE TABLE modules (file TEXT PRIMARY KEY, lines INTEGER);
CREATE TABLE functions (name TEXT, file TEXT REFERENCES modules, line INTEGER, length INTEGER);
"""


# -- files -----------------------------------------------------------------------------------------


def search_files(text: str) -> str:
    """Finds the lines of all files that contain a text; answers with lines of the form `file:line: text`."""
    found = [
        f"{file}:{number}: {line.strip()}"
        for file in sorted(python_files(FOLDER, ()))
        for number, line in enumerate((FOLDER / file).read_text(encoding="utf-8").splitlines(), 1)
        if text in line
    ]
    return "\n".join(found[:MOST_ROWS]) or "nothing"


# -- the database ----------------------------------------------------------------------------------


@functools.cache
def database() -> bytes:
    """An SQLite database of the tree; made when somebody first asks."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(TABLES)
        for file in sorted(python_files(FOLDER, ())):
            module, functions = facts_of(FOLDER, file)
            connection.execute("INSERT INTO modules VALUES (?, ?)", (file, module["lines"]))
            connection.executemany("INSERT INTO functions VALUES (:name, :file, :line, :length)", functions)
        connection.commit()
        return connection.serialize()
    finally:
        connection.close()


READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def permit(action: int, *_: Any) -> int:
    """What a statement of a model's may do: it reads, and no file is attached to be written."""
    return sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY


def query(sql: str) -> str:
    """Answers an SQL query with JSON, a list of rows.

    The tables are modules(file, lines) and functions(name, file, line, length).
    """
    connection = sqlite3.connect(":memory:")  # a copy of its own: calls run side by side
    try:
        connection.deserialize(database())
        connection.set_authorizer(permit)
        deadline = time.monotonic() + QUERY_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        return json.dumps(connection.execute(sql).fetchmany(MOST_ROWS))
    finally:
        connection.close()


# -- arithmetic ------------------------------------------------------------------------------------


def calculate(expression: str) -> str:
    """Calculates an expression, such as `round(100 * 7 / 12, 1)`."""
    return str(simple_eval(expression, functions={"round": round, "min": min, "max": max}))


# -- the report ------------------------------------------------------------------------------------


def write_report(text: str, runtime: ToolRuntime[None, Any]) -> str:
    """Writes the report, a text in Markdown, if the user agrees."""
    answer = interrupt({"write": str(REPORT), "text": text})
    if answer not in (True, "yes"):
        return f"The user does not want it written, and says: {answer}"
    REPORT.write_text(text, encoding="utf-8")
    if runtime.store is not None:
        runtime.store.put(FINDINGS, str(FOLDER), {"text": text})
    return f"{REPORT} is written"


BAD_REQUESTS = (sqlite3.Error, InvalidExpression, SyntaxError, ArithmeticError, TypeError, ValueError)
"""What the model is told of, so that it can ask for something else. Any other error ends the run."""

tools = ToolNode([search_files, query, calculate, write_report], handle_tool_errors=BAD_REQUESTS)
