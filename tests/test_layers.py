"""Imports point down, and never in a circle.

Every import counts: at the top of a module, inside a function, under `TYPE_CHECKING`, or by name
through `import_module`. A new room has to be given its layer here before it may exist.
"""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "aiograph"
HOME = Path(__file__).parent.parent / PACKAGE

ROOMS = {
    "leaf": "_hints _lazy _need_loop constants errors warnings typing types managed _ids _threads _context "
    "_effects _cancel _config_types _forking _interrupt _onlookers stats bridge channels messages drawing",
    "contract": "checkpoint.base checkpoint.serde checkpoint._filter_sql checkpoint._hold "
    "checkpoint._model checkpoint._retention checkpoint._statistics checkpoint._superstep "
    "store.base store._batch store._checks store._embeddings store._filter store._index store._model "
    "store._nearness store._paths "
    "cache.base",
    "backend": "_sql checkpoint.memory checkpoint._relational checkpoint.sqlite checkpoint.postgres "
    "store.memory store.sqlite store.postgres cache.memory cache.sqlite",
    "face": "runtime config _langchain _lending",
    "engine": "pregel",
    "builder": "graph func",
    "prebuilt": "prebuilt tools models",
    "top": "testing cli __main__",
}
SEAMS = {"_sql", "checkpoint._relational"}
"""Backends that other backends are built on."""

DOORS = {"checkpoint": "contract", "store": "contract", "cache": "contract", "": "root"}
"""Packages whose `__init__` is no room's: what may be told by just opening the door."""

BELOW = ("leaf", "contract", "face", "engine", "builder", "prebuilt")
SEES = {layer: {*BELOW[: index + 1]} for index, layer in enumerate(BELOW)} | {
    "backend": {"leaf", "contract"},  # and its own room, and the database seam: see `is_allowed`
    "top": {*ROOMS},
    "root": {*ROOMS},
}

PURE = {
    f"pregel.{name}"
    for name in ("_plan", "_writes", "_start", "_tasks", "_apply", "_snapshot", "_emit", "_topology")
}
"""Modules that have to be pure, whatever they say of themselves."""
IMPURE = {"asyncio", "anyio", "BaseCheckpointSaver"}

LAYER_OF = {room: layer for layer, rooms in ROOMS.items() for room in rooms.split()}


class Import(NamedTuple):
    """One import statement, seen from the module that makes it; names inside the package are shortened."""

    importer: str
    target: str
    """A module, or what is imported from outside of the package with a leading dot."""
    line: int
    is_lazy: bool

    def __str__(self) -> str:
        return f"{self.importer or PACKAGE}:{self.line} imports {self.target or PACKAGE}"


# -- reading ---------------------------------------------------------------------------------------


def sources() -> dict[str, str]:
    """The text of every module of the package, by its short name: `checkpoint.base`, `''` for the root."""
    return {short_name(path): path.read_text(encoding="utf-8") for path in HOME.rglob("*.py")}


def short_name(path: Path) -> str:
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(modules: Mapping[str, str]) -> Iterator[Import]:
    for importer, text in modules.items():
        tree = ast.parse(text)
        eager = {id(node) for node in eager_nodes(tree)}
        for node in ast.walk(tree):
            for name in imported_names(node):
                is_lazy = id(node) not in eager
                # the nodes that import are statements and calls, which know their line
                yield Import(importer, target_of(name, modules), getattr(node, "lineno", 0), is_lazy)


def eager_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when the module is imported, conditions included."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from eager_nodes(child)


def imported_names(node: ast.AST) -> list[str]:
    """Dotted names that a node imports; relative ones are refused, so that every path can be searched for."""
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module, names, 0):
            return [f"{module}.{alias.name}" for alias in names]
        case ast.ImportFrom():
            raise AssertionError(f"a relative import in line {node.lineno}: write the whole path")
        case ast.Call(ast.Name(function) | ast.Attribute(attr=function), [ast.Constant(str(name))]):
            return [name] if function == "import_module" else []
    return []


def target_of(name: str, modules: Mapping[str, str]) -> str:
    """The module that `name` is in: `aiograph.types.Send` is in `types`, but `aiograph.types` is a module."""
    if name.split(".")[0] != PACKAGE:
        return f".{name}"
    inner = name.removeprefix(PACKAGE).removeprefix(".")
    while inner and inner not in modules and inner not in LAYER_OF:
        inner = inner.rpartition(".")[0]
    return inner


# -- judging ---------------------------------------------------------------------------------------


def room_of(module: str) -> str | None:
    """The room that a module is in, or `None` if no room knows it."""
    parts = module.split(".")
    candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return module if module in DOORS else next((name for name in candidates if name in LAYER_OF), None)


def layer_of(room: str) -> str:
    return DOORS[room] if room in DOORS else LAYER_OF[room]


def is_allowed(importer: str, target: str) -> bool:
    here, there = room_of(importer), room_of(target)
    if here is None or there is None or here == there:
        return True  # modules without a room are reported once, not at each import
    if layer_of(here) == "backend" and there in SEAMS:
        return True
    return layer_of(there) in SEES[layer_of(here)]


def homeless(modules: Mapping[str, str]) -> list[str]:
    lost = (module for module in modules if room_of(module) is None)
    return [f"{module} is in no room: give it a layer in ROOMS" for module in lost]


def upward(modules: Mapping[str, str]) -> list[str]:
    inside = (found for found in imports(modules) if not found.target.startswith("."))
    wrong = (found for found in inside if not is_allowed(found.importer, found.target))
    return [f"{found}, which is not below it" for found in wrong]


