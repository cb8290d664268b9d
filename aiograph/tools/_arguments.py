"""What a model may pass to a function, as a schema, and what it has passed, made into what was annotated.

Pydantic does both; it is the `schema` extra, and imported when the first tool is made.
"""

import functools
import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from aiograph.errors import MissingExtraError
from aiograph.tools._injected import Injection, NothingToInjectError, ToolRuntime, injection_of
from aiograph.tools._spec import without_titles
from aiograph.tools._typed_dicts import with_known_dicts

Check = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Makes keyword arguments of what a model has given; raises Pydantic's `ValidationError`."""


class ArgumentFaults(Exception):
    """Arguments that were found wrong without Pydantic."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__(faults)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes."""

    schema: Mapping[str, Any]
    """Of what the model may give."""
    check: Check
    injected: Mapping[str, Injection]
    optional: frozenset[str] = frozenset()
    """Injected ones that have a default."""
    checked: frozenset[str] = frozenset()
    """Injected ones that the check wants to see as well."""

    def keywords(self, given: Mapping[str, Any], runtime: ToolRuntime[Any, Any]) -> dict[str, Any]:
        """What the function is to be called with.

        What a model has given for an injected parameter does not count.

        Raises:
            NothingToInjectError: The state has no such field as one of them wants.
            Exception: The arguments are wrong; see `faults_in`.
        """
        injected = dict(self._injected(runtime))
        arguments = {name: value for name, value in given.items() if name not in self.injected}
        seen = {name: value for name, value in injected.items() if name in self.checked}
        return {**self.check({**arguments, **seen}), **injected}

    def _injected(self, runtime: ToolRuntime[Any, Any]) -> Iterator[tuple[str, Any]]:
        for name, injection in self.injected.items():
            if injection.value is None:
                continue
            try:
                yield name, injection.value(runtime)
            except NothingToInjectError:
                if name not in self.optional:
                    raise


def parameters_of(fn: Callable[..., Any], name: str, descriptions: Mapping[str, str]) -> Parameters:
    """What a function takes, as its signature and annotations tell.

    Args:
        fn: The function.
        name: The tool's name, for messages.
        descriptions: What parameters are for, where their annotations do not say.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
        TypeError: No JSON describes one of them, or it is no parameter that can be passed by name; or the
            function is a method that is bound to nothing.
    """
    hints = _hints(fn, name)
    declared = inspect.signature(fn).parameters
    found = {each: injection_of(hints.get(each, _UNTOLD.get(each))) for each in declared}
    injected = {each: injection for each, injection in found.items() if injection is not None}
    # what a partial passes itself is not for a model to replace
    injected |= dict.fromkeys(getattr(fn, "keywords", ()), Injection(None))
    given = [each for name, each in declared.items() if name not in injected and not _is_left_out(each)]
    if given and given[0].name in ("self", "cls") and given[0].name not in hints:
        raise TypeError(
            f"tool {name!r} is a method of nothing: make a tool of the bound one, as tool(thing.{name})"
        )
    with_default = {name for name, each in declared.items() if each.default is not inspect.Parameter.empty}
    model = _model(name, given, hints, descriptions)
    optional = frozenset(with_default & injected.keys())
    return Parameters(json_schema(model), _by_names(model, given), injected, optional)


_UNTOLD: Mapping[str, Any] = {"runtime": ToolRuntime}
"""How parameters with these names count that have no annotation."""


