"""From `MODULE_OR_FILE:NAME` to a graph. Runs the user's module, on the thread that asks."""

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from aiograph import bridge
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.cli._given import Refusal
from aiograph.graph import StateGraph
from aiograph.pregel import Pregel

AnyBuilder = StateGraph[Any, Any, Any, Any]
AnyGraph = Pregel[Any, Any, Any, Any]

DEFAULT_NAME = "graph"


class Loaded(NamedTuple):
    """What stands behind a target."""

    name: str
    graph: AnyBuilder | AnyGraph

    @property
    def own_saver(self) -> BaseCheckpointSaver | None:
        """The saver that the graph brings."""
        saver = None if isinstance(self.graph, StateGraph) else self.graph.checkpointer
        return saver if isinstance(saver, BaseCheckpointSaver) else None

    @property
    def compiled(self) -> AnyGraph:
        """The graph, compiled, with the saver that it brings, if any."""
        return self.graph.compile(name=self.name) if isinstance(self.graph, StateGraph) else self.graph

    def with_saver(self, saver: BaseCheckpointSaver) -> AnyGraph:
        """The graph, compiled, its threads kept by `saver`."""
        if isinstance(self.graph, StateGraph):
            return self.graph.compile(saver, name=self.name)
        return self.graph if saver is self.own_saver else self.graph.with_checkpointer(saver)


def load(target: str) -> Loaded:
    """Loads the graph that `MODULE_OR_FILE:NAME` names, or that the function of that name returns.

    Raises:
        Refusal: There is no such module, file or name, or it is no graph.
    """
    source, name = _split(target)
    module = _import(source)
    if not hasattr(module, name):
        raise Refusal(f"{source} has no {name!r}{_offer(source, module)}")
    graph = _made(f"{source}:{name}", getattr(module, name))
    return Loaded(name, graph)


def _split(target: str) -> tuple[str, str]:
    source, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():  # the colon of a drive, say
        return target, DEFAULT_NAME
    return source, name


def _offer(source: str, module: ModuleType) -> str:
    graphs = [name for name, value in vars(module).items() if isinstance(value, StateGraph | Pregel)]
    if not graphs:
        return ", nor any other graph; define one at the top of the module, or a function that returns one"
    return f"; it has {', '.join(f'{source}:{name}' for name in graphs)}"


def _import(source: str) -> ModuleType:
    if source.endswith(".py") or "/" in source or "\\" in source:
        return _import_file(Path(source))
    return _import_module(source)


def _import_module(name: str) -> ModuleType:
    _put_on_path(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Refusal(
                f"there is no module {error.name!r} to import from here; give a module, as in "
                f"package.module:{DEFAULT_NAME}, or a file, as in path/to/file.py:{DEFAULT_NAME}"
            ) from error
        raise _broken(name, error) from error
    except Exception as error:  # whatever the module does when it is imported
        raise _broken(name, error) from error


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise Refusal(
            f"there is no file {str(file)!r}; the path is taken from the current folder, {Path.cwd()}"
        )
    _put_on_path(file.resolve().parent)
    name = file.stem if file.stem not in sys.modules else f"{file.stem}__graph"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Refusal(f"{str(file)!r} is no Python file; its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file does when it is run
        del sys.modules[name]
        raise _broken(str(file), error) from error
    return module


def _put_on_path(folder: Path) -> None:
    """What `python file.py` does: modules beside the file can be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _broken(source: str, error: Exception) -> Refusal:
    return Refusal(f"{source} cannot be imported: {type(error).__name__}: {error}")


def _made(target: str, found: Any) -> AnyBuilder | AnyGraph:
    if isinstance(found, StateGraph | Pregel):
        return found
    if not callable(found) or isinstance(found, type):
        raise Refusal(
            f"{target} is {_kind(found)}, not a graph; name a StateGraph, a compiled graph, or a function "
            "that returns one"
        )
    made = _called(target, found)
    if isinstance(made, StateGraph | Pregel):
        return made
    raise Refusal(f"{target}() returned a value {_kind(made)}, not a graph")


def _kind(found: Any) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"


def _called(target: str, function: Any) -> Any:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError) as error:
        raise Refusal(f"{target} has to work without arguments, to make a graph: {error}") from error
    made = function()
    if not inspect.isawaitable(made):
        return made

    async def settled() -> Any:
        return await made

    return bridge.run(settled, verb="load")
