"""JSON schemas in the strict form, in which a provider promises an answer that fits. Pure.

Every property is required and no other is allowed. A property that may be left out is given all the same,
so a default is no longer of use to the model; whoever reads the answer still has the schema it came from.
Some keywords are not known there: they are said in other words, or the schema has no strict form.
"""

from collections.abc import Mapping
from typing import Any


def strict_form(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The strict form of a JSON schema; `None` if it has none, as it takes keys of any name."""
    try:
        made = _strict(schema)
    except _NotStrictError:
        return None
    return made if isinstance(made, dict) else None


class _NotStrictError(Exception):
    """Something that the strict form cannot say."""


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    if not _UNKNOWN.isdisjoint(node):
        raise _NotStrictError
    made: dict[str, Any] = {
        ("anyOf" if key == "oneOf" else key): _strict_value(key, value)
        for key, value in node.items()
        if key not in _DROPPED
    }
    if "$ref" in made and len(made) > 1 and "$defs" not in made:
        made = {**made, "anyOf": [{"$ref": made["$ref"]}]}  # there, a reference stands alone
        del made["$ref"]
    if made.get("type") == "object" or "properties" in made:
        _close(made)
    return made


_DROPPED = frozenset({"default", "discriminator"})
_UNKNOWN = frozenset({"prefixItems", "patternProperties", "not", "if", "allOf"})
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose value has schemas under names of the user's, which may look like keywords."""
_VALUES = frozenset({"enum", "const", "examples"})
"""Keywords whose value is data."""


def _strict_value(keyword: str, value: Any) -> Any:
    if keyword in _NAMED_SCHEMAS and isinstance(value, Mapping):
        return {name: _strict(schema) for name, schema in value.items()}
    return value if keyword in _VALUES else _strict(value)


def _close(schema: dict[str, Any]) -> None:
    if "properties" not in schema or schema.get("additionalProperties", False) is not False:
        raise _NotStrictError
    schema["additionalProperties"] = False
    schema["required"] = list(schema["properties"])
