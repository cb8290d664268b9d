"""`InMemorySaver`: checkpoints in this process's memory, for tests and for what need not outlive it."""

from aiograph.checkpoint.memory._saver import InMemorySaver, MemorySaver

__all__ = ["InMemorySaver", "MemorySaver"]
