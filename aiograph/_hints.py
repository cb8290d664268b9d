"""Annotations with other parts. Pure."""

from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin


def with_parts(hint: Any, change: Callable[[Any], Any]) -> Any:
    """A hint whose arguments are what `change` makes of them; the very same hint if they stay as they are.

    What a `Literal` allows is no hint, and is left alone. `Annotated` is the caller's to take apart, as only
    the caller knows what to do with what is noted there.
    """
    args, origin = get_args(hint), get_origin(hint)
    if not args or origin is Literal:
        return hint
    changed = tuple(map(change, args))
    if all(one is other for one, other in zip(changed, args, strict=True)):
        return hint
    if origin in (Union, UnionType):
        return Union[changed]  # noqa: UP007  # made at run time
    only, *more = changed  # `Required` and its like take one argument, and no tuple of one
    return origin[changed if more else only]
