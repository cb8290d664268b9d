"""Keeping a state valid: a key that a Pydantic model declares takes no value that its field refuses. Pure.

What is checked is the value that a superstep leads to, with the reducer applied, since updates need not have
the type of the state. What is kept is the value as it was written: it is the node that gets Pydantic's own.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Annotated, Any, Self, TypeAlias

from aiograph.channels._reducing import overwritten
from aiograph.channels.base import MISSING, BaseChannel, Missing
from aiograph.errors import ErrorCode, InvalidUpdateError
from aiograph.graph._writing import short
from aiograph.pregel._plan import Write, Writer

Check: TypeAlias = Callable[[Any], None]
"""Raises `InvalidUpdateError` for a value that a field refuses."""


def field_checks(model: Any) -> dict[str, Check]:
    """A check for each field of a Pydantic model, by the field's type, constraints and own validators.

    Rules that look at more than one field are left out: validators that take Pydantic's `info`, and those of
    the model. They are asked when a node gets the whole state.
    """
    validate = _validator(model)
    return {key: _check(validate, model.__name__, key) for key in model.model_fields}


def _validator(model: Any) -> Callable[[dict[str, Any]], Any]:
    """Validates a dict of some of a model's fields."""
    from pydantic import TypeAdapter
    from typing_extensions import TypedDict  # before Python 3.12 Pydantic takes no other

    make: Any = TypedDict  # a class of fields that are known only now is nothing for type checkers
    fields = make(model.__name__, {key: _hint(model, key) for key in model.model_fields}, total=False)
    # keys of a state are names of fields, whatever their aliases
    fields.__pydantic_config__ = {
        key: value for key, value in model.model_config.items() if key != "alias_generator"
    }
    validate: Callable[[dict[str, Any]], Any] = TypeAdapter(fields).validate_python
    return validate


def _hint(model: Any, key: str) -> Any:
    """A field's type, annotated with all that its value has to obey."""
    hint: Any = model.model_fields[key].annotation
    for rule in _rules(model, key):
        hint = Annotated[hint, rule]
    return hint


def _rules(model: Any, key: str) -> Iterator[Any]:
    from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WrapValidator

    info = model.model_fields[key]
    yield from info.metadata
    if info.discriminator is not None:
        yield Field(discriminator=info.discriminator)
    modes = {
        "after": AfterValidator,
        "before": BeforeValidator,
        "plain": PlainValidator,
        "wrap": WrapValidator,
    }
    for found in model.__pydantic_decorators__.field_validators.values():
        if {key, "*"}.intersection(found.info.fields) and not _takes_info(found.func, found.info.mode):
            yield modes[found.info.mode](found.func)


def _takes_info(function: Callable[..., Any], mode: str) -> bool:
    return len(signature(function).parameters) > (2 if mode == "wrap" else 1)


def _check(validate: Callable[[dict[str, Any]], Any], schema: str, key: str) -> Check:
    def check(value: Any) -> None:
        try:
            validate({key: value})
        except Exception as error:  # a validator may raise anything
            what = "; ".join(_faults(key, error))
            refusal = InvalidUpdateError(f"the key {key!r} would hold what schema {schema!r} refuses: {what}")
            refusal.code = ErrorCode.INVALID_GRAPH_NODE_RETURN_VALUE
            raise refusal from error

    return check


def _faults(key: str, error: Exception) -> Iterator[str]:
    """What is wrong with the value of a key, one phrase each, with the path to it."""
    errors = error_list(error)
    for found in errors:
        inner = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found["loc"][1:])
        yield f"{key}{inner}: {found['msg']}, not {short(found['input'])}"
    if not errors:
        yield f"{key}: {type(error).__name__}: {error}"


def error_list(error: BaseException | None) -> Sequence[Mapping[str, Any]]:
    """Pydantic's list of what it has found; empty if the error is not Pydantic's."""
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return ()
    found: Any = error
    errors: Sequence[Mapping[str, Any]] = found.errors(include_url=False)
    return errors


def checked_writer(writer: Writer, checks: Mapping[str, Check]) -> Writer:
    """A writer that refuses what does not fit, whatever reducers would make of it."""
    if not checks:
        return writer

    def write(output: Any) -> list[Write]:
        writes = writer(output)
        for key, value in writes:
            if key in checks:
                replacement = overwritten(value)
                checks[key](value if replacement is MISSING else replacement)
        return writes

    return write


class CheckedChannel(BaseChannel[Any, Any, Any]):
    """A channel that takes only writes after which its value passes a check; in all else as it was.

    Copies share the channel within, which is never changed: a verb that changes something puts a copy of it
    in its place. What comes from a checkpoint is not checked: the model may have changed since, and a
    thread has to be loaded before it can be mended.
    """

    __slots__ = ("_channel", "_check", "awaits_finish", "consumable", "persistent", "transient")

    def __init__(self, channel: BaseChannel[Any, Any, Any], check: Check) -> None:
        super().__init__(channel.typ, channel.key)
        self._channel = channel
        self._check = check
        self.transient = channel.transient
        self.persistent = channel.persistent
        self.consumable = channel.consumable
        self.awaits_finish = channel.awaits_finish

    def __repr__(self) -> str:
        return repr(self._channel)

    @property
    def ValueType(self) -> Any:
        return self._channel.ValueType

    @property
    def UpdateType(self) -> Any:
        return self._channel.UpdateType

    @property
    def kind(self) -> str:
        return self._channel.kind

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.transient = self.transient
        new.persistent = self.persistent
        new.consumable = self.consumable
        new.awaits_finish = self.awaits_finish
        new._channel = self._channel
        new._check = self._check
        return new

    def named(self, key: str, typ: Any = None) -> Self:
        return type(self)(self._channel.named(key, typ), self._check)

    def _spec(self) -> tuple[Any, ...]:
        return (type(self._channel), *self._channel._spec(), self._check)

    def checkpoint(self) -> Any | Missing:
        return self._channel.checkpoint()

    def from_checkpoint(self, checkpoint: Any | Missing) -> Self:
        return type(self)(self._channel.from_checkpoint(checkpoint), self._check)

    def get(self) -> Any:
        return self._channel.get()

    def is_available(self) -> bool:
        return self._channel.is_available()

    def is_empty(self) -> bool:
        return self._channel.is_empty()

    def update(self, values: Sequence[Any]) -> bool:
        tried = self._channel.copy()
        if not tried.update(values):
            return False
        if tried.is_available():
            self._check(tried.get())
        self._channel = tried
        return True

    def consume(self) -> bool:
        self._channel = self._channel.copy()
        return self._channel.consume()

    def finish(self) -> bool:
        self._channel = self._channel.copy()
        return self._channel.finish()
