"""Locks that outlive a fork."""

import os
from threading import RLock


def lock_for_all() -> RLock:
    """A lock that a fork waits for, so that no child inherits it locked by a thread that it does not have.

    Whoever holds it may take it again, as a collection of garbage may end a run in the midst. It is never let
    go of, so it should belong to a module and not to an object.
    """
    lock = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
