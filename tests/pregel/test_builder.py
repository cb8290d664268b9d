"""What a hand-made graph refuses."""

from typing import Any

import pytest

from aiograph.channels.last_value import LastValue
from aiograph.errors import GraphValidationError
from aiograph.pregel import NodeBuilder, Pregel


def graph_of(node: Any) -> Pregel[Any, Any, Any, Any]:
    return Pregel(
        nodes={"node": node},
        channels={"in": LastValue(int), "out": LastValue(int)},
        input_channels="in",
        output_channels="out",
    )


@pytest.mark.parametrize(
    "node",
    [
        NodeBuilder().subscribe_only("lost").write_to("out"),
        NodeBuilder().subscribe_to("in", "lost").write_to("out"),
        NodeBuilder().subscribe_to("in").read_from("lost").write_to("out"),
        NodeBuilder().subscribe_only("in").write_to("out", "lost"),
        NodeBuilder().subscribe_only("in").write_to("out", lost=1),
        NodeBuilder().subscribe_only("lost").build("node"),
    ],
)
def test_a_channel_that_does_not_exist(node: Any) -> None:
    with pytest.raises(GraphValidationError) as caught:
        graph_of(node)
    assert [fault.split(",")[0] for fault in caught.value.faults] == [
        "node 'node' refers to a channel 'lost'"
    ]


async def test_a_graph_without_fault_runs() -> None:
    node = NodeBuilder().subscribe_only("in").do(lambda value: value + 1, inline=True).write_to("out")
    assert await graph_of(node).ainvoke(1) == 2
