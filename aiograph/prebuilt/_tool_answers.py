"""What a tool returned as the answer to its call: exactly one message, and perhaps commands. Pure."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Literal

import orjson

from aiograph.messages import REMOVE_ALL_MESSAGES, ToolCall, ToolMessage
from aiograph.messages._langchain import as_langchains
from aiograph.prebuilt._tool_input import Request, messages_in
from aiograph.tools import Tool, ToolResultError
from aiograph.types import Command, Send

Output = Any
"""A tool's message, of our library or of LangChain, or a `Command`."""


class Answers:
    """Makes answers to the calls of one request."""

    def __init__(self, request: Request, messages_key: str) -> None:
        self._request = request
        self._messages_key = messages_key

    def error(self, call: ToolCall, told: Any) -> Output:
        """What tells a model that a call was not carried out, or failed, in the form of a result.

        Raises:
            ToolResultError: No JSON stands for it.
        """
        return self._message(call, as_content(told, call["name"]), status="error")

    def of(self, result: Any, call: ToolCall, tool: Tool) -> Output | list[Output]:
        """What a tool returned, as messages and commands.

        Raises:
            ToolResultError: It makes no answer.
        """
        if is_output(result):
            return self._kindred(result, call)
        if isinstance(result, list) and result and all(map(is_output, result)):
            return [self._kindred(each, call) for each in result]
        _refuse_foreign_commands(result, tool.name)
        artifact = None
        if tool.response_format == "content_and_artifact":
            if not isinstance(result, tuple) or len(result) != 2:
                raise ToolResultError(tool.name, "no pair of content and artifact, as it says it does")
            result, artifact = result
        return self._message(call, as_content(result, tool.name), artifact=artifact)

    def checked(self, outputs: Output | list[Output], call: ToolCall) -> list[Output]:
        """The outputs for one call, if they answer it.

        Raises:
            ToolResultError: There is not exactly one message for the call among them.
        """
        listed = outputs if isinstance(outputs, list) else [outputs]
        if not all(map(is_output, listed)):
            raise ToolResultError(call["name"], f"{outputs!r} by way of a wrapper, which is no message")
        messages = [message for each in listed for message in self._messages_of(each, call["name"])]
        answers = [each for each in messages if _answers(each)]
        wrong = [each.tool_call_id for each in answers if each.tool_call_id != call["id"]]
        if wrong:
            raise ToolResultError(call["name"], f"answers to {wrong}, but was called as {call['id']!r}")
        if len(answers) == 1 or (not answers and any(map(_goes_without, [*listed, *messages]))):
            return listed
        raise ToolResultError(
            call["name"],
            f"{len(answers)} messages for its call {call['id']!r}, but a model has to get exactly one: "
            f"return Command(update={{{self._messages_key!r}: [ToolMessage(..., tool_call_id=...)], ...}})",
        )

    def _messages_of(self, output: Output, name: str) -> Sequence[Any]:
        if not isinstance(output, Command):
            return [output]
        update = _as_dict(output.update)
        if output.graph is None and self._request.is_list is not isinstance(update, list) and update:
            wanted = "a list of messages" if self._request.is_list else "no list"
            raise ToolResultError(
                name, f"a Command whose update is {type(update).__name__}, but has to be {wanted}"
            )
        return messages_in(update, self._messages_key) if update is not None else ()

    def _message(
        self,
        call: ToolCall,
        content: Any,
        *,
        artifact: Any = None,
        status: Literal["success", "error"] = "success",
    ) -> Output:
        id = call["id"] or ""
        made = ToolMessage(content, name=call["name"], tool_call_id=id, artifact=artifact, status=status)
        return self._as_kin(made)

    def _kindred(self, output: Output, call: ToolCall) -> Output:
        """What a tool made itself, complete."""
        if not isinstance(output, Command):
            return self._completed(output, call)
        update = output.update
        if isinstance(update, list):
            return replace(output, update=[self._completed(each, call) for each in update])
        if isinstance(update, Mapping) and isinstance(messages := update.get(self._messages_key), list):
            completed = [self._completed(each, call) for each in messages]
            return replace(output, update={**update, self._messages_key: completed})
        return output

    def _completed(self, message: Any, call: ToolCall) -> Any:
        if isinstance(message, ToolMessage):
            id = message.tool_call_id or call["id"] or ""
            message = replace(message, name=message.name or call["name"], tool_call_id=id)
        return self._as_kin(message)

    def _as_kin(self, message: Any) -> Any:
        """A tool's message of ours, as one of LangChain's if that is what asked for it."""
        if not isinstance(message, ToolMessage) or not _is_langchains(self._request.kin):
            return message
        return as_langchains(message)


