"""What can be known of Python source without running it; `code_report.py` makes a graph of it."""

import ast
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

LEFT_OUT = {"site-packages", "dist-packages", "node_modules", "__pycache__"}
"""Folders that belong to somebody else."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Module(TypedDict):
    name: str
    lines: int
    imports: list[str]
    """Dotted names that are imported when the module is, in the order of the file."""


class Function(TypedDict):
    name: str
    file: str
    line: int
    length: int


# -- files -----------------------------------------------------------------------------------------


def python_files(root: Path, skip: Iterable[str]) -> Iterator[str]:
    """Paths of the Python files of a tree, relative to its root."""
    left_out = LEFT_OUT.union(skip)
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in left_out and name[0] != "."]
        for name in names:
            if name.endswith(".py"):
                yield Path(folder, name).relative_to(root).as_posix()


def facts_of(root: Path, path: str) -> tuple[Module, list[Function]]:
    """What one file says.

    Raises:
        OSError, SyntaxError, ValueError, RecursionError: It cannot be read or parsed.
    """
    source = (root / path).read_bytes()
    found = list(statements(ast.parse(source, path)))
    name = module_name(root, path)
    package = name.split(".") if path.endswith("__init__.py") else name.split(".")[:-1]
    imports = [target for each in found if each.is_eager for target in imported(each.node, package)]
    module = Module(name=name, lines=len(source.splitlines()), imports=list(dict.fromkeys(imports)))
    return module, [measured(each, path) for each in found if isinstance(each.node, FUNCTIONS)]


def module_name(root: Path, path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    if (root / "__init__.py").exists():  # the tree is a package itself
        parts.insert(0, root.resolve().name)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# -- statements ------------------------------------------------------------------------------------


class Statement(NamedTuple):
    node: Any
    around: str
    """Names of the classes and functions around it, each followed by a dot."""
    is_eager: bool
    """Whether it runs when the module is imported."""


def statements(parent: ast.AST, around: str = "", is_eager: bool = True) -> Iterator[Statement]:
    """Every statement in and below a node, in the order of the file."""
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            continue  # expressions contain no statements
        yield Statement(node, around, is_eager)
        inner = f"{around}{node.name}." if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else around
        yield from statements(node, inner, is_eager and not waits(node))


def waits(node: ast.AST) -> bool:
    """Whether what is inside does not run at import: functions, type checkers' blocks, scripts' main."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith(("TYPE_CHECKING", "'__main__'"))
    return isinstance(node, FUNCTIONS)


def measured(statement: Statement, path: str) -> Function:
    node, around, _ = statement
    length = node.end_lineno - node.lineno + 1
    return Function(name=around + node.name, file=path, line=node.lineno, length=length)


def imported(node: ast.AST, package: list[str]) -> list[str]:
    """The dotted names that a statement imports; `from a import b` is `a.b`, be that a module or not."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = package[: len(package) - node.level + 1] if node.level else []
    base = [*above, *filter(None, [node.module])]
    return [".".join([*base, alias.name]) for alias in node.names]


# -- modules that import each other ----------------------------------------------------------------


def import_graph(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Module → the modules of the tree that it imports, sorted."""
    modules = list(modules)
    known = {module["name"] for module in modules}
    graph: dict[str, set[str]] = {name: set() for name in sorted(known)}
    for module in modules:
        targets = {resolved(target, known) for target in module["imports"]}
        graph[module["name"]] |= targets - {"", module["name"]}
    return {name: sorted(targets) for name, targets in graph.items()}


def resolved(target: str, known: set[str]) -> str:
    """The longest part of an imported name that is a module, or nothing."""
    while target and target not in known:
        target = target.rpartition(".")[0]
    return target


def cycles_in(graph: Mapping[str, list[str]]) -> list[list[str]]:
    """The strongly connected groups of more than one node (Kosaraju's algorithm)."""
    backwards: dict[str, list[str]] = {node: [] for node in graph}
    for node, targets in graph.items():
        for target in targets:
            backwards[target].append(node)
    seen: set[str] = set()
    order = [node for start in graph if start not in seen for node in reached(graph, start, seen)]
    seen = set()
    groups = [reached(backwards, node, seen) for node in reversed(order) if node not in seen]
    return sorted(sorted(group) for group in groups if len(group) > 1)


def reached(graph: Mapping[str, list[str]], start: str, seen: set[str]) -> list[str]:
    """What `start` leads to and was not seen yet; each node after those that it leads to."""
    order: list[str] = []
    seen.add(start)
    path = [(start, iter(graph[start]))]
    while path:
        node, targets = path[-1]
        fresh = next((target for target in targets if target not in seen), None)
        if fresh is None:
            order.append(node)
            path.pop()
        else:
            seen.add(fresh)
            path.append((fresh, iter(graph[fresh])))
    return order


# -- numbers ---------------------------------------------------------------------------------------


def percentile(counts: Mapping[int, int], percent: int) -> int:
    """The value that `percent` percent of all values do not exceed, from value → how often it occurs."""
    missing = math.ceil(sum(counts.values()) * percent / 100)
    for value, count in sorted(counts.items()):
        missing -= count
        if missing <= 0:
            return value
    return 0
