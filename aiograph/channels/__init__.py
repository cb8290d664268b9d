"""Channels: what holds the keys of the state, one kind per file.

| kind | takes per superstep | holds |
|---|---|---|
| `LastValue` | one write | the last one |
| `AnyValue` | writes that agree | the last one, for one superstep |
| `EphemeralValue` | one write, or any number | the last one, for one superstep |
| `UntrackedValue` | one write, or any number | the last one, for the length of the run; never stored |
| `Topic` | elements and lists of them | a list: this superstep's, or all |
| `BinaryOperatorAggregate` | any number | the fold over all writes |
| `DeltaChannel` | any number | what a reducer makes of the value and the batch |
| `DictMerge` | mappings | all their keys |
| `SetUnion` | elements and collections of them | all of them, once |
| `NamedBarrierValue` | names | `None`, once all fixed names have come |
| `DynamicBarrierValue` | names, and whom to wait for | `None`, once all announced names have come |

`LastValueAfterFinish` and `NamedBarrierValueAfterFinish` hold theirs back until nothing else would run.
`base` is the contract; `aiograph.testing.channels` checks it.
"""

from typing import TYPE_CHECKING

from aiograph._lazy import on_demand
from aiograph.channels.base import MISSING, BaseChannel

if TYPE_CHECKING:
    from aiograph.channels.any_value import AnyValue
    from aiograph.channels.binop import BinaryOperatorAggregate
    from aiograph.channels.delta import DeltaChannel
    from aiograph.channels.dict_merge import DictMerge
    from aiograph.channels.dynamic_barrier_value import DynamicBarrierValue, WaitForNames
    from aiograph.channels.ephemeral_value import EphemeralValue
    from aiograph.channels.last_value import LastValue, LastValueAfterFinish
    from aiograph.channels.named_barrier_value import NamedBarrierValue, NamedBarrierValueAfterFinish
    from aiograph.channels.set_union import SetUnion
    from aiograph.channels.topic import Topic
    from aiograph.channels.untracked_value import UntrackedValue

__all__ = [
    "MISSING",
    "AnyValue",
    "BaseChannel",
    "BinaryOperatorAggregate",
    "DeltaChannel",
    "DictMerge",
    "DynamicBarrierValue",
    "EphemeralValue",
    "LastValue",
    "LastValueAfterFinish",
    "NamedBarrierValue",
    "NamedBarrierValueAfterFinish",
    "SetUnion",
    "Topic",
    "UntrackedValue",
    "WaitForNames",
]

__getattr__ = on_demand(
    __name__,
    {
        "AnyValue": "aiograph.channels.any_value",
        "BinaryOperatorAggregate": "aiograph.channels.binop",
        "DeltaChannel": "aiograph.channels.delta",
        "DictMerge": "aiograph.channels.dict_merge",
        "DynamicBarrierValue": "aiograph.channels.dynamic_barrier_value",
        "EphemeralValue": "aiograph.channels.ephemeral_value",
        "LastValue": "aiograph.channels.last_value",
        "LastValueAfterFinish": "aiograph.channels.last_value",
        "NamedBarrierValue": "aiograph.channels.named_barrier_value",
        "NamedBarrierValueAfterFinish": "aiograph.channels.named_barrier_value",
        "SetUnion": "aiograph.channels.set_union",
        "Topic": "aiograph.channels.topic",
        "UntrackedValue": "aiograph.channels.untracked_value",
        "WaitForNames": "aiograph.channels.dynamic_barrier_value",
    },
)
