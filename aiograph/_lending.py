"""What LangChain's code inside nodes takes over of the run's config. Does not import LangChain.

LangChain looks for a config in a context variable of its own: while a task runs, that of the task is there.
"""

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from aiograph._config_types import RunnableConfig
from aiograph._context import TaskScope
from aiograph.config import config_of

HOME = "langchain_core.runnables.config"
"""Where the context variable is; whoever has callbacks of LangChain's has imported it."""

_LENT = ("callbacks", "tags", "metadata", "configurable")


def lender_for(config: RunnableConfig) -> Callable[[TaskScope], None] | None:
    """What lends a task's config to LangChain; `None` without LangChain, or if nothing concerns it."""
    module = sys.modules.get(HOME)
    if module is None or not _concerns_others(config):
        return None
    return partial(_lend, module.var_child_runnable_config)


def _concerns_others(config: RunnableConfig) -> bool:
    """Whether there is something in it besides where the run is kept."""
    configurable = config.get("configurable") or {}
    is_more = any(not key.startswith(("thread_", "checkpoint_")) for key in configurable)
    return is_more or bool(config.get("callbacks") or config.get("tags") or config.get("metadata"))


def _lend(variable: ContextVar[Any], scope: TaskScope) -> None:
    around = variable.get() or {}  # that of a runnable of LangChain's which has called the graph
    config: Mapping[str, Any] = config_of(scope)
    lent: dict[str, Any] = {key: config[key] for key in _LENT if config.get(key)}
    configurable: Mapping[str, Any] = lent["configurable"]
    lent["configurable"] = {
        key: value for key, value in configurable.items() if not key.startswith("checkpoint_")
    }
    variable.set({**around, **lent})
