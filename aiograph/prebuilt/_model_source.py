"""Which model answers: one for all turns, or one that a function chooses for each."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from aiograph.models import ChatModel, as_chat_model
from aiograph.prebuilt._prompt import called
from aiograph.pregel._plan import Call
from aiograph.runtime import runtime_of
from aiograph.tools import spec_of

ModelSource: TypeAlias = Callable[[Any], Awaitable[ChatModel]]
"""The model for a turn, by the state."""


def is_chosen(model: Any) -> bool:
    """Whether `model` is a function that chooses one."""
    return callable(model) and not hasattr(model, "ainvoke") and not hasattr(model, "invoke")


def always(model: ChatModel) -> ModelSource:
    """One model for all turns."""

    async def find(state: Any) -> ChatModel:
        return model

    return find


def chosen_by(choose: Callable[[Any, Any], Any], adapt: Callable[[Any], ChatModel]) -> ModelSource:
    """What a function of state and runtime returns, or awaits, for each turn."""
    call = Call(lambda state, scope: choose(state, runtime_of(scope)), inspect.iscoroutinefunction(choose))

    async def find(state: Any) -> ChatModel:
        return adapt(await called(call, state))

    return find


# -- tools that a model may call -------------------------------------------------------------------


def with_tools(model: Any, tools: Sequence[Any]) -> ChatModel:
    """The model, which may call `tools`; one that is bound to these very tools already stays as it is.

    Raises:
        ValueError: It is bound to others.
    """
    chat = as_chat_model(model)
    bound, wanted = getattr(chat, "bound_tools", ()), [spec_of(tool).name for tool in tools]
    if not bound:
        return chat.bind_tools(tools) if tools else chat
    if set(bound) == set(wanted):
        return chat
    raise ValueError(
        f"the model is bound to the tools {_listed(bound)}, and the agent has {_listed(wanted)}: give the "
        "agent the same tools, or a model that is bound to none, which the agent then binds"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def unbound(model: Any) -> ChatModel:
    """The model without the tools that it was bound to by LangChain, where binding hides the model."""
    steps = [step for step in getattr(model, "steps", ()) if hasattr(step, "with_structured_output")]
    model = steps[0] if steps else model
    is_binding = isinstance(getattr(model, "kwargs", None), Mapping) and hasattr(model, "bound")
    return as_chat_model(model.bound if is_binding else model)
