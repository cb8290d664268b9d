"""The nodes of an agent in which its model speaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiograph.messages import coerce_messages
from aiograph.messages._duck import changed
from aiograph.prebuilt._agent_state import MODEL_INPUT, messages_in, read, with_messages
from aiograph.prebuilt._conversation import calls_of, require_answers, spoken, with_own_ids
from aiograph.prebuilt._model_source import ModelSource
from aiograph.prebuilt._prompt import Speech
from aiograph.prebuilt._routes import Routes

NEED_MORE_STEPS = "Sorry, need more steps to process this request."
"""The agent's last word when the recursion limit leaves no room for the calls that its model makes."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """The node in which the model takes its turn."""

    model: ModelSource
    speech: Speech
    routes: Routes
    name: str | None
    """Who speaks, for agents among others."""

    async def __call__(self, state: Any) -> dict[str, list[Any]]:
        given = read(state, MODEL_INPUT)
        if given is not None:
            state = with_messages(state, coerce_messages(given))
        require_answers(messages_in(state))
        model = await self.model(state)
        answer = with_own_ids(spoken(await model.ainvoke(await self.speech(state))))
        answer = self._in_time(answer, read(state, "remaining_steps"))
        return {"messages": [changed(answer, name=self.name) if self.name else answer]}

    def _in_time(self, answer: Any, remaining: int | None) -> Any:
        """The answer, or an apology if there is no time for the calls that it makes."""
        calls = calls_of(answer)
        if not calls or remaining is None or remaining >= self.routes.steps_for(calls):
            return answer
        nothing: dict[str, Any] = {"tool_calls": [], "invalid_tool_calls": [], "additional_kwargs": {}}
        return changed(answer, content=NEED_MORE_STEPS, **nothing)


@dataclass(frozen=True, slots=True)
class Shaper:
    """The node in which the model puts what has come out into the shape of `response_format`."""

    model: ModelSource
    schema: Any
    opening: Sequence[Any]

    async def __call__(self, state: Any) -> Mapping[str, Any]:
        model = await self.model(state)
        shaped = model.with_structured_output(self.schema)
        return {"structured_response": await shaped.ainvoke([*self.opening, *messages_in(state)])}
