"""Which failures a node's error handler is for, and what is said when that fails as well. Pure."""

from typing import TypeGuard

from aiograph._interrupt import refused_answers
from aiograph.errors import GraphDrained, NodeError, ParentCommand
from aiograph.pregel._notes import note, shown


def is_for_handler(error: BaseException) -> TypeGuard[Exception]:
    """Whether it is a failure.

    An exit is none, nor a stop between two supersteps, nor a command for a graph that is not there, nor an
    answer that does not fit: its question stays open.
    """
    if isinstance(error, GraphDrained | ParentCommand) or refused_answers(error):
        return False
    return isinstance(error, Exception)


def blame(error: BaseException, failure: NodeError) -> None:
    """Has an error handler's own error tell what it was to handle."""
    if error is failure.error:
        return  # the handler has looked at it, and raised it again
    note(error, f"while handling the failure of node {failure.node!r}: {shown(failure.error)}")
    if error.__context__ is None:
        error.__context__ = failure.error
