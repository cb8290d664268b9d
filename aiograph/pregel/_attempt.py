"""One task, tried as often as its policies say. Retry and timeout are there only where asked for."""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any, NamedTuple

from aiograph._context import TaskScope, current_task
from aiograph._effects import Effects
from aiograph._interrupt import Interrupted
from aiograph._need_loop import need_loop
from aiograph._onlookers import Audience, Pulse
from aiograph._threads import GiveUp
from aiograph.bridge import off_loop
from aiograph.config import metadata_of_messages
from aiograph.constants import POSITIONS, START
from aiograph.errors import InvalidUpdateError, ParentCommand
from aiograph.pregel._callable import settled
from aiograph.pregel._deadline import Deadline
from aiograph.pregel._leaving import Commands, leaving_writes, obeyed, split
from aiograph.pregel._plan import Leaving, PlannedNode, Write
from aiograph.pregel._pushed import pushed_writes
from aiograph.pregel._run import Run
from aiograph.pregel._tasks import Task
from aiograph.pregel._writes import fresh_values
from aiograph.types import RetryPolicy, default_retry_on


class Lane(NamedTuple):
    """Where a task's synchronous code may run, and what ends the wait for it."""

    on_caller: bool = False
    give_ups: tuple[GiveUp, ...] = ()
    caller: TaskScope | None = None
    """The attempt whose code has called the task, if that is how it came to run."""


NO_LANE = Lane()


class CarriedExit(BaseException):
    """Carries a `SystemExit` or `KeyboardInterrupt` of user code past event loops, which it would end."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(error)

    def __repr__(self) -> str:
        return repr(self.error)


def attempt(run: Run, task: Task, lane: Lane) -> Awaitable[None]:
    """Runs a task to its end and sets its writes; what its last attempt raised is raised."""
    once = _once if task.timeout is None else _once_in_time
    if not task.node.retry:
        return once(run, task, lane, 1)
    return _with_retries(run, task, lane, once)


async def _with_retries(run: Run, task: Task, lane: Lane, once: Callable[..., Awaitable[None]]) -> None:
    task.began()
    number = 1
    while True:
        try:
            return await once(run, task, lane, number)
        except Exception as error:
            policy = matching_policy(task.node.retry, error)
            if policy is None or number >= policy.max_attempts:
                raise
            pause = delay(policy, number)
            if run.meter is not None:
                run.meter.retried(task, number, error)
        await need_loop()
        await asyncio.sleep(pause)
        number += 1


_FINAL = (ParentCommand,)
"""What would come again, however often one tries."""


def matching_policy(policies: Sequence[RetryPolicy], error: Exception) -> RetryPolicy | None:
    """The first policy that wants this error retried."""
    if isinstance(error, _FINAL):
        return None
    return next((policy for policy in policies if _retries(policy, error)), None)


def _retries(policy: RetryPolicy, error: Exception) -> bool:
    wanted = policy.retry_on
    if wanted is None:
        return default_retry_on(error)
    if isinstance(wanted, type):
        return isinstance(error, wanted)
    if isinstance(wanted, Sequence):
        return isinstance(error, tuple(wanted))
    return wanted(error)


def delay(policy: RetryPolicy, attempt: int) -> float:
    """Seconds to wait after the failed attempt with this number; 1 is the first."""
    try:
        pause = min(policy.max_interval, policy.initial_interval * policy.backoff_factor ** (attempt - 1))
    except OverflowError:
        pause = policy.max_interval
    return pause + random.random() if policy.jitter else pause


async def _once_in_time(run: Run, task: Task, lane: Lane, number: int) -> None:
    assert task.timeout is not None
    await need_loop()
    give_up = GiveUp()
    waiting = run.scope.pulse if lane.caller is None else lane.caller.pulse
    deadline = Deadline(task.timeout, give_up, waiting)
    try:
        async with deadline:
            await _once(run, task, Lane(give_ups=(*lane.give_ups, give_up)), number, deadline)
    except (Exception, Interrupted) as error:
        if deadline.has_passed:
            raise deadline.error(task.name) from error
        raise
    if deadline.has_passed:  # the node has swallowed its cancellation
        task.writes = None
        raise deadline.error(task.name)


async def _once(run: Run, task: Task, lane: Lane, number: int, pulse: Pulse | None = None) -> None:
    if pulse is None and lane.caller is not None:
        pulse = lane.caller.pulse
    scope = _enter(run, task, lane, number, pulse)
    writes: list[Write] = []
    try:
        try:
            input = task.input
            if run.scope.audience is not None:
                run.scope.audience.take_in(input)
            output = await _call(task.node, input, scope, lane)
            if scope.effects is not None and scope.effects.callees is not None:
                await scope.effects.callees.join()
        except BaseException as error:
            await _see_off(scope, error)
            raise
        finally:
            scope.has_ended = True
        if pulse is not None:
            pulse.progress()
        if scope.effects is None or not scope.effects.is_stopped:
            writes = _written(run, task.node, task.node.write(output), scope)
            if task.node.routes:
                await _route(run, task.node, writes, scope)
    except (SystemExit, KeyboardInterrupt) as error:
        raise CarriedExit(error) from error
    except Leaving as leaving:
        writes = _leave(run, task, leaving.commands)
    except Interrupted:
        if scope.effects is None or not scope.effects.is_stopped:
            raise  # asked in the name of another task
    except BaseExceptionGroup as group:
        _require_questions_alone(group)
    effects = scope.effects
    if effects is not None and effects.is_stopped:
        writes = await _obey(run, task, scope, effects)
    if run.scope.audience is not None:
        writes = _shown(run.scope.audience, scope, writes)
    if effects is not None and effects.positions:
        writes = [*writes, (POSITIONS, effects.positions)]
    task.writes = writes


def show_spared(run: Run, task: Task) -> None:
    """Shows the messages that a task would have written which the cache has spared."""
    audience = run.scope.audience
    if audience is not None and task.writes is not None:
        audience.take_in(task.input)
        task.writes = _shown(audience, copy_context().run(_enter, run, task), task.writes)


def _shown(audience: Audience, scope: TaskScope, writes: list[Write]) -> list[Write]:
    """What a task writes, once messages in it are shown; those which the graph is called with are no news."""
    if scope.name == START or not scope.may_show():
        return writes
    return audience.read(writes, metadata_of_messages(scope))


async def _see_off(scope: TaskScope, error: BaseException) -> None:
    """Waits for what a node has begun and left running when it ended with `error`."""
    effects = scope.effects
    if effects is None:
        return
    if effects.callees is not None:
        await effects.callees.dismiss(error)
    if isinstance(error, Interrupted):
        # `asyncio.gather` leaves others running when one asks: what they do and ask counts as well
        await effects.runs_ended()


def _require_questions_alone(group: BaseExceptionGroup[BaseException]) -> None:
    """Raises what else there is in a group of errors that a node's own task group has made."""
    questions, failures = group.split(Interrupted)
    if questions is None:
        raise group
    if failures is not None:
        raise failures from failures.__cause__