def innermost(fn: Callable[..., Any]) -> Callable[..., Any]:
    """What a partial, perhaps of a partial, calls in the end."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _hints(fn: Callable[..., Any], name: str) -> dict[str, Any]:
    fn = innermost(fn)
    described = fn if inspect.isroutine(fn) or inspect.isclass(fn) else type(fn).__call__
    try:
        return get_type_hints(described, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"the annotations of tool {name!r} name something that cannot be found: {error}"
        ) from error


# -- a model of what may be given ----------------------------------------------------------------------

_PREFIX = "argument_"
"""Before names of fields: Pydantic wants none that begin with an underscore, or name its own methods."""


def _model(
    name: str, given: list[inspect.Parameter], hints: Mapping[str, Any], descriptions: Mapping[str, str]
) -> Any:
    pydantic = _pydantic()
    takes_more = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in given)
    config = {
        "alias_generator": lambda field: field.removeprefix(_PREFIX),
        "extra": "allow" if takes_more else "forbid",
    }
    fields: dict[str, Any] = {}
    for parameter in given:
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise TypeError(f"tool {name!r}: parameter {parameter.name!r} cannot be passed by its name")
        if not _is_rest(parameter):
            hint = with_known_dicts(hints.get(parameter.name, Any))
            fields[_PREFIX + parameter.name] = (
                _described(hint, descriptions.get(parameter.name)),
                ... if parameter.default is inspect.Parameter.empty else parameter.default,
            )
    try:
        return pydantic.create_model(name, __config__=config, **fields)
    except pydantic.errors.PydanticSchemaGenerationError as error:
        raise TypeError(
            f"tool {name!r} has a parameter that no JSON describes: {error.message.splitlines()[0]} "
            "Inject it, for instance with ToolRuntime, or pass args_schema="
        ) from error


def _is_left_out(parameter: inspect.Parameter) -> bool:
    """Whether it cannot be passed by its name, and need not be passed."""
    has_default = parameter.default is not inspect.Parameter.empty
    by_place = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    return parameter.kind is inspect.Parameter.VAR_POSITIONAL or (by_place and has_default)


def _is_rest(parameter: inspect.Parameter) -> bool:
    return parameter.kind is inspect.Parameter.VAR_KEYWORD


def _described(hint: Any, description: str | None) -> Any:
    """An annotation that says what the parameter is for: `Annotated[int, "how many"]` does, too."""
    if get_origin(hint) is Annotated:
        bare, *rest = get_args(hint)
        if any(getattr(each, "description", None) for each in rest):
            return hint
        texts = [each for each in rest if isinstance(each, str)]
        kept = [each for each in rest if not isinstance(each, str)]
        hint = Annotated[(bare, *kept)] if kept else bare
        description = texts[0] if texts else description
    return hint if description is None else Annotated[hint, _pydantic().Field(description=description)]


def _by_names(model: Any, given: list[inspect.Parameter]) -> Check:
    names = {_PREFIX + each.name: each.name for each in given if not _is_rest(each)}
    # a default that is a `Field(...)` is none that the function could use
    filled = {_PREFIX + each.name for each in given if type(each.default).__name__ == "FieldInfo"}

    def check(arguments: Mapping[str, Any]) -> dict[str, Any]:
        made = model.model_validate(dict(arguments))
        wanted = made.model_fields_set | filled
        known = {name: getattr(made, field) for field, name in names.items() if field in wanted}
        return {**known, **(made.model_extra or {})}

    return check


# -- a schema that is given ----------------------------------------------------------------------------


def parameters_by(schema: Any, signature: Parameters) -> Parameters:
    """What a function takes whose arguments a schema describes, and which gets from its signature the rest.

    Args:
        schema: A Pydantic model, whose defaults count, or a JSON schema.
        signature: What the function itself tells.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(schema, Mapping):
        return replace(signature, schema=schema, check=check_by_keys(schema))
    if not hasattr(schema, "model_validate"):
        raise TypeError(f"args_schema is a Pydantic model or a JSON schema, not {schema!r}")
    hints = get_type_hints(schema, include_extras=True)
    found = {each: injection_of(hints.get(each)) for each in schema.model_fields}
    own = {each: injection for each, injection in found.items() if injection is not None}
    shown = without_properties(json_schema(schema), own)
    injected = {**signature.injected, **own}
    return Parameters(shown, _check_by_model(schema), injected, signature.optional, frozenset(own))


def without_properties(schema: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    """The schema of an object, without some of its keys."""
    properties = {name: each for name, each in schema.get("properties", {}).items() if name not in names}
    required = [name for name in schema.get("required", ()) if name not in names]
    rest = {key: value for key, value in schema.items() if key not in ("properties", "required")}
    return {**rest, "properties": properties, **({"required": required} if required else {})}


def _check_by_model(model: Any) -> Check:
    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        made = model.model_validate(dict(given))
        return {
            **{field: getattr(made, field) for field in type(made).model_fields},
            **(made.model_extra or {}),
        }

    return check


def check_by_keys(schema: Mapping[str, Any]) -> Check:
    """Looks only whether what a JSON schema requires is there; the tool itself has to look at the rest."""

    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        missing = [f"{name}: Field required" for name in schema.get("required", ()) if name not in given]
        if missing:
            raise ArgumentFaults(missing)
        return dict(given)

    return check


def faults_in(error: Exception, injected: Container[str] = ()) -> list[str]:
    """What a check has found wrong with what a model gave, one sentence each; nothing, if that is fine.

    Args:
        error: What the check raised.
        injected: Names of parameters that no model gives: what is wrong with them is not for it to mend.
    """
    if isinstance(error, ArgumentFaults):
        return error.faults
    errors = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or errors is None:
        return []
    found = errors(include_url=False, include_context=False, include_input=False)
    return [
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
        for each in found
        if not each["loc"] or each["loc"][0] not in injected
    ]


# -- Pydantic ------------------------------------------------------------------------------------------


def json_schema(schema: Any) -> dict[str, Any]:
    """What a type describes, as a JSON schema without titles.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
    """
    base: Any = import_module("pydantic.json_schema").GenerateJsonSchema if _pydantic() else None

    class Generator(base):  # type: ignore[misc]  # known once Pydantic is imported
        ignored_warning_kinds = frozenset({"skipped-choice", "non-serializable-default"})

    described = _pydantic().TypeAdapter(with_known_dicts(schema)).json_schema(schema_generator=Generator)
    without: dict[str, Any] = without_titles(described)
    return without


def _pydantic() -> Any:
    try:
        return import_module("pydantic")
    except ImportError as error:
        raise MissingExtraError("a tool made of a function", "schema") from error
