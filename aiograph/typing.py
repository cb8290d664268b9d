"""The type variables that builder, compiled graph and runtime are generic over.

Type checkers see defaults (PEP 696): an input or output schema that is not given is the state schema, and
a graph without `context_schema` has the context `None`. At run time the defaults exist from Python 3.13.
"""

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["ContextT", "InputT", "OutputT", "StateT", "WithDefaults"]

if TYPE_CHECKING:
    # Type checkers bring these stubs along; nothing has to be installed.
    from typing_extensions import TypeVar

    StateT = TypeVar("StateT")
    ContextT = TypeVar("ContextT", default=None)
    InputT = TypeVar("InputT", default=StateT)
    OutputT = TypeVar("OutputT", default=StateT)
else:
    from typing import TypeVar

    def _variable(name: str, default: Any) -> Any:
        if sys.version_info >= (3, 13):
            return TypeVar(name, default=default)
        return TypeVar(name)

    StateT = TypeVar("StateT")
    ContextT = _variable("ContextT", None)
    InputT = _variable("InputT", StateT)
    OutputT = _variable("OutputT", StateT)


class WithDefaults:
    """Lets a class that is generic over these variables be subscripted with the first few of them alone.

    Type checkers fill in the defaults by themselves, Python does from version 3.13.
    """

    if not TYPE_CHECKING:

        def __class_getitem__(cls, item: Any) -> Any:
            given = item if isinstance(item, tuple) else (item,)
            missing = len(getattr(cls, "__parameters__", ())) - len(given)
            return super().__class_getitem__((*given, *(Any,) * missing))
