"""What compiling makes. With it comes the engine, which a graph that is only built does without."""

from aiograph.pregel import Pregel
from aiograph.typing import ContextT, InputT, OutputT, StateT


class CompiledStateGraph(Pregel[StateT, ContextT, InputT, OutputT]):
    """A compiled `StateGraph`: immutable, usable from any number of tasks and threads at once."""
