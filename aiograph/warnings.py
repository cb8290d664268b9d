"""Warning categories; filter them with the standard `warnings` module."""


class AiographWarning(UserWarning):
    """Root of the warnings that aiograph issues."""


class GraphWarning(AiographWarning):
    """Something about a graph's structure looks wrong but may be meant (an unreachable node, say)."""


class UnknownKeyWarning(AiographWarning):
    """An update or an input has a key that no channel of the graph bears; the key is ignored.

    Under `compile(strict=True)` the same situation raises `InvalidUpdateError`.
    """


class BlockingCallWarning(AiographWarning):
    """A synchronous verb was called while an event loop runs on the same thread.

    The call works, but that loop stands still meanwhile; await the async verb in its place.
    """


class BlockedLoopWarning(AiographWarning):
    """Code of a run keeps its event loop from turning; the message names the line.

    Only graphs that are compiled with `debug` look for it.
    """


class CacheWarning(AiographWarning):
    """A cache could not be read or written, or is missing: nodes run that need not have run."""


class CheckpointWarning(AiographWarning):
    """A persistence option has no effect (`durability` without a checkpointer, say)."""
