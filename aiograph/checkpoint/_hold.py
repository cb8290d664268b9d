"""A run's hold on one namespace of a thread: how it finds out that somebody else has written there.

Beside the checkpoints of a namespace stands its head: which checkpoint is the newest, and the epoch, a
random number that whoever takes the head puts there. A run remembers the head that it has read. Its first
write succeeds only if that is still the head, and puts the run's own epoch there; all its later writes
succeed only while it is. So of several runs that start from one state exactly one goes on, a run that was
overtaken can store nothing more, and a process that was killed blocks nobody. (Such tokens are known as
fencing tokens.)
"""

from random import getrandbits
from typing import Any, NamedTuple


class Head(NamedTuple):
    """The head of one namespace of a thread."""

    checkpoint_id: str | None
    epoch: int
    """Changes when somebody else takes the head; 63 bits."""


class Step(NamedTuple):
    """What a write expects at the head, and what it leaves there."""

    before: Head | None
    """`None`: nothing has been stored there."""
    after: Head

    def fits(self, head: Head | None) -> bool:
        """Whether the write may happen; also if it has happened already, and is repeated."""
        return head in self


def new_epoch() -> int:
    """An epoch that nobody else has."""
    return getrandbits(63)


class Hold:
    """What a run remembers of the namespace that it works on.

    Args:
        head: The head as it was read.
        parent_id: The checkpoint that the run starts from: the head's, or an older one.
        memory: What the saver likes to remember for the length of the run.
    """

    __slots__ = ("_epoch", "_expected", "_start", "head", "is_behind", "memory", "newest")

    def __init__(self, head: Head | None, parent_id: str | None, memory: Any = None) -> None:
        self.head = head
        self.newest = None if head is None else head.checkpoint_id
        """The checkpoint that was the newest when the head was read."""
        self.is_behind = parent_id is not None and parent_id != self.newest
        """Whether the run starts from a checkpoint that the thread has left behind."""
        self._start = parent_id
        self._epoch = new_epoch()
        self._expected = head
        self.memory = memory

    @property
    def epoch(self) -> int:
        """The run's own epoch, which is at the head from its first write on."""
        return self._epoch

    def step(self, checkpoint_id: str | None) -> Step:
        """The step that makes a checkpoint the head; the next step follows upon it."""
        before, self._expected = self._expected, Head(checkpoint_id, self._epoch)
        return Step(before, self._expected)

    def claim(self) -> Step:
        """The step that takes the head and leaves it where it is."""
        return self.step(None if self._expected is None else self._expected.checkpoint_id)

    def required_parent(self, parent_id: str | None) -> str | None:
        """A parent that has to be there still, though it is not the head."""
        return parent_id if self.is_behind and parent_id == self._start else None
