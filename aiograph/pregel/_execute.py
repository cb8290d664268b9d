"""The tasks of one superstep, run in parallel, with their outcomes recorded on them.

A lone task is awaited in place, in a context of its own; several share an `asyncio.TaskGroup`. A
failure cancels the siblings, or lets them finish, as the run says. Which of several failures is raised
is decided by task order, never by time.
"""

import asyncio
import types
from collections.abc import Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, TypeVar

from aiograph._cancel import Leaks, until_done
from aiograph._interrupt import Interrupted
from aiograph._need_loop import need_loop, task_here
from aiograph._threads import GiveUp
from aiograph.errors import NodeCancelledError, NodeError
from aiograph.pregel._attempt import NO_LANE, Lane, attempt
from aiograph.pregel._handlers import blame, is_for_handler
from aiograph.pregel._notes import note, shown
from aiograph.pregel._run import Run
from aiograph.pregel._slots import Slots
from aiograph.pregel._tasks import Task
from aiograph.pregel._unfinished import keep_unfinished

T = TypeVar("T")


@types.coroutine
def within(context: Context, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Awaits a coroutine in place, in a context of its own: what it sets stays inside."""
    leaks: Leaks | None = None
    try:
        # no bound methods are kept: each would take 72 bytes for as long as the coroutine waits
        waited_for = context.run(coroutine.send, None)
        while True:
            try:
                answer = yield waited_for
            except GeneratorExit:
                context.run(coroutine.close)
                raise
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    leaks = leaks or Leaks(coroutine)
                    leaks.mend()
                waited_for = context.run(coroutine.throw, error)
            else:
                waited_for = context.run(coroutine.send, answer)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def execute(run: Run, tasks: Sequence[Task]) -> bool:
    """Runs the tasks that have no writes yet, and no questions that nobody has answered.

    Returns:
        Whether all of them have finished, so that none has anything to ask.

    Raises:
        Exception: What the first failing task, in task order, raised; with notes that name it and the others.
    """
    todo = [task for task in tasks if task.writes is None and not task.questions]
    if not todo:
        return _have_finished(tasks)
    if run.max_concurrency is not None:
        run.slots = Slots(run.max_concurrency)
    try:
        if run.step_timeout is not None:
            await _in_time(run, todo, run.step_timeout)
        elif len(todo) > 1:
            await need_loop()
            await _together(run, todo, _lane(run))
        else:
            if run.slots is not None:
                await run.slots.take(todo[0])
            await within(copy_context(), settle(run, todo[0], _lane(run)))
            if todo[0].writes is not None and run.host.is_cancelled():
                await _give_way(run, todo[0])
        if run.cache is not None:
            await run.cache.keep(todo)
        return _have_finished(tasks)
    except BaseException:
        keep_unfinished(run.journal, tasks)
        _tell_failures(run, tasks)
        raise


def _tell_failures(run: Run, tasks: Sequence[Task]) -> None:
    if run.emitter is None:
        return
    for task in tasks:
        if task.error is not None:
            run.emitter.finished(task)


_ON_CALLER = Lane(on_caller=True)


def _lane(run: Run) -> Lane:
    # whoever listens to what nodes write has to be free to hear it while they run
    return _ON_CALLER if run.emitter is None or not run.emitter.hears_nodes else NO_LANE


async def _give_way(run: Run, task: Task) -> None:
    """Ends a run that was cancelled, though its lone node has swallowed that."""
    # where several run, the task group sees to it
    await _report(run, task)
    raise asyncio.CancelledError


async def _in_time(run: Run, todo: Sequence[Task], seconds: float) -> None:
    give_up, limit = GiveUp(), asyncio.timeout(seconds)
    timer = asyncio.get_running_loop().call_later(seconds, give_up.trigger)
    try:
        async with limit:
            await _together(run, todo, Lane(give_ups=(give_up,)))
    except TimeoutError as error:
        if not limit.expired():
            raise
        names = ", ".join(repr(task.name) for task in todo if task.writes is None and not task.questions)
        raise TimeoutError(
            f"step {run.state.step} did not end within its step_timeout of {seconds} s; "
            f"still running: {names}"
        ) from error
    finally:
        timer.cancel()


async def _together(run: Run, todo: Sequence[Task], lane: Lane) -> None:
    if run.slots is not None:
        todo = sorted(todo, key=lambda task: -task.node.priority)
    crew = _Crew(run)
    async with crew:
        for task in todo:
            crew.enlist(task, _lane_of(task, lane))
            if _is_threaded(task):
                lane = lane._replace(on_caller=False)
        await crew.ended()


class _Crew:
    """The tasks of a superstep that run side by side, in a task group.

    A failure is recorded on its task and never raised into the task group, which before Python 3.13
    forgets over a failed member that it is being cancelled itself. Members are cancelled once, however
    many reasons there are: a second cancellation would break off their clean-up.
    """

    __slots__ = ("_end", "_group", "_is_broken", "_members", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._group = asyncio.TaskGroup()
        self._is_broken = False
        self._members: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> None:
        await self._group.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not GeneratorExit:  # then the loop is gone, and nothing may be awaited any more
            await self._group.__aexit__(kind, error, trace)

    def enlist(self, task: Task, lane: Lane) -> None:
        """Starts a task."""
        member = self._group.create_task(self._work(task, lane))
        self._members.add(member)
        member.add_done_callback(self._leave)

    def _leave(self, member: "asyncio.Task[None]") -> None:
        self._members.discard(member)
        if not self._members and not self._end.done():
            self._end.set_result(None)

    async def ended(self) -> None:
        """Waits until all have ended; a cancellation disbands the crew and is raised after that."""
        try:
            await asyncio.shield(self._end)
        except asyncio.CancelledError:
            self._disband()
            await until_done(self._end)
            raise

    async def _work(self, task: Task, lane: Lane) -> None:
        slots = self._run.slots
        if slots is None:
            await self._do(task, lane)
        else:
            await slots.take(task)
            try:
                await self._do(task, lane)
            finally:
                slots.leave(task)
        if task.error is not None and self._stops_at(task.error):
            self._is_broken = True
            # not before others that fail in this very turn have had their say
            asyncio.get_running_loop().call_soon(self._disband)

    async def _do(self, task: Task, lane: Lane) -> None:
        if self._is_broken:
            return  # a loop that starts tasks eagerly may have seen the failure of one before
        await settle(self._run, task, lane)
        if task.writes is not None:
            await _report(self._run, task)

    def _disband(self) -> None:
        for member in tuple(self._members):
            if not member.cancelling():
                member.cancel()

    def _stops_at(self, error: BaseException) -> bool:
        return self._run.terms.on_error == "cancel" or not isinstance(error, Exception)


def _is_threaded(task: Task) -> bool:
    call = task.node.call
    return call is not None and not call.is_async and not call.inline


def _lane_of(task: Task, lane: Lane) -> Lane:
    return lane if _is_threaded(task) else Lane(give_ups=lane.give_ups)


async def _report(run: Run, task: Task) -> None:
    """Makes a finished task's writes safe while its siblings run on, then shows them."""
    shows = run.emitter is not None and run.emitter.wants_tasks
    try:
        if run.journal is not None:
            run.journal.record(task)
            if shows and run.journal.is_strict:
                await run.journal.flush()
    except Exception as error:
        task.error = error
        return
    if shows and run.emitter is not None:
        run.emitter.finished(task)
        await run.emitter.room()


async def settle(run: Run, task: Task, lane: Lane) -> None:
    """Runs one task; a failure or a question is recorded on it, a cancellation passes through.

    A failure that the node's error handler is for is left to it, and so is a task that was left to it in a
    run that was broken off.
    """
    if task.handler is not None:
        return await _handle(run, task, lane)
    try:
        if run.meter is None:
            await attempt(run, task, lane)
        else:
            with run.meter.task(task):
                await attempt(run, task, lane)
    except asyncio.CancelledError as cancelled:
        if _is_cancelled():
            raise
        task.error = NodeCancelledError(task.name)
        task.error.__cause__ = cancelled
    except GeneratorExit:
        raise  # the loop is gone, and nothing may be awaited any more
    except Interrupted as asked:
        task.questions = asked.questions
        if asked.is_drained:
            run.drained_tasks = (*run.drained_tasks, task)
    except BaseException as error:
        task.error = error
    if task.error is not None and task.node.handler is not None and is_for_handler(task.error):
        await _hand_over(run, task, task.error, lane)
    if run.scope.pulse is not None:
        run.scope.pulse.progress()


async def _hand_over(run: Run, task: Task, error: Exception, lane: Lane) -> None:
    """Leaves a task to its node's error handler. That is kept first, so that the node never runs again."""
    task.hand_over(error)
    try:
        if run.journal is not None:
            run.journal.record_hand_over(task)
            await run.journal.flush()
    except Exception as lost:
        task.error, task.handler = lost, None
        blame(lost, NodeError(task.name, error))
        return
    if run.emitter is not None:
        run.emitter.handed_over(task, error)
    await _handle(run, task, lane)


async def _handle(run: Run, task: Task, lane: Lane) -> None:
    handler = task.handler
    assert handler is not None
    assert handler.failure is not None
    handler.answers = task.answers
    if run.slots is not None:
        run.slots.leave(task, handler)
    await settle(run, handler, lane)
    if run.slots is not None:
        run.slots.leave(handler, task)
    task.adopt()
    if task.error is not None:
        blame(task.error, handler.failure)


def _is_cancelled() -> bool:
    current = task_here()
    return current is not None and current.cancelling() > 0


def _have_finished(tasks: Sequence[Task]) -> bool:
    """Whether all of them have; raises the failure of the first that has one."""
    has_finished = True
    for task in tasks:
        if task.error is not None:
            _tell_of_all(tasks, task.error)
            raise task.error
        if task.writes is None:
            has_finished = False
    return has_finished


def _tell_of_all(tasks: Sequence[Task], error: BaseException) -> None:
    """Notes on the first failure whose it is, and what else went wrong."""
    first, *others = [task for task in tasks if task.error is not None]
    note(error, f"in node {first.name!r}, step {first.step}, task {first.id}")
    for task in others:
        assert task.error is not None
        note(error, f"node {task.name!r} (task {task.id}) failed as well: {shown(task.error)}")
