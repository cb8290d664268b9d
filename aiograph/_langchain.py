"""What LangChain's chat models say inside nodes, shown as what ours say. Does not import LangChain first.

LangChain asks registered hooks which callback handlers a call has besides those that it is given. Ours has
one for calls inside tasks, if somebody listens to messages, whatever config the call is given. That handler
is known to want pieces, so LangChain streams although a node only invokes the model.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from threading import Lock
from types import ModuleType
from typing import Any

from aiograph._context import current_task
from aiograph.config import MessageStream, get_message_stream

_HOOKS = "langchain_core.tracers.context"
"""Where hooks are registered; LangChain has imported it before it asks them."""


def hear_langchain() -> None:
    """Has LangChain's models be heard, as soon as somebody has imported LangChain."""
    if _HOOKS in sys.modules:
        _register()
    elif _WATCH not in sys.meta_path:
        sys.meta_path.insert(0, _WATCH)


@cache
def _register() -> None:
    import_module(_HOOKS).register_configure_hook(_HANDLER_HERE, inheritable=True)


class _Watch:
    """Waits for LangChain to be imported; finds nothing itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _HOOKS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _follow(spec.loader, _register)
        return spec


_WATCH = _Watch()


def _follow(loader: Any, action: Any) -> None:
    """Has something done once the loader has loaded its module."""
    load = loader.exec_module

    def load_and_act(module: ModuleType) -> None:
        load(module)
        action()

    loader.exec_module = load_and_act


class _HandlerHere:
    """What LangChain takes for a context variable: holds the handler where it is wanted, elsewhere `None`.

    A true one would have to be set before a node runs, which may be before there is a LangChain to make the
    handler of.
    """

    def get(self) -> Any:
        scope = current_task.get()
        if scope is None or scope.run.audience is None:
            return None
        with _MAKING:
            return _handler()


_HANDLER_HERE = _HandlerHere()
_MAKING = Lock()
"""LangChain adds a handler to a call once, so there must not be two of them."""


class _Call:
    """One call of a model, while it lasts."""

    __slots__ = ("_metadata", "_stream", "_tags", "has_spoken")

    def __init__(self, stream: MessageStream, tags: Sequence[str], metadata: Mapping[str, Any]) -> None:
        self._stream = stream
        self._tags = tags
        self._metadata = metadata
        self.has_spoken = False
        """Whether the model streams, and has begun to."""

    def say(self, message: Any) -> None:
        self.has_spoken = True
        self._stream.emit(message, tags=self._tags, metadata=self._metadata)


def _calls_here() -> dict[Any, _Call]:
    """Calls under way in the run whose code this is. One that its node abandons ends with the run."""
    scope = current_task.get()
    return {} if scope is None or scope.run.audience is None else scope.run.audience.speaking


@cache
def _handler() -> Any:
    base: Any = import_module("langchain_core.callbacks.base").BaseCallbackHandler

    class MessageHandler(base):  # type: ignore[misc]  # LangChain need not be there
        """Passes on what chat models say; one for all calls."""

        run_inline = True  # in order, and on the thread where the model is called
        raise_error = True
        ignore_agent = ignore_chain = ignore_custom_event = ignore_retriever = ignore_retry = True

        def on_chat_model_start(
            self,
            serialized: Any,
            messages: Any,
            *,
            run_id: Any,
            tags: Sequence[str] | None = None,
            metadata: Mapping[str, Any] | None = None,
            **rest: Any,
        ) -> None:
            stream = get_message_stream()
            if stream is not None:
                _calls_here()[run_id] = _Call(stream, tags or (), metadata or {})

        def on_llm_new_token(self, token: Any, *, run_id: Any, chunk: Any = None, **rest: Any) -> None:
            call, message = _calls_here().get(run_id), getattr(chunk, "message", None)
            if call is not None and message is not None:
                call.say(message)

        def on_llm_end(self, response: Any, *, run_id: Any, **rest: Any) -> None:
            call = _calls_here().pop(run_id, None)
            if call is None or call.has_spoken:
                return
            for generation in response.generations[0]:
                call.say(generation.message)

        def on_llm_error(self, error: BaseException, *, run_id: Any, **rest: Any) -> None:
            _calls_here().pop(run_id, None)

        # what LangChain knows those by who want a model's answer in pieces

        def tap_output_iter(self, run_id: Any, output: Any) -> Any:
            return output

        def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
            return output

    return MessageHandler()
