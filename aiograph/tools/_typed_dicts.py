"""TypedDicts as Pydantic takes them before Python 3.12: made anew with `typing_extensions`. Pure."""

import sys
from importlib import import_module
from typing import Annotated, Any, get_origin, get_type_hints, is_typeddict

from aiograph._hints import with_parts


def with_known_dicts(hint: Any) -> Any:
    """An annotation in which Pydantic knows all TypedDicts; those in fields of other classes are left."""
    return hint if sys.version_info >= (3, 12) else _Known().of(hint)


class _Known:
    """Remembers the classes that it met, which may contain themselves."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def of(self, hint: Any) -> Any:
        if is_typeddict(hint):
            return self._made[hint] if hint in self._made else self._anew(hint)
        if get_origin(hint) is Annotated:
            return Annotated[(self.of(hint.__origin__), *hint.__metadata__)]
        return with_parts(hint, self.of)

    def _anew(self, cls: Any) -> Any:
        made = self._made[cls] = import_module("typing_extensions").TypedDict(cls.__name__, {})
        made.__doc__, made.__module__ = cls.__doc__, cls.__module__
        hints = get_type_hints(cls, include_extras=True)
        made.__annotations__ = {key: self.of(hint) for key, hint in hints.items()}
        made.__required_keys__, made.__optional_keys__ = cls.__required_keys__, cls.__optional_keys__
        return made
