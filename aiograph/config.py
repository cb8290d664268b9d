"""What code inside a run can ask for by function call: its config, store and stream writer."""

from aiograph import _context
from aiograph.store.base import BaseStore
from aiograph.types import RunnableConfig, StreamWriter

__all__ = ["RunnableConfig", "get_config", "get_store", "get_stream_writer"]


def config_of(scope: _context.TaskScope) -> RunnableConfig:
    """The config of one task: the run's, and where in the run the task stands."""
    run = scope.run
    namespace = scope.namespace
    config = run.config.copy()
    config["tags"] = list(dict.fromkeys((*(config.get("tags") or ()), *scope.tags)))
    config["metadata"] = {
        **(config.get("metadata") or {}),
        **scope.metadata,
        "langgraph_step": scope.step,
        "langgraph_node": scope.name,
        "langgraph_triggers": scope.triggers,
        "langgraph_path": scope.path,
        "langgraph_checkpoint_ns": namespace,
    }
    config["configurable"] = {**(config.get("configurable") or {}), "checkpoint_ns": namespace}
    config["configurable"].pop("checkpoint_id", None)  # it names where the run started, not what is inside
    return config


def get_config() -> RunnableConfig:
    """The config of the task whose code calls.

    Raises:
        OutsideRunError: Called outside of a run.
    """
    return config_of(_context.require_task("get_config()"))


def get_store() -> BaseStore | None:
    """The store that the graph, or the one around it, was compiled with; `None` if there is none.

    Raises:
        OutsideRunError: Called outside of a run.
    """
    store: BaseStore | None = _context.require_task("get_store()").run.store
    return store


def get_stream_writer() -> StreamWriter:
    """A function that puts a value on the `"custom"` stream; it does nothing when nobody listens.

    Raises:
        OutsideRunError: Called outside of a run.
    """
    return _context.require_task("get_stream_writer()").writer
