"""Chat models: what one is, adapters for those who have one, and a base for making your own.

- `_protocol`: what a model is, and what a call of it asks for
- `_base`: a whole model from one method that streams
- `_chunks`: the pieces of one answer
- `_choice`: which of its tools a model must call
- `_structured`: answers that are objects; `_strict`: their schemas as providers want them
- `_langchain`: LangChain's models as they are
- `_clients`: the SDKs' clients, one for each event loop
- `_known`: models by name
- `openai`, `anthropic`: the adapters, each needs the extra of its name; `_anthropic_events`: what the latter
  hears while an answer comes
"""

from aiograph.models._base import BaseChatModel
from aiograph.models._known import as_chat_model
from aiograph.models._langchain import LangChainChat
from aiograph.models._protocol import AnswersInShape, ChatModel, ModelRequest
from aiograph.models._structured import StructuredModel

__all__ = [
    "AnswersInShape",
    "BaseChatModel",
    "ChatModel",
    "LangChainChat",
    "ModelRequest",
    "StructuredModel",
    "as_chat_model",
]
