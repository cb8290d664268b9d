"""The state of an agent as Pydantic models."""

from typing import Annotated, Any

from pydantic import BaseModel

from aiograph.graph.message import add_messages
from aiograph.managed import RemainingSteps


class AgentStatePydantic(BaseModel):
    """What an agent remembers, as a model."""

    messages: Annotated[list[Any], add_messages]
    remaining_steps: RemainingSteps = 25


class AgentStateWithStructuredResponsePydantic(AgentStatePydantic):
    """The state of an agent with a `response_format`, as a model."""

    structured_response: Any = None
