"""Functions: what type checkers know of tasks, of their futures, and of the graphs that entrypoints make."""

# pyright: strict

import asyncio
from dataclasses import dataclass
from typing import Any, assert_type

from aiograph.cache.memory import InMemoryCache
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.func import TaskFunction, TaskFuture, entrypoint, task
from aiograph.pregel import Pregel
from aiograph.runtime import Runtime
from aiograph.types import CachePolicy, RetryPolicy


@dataclass
class User:
    name: str


# -- tasks ---------------------------------------------------------------------------------------------


@task
async def length(text: str, *, strip: bool = False) -> int:
    return len(text)


@task(name="shout", retry_policy=RetryPolicy(), timeout=1.5)
def shouted(text: str) -> str:
    return text.upper()


@task(cache_policy=CachePolicy(ttl=60))
def cached(text: str) -> int:
    return len(text)


assert_type(cached("a"), TaskFuture[int])
assert_type(cached.clear_cache(InMemoryCache[Any]()), None)
assert_type(length("a"), TaskFuture[int])
assert_type(shouted("a"), TaskFuture[str])
assert_type(shouted("a").result(timeout=1), str)
assert_type(shouted.name, str)
kept: TaskFunction[[str], str] = shouted

length(1)  # rejected
length("a", stripped=True)  # rejected
shouted()  # rejected
shouted("a").result("soon")  # rejected
task(name=3)  # rejected
task(timeout="long")  # rejected


# -- entrypoints ---------------------------------------------------------------------------------------


@entrypoint(InMemorySaver())
async def counted(text: str, *, previous: int | None = None) -> int:
    found = await length(text, strip=True)
    assert_type(found, int)
    both = await asyncio.gather(length(text), shouted(text))
    assert_type(both, tuple[int, str])
    return found + (previous or 0)


@entrypoint(context_schema=User)
def greeted(text: str, runtime: Runtime[User]) -> str:
    return shouted(text).result()


@entrypoint()
async def kept_apart(text: str) -> entrypoint.final[str, int]:
    return entrypoint.final(value=text, save=1)


assert_type(counted, Pregel[int, None, str, int])
assert_type(greeted, Pregel[str, User, str, str])
assert_type(kept_apart, Pregel[str, None, str, str])
counted.invoke("a")
greeted.invoke("a", context=User("ann"))

counted.invoke(1)  # rejected
greeted.invoke("a", context="ann")  # rejected
entrypoint("here")  # rejected
entrypoint(durability="always")  # rejected
entrypoint.final(value=1)  # rejected


async def use(any_input: Any) -> None:
    await counted.ainvoke(any_input)
    await counted.ainvoke(2.5)  # rejected
