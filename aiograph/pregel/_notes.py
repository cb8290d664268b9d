"""Saying something about an exception of user code, which may be of any kind. Pure."""

from contextlib import suppress


def note(error: BaseException, text: str) -> None:
    """Adds a note, also to an exception that takes no attributes, as a frozen dataclass does."""
    with suppress(Exception):
        vars(error).setdefault("__notes__", []).append(text)


def shown(error: BaseException) -> str:
    """Its `repr`, or its type where the exception cannot even say that much."""
    try:
        return repr(error)
    except Exception:
        return f"<{type(error).__qualname__}>"