def _as_dict(update: Any) -> Any:
    """An update that is a list of keys and values is a dict as well."""
    if isinstance(update, list) and update and all(isinstance(each, tuple) for each in update):
        return dict(update)
    return update


def is_output(value: Any) -> bool:
    """Whether a tool has made its answer itself."""
    return isinstance(value, Command) or _answers(value)


def _answers(message: Any) -> bool:
    return getattr(message, "type", None) == "tool" and hasattr(message, "tool_call_id")


def _refuse_foreign_commands(result: Any, tool: str) -> None:
    """LangGraph's `Command`, say, would be shown to the model as data, and what it commands would be lost."""
    for each in result if isinstance(result, list) else (result,):
        if type(each).__name__ == "Command":
            raise ToolResultError(
                tool, f"a Command of {type(each).__module__}: import it from aiograph.types"
            )


def _goes_without(output: Output) -> bool:
    """Whether no answer is needed: the graph is left, or all messages are removed."""
    if isinstance(output, Command):
        return output.graph is not None
    return getattr(output, "type", None) == "remove" and output.id == REMOVE_ALL_MESSAGES


def _is_langchains(message: Any) -> bool:
    return any(base.__module__.startswith("langchain_core.") for base in type(message).__mro__)


# -- together ------------------------------------------------------------------------------------------


def combined(outputs: Sequence[Output], request: Request, messages_key: str) -> Any:
    """What a tools' node returns: in the form in which it was called, or a list with commands in it."""
    if not any(isinstance(each, Command) for each in outputs):
        return [*outputs] if request.is_list else {messages_key: [*outputs]}
    handed, rest = [], list[Any]()
    for each in _taken_along(outputs, messages_key):
        if _is_only_sends(each):
            handed += each.goto
        elif isinstance(each, Command):
            rest.append(each)
        else:
            rest.append([each] if request.is_list else {messages_key: [each]})
    return [*rest, Command(graph=Command.PARENT, goto=handed)] if handed else rest


def _taken_along(outputs: Sequence[Output], messages_key: str) -> Sequence[Output]:
    """Has a command for the graph around take along what other tools have answered: it alone counts.

    It does if its update has messages. The graph around would have calls without answers otherwise.
    """
    place = next((at for at, each in enumerate(outputs) if _takes_messages_away(each, messages_key)), None)
    if place is None:
        return outputs
    away = outputs[place]
    others = [each for each in outputs if not isinstance(each, Command)]
    messages = [*away.update[messages_key], *others]
    return [
        replace(away, update={**away.update, messages_key: messages}) if at == place else each
        for at, each in enumerate(outputs)
        if isinstance(each, Command)
    ]


def _takes_messages_away(output: Output, messages_key: str) -> bool:
    if not isinstance(output, Command) or output.graph is None or not isinstance(output.update, Mapping):
        return False
    return isinstance(output.update.get(messages_key), list)


def _is_only_sends(output: Output) -> bool:
    """Whether it is one of the commands that are merged: for the graph around, with nothing but `Send`s."""
    if not isinstance(output, Command) or output.graph != Command.PARENT or output.update is not None:
        return False
    goto = output.goto
    return isinstance(goto, list | tuple) and bool(goto) and all(isinstance(each, Send) for each in goto)


# -- content -------------------------------------------------------------------------------------------


def as_content(value: Any, tool: str) -> Any:
    """What a model is shown of a value: text and parts of content as they are, all else as JSON.

    Raises:
        ToolResultError: No JSON stands for it.
    """
    if isinstance(value, str):
        return _whole_characters(value)
    if isinstance(value, list) and _is_content(value):
        return value
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError) as error:
        return _by_json(value, tool, error)


def _by_json(value: Any, tool: str, error: Exception) -> str:
    """For what orjson refuses and JSON does not, such as integers that are long."""
    try:
        return _whole_characters(json.dumps(value, default=_plain, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        raise ToolResultError(
            tool, f"a {type(value).__name__} that no JSON stands for ({error}): return text, or what is plain"
        ) from error


_KINDS_OF_PARTS = frozenset(
    (
        "text",
        "image",
        "image_url",
        "audio",
        "input_audio",
        "video",
        "file",
        "document",
        "json",
        "search_result",
    )
)


def _whole_characters(text: str) -> str:
    """Text that can be sent: halves of characters, as names of files may have them, are marked as unknown.

    A provider's client would refuse every later request of the conversation.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_content(values: Sequence[Any]) -> bool:
    """Whether it is parts of content, perhaps with text between. Texts alone are a list like any other."""
    parts = [value for value in values if not isinstance(value, str)]
    return bool(parts) and all(map(_is_part, parts))


def _is_part(value: Any) -> bool:
    """Whether it is a part of content: a row of data may have a `"type"`, too."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and kind in _KINDS_OF_PARTS


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Set | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal | PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not plain")
