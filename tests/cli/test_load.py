from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.cli._given import Refusal
from aiograph.cli._load import load
from aiograph.graph import CompiledStateGraph, StateGraph
from aiograph.pregel import Pregel


@pytest.mark.parametrize("source", ["graphs", "graphs.py", "./graphs.py"])
def test_a_module_or_a_file(folder: Path, source: str) -> None:
    loaded = load(f"{source}:counting")
    assert (loaded.name, type(loaded.graph)) == ("counting", StateGraph)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("compiled", CompiledStateGraph), ("made", StateGraph), ("made_later", CompiledStateGraph)],
)
def test_a_compiled_graph_or_what_a_function_returns(folder: Path, name: str, kind: type) -> None:
    assert isinstance(load(f"graphs:{name}").graph, kind)


def test_without_a_name_it_is_graph(folder: Path) -> None:
    Path("other.py").write_text("from graphs import counting as graph")
    assert load("other.py").name == "graph"


def test_a_file_may_bear_the_name_of_a_module_that_is_in_use(folder: Path) -> None:
    Path("json.py").write_text("from graphs import counting as graph")
    import json

    assert load("json.py:graph").name == "graph"
    assert json.loads("1") == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py:graph", r"there is no file 'nowhere.py'; .*current folder"),
        ("nowhere:graph", r"there is no module 'nowhere' .* as in path/to/file.py:graph"),
        ("graphs.inner:graph", r"there is no module 'graphs.inner'"),
        ("graphs:cuonting", r"graphs has no 'cuonting'; it has graphs:counting, graphs:compiled"),
        ("graphs.py", r"graphs.py has no 'graph'; it has graphs.py:counting"),
        ("os:graph", r"os has no 'graph', nor any other graph; define one"),
        ("graphs:not_a_graph", r"graphs:not_a_graph is of type list, not a graph"),
        ("graphs:State", r"graphs:State is the class State, not a graph"),
        ("graphs:wants", r"graphs:wants has to work without arguments.*'argument'"),
        ("graphs:makes_nothing", r"graphs:makes_nothing\(\) returned a value of type int, not a graph"),
        ("graphs.txt/x:graph", r"there is no file"),
    ],
)
def test_what_is_no_graph_is_refused(folder: Path, target: str, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        load(target)


@pytest.mark.parametrize("target", ["faulty.py:graph", "faulty:graph"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_it", r"faulty\S* cannot be imported: ModuleNotFoundError.*nothing_like_it"),
        ("1 / 0", r"faulty\S* cannot be imported: ZeroDivisionError: division by zero"),
        ("graph =", r"faulty\S* cannot be imported: SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_fails_says_how(folder: Path, target: str, text: str, message: str) -> None:
    Path("faulty.py").write_text(text)
    with pytest.raises(Refusal, match=message) as caught:
        load(target)
    assert caught.value.__cause__ is not None


def test_a_builder_is_compiled_with_the_saver(folder: Path) -> None:
    saver = InMemorySaver()
    graph = load("graphs:counting").with_saver(saver)
    assert (graph.checkpointer, graph.name) == (saver, "counting")


def test_a_compiled_graph_gets_the_saver(folder: Path) -> None:
    saver = InMemorySaver()
    assert load("graphs:compiled").with_saver(saver).checkpointer is saver


def test_a_graph_of_channels_gets_the_saver(folder: Path) -> None:
    Path("channels.py").write_text(
        "from aiograph.channels import LastValue\n"
        "from aiograph.pregel import NodeBuilder, Pregel\n"
        "node = NodeBuilder().subscribe_only('a').do(lambda a: a + 1).write_to('b').build()\n"
        "graph = Pregel(nodes={'n': node}, channels={'a': LastValue(int), 'b': LastValue(int)},\n"
        "               input_channels='a', output_channels='b')\n"
    )
    graph = load("channels.py:graph").with_saver(InMemorySaver())
    assert graph.invoke(1, {"configurable": {"thread_id": "t"}}) == 2


def test_the_saver_learns_the_types_of_a_compiled_graph(folder: Path) -> None:
    Path("typed.py").write_text(
        "from dataclasses import dataclass\n"
        "from typing import TypedDict\n"
        "from aiograph.graph import StateGraph\n"
        "@dataclass\n"
        "class Point:\n    x: int\n"
        "class State(TypedDict):\n    point: Point\n"
        "builder = StateGraph(State).add_node('n', lambda state: {'point': Point(1)})\n"
        "graph = builder.set_entry_point('n').compile()\n"
    )
    graph: Pregel[Any, Any, Any, Any] = load("typed.py:graph").with_saver(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({}, config)
    assert graph.get_state(config).values["point"].x == 1


def test_a_graph_keeps_the_saver_that_it_brings(folder: Path) -> None:
    Path("own.py").write_text(
        "from graphs import counting\n"
        "from aiograph.checkpoint.memory import InMemorySaver\n"
        "graph = counting.compile(InMemorySaver())\n"
    )
    loaded = load("own.py")
    assert isinstance(loaded.own_saver, InMemorySaver)
    assert loaded.with_saver(loaded.own_saver) is loaded.graph
