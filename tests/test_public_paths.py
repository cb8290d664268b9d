"""What users import, by the path they import it from. A name that stands here is a promise.

Whoever delivers a public path adds it to the table; nothing is ever taken out without a deprecation.
"""

from dataclasses import is_dataclass
from importlib import import_module
from typing import get_type_hints

import pytest

PUBLIC_PATHS = {
    "aiograph": "Command END InMemorySaver Pregel RetryPolicy START Send StateGraph",
    "aiograph.cache.base": "BaseCache FullKey Namespace",
    "aiograph.cache.memory": "InMemoryCache",
    "aiograph.cache.sqlite": "SqliteCache",
    "aiograph.channels": """
        AnyValue BaseChannel BinaryOperatorAggregate EphemeralValue LastValue LastValueAfterFinish
        NamedBarrierValue NamedBarrierValueAfterFinish Topic UntrackedValue
    """,
    "aiograph.channels.any_value": "AnyValue",
    "aiograph.channels.base": "BaseChannel MISSING",
    "aiograph.channels.binop": "BinaryOperatorAggregate",
    "aiograph.channels.ephemeral_value": "EphemeralValue",
    "aiograph.channels.last_value": "LastValue LastValueAfterFinish",
    "aiograph.channels.named_barrier_value": "NamedBarrierValue NamedBarrierValueAfterFinish",
    "aiograph.channels.topic": "Topic",
    "aiograph.channels.untracked_value": "UntrackedValue",
    "aiograph.checkpoint.base": """
        BaseCheckpointSaver ChannelVersions Checkpoint CheckpointMetadata CheckpointTuple
        DeltaChannelHistory EXCLUDED_METADATA_KEYS PendingWrite Retention ThreadInfo WRITES_IDX_MAP
        copy_checkpoint create_checkpoint empty_checkpoint
    """,
    "aiograph.checkpoint.memory": "InMemorySaver MemorySaver",
    "aiograph.checkpoint.postgres": "AsyncPostgresSaver PoolOptions PostgresSaver",
    "aiograph.checkpoint.postgres.aio": "AsyncPostgresSaver",
    "aiograph.checkpoint.serde": "JsonPlusSerializer SerializerProtocol",
    "aiograph.checkpoint.serde.base": "SerializerProtocol",
    "aiograph.checkpoint.serde.encrypted": "EncryptedSerializer",
    "aiograph.checkpoint.serde.jsonplus": "JsonPlusSerializer",
    "aiograph.checkpoint.serde.types": "ERROR INTERRUPT RESUME SCHEDULED TASKS",
    "aiograph.checkpoint.sqlite": "AsyncSqliteSaver SqliteSaver",
    "aiograph.checkpoint.sqlite.aio": "AsyncSqliteSaver",
    "aiograph.config": "MessageStream get_config get_message_stream get_store get_stream_writer",
    "aiograph.constants": "END START TAG_HIDDEN TAG_NOSTREAM",
    "aiograph.drawing": "Edge Graph Node",
    "aiograph.errors": """
        AiographError BridgeClosedError CacheError CallOrderError ChangedGraphError ChannelUpdateError
        CheckpointDeserializationError CheckpointError
        CheckpointQueryError CheckpointSerializationError CheckpointStorageError
        EmptyChannelError EmptyInputError ErrorCode ExpressionError GraphDrained GraphRecursionError
        GraphValidationError InvalidChatHistoryError InvalidContextError InvalidResumeError
        InvalidUpdateError MissingExtraError InvalidNamespaceError StoreError StoreQueryError StoreValueError
        MultipleSubgraphsError NodeCancelledError NodeError NodeTimeoutError OutsideRunError ParentCommand
        RecordedError StructuredOutputError SyncCallError UnknownInterruptError
    """,
    "aiograph.func": "TaskFunction TaskFuture entrypoint task",
    "aiograph.graph": """
        CompiledStateGraph END MessageGraph MessagesState START StateGraph add_messages
    """,
    "aiograph.graph.message": """
        MessageGraph Messages MessagesState REMOVE_ALL_MESSAGES add_messages push_message
    """,
    "aiograph.graph.state": "CompiledStateGraph StateGraph",
    "aiograph.managed": "IsLastStep RemainingSteps",
    "aiograph.messages": """
        AIMessage AIMessageChunk AnyMessage Content HumanMessage InvalidToolCall Message MessageLike Part
        REMOVE_ALL_MESSAGES RemoveMessage SystemMessage ToolCall ToolCallChunk ToolMessage UsageMetadata
        coerce_message coerce_messages from_anthropic from_openai join_chunks merge_messages pretty_print
        pretty_repr to_anthropic to_openai
    """,
    "aiograph.prebuilt": """
        InjectedState InjectedStore InjectedToolCallId ToolNode ToolRuntime create_react_agent tools_condition
    """,
    "aiograph.prebuilt.chat_agent_executor": """
        AgentState AgentStatePydantic AgentStateWithStructuredResponse
        AgentStateWithStructuredResponsePydantic create_react_agent
    """,
    "aiograph.prebuilt.tool_node": """
        InjectedState InjectedStore ToolCallRequest ToolInvocationError ToolNode ToolRuntime tools_condition
    """,
    "aiograph.models": """
        AnswersInShape BaseChatModel ChatModel LangChainChat ModelRequest StructuredModel as_chat_model
    """,
    "aiograph.models.anthropic": "AnthropicChat",
    "aiograph.models.openai": "OpenAIChat",
    "aiograph.pregel": "NodeBuilder Pregel",
    "aiograph.runtime": "ExecutionInfo RunControl Runtime get_runtime",
    "aiograph.stats": """
        Collector Figures NodeStats OpenTelemetry RunInfo RunStats Statistics SuperstepStats TaskInfo Totals
    """,
    "aiograph.store.base": """
        AEmbeddingsFunc BaseStore Embeddings EmbeddingsFunc GetOp IndexConfig InvalidNamespaceError Item
        ListNamespacesOp MatchCondition NOT_PROVIDED NamespaceMatchType NamespacePath NotProvided Op PutOp
        Result SearchItem SearchOp TTLConfig ensure_embeddings get_text_at_path tokenize_path
    """,
    "aiograph.store.memory": "InMemoryStore",
    "aiograph.testing": "ScriptedModel",
    "aiograph.testing.caches": "CacheContract",
    "aiograph.testing.channels": "ChannelContract",
    "aiograph.testing.clock": "VirtualClockLoop run_virtual virtual_backend virtual_wall",
    "aiograph.testing.faults": "FaultySaver Mishap SaverCall delay delay_turns fail_at kill_at",
    "aiograph.testing.models": "Answer ScriptedModel",
    "aiograph.testing.postgres": "PostgresServer PostgresUnavailableError postgres_server",
    "aiograph.testing.savers": "SaverContract",
    "aiograph.testing.stores": "StoreContract",
    "aiograph.testing.sequencer": "SequenceError Sequencer",
    "aiograph.tools": """
        InjectedState InjectedStore InjectedToolCallId NothingToInjectError Tool ToolCallError
        ToolInvocationError ToolResultError ToolRuntime ToolSpec ToolTimeoutError as_tool spec_of tool
    """,
    "aiograph.types": """
        All CachePolicy Command Durability Interrupt OnError Overwrite PregelTask RetryPolicy
        RunnableConfig Send
        StoredThread StateSnapshot StateUpdate StreamMode StreamWriter TimeoutPolicy interrupt
    """,
    "aiograph.typing": "ContextT InputT OutputT StateT",
    "aiograph.warnings": """
        AiographWarning BlockedLoopWarning BlockingCallWarning CacheWarning CheckpointWarning
        GraphWarning UnknownKeyWarning
    """,
}


@pytest.mark.parametrize(("path", "names"), PUBLIC_PATHS.items(), ids=PUBLIC_PATHS)
def test_public_names_can_be_imported(path: str, names: str) -> None:
    module = import_module(path)
    missing = [name for name in names.split() if not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize(("path", "names"), PUBLIC_PATHS.items(), ids=PUBLIC_PATHS)
def test_a_list_of_exports_leaves_out_no_public_name(path: str, names: str) -> None:
    module = import_module(path)
    exported = getattr(module, "__all__", names.split())
    assert set(names.split()) <= set(exported)


@pytest.mark.parametrize(("path", "names"), PUBLIC_PATHS.items(), ids=PUBLIC_PATHS)
def test_the_fields_of_public_values_have_types_that_can_be_looked_up(path: str, names: str) -> None:
    """As Pydantic does, where one is a field of a model or a parameter of a tool."""
    values = [getattr(import_module(path), name) for name in names.split()]
    for value in values:
        if is_dataclass(value) or hasattr(value, "_fields"):
            assert get_type_hints(value)
