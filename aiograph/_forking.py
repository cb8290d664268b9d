"""Locks that outlive a fork."""

import os
from threading import Lock


def lock_for_all() -> Lock:
    """A lock that a fork waits for, so that no child inherits it locked by a thread that it does not have.

    It is never let go of again, so it should belong to a module and not to an object.
    """
    lock = Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
