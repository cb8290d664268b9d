"""The contract of names: threads, namespaces, and what neither may be called."""

from collections.abc import Callable
from typing import Any

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers._kit import HOSTILE, UNSTORABLE, Part, Verbs, make_checkpoint


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

    @pytest.mark.parametrize("name", UNSTORABLE, ids=ascii)
    async def test_names_that_cannot_be_stored_are_refused(self, verbs: Verbs, name: str) -> None:
        if not self.refuses_names:
            pytest.skip("the saver does not refuse names")
        refused = [*_uses(verbs, name), *(_uses_in_housekeeping(verbs, name) if self.keeps_house else [])]
        for use in refused:
            with pytest.raises(CheckpointQueryError):
                await use()
        assert await verbs.listed(None) == []


def _uses(verbs: Verbs, name: str) -> list[Callable[[], Any]]:
    """The places where a name can occur."""
    at, checkpoint = config_for("t", "", "id"), make_checkpoint({"a": 1})
    named = make_checkpoint({"a": 1})
    named["id"] = name
    return [
        lambda: verbs.put(config_for(name, ""), checkpoint),
        lambda: verbs.put(config_for("t", name), checkpoint),
        lambda: verbs.put(config_for("t", "", name), checkpoint),
        lambda: verbs.put(config_for("t", ""), named),
        lambda: verbs("get_tuple", config_for(name, "")),
        lambda: verbs.listed(config_for("t", name)),
        lambda: verbs.listed(config_for("t", ""), before=config_for("t", "", name)),
        lambda: verbs("put_writes", at, [("a", 1)], name),
        lambda: verbs("put_writes", at, [("a", 1)], "task", name),
        lambda: verbs("put_writes", at, [(name, 1)], "task"),
        lambda: verbs("withdraw_writes", at, [name]),
        lambda: verbs("delete_thread", name),
    ]


def _uses_in_housekeeping(verbs: Verbs, name: str) -> list[Callable[[], Any]]:
    return [
        lambda: verbs("delete_for_runs", [name]),
        lambda: verbs("copy_thread", name, "copy"),
        lambda: verbs("copy_thread", "t", name),
        lambda: verbs("prune", [name]),
        lambda: verbs("prune", [name], strategy="delete"),
    ]
