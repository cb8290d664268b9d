"""Names with a fixed meaning: what users write (`START`, `END`, tags) and what the engine reserves.

The reserved spellings are part of the stored format; they never change.
"""

from typing import Final

START: Final = "__start__"
"""The virtual node that hands the input to the graph."""

END: Final = "__end__"
"""The virtual node that ends a path through the graph."""

TAG_NOSTREAM: Final = "nostream"
"""What a model with this tag says, or one in a node with it, is left out of the `"messages"` stream.

Messages that the node writes are shown nevertheless, once it has ended.
"""

TAG_HIDDEN: Final = "langsmith:hidden"
"""A node with this tag is left out of drawings, streams and `"*"` interrupts."""

ROOT: Final = "__root__"
"""The channel of a graph whose state is one bare value."""

TASKS: Final = "__pregel_tasks"
"""The channel that carries `Send`s to the next superstep."""

POSITIONS: Final = "__positions__"
"""The channel that holds where graphs inside nodes stand that remember: namespace → checkpoint."""

PULL: Final = "__pregel_pull"
"""First element of the path of a task that a channel triggered."""

PUSH: Final = "__pregel_push"
"""First element of the path of a task that a `Send` asked for."""

ERROR: Final = "__error__"

ERROR_SOURCE_NODE: Final = "__error_source_node__"
"""What is kept of a task that its node's error handler has taken over: the node, and what it raised."""

ERROR_HANDLER_PREFIX: Final = "__error_handler__"
"""How the names of error handlers begin that one node has to itself."""

DEFAULT_ERROR_HANDLER: Final = "__default_error_handler__"
"""The name of the error handler of nodes that have none of their own."""

INTERRUPT: Final = "__interrupt__"
RESUME: Final = "__resume__"
SCHEDULED: Final = "__scheduled__"
NO_WRITES: Final = "__no_writes__"
RETURN: Final = "__return__"
"""A called task's name and result, beside the checkpoint that its caller started from."""

CALL: Final = "__call__"
"""The name of a called task that has asked and not returned."""

PREVIOUS: Final = "__previous__"
"""The channel with what an entrypoint's run keeps for the next one."""

LEAVE: Final = "__leave__"
"""What a task writes whose node has left the graph, for a graph further out."""

PARENT: Final = "__parent__"
"""Addresses a command to the graph around the one it is made in."""

OVERWRITE: Final = "__overwrite__"

INPUT: Final = "__input__"
"""`update_state` in this name is new input."""

COPY: Final = "__copy__"
"""`update_state` in this name clones a checkpoint."""

BRANCH_PREFIX: Final = "branch:to:"
"""The channel `branch:to:NODE` triggers NODE."""

JOIN_PREFIX: Final = "join:"
"""The channel `join:A+B:NODE` triggers NODE once A and B have run."""

CONTROL_PREFIXES: Final = ("branch:", JOIN_PREFIX)
"""How the names of channels begin that only trigger; state keys may not begin like that."""

SHAPE: Final = "__shape__"
"""The channel whose value tells which graph has stored a checkpoint."""

NAMESPACE_SEPARATOR: Final = "|"
NAMESPACE_END: Final = ":"

RESERVED_NAMES: Final = frozenset(
    {
        START,
        END,
        ROOT,
        TASKS,
        POSITIONS,
        PULL,
        PUSH,
        DEFAULT_ERROR_HANDLER,
        ERROR,
        ERROR_SOURCE_NODE,
        INTERRUPT,
        RESUME,
        SCHEDULED,
        NO_WRITES,
        RETURN,
        LEAVE,
        PARENT,
        CALL,
        OVERWRITE,
        INPUT,
        COPY,
        SHAPE,
        "__metadata__",
        PREVIOUS,
    }
)
"""Names that neither a node nor a state key may bear."""
