"""`create_react_agent`: a graph in which a model calls tools until it has an answer.

The nodes are named as in LangGraph: `agent`, in which the model speaks, `tools`, and, where they are asked
for, `pre_model_hook`, `post_model_hook` and `generate_structured_response`.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.constants import END, START
from aiograph.errors import MissingExtraError
from aiograph.graph import CompiledStateGraph, StateGraph
from aiograph.models import as_chat_model
from aiograph.prebuilt._agent_state import (
    MODEL_INPUT,
    MODEL_INPUT_TYPE,
    AgentState,
    AgentStateWithStructuredResponse,
    extended,
    keys_of,
)
from aiograph.prebuilt._model_source import ModelSource, always, chosen_by, is_chosen, unbound, with_tools
from aiograph.prebuilt._prompt import opening, speech_of
from aiograph.prebuilt._react_nodes import Shaper, Speaker
from aiograph.prebuilt._routes import AFTER, ANSWER, BEFORE, MODEL, TOOLS, Routes
from aiograph.prebuilt.tool_node import ToolNode
from aiograph.pregel._options import Names
from aiograph.store.base import BaseStore

if TYPE_CHECKING:
    from aiograph.prebuilt._agent_models import (
        AgentStatePydantic,
        AgentStateWithStructuredResponsePydantic,
    )

__all__ = [
    "AgentState",
    "AgentStatePydantic",
    "AgentStateWithStructuredResponse",
    "AgentStateWithStructuredResponsePydantic",
    "create_react_agent",
]

Agent: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
"""An agent is a graph like any other."""


def create_react_agent(
    model: Any,
    tools: Sequence[Any] | ToolNode,
    *,
    prompt: Any = None,
    response_format: Any = None,
    pre_model_hook: Any = None,
    post_model_hook: Any = None,
    state_schema: Any = None,
    context_schema: Any = None,
    checkpointer: BaseCheckpointSaver | bool | None = None,
    store: BaseStore | None = None,
    interrupt_before: Names | None = None,
    interrupt_after: Names | None = None,
    debug: bool = False,
    version: Literal["v1", "v2"] = "v2",
    name: str | None = None,
) -> Agent:
    """Makes an agent: a model that calls tools, and is told what they answer, until it calls no more.

    Args:
        model: A chat model, of ours or of LangChain's; `"openai:NAME"` or `"anthropic:NAME"`; or a function,
            sync or async, of state and runtime that returns a model for each turn, its tools bound already.
        tools: Functions, tools of ours or of LangChain's, dicts that a provider understands, or a `ToolNode`.
        prompt: Put in front of the conversation: text, a system message, or messages. Or a function of the
            state that returns all that the model is told.
        response_format: A type or JSON schema; when the agent has finished, its model is asked once more, and
            the answer is the state's `structured_response`. `(prompt, schema)` puts a prompt in front.
        pre_model_hook: A node that runs before the model: what it returns as `messages` changes the
            conversation, as `llm_input_messages` what the model is shown of it this once.
        post_model_hook: A node that runs after the model. Calls that it answers are not made.
        state_schema: `AgentState`, or what has its keys and others.
        context_schema: Type of what callers pass as `context=`.
        checkpointer: As for `StateGraph.compile`; the same for the following ones.
        store: Handed to tools, hooks and functions that ask for it.
        interrupt_before: Such as `["tools"]`.
        interrupt_after: Such as `["agent"]`.
        debug: Warns of code that blocks the event loop.
        version: `"v2"` gives each call a task of its own, `"v1"` all calls of a message one.
        name: Of the graph, and of what its model says.

    The agent's last word is that it needs more steps, if the `recursion_limit` leaves too few for the calls
    that the model makes.

    Raises:
        ValueError: The state lacks a key, the model is bound to other tools, or an option does not exist.
        TypeError: `model`, `prompt` or a tool is none.
        InvalidChatHistoryError: (When it runs.) The conversation has tool calls that nobody answers.
    """
    if version not in ("v1", "v2"):
        raise ValueError(f"version is 'v1' or 'v2', not {version!r}")
    node, offers = _tools(tools)
    prefix, schema = response_format if isinstance(response_format, tuple) else (None, response_format)
    hooks = {BEFORE: pre_model_hook, AFTER: post_model_hook}
    routes = _routes(node, hooks, schema, version)
    state = _state_schema(state_schema, schema)
    speaker = Speaker(_source(model, offers), speech_of(prompt), routes, name)
    builder = StateGraph(state, context_schema)
    builder.add_node(MODEL, speaker, input_schema=_model_input(state, pre_model_hook))
    if schema is not None:
        shaper = Shaper(_shaping_source(model), schema, opening(prefix))
        builder.add_node(ANSWER, shaper, input_schema=_storing(state, schema))
    _add(builder, {TOOLS: node, **hooks}, routes)
    return builder.compile(
        checkpointer,
        store=store,
        interrupt_before=interrupt_before,
        interrupt_after=interrupt_after,
        debug=debug or None,
        name=name,
    )


def _tools(tools: Sequence[Any] | ToolNode) -> tuple[ToolNode, list[Any]]:
    """The node that runs the tools, and all that the model may call: a provider runs some of it itself."""
    if isinstance(tools, ToolNode):
        return tools, [*tools.tools_by_name.values()]
    node = ToolNode([tool for tool in tools if not isinstance(tool, Mapping)])
    return node, [*node.tools_by_name.values(), *(tool for tool in tools if isinstance(tool, Mapping))]


def _routes(node: ToolNode, hooks: Mapping[str, Any], schema: Any, version: str) -> Routes:
    parts = {TOOLS: node.tools_by_name or None, **hooks, ANSWER: schema}
    direct = (name for name, tool in node.tools_by_name.items() if tool.return_direct)
    return Routes(
        nodes=frozenset(name for name, part in parts.items() if part is not None),
        direct=frozenset(direct),
        is_split=version == "v2",
        looks_at_state=node.looks_at_state,
    )


# -- the model -------------------------------------------------------------------------------------


def _source(model: Any, offers: Sequence[Any]) -> ModelSource:
    if is_chosen(model):
        return chosen_by(model, as_chat_model)
    return always(with_tools(model, offers))


def _shaping_source(model: Any) -> ModelSource:
    """The same without tools: what is wanted at the end is an object, and no call."""
    return chosen_by(model, unbound) if is_chosen(model) else always(unbound(model))


# -- the state -------------------------------------------------------------------------------------


def _state_schema(state: Any, schema: Any) -> Any:
    if state is None:
        return AgentState if schema is None else AgentStateWithStructuredResponse
    wanted = {"messages", "remaining_steps", *(() if schema is None else ("structured_response",))}
    if missing := sorted(wanted - keys_of(state)):
        raise ValueError(
            f"the state_schema {state.__name__} lacks {', '.join(map(repr, missing))}: "
            "subclass AgentState, or AgentStateWithStructuredResponse if there is a response_format"
        )
    return state


def _model_input(state: Any, pre_model_hook: Any) -> Any:
    return state if pre_model_hook is None else extended(state, MODEL_INPUT, MODEL_INPUT_TYPE)


def _storing(state: Any, schema: Any) -> Any:
    """The state, which says what its `structured_response` is, so that savers know the type."""
    return extended(state, "structured_response", schema) if isinstance(schema, type) else state


# -- the graph -------------------------------------------------------------------------------------


def _add(builder: StateGraph[Any, Any, Any, Any], actions: Mapping[str, Any], routes: Routes) -> None:
    """Adds the other nodes that the agent has, and all edges."""
    for name, action in actions.items():
        if name in routes.nodes:
            builder.add_node(name, action)
    builder.add_edge(START, routes.entry)
    if BEFORE in routes.nodes:
        builder.add_edge(BEFORE, MODEL)
    if AFTER in routes.nodes:
        builder.add_edge(MODEL, AFTER)
    _add_ways_on(builder, routes)
    if ANSWER in routes.nodes:
        builder.add_edge(ANSWER, END)


def _add_ways_on(builder: StateGraph[Any, Any, Any, Any], routes: Routes) -> None:
    last = AFTER if AFTER in routes.nodes else MODEL
    if TOOLS not in routes.nodes:
        builder.add_edge(last, routes.finish)
        return
    back = [routes.entry] if last == AFTER else []
    builder.add_conditional_edges(last, routes.after_model, [TOOLS, *back, routes.finish])
    if routes.direct:
        builder.add_conditional_edges(TOOLS, routes.after_tools, [routes.entry, END])
    else:
        builder.add_edge(TOOLS, routes.entry)


def __getattr__(name: str) -> Any:
    """The models, which need Pydantic: imported when somebody asks for them."""
    if name not in ("AgentStatePydantic", "AgentStateWithStructuredResponsePydantic"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        models = import_module("aiograph.prebuilt._agent_models")
    except ImportError as error:
        raise MissingExtraError(name, "schema") from error
    return getattr(models, name)
