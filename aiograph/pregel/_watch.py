"""Names what blocks an event loop: a thread notices that the loop does not turn, and looks at its stack.

Only graphs that are compiled with `debug` have one. It asks the loop for a sign, again and again; where none
comes in time, it warns of the line that the loop's thread is at.
"""

import asyncio
import os
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from aiograph._context import TaskScope
from aiograph.pregel import _attempt
from aiograph.warnings import BlockedLoopWarning

_HOME = str(Path(__file__).parents[1]) + os.sep
_LIBRARIES = (
    *{sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    _HOME,
    "<frozen",
)


class Place(NamedTuple):
    """A line of code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


class Sighting(NamedTuple):
    """Where a thread was found."""

    node: str | None
    """`None` if no node, nor a conditional edge of one, was running."""
    place: Place
    """The innermost line that is no library's; in a node that is all library, its own."""
    within: Place
    """The innermost line."""


class LoopWatch:
    """Watches the loops on which a graph runs; warns once of each place.

    Args:
        seconds: How long a loop may take for a turn.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._told: set[Place] = set()
        self._watched: dict[asyncio.AbstractEventLoop, _Watched] = {}

    @contextmanager
    def on_this_loop(self) -> Iterator[None]:
        """Watches the running loop for the length of the block."""
        loop = asyncio.get_running_loop()
        with self._lock:
            watched = self._watched.get(loop)
            if watched is None:
                watched = self._watched[loop] = _Watched(self, loop)
            watched.runs += 1
        try:
            yield
        finally:
            with self._lock:
                watched.runs -= 1
                if not watched.runs:
                    del self._watched[loop]
                    watched.stop()

    def tell(self, sighting: Sighting) -> None:
        """Warns, unless it has warned of that place before."""
        with self._lock:
            if sighting.place in self._told:
                return
            self._told.add(sighting.place)
        warnings.warn_explicit(
            _text(sighting, self.seconds), BlockedLoopWarning, sighting.place.file, sighting.place.line
        )


def _text(sighting: Sighting, seconds: float) -> str:
    who = "something" if sighting.node is None else f"node {sighting.node!r}"
    within = "" if sighting.within == sighting.place else f" (which is at {sighting.within})"
    return (
        f"{who} has kept the event loop from turning for over {seconds:g} s, at {sighting.place}{within}: "
        "await what waits; a node that cannot may be a plain function, which runs on a thread"
    )


class _Watched:
    """One loop, and the thread that watches it."""

    def __init__(self, watch: LoopWatch, loop: asyncio.AbstractEventLoop) -> None:
        self.runs = 0
        self._watch = watch
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._turned = threading.Event()
        self._stopped = threading.Event()
        # in the context of whoever starts it, to which filters of warnings may belong
        thread = threading.Thread(
            target=copy_context().run, args=(self._watch_on,), name="aiograph-watch", daemon=True
        )
        thread.start()

    def stop(self) -> None:
        """Ends the thread, soon."""
        self._stopped.set()
        self._turned.set()

    def _watch_on(self) -> None:
        while not self._stopped.wait(self._watch.seconds / 2):
            self._turned.clear()
            if self._stopped.is_set() or not self._ask():
                return
            if not self._turned.wait(self._watch.seconds):
                sighting = sight(sys._current_frames().get(self._loop_thread))
                if sighting is not None:
                    self._watch.tell(sighting)
                self._turned.wait()

    def _ask(self) -> bool:
        """Asks the loop for a sign; whether it is still there."""
        try:
            self._loop.call_soon_threadsafe(self._turned.set)
        except RuntimeError:  # it was closed while a run was under way
            return False
        return True


def sight(innermost: FrameType | None) -> Sighting | None:
    """Where a thread is, from its innermost frame; `None` if it is nowhere."""
    if innermost is None:
        return None
    own: list[FrameType] = []
    frame: FrameType | None = innermost
    while frame is not None and not _is_attempt(frame):
        own.append(frame)
        frame = frame.f_back
    node = None if frame is None else frame.f_locals["scope"].name
    theirs = [each for each in own if not _is_in(each, _LIBRARIES)]
    outermost = [each for each in reversed(own) if node is not None and not _is_in(each, _HOME)]
    return Sighting(node, _place([*theirs, *outermost, innermost][0]), _place(innermost))


def _is_attempt(frame: FrameType) -> bool:
    """Whether it is where the engine calls a node, or a conditional edge."""
    if frame.f_code.co_filename != _attempt.__file__ or "scope" not in frame.f_code.co_varnames:
        return False
    return isinstance(frame.f_locals.get("scope"), TaskScope)


def _is_in(frame: FrameType, paths: str | tuple[str, ...]) -> bool:
    return frame.f_code.co_filename.startswith(paths)


def _place(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)