def impure(modules: Mapping[str, str]) -> list[str]:
    """Pure modules that import a loop or a saver (names of values from a saver's contract are fine)."""
    pure = {module: text for module, text in modules.items() if module in PURE or is_called_pure(text)}
    names = ((module, name) for module, text in pure.items() for name in names_in(text))
    guilty = ((module, name) for module, name in names if IMPURE & set(name.split(".")))
    return [f"{module} is pure and imports {name}" for module, name in guilty]


def is_called_pure(text: str) -> bool:
    """Whether a module's docstring ends its first paragraph with this very word."""
    first, *_ = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")
    return first.endswith("Pure.")


def names_in(text: str) -> list[str]:
    return [name for node in ast.walk(ast.parse(text)) for name in imported_names(node)]


def circle(modules: Mapping[str, str]) -> list[str]:
    """One circle of imports, if there is any. Only the root may close one, by importing lazily."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports(modules):
        is_pardoned = found.is_lazy and found.importer == ""
        if found.target in graph and found.target != found.importer and not is_pardoned:
            graph[found.importer].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [module or PACKAGE for module in error.args[1]]
    return []


# -- the package -----------------------------------------------------------------------------------


def test_every_module_is_in_a_room() -> None:
    assert homeless(sources()) == []


def test_imports_point_down() -> None:
    assert upward(sources()) == []


def test_no_imports_in_a_circle() -> None:
    assert circle(sources()) == []


def test_pure_modules_know_neither_loops_nor_savers() -> None:
    assert impure(sources()) == []


# -- these tests can fail --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("types", "from aiograph.pregel import Pregel"),
        ("types", "from aiograph import pregel"),
        ("types", "import aiograph.pregel._loop"),
        ("types", "from aiograph import StateGraph"),
        ("types", "def f():\n    from aiograph.checkpoint.base import X"),
        ("types", "if TYPE_CHECKING:\n    from aiograph.runtime import Runtime"),
        ("types", "m = importlib.import_module('aiograph.graph')"),
        ("checkpoint.base", "from aiograph.checkpoint.memory import InMemorySaver"),
        ("checkpoint.base", "from aiograph._sql import session"),
        ("checkpoint", "from aiograph.checkpoint.sqlite import SqliteSaver"),
        ("checkpoint.sqlite.aio", "from aiograph.checkpoint.memory import InMemorySaver"),
        ("checkpoint.sqlite.aio", "from aiograph.runtime import Runtime"),
        ("_sql.session", "from aiograph.checkpoint.sqlite import SqliteSaver"),
        ("pregel._loop", "from aiograph.checkpoint.memory import InMemorySaver"),
        ("pregel._loop", "from aiograph.graph.state import StateGraph"),
        ("runtime", "from aiograph.pregel import Pregel"),
        ("func", "from aiograph.prebuilt import ToolNode"),
        ("prebuilt.tool_node", "from aiograph.testing import x"),
    ],
)
def test_an_import_that_points_up_is_found(importer: str, text: str) -> None:
    assert len(upward({importer: text})) == 1


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("types", "from aiograph.channels.base import BaseChannel"),
        ("types", "import asyncio, psycopg"),
        ("checkpoint.base", "from aiograph.bridge import blocking"),
        ("checkpoint.sqlite.aio", "from aiograph.checkpoint.sqlite import _schema"),
        ("checkpoint.sqlite.aio", "from aiograph._sql.session import Session"),
        ("pregel._loop", "from aiograph.checkpoint.base import BaseCheckpointSaver"),
        ("graph.state", "from aiograph.pregel import Pregel"),
        ("cli", "from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver"),
        ("", "from aiograph.graph import StateGraph"),
    ],
)
def test_an_import_that_points_down_is_none_of_its_business(importer: str, text: str) -> None:
    assert upward({importer: text}) == []


def test_a_circle_is_found_even_if_one_half_is_lazy() -> None:
    modules = {
        "types": "def f():\n    from aiograph.errors import E",
        "errors": "from aiograph.types import T",
    }
    assert set(circle(modules)) == {"types", "errors"}


def test_only_the_root_may_close_a_circle_lazily() -> None:
    lower = {"cli": "from aiograph import StateGraph"}
    assert circle({"": "def __getattr__(name):\n    from aiograph import cli", **lower}) == []
    assert circle({"": "from aiograph.cli import main", **lower}) != []


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "from asyncio.tasks import Task",
        "import anyio.abc",
        "from aiograph.checkpoint.base import BaseCheckpointSaver",
    ],
)
def test_an_impure_stage_is_found(text: str) -> None:
    assert len(impure({"pregel._apply": text})) == 1
    assert impure({"pregel._loop": text}) == []


def test_a_module_that_calls_itself_pure_is_held_to_it() -> None:
    assert len(impure({"graph._links": '"""Edges, as drawn. Pure.\n\nMore."""\nimport asyncio'})) == 1
    assert impure({"graph._links": '"""Edges. Pure nodes are others."""\nimport asyncio'}) == []


def test_a_stage_may_know_the_values_of_a_contract() -> None:
    assert impure({"pregel._start": "from aiograph.checkpoint.base import Checkpoint"}) == []


def test_a_module_without_a_room_is_found() -> None:
    assert len(homeless({"utils": "", "checkpoint.redis": "", "checkpoint.base": "", "": ""})) == 2


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="relative import in line 1"):
        upward({"types": "from . import errors"})