def _leave(run: Run, task: Task, commands: Commands) -> list[Write]:
    writes = leaving_writes(run.scope, task.name, commands)
    run.is_left = True
    return writes


async def _obey(run: Run, task: Task, scope: TaskScope, effects: Effects) -> list[Write]:
    """What graphs within the node have commanded counts, in place of what the node returned.

    Raises:
        Interrupted: The node, or a graph within it, has asked, whatever the node has made of it: a question
            that was swallowed would be lost without a word.
    """
    if effects.is_waiting:
        task.passed = effects.passed
        raise Interrupted(effects.questions, is_drained=effects.is_drained)
    if task.is_call:
        raise InvalidUpdateError(
            f"a graph that task {task.name!r} has called commands the graph around it, but a called task has "
            "no place in that: call the graph in the node, or return the command and have the node do so"
        )
    here, further = split(run.scope, task.name, effects.commands)
    if further:
        return _leave(run, task, further)
    writes = _written(run, task.node, obeyed(run.plan, task.node, here), scope)
    await _route(run, task.node, writes, scope)
    return writes


async def write_as(run: Run, task: Task, output: Any) -> list[Write]:
    """The writes that a task would make had its node returned `output`.

    Raises:
        InvalidUpdateError: Its node may not return that, or not without being run.
    """
    try:
        scope = _enter(run, task)
        writes = _written(run, task.node, task.node.write(output), scope)
        await _route(run, task.node, writes, scope)
    except Leaving:
        raise InvalidUpdateError("an update from outside is for its own graph: leave out graph=") from None
    return writes


def _enter(
    run: Run, task: Task, lane: Lane = NO_LANE, number: int = 1, pulse: Pulse | None = None
) -> TaskScope:
    """Makes the task the current one, in the context that was made for it."""
    scope = TaskScope(run.scope, task, number, pulse)
    scope.give_ups = lane.give_ups
    if lane.caller is not None and lane.caller.effects is not None and lane.caller.effects.positions:
        scope.acting().stand(lane.caller.effects.positions)
    current_task.set(scope)
    if run.scope.lend is not None:
        run.scope.lend(scope)
    return scope


def _written(run: Run, node: PlannedNode, written: Sequence[Write], scope: TaskScope) -> list[Write]:
    """What a task writes, but for its routers: what its node returned, and the node's plain edges."""
    if scope.effects is not None and scope.effects.pushed:
        written = [*pushed_writes(run.plan, node, scope.effects.pushed), *written]
    return [*written, *node.after]


async def _route(run: Run, node: PlannedNode, writes: list[Write], scope: TaskScope) -> None:
    """Adds what follows from the node's conditional edges."""
    for route in node.routes:
        values = fresh_values(run.plan, run.state, writes, node.name)
        # routers run on the loop, synchronous ones too: they only look at the state
        answer = route.call.fn(route.read(values, run.remaining), scope)
        if route.call.is_async:
            answer = await answer
        elif not isinstance(answer, str):
            answer = await settled(answer)
        writes += route.resolve(answer)


def _call(node: PlannedNode, input: Any, scope: TaskScope, lane: Lane) -> Awaitable[Any]:
    """What has to be awaited for the node's output."""
    call = node.call
    if call is None:
        return _handed_on(input)
    if call.is_async:
        return call.fn(input, scope)  # type: ignore[no-any-return]  # a coroutine of the user's
    if call.inline:
        return settled(call.fn(input, scope))
    return _on_thread(functools.partial(call.fn, input, scope), lane)


async def _handed_on(input: Any) -> Any:
    return input


async def _on_thread(work: Callable[[], Any], lane: Lane) -> Any:
    return await settled(await off_loop(work, on_caller=lane.on_caller, give_ups=lane.give_ups))
