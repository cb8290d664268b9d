"""Which classes are records, and what fields they have: TypedDicts, dataclasses, Pydantic models (v2).

Pydantic is recognised by what its models offer and never imported: who has a model has imported it already.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def is_model(cls: Any) -> bool:
    """Whether `cls` is a Pydantic model class."""
    return (
        isinstance(cls, type)
        and isinstance(getattr(cls, "model_fields", None), Mapping)
        and callable(getattr(cls, "model_validate", None))
    )


def is_typed_dict(cls: Any) -> bool:
    """Whether `cls` is a TypedDict class, from `typing` or `typing_extensions`."""
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def is_dataclass_type(cls: Any) -> bool:
    """Whether `cls` is a dataclass, and not an instance of one."""
    return isinstance(cls, type) and is_dataclass(cls)


def field_names(cls: Any) -> tuple[str, ...]:
    """The fields of a dataclass or a Pydantic model, in order; none for any other class.

    Fields that a dataclass computes for itself (`init=False`) are left out: nobody can pass them.
    """
    if is_model(cls):
        return tuple(cls.model_fields)
    return tuple(found.name for found in fields(cls) if found.init) if is_dataclass_type(cls) else ()
