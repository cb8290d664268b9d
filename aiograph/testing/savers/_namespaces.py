"""The contract of names: threads, namespaces, and what neither may be called."""

from aiograph.checkpoint.base import config_for
from aiograph.testing.savers._kit import HOSTILE, Part, Verbs, make_checkpoint


class Namespaces(Part):
    """Threads and namespaces keep apart."""

    async def test_threads_keep_apart(self, verbs: Verbs) -> None:
        names = ("a", "a ", "A", "ab", *HOSTILE)
        for name in names:
            await verbs.put(config_for(name, ""), make_checkpoint({"name": name}))
        for name in names:
            found = await verbs.listed(config_for(name, ""))
            assert [each.checkpoint["channel_values"] for each in found] == [{"name": name}]

    async def test_namespaces_keep_apart(self, verbs: Verbs) -> None:
        names = ("", "child:1", "child:1|grandchild:2", "child:12")
        for name in names:
            config = await verbs.put(config_for("t", name), make_checkpoint({"name": name}))
            await verbs("put_writes", config, [("name", name)], "task")
        for name in names:
            found = await verbs.get(config_for("t", name))
            assert found.config["configurable"]["checkpoint_ns"] == name
            assert found.checkpoint["channel_values"] == {"name": name}
            assert found.pending_writes == [("task", "name", name)]
            assert len(await verbs.listed(config_for("t", name))) == 1
