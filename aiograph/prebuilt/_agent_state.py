"""The state of an agent: its schemas, and how keys of it are read whatever kind of object it is."""

from collections.abc import Mapping, Sequence
from dataclasses import field, make_dataclass, replace
from typing import Annotated, Any, NotRequired, TypedDict, get_type_hints

from aiograph.channels.ephemeral_value import EphemeralValue
from aiograph.graph._records import field_names, is_model, is_typed_dict
from aiograph.graph.message import add_messages
from aiograph.managed import RemainingSteps


class AgentState(TypedDict):
    """What an agent remembers: the conversation. Subclass it to add keys."""

    messages: Annotated[list[Any], add_messages]
    """Of ours or LangChain's."""
    remaining_steps: NotRequired[RemainingSteps]


class AgentStateWithStructuredResponse(AgentState):
    """The state of an agent with a `response_format`."""

    structured_response: Any


MODEL_INPUT = "llm_input_messages"
"""What a `pre_model_hook` gives the model in place of the conversation: for the next call alone."""

MODEL_INPUT_TYPE = Annotated[list[Any], EphemeralValue]


def read(state: Any, key: str) -> Any:
    """The value of a key; `None` if there is none."""
    return state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)


def messages_in(state: Any) -> Sequence[Any]:
    """The conversation."""
    return read(state, "messages") or ()


def with_messages(state: Any, messages: Sequence[Any]) -> Any:
    """The state, with another conversation."""
    if isinstance(state, Mapping):
        return {**state, "messages": messages}
    if is_model(type(state)):
        return state.model_copy(update={"messages": messages})
    return replace(state, messages=messages)


# -- schemas ---------------------------------------------------------------------------------------


def keys_of(schema: Any) -> frozenset[str]:
    """The keys of a state schema."""
    return frozenset(get_type_hints(schema) if is_typed_dict(schema) else field_names(schema))


def extended(schema: Any, key: str, hint: Any) -> Any:
    """A schema that has one more key, which may be missing."""
    name = f"{schema.__name__}With_{key}"
    if is_typed_dict(schema):
        hints = {**get_type_hints(schema, include_extras=True), key: hint}
        return TypedDict(name, hints, total=False)  # type: ignore[operator]  # the name is not a literal
    if is_model(schema):
        from pydantic import create_model  # there is one of its models, so it is there

        fields: dict[str, Any] = {key: (hint, None)}
        return create_model(name, __base__=schema, **fields)
    return make_dataclass(name, [(key, hint, field(default=None, kw_only=True))], bases=(schema,))
