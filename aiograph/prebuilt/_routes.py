"""Where the nodes of an agent lead, and how many supersteps that takes. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from aiograph.constants import END
from aiograph.prebuilt._agent_state import messages_in
from aiograph.prebuilt._conversation import last_turn
from aiograph.prebuilt._tool_input import WITH_CONTEXT
from aiograph.types import Send

MODEL = "agent"
TOOLS = "tools"
BEFORE = "pre_model_hook"
AFTER = "post_model_hook"
ANSWER = "generate_structured_response"


@dataclass(frozen=True, slots=True)
class Routes:
    """The ways between the nodes that an agent has."""

    nodes: Collection[str]
    direct: frozenset[str]
    """Names of the tools whose answer ends the run."""
    is_split: bool
    """Whether each call has a task of its own."""
    looks_at_state: Callable[[str], bool]
    """Whether the tool of that name may see the state."""

    @property
    def entry(self) -> str:
        """What runs before the model speaks, or the model."""
        return BEFORE if BEFORE in self.nodes else MODEL

    @property
    def finish(self) -> str:
        """What runs when the model has said its last word."""
        return ANSWER if ANSWER in self.nodes else END

    def after_model(self, state: Any) -> str | list[Send]:
        """Goes to the tools that the model calls."""
        turn = last_turn(messages_in(state))
        calls = turn.open_calls
        if not calls:
            return self.entry if turn.answers else self.finish
        if self.is_split:
            return [Send(TOOLS, self._with_context(call, turn.said, state)) for call in calls]
        return TOOLS

    def after_tools(self, state: Any) -> str:
        """Goes back to the model, unless a tool's answer is the last word.

        Of several calls, each may be a task of its own, which sees no other's answer: what counts is what has
        been called. If such a tool fails, the model is told, and may try again.
        """
        turn = last_turn(messages_in(state))
        if any(answer.status == "error" for answer in turn.answers if answer.name in self.direct):
            return self.entry
        return END if any(call["name"] in self.direct for call in turn.calls) else self.entry

    def steps_for(self, calls: Sequence[Any]) -> int:
        """How many supersteps the calls of a message take until the agent can have said its last word."""
        closing = sum(name in self.nodes for name in (AFTER, ANSWER))
        answering = 1 + (AFTER in self.nodes)
        if all(call["name"] in self.direct for call in calls):
            return answering
        return answering + (BEFORE in self.nodes) + 1 + closing

    def _with_context(self, call: Any, said: Any, state: Any) -> dict[str, Any]:
        """One call, as the tools' node takes it alone.

        It is stored with each call, so the whole conversation is in it only if somebody looks.
        """
        seen = state if self.looks_at_state(call["name"]) else {"messages": [said]}
        return {"__type": WITH_CONTEXT, "tool_call": call, "state": seen}
