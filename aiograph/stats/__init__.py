"""What runs did, and where their time went.

- `_values`: counts and seconds of a superstep, a run, and of many runs
- `_collector`: `Collector`, which the engine tells what happens; and `Statistics`, which adds it up
- `_otel`: `OpenTelemetry`, which makes spans of it
"""

from aiograph.stats._collector import Collector, Statistics
from aiograph.stats._otel import OpenTelemetry
from aiograph.stats._values import Figures, NodeStats, RunInfo, RunStats, SuperstepStats, TaskInfo, Totals

__all__ = [
    "Collector",
    "Figures",
    "NodeStats",
    "OpenTelemetry",
    "RunInfo",
    "RunStats",
    "Statistics",
    "SuperstepStats",
    "TaskInfo",
    "Totals",
]
