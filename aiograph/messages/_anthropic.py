"""Messages as Anthropic's interface has them, and back. Pure.

There, what a model is told beforehand stands apart, answers of tools are part of what the user says, and
calls part of what the model says. A model's thinking is kept, as it wants to be given it back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiograph.messages._calls import sort_calls
from aiograph.messages._coerce import coerce_messages
from aiograph.messages._dicts import read_call
from aiograph.messages._duck import whole
from aiograph.messages._openai import image_url
from aiograph.messages._parts import Part, parts_of, text_of
from aiograph.messages._values import AIMessage, AnyMessage, HumanMessage, ToolMessage

Block = dict[str, Any]


def to_anthropic(messages: Any) -> tuple[str | list[Block] | None, list[dict[str, Any]]]:
    """Messages for Anthropic's interface: what the model is told beforehand, and the turns.

    Answers of tools that follow each other, and what the user says after them, are one turn, as they have to
    be. Empty text is left out, and so is a turn of the model's in which it says nothing. A call that could
    not be read is told with what the model wrote as its only argument.

    Args:
        messages: What `coerce_messages` accepts.

    Returns:
        The text of all system messages, or their blocks if there is more to them than text, or `None`; and
        the turns.

    Raises:
        TypeError: Something is no message.
        ValueError: A message has no place in a conversation (`RemoveMessage`), or is of an unknown kind.
    """
    system: list[Any] = []
    turns: list[dict[str, Any]] = []
    for message in map(whole, coerce_messages(messages)):
        if message.type == "system":
            system.append(message)
        else:
            _add_turn(turns, message)
    return _system(system), turns


def from_anthropic(turn: Mapping[str, Any]) -> list[AnyMessage]:
    """The messages in a turn as Anthropic's interface has it.

    What a model says is one message: text alone is its content, otherwise the blocks are, but for the calls.
    What a user says is one as well, after a message for each answer of a tool.

    Raises:
        ValueError: The role is neither `"user"` nor `"assistant"`.
    """
    role, blocks = turn.get("role"), parts_of(turn.get("content") or "")
    if role == "assistant":
        return [_ai_message(turn, blocks)]
    if role != "user":
        raise ValueError(f"the role {role!r:.100} is neither 'user' nor 'assistant'")
    results = [block for block in blocks if _kind(block) == "tool_result"]
    said = [block for block in blocks if _kind(block) != "tool_result"]
    answers = [_tool_message(result) for result in results if isinstance(result, Mapping)]
    return [*answers, HumanMessage(_plain(said))] if said or not answers else [*answers]


# -- to Anthropic


def _add_turn(turns: list[dict[str, Any]], message: Any) -> None:
    role, content = _turn(message)
    if role == "assistant" and not content:
        return
    if role == "user" and turns and _ends_with_an_answer(turns[-1]):
        turns[-1]["content"] = [*turns[-1]["content"], *_blocks(content)]
    else:
        turns.append({"role": role, "content": content})


def _turn(message: Any) -> tuple[str, str | list[Block]]:
    if message.type == "tool":
        return "user", [_result(message)]
    content = message.content
    if message.type == "human":
        return "user", content if isinstance(content, str) else _blocks(content)
    if message.type != "ai":
        kind = message.type
        raise ValueError(f"a message of the type {kind!r} has no place in a conversation with a model")
    if isinstance(content, str) and not _calls_of(message):
        return "assistant", content if content.strip() else ""
    return "assistant", _with_calls(message, _blocks(content))


def _ends_with_an_answer(turn: Mapping[str, Any]) -> bool:
    """Whether a turn ends with the answer of a tool: what the user says next belongs there."""
    parts = parts_of(turn["content"])
    return bool(parts) and _kind(parts[-1]) == "tool_result"


def _result(message: Any) -> Block:
    content = message.content
    shown = content if isinstance(content, str) else _blocks(content)
    result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": shown}
    return {**result, "is_error": True} if getattr(message, "status", "success") == "error" else result


def _calls_of(message: Any) -> list[Block]:
    """The calls of a message as blocks; arguments have to be an object."""
    invalid = [{**call, "args": {"arguments": call["args"] or ""}} for call in message.invalid_tool_calls]
    return [
        {"type": "tool_use", "id": call["id"], "name": call["name"] or "unknown", "input": call["args"]}
        for call in (*message.tool_calls, *invalid)
    ]


def _with_calls(message: Any, blocks: Iterable[Block]) -> list[Block]:
    """Blocks of content with the calls: in their places, if they are told of there, or at the end."""
    calls = {call["id"]: call for call in _calls_of(message)}
    placed = [calls.pop(block["id"], block) if _kind(block) == "tool_use" else block for block in blocks]
    return [*placed, *calls.values()]


def _system(messages: Sequence[Any]) -> str | list[Block] | None:
    if all(isinstance(message.content, str) for message in messages):
        return "\n\n".join(message.content for message in messages) or None
    return [block for message in messages for block in _blocks(message.content)] or None


def _blocks(content: Any) -> list[Block]:
    return [block for part in parts_of(content) for block in _block(part)]


def _block(part: Part) -> Iterator[Block]:
    """A part as Anthropic has it. The index that pieces had is nothing it knows."""
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    block = {key: value for key, value in part.items() if key != "index"}
    kind, text = _kind(block), text_of(block)
    if text is not None and not text.strip():
        return  # refused there
    if kind in ("image", "image_url"):
        yield _image(block)
    elif kind == "reasoning" and "reasoning" in block:  # LangChain's word
        signature = (block.get("extras") or {}).get("signature", "")
        yield {"type": "thinking", "thinking": block["reasoning"], "signature": signature}
    elif kind not in ("input_json_delta", "tool_call", "tool_call_chunk", "invalid_tool_call"):
        yield block


def _image(block: Block) -> Block:
    if isinstance(block.get("source"), Mapping):
        return block
    given = block.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given or image_url(block)
    if not isinstance(url, str):
        return block
    head, comma, data = url.partition(";base64,")
    if not comma or not head.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind = head.removeprefix("data:")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


# -- from Anthropic


def _kind(block: Any) -> Any:
    return block.get("type") if isinstance(block, Mapping) else None


def _plain(blocks: Sequence[Part]) -> Any:
    """The text of a single block of text, or the blocks."""
    if not blocks:
        return ""
    is_plain = len(blocks) == 1 and (isinstance(blocks[0], str) or blocks[0].keys() == {"type", "text"})
    return text_of(blocks[0]) if is_plain else list(blocks)


def _ai_message(turn: Mapping[str, Any], blocks: Sequence[Part]) -> AIMessage:
    said = [block for block in blocks if _kind(block) != "tool_use"]
    uses = [block for block in blocks if isinstance(block, Mapping) and _kind(block) == "tool_use"]
    good, bad = sort_calls(read_call({**use, "args": use.get("input", {})}) for use in uses)
    return AIMessage(_plain(said), id=turn.get("id"), tool_calls=good, invalid_tool_calls=bad)


def _tool_message(result: Mapping[str, Any]) -> ToolMessage:
    content = result.get("content") or ""
    return ToolMessage(
        content if isinstance(content, str) else _plain(content),
        tool_call_id=result.get("tool_use_id") or "",
        status="error" if result.get("is_error") else "success",
    )
