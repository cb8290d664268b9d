"""What code inside a run can ask for by function call: its config and store, and where to show something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiograph import _context
from aiograph._onlookers import Audience
from aiograph.constants import TAG_NOSTREAM
from aiograph.types import RunnableConfig, StreamWriter

if TYPE_CHECKING:
    from aiograph.store.base import BaseStore

__all__ = [
    "MessageStream",
    "RunnableConfig",
    "get_config",
    "get_message_stream",
    "get_store",
    "get_stream_writer",
]


def config_of(scope: _context.TaskScope) -> RunnableConfig:
    """The config of one task: the run's, and where in the run the task stands."""
    run = scope.run
    namespace = scope.namespace
    config = run.config.copy()
    config.pop("run_id", None)  # they are the run's: what is called with a task's config is another one
    config.pop("run_name", None)
    config["tags"] = _tags_of(scope)
    config["metadata"] = {
        **(config.get("metadata") or {}),
        **scope.metadata,
        **_place_of(scope),
    }
    config["configurable"] = {**(config.get("configurable") or {}), "checkpoint_ns": namespace}
    config["configurable"].pop("checkpoint_id", None)  # it names where the run started, not what is inside
    return config


def _tags_of(scope: _context.TaskScope) -> list[str]:
    return list(dict.fromkeys((*(scope.run.config.get("tags") or ()), *scope.tags)))


def _place_of(scope: _context.TaskScope) -> dict[str, Any]:
    return {
        "langgraph_step": scope.step,
        "langgraph_node": scope.task.node.part_of or scope.name,
        "langgraph_triggers": scope.triggers,
        "langgraph_path": scope.path,
        "langgraph_checkpoint_ns": scope.namespace,
    }


def metadata_of_messages(scope: _context.TaskScope) -> dict[str, Any]:
    """What is shown beside the messages of a task."""
    config = config_of(scope)
    tags = {"tags": config["tags"]} if config["tags"] else {}
    return {**config["metadata"], **_place_of_message(scope), **tags}


def _place_of_message(scope: _context.TaskScope) -> dict[str, Any]:
    """What no other metadata replaces."""
    thread_id = (scope.run.config.get("configurable") or {}).get("thread_id")
    thread = {} if thread_id is None else {"thread_id": thread_id}
    return {**thread, **_place_of(scope), "checkpoint_ns": scope.namespace}


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
    store: BaseStore | None = _context.require_task("get_store()").run.means.store
    return store


def get_stream_writer() -> StreamWriter:
    """A function that puts a value on the `"custom"` stream; it does nothing when nobody listens.

    Raises:
        OutsideRunError: Called outside of a run.
    """
    return _context.require_task("get_stream_writer()").writer


def _is_muted(scope: _context.TaskScope | None) -> bool:
    """Whether nothing is to be heard of models in a node, or in one around it."""
    while scope is not None:
        if TAG_NOSTREAM in scope.tags:
            return True
        scope = scope.run.outer
    return False


class MessageStream:
    """Shows what one call of a model says, while it says it, to those who listen to `"messages"`.

    Every call takes a stream of its own, from `get_message_stream`.
    """

    __slots__ = ("_audience", "_id", "_is_muted", "_metadata", "_place", "_scope", "_tags")

    def __init__(self, scope: _context.TaskScope, audience: Audience) -> None:
        self._scope = scope
        self._audience = audience
        self._place = _place_of_message(scope)
        self._metadata = metadata_of_messages(scope)
        self._tags = _tags_of(scope)
        self._id: str | None = None
        self._is_muted = _is_muted(scope)

    def emit(
        self, message: Any, *, tags: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Shows a message, or a piece of one, from any thread.

        A worker thread waits for a slow consumer; asynchronous code awaits `room`. Pieces without an id get
        one that they have in common, whole messages one of their own. Nothing is shown any more once the
        node's time is up.

        Args:
            message: Ours or LangChain's.
            tags: The model's. With `"nostream"` among them, or among the node's, nothing is shown.
            metadata: Stands beside the message together with that of the run and the node.

        Raises:
            TypeError: It is no message.
        """
        if not hasattr(message, "content"):
            raise TypeError(f"what a model says is a message or a piece of one, not {message!r}")
        tags = list(dict.fromkeys((*tags, *self._tags)))
        if self._is_muted or TAG_NOSTREAM in tags or not self._scope.may_show():
            return
        if message.id is None:
            message.id = self._id_for(message)
        told = {**self._metadata, **(metadata or {}), **self._place}
        self._audience.hear(message, {**told, "tags": tags} if tags else told)

    async def room(self) -> None:
        """Waits while a consumer is slow. An asynchronous model awaits it after each piece."""
        await self._audience.room()

    def _id_for(self, message: Any) -> str:
        from aiograph import _ids

        if not message.type.endswith("Chunk"):
            return _ids.random_id()
        self._id = self._id or _ids.random_id()
        return self._id


def get_message_stream() -> MessageStream | None:
    """Where a model may show what it says; `None` outside of runs, or if nobody listens to `"messages"`."""
    scope = _context.current_task.get()
    if scope is None or scope.run.audience is None:
        return None
    return MessageStream(scope, scope.run.audience)
