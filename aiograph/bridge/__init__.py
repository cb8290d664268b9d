"""Everything that crosses between threads and event loops.

- `_loop`: the daemon thread that owns the process's own loop
- `_admit`: whether a synchronous call may wait, and which loop its work goes to
- `_errand`: a piece of work on another loop
- `_seat`: where a waiting thread serves synchronous node code
- `_call`: one synchronous call, which is an errand and a seat
- `_iterate`: synchronous iteration over an asynchronous iterator
- `_twins`: `blocking`, `blocking_iter`, `blocking_cm`, which derive a synchronous verb
- `_colours`: completing classes that define one colour of a verb
- `_home`: `at_home`, which takes work to the loop that an object is tied to

What would hang raises `SyncCallError`. A call hangs if the loop that would have to do the work, or
that owns an object the work needs, is one that stands still until the call returns. Which loops stand
still travels with each call, through any number of threads and loops.
"""

from aiograph.bridge._admit import Verb, running_loop
from aiograph.bridge._call import current_call, off_loop, run, working_loop
from aiograph.bridge._colours import complete_verb, require_verbs
from aiograph.bridge._home import HasHome, at_home
from aiograph.bridge._iterate import BlockingIterator
from aiograph.bridge._loop import at_the_very_end, bridge_loop, shutdown
from aiograph.bridge._twins import SyncVerb, at_once, blocking, blocking_cm, blocking_iter

__all__ = [
    "BlockingIterator",
    "HasHome",
    "SyncVerb",
    "Verb",
    "at_home",
    "at_once",
    "at_the_very_end",
    "blocking",
    "blocking_cm",
    "blocking_iter",
    "bridge_loop",
    "complete_verb",
    "current_call",
    "off_loop",
    "require_verbs",
    "run",
    "running_loop",
    "shutdown",
    "working_loop",
]
