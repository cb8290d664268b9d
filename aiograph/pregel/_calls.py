"""Tasks that the code of other tasks calls: begun at once, run beside their caller, never run twice.

A call belongs to the attempt that made it, which does not end before its calls have. What has finished is
kept beside the checkpoint of the superstep, under an id that the caller's id and the number of the call make,
or a key in place of that number.
When the caller runs again, it finds there what it calls again, and only what is missing is run. Names are
compared, so that changed code gets an error and never the result of another task.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from aiograph import _threads, constants
from aiograph._cancel import until_done
from aiograph._context import TaskScope
from aiograph._effects import Effects
from aiograph._interrupt import Interrupted
from aiograph._need_loop import need_loop
from aiograph.bridge import running_loop
from aiograph.checkpoint.base import PendingWrite
from aiograph.errors import CallOrderError
from aiograph.pregel._attempt import Lane, show_spared
from aiograph.pregel._call_cache import CallCache
from aiograph.pregel._declared import declared, tell_declared
from aiograph.pregel._execute import settle
from aiograph.pregel._future import TaskFuture
from aiograph.pregel._notes import note
from aiograph.pregel._plan import PlannedNode
from aiograph.pregel._run import Run
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, called_task
from aiograph.pregel._unfinished import keep_unfinished
from aiograph.types import Interrupt


@dataclass(slots=True)
class Known:
    """What is known of a call from an earlier attempt, in this run or in one that was broken off."""

    name: str = ""
    has_returned: bool = False
    result: Any = None
    positions: Mapping[str, str] = field(default_factory=dict)
    """Where the stateful graphs that it called stood when it had."""
    questions: Sequence[Interrupt] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)


def recalled(pending: Sequence[PendingWrite]) -> dict[str, Known]:
    """What the writes beside a checkpoint tell about calls, by their ids."""
    names = (constants.RETURN, constants.CALL)
    known = {task_id: Known() for task_id, channel, _ in pending if channel in names}
    for task_id, channel, value in pending:
        if task_id in known:
            _learn(known[task_id], channel, value)
    return known


def _learn(call: Known, channel: str, value: Any) -> None:
    match channel:
        case constants.RETURN:
            call.name, call.result = value
            call.has_returned = True
        case constants.CALL:
            call.name = value
        case constants.POSITIONS:
            call.positions = value
        case constants.INTERRUPT:
            call.questions = value
        case constants.RESUME:
            call.answers = value


class CallDesk:
    """Takes the calls that tasks of one run make, while it is under way."""

    __slots__ = ("_declared", "_known", "_run", "_step")

    def __init__(self, run: Run, pending: Sequence[PendingWrite]) -> None:
        self._run: Run | None = run
        self._step = run.state.step
        self._known = recalled(pending) if pending else None
        """By their ids, calls that were made in that superstep before; `None` if there are none."""
        self._declared = declared()

    def close(self) -> None:
        """The run is over; it is not kept alive by code that it has left behind."""
        self._run = None
        self._known = None

    def call(self, caller: TaskScope, node: PlannedNode, arg: Any, key: str | None = None) -> TaskFuture[Any]:
        """Has a task begin, from whichever thread, and returns its future at once.

        Args:
            caller: The attempt whose code calls.
            node: The task, described as nodes are.
            arg: What is called with.
            key: By what the call is found again, and its number among those with the same; without one, the
                number alone counts, among all that the caller makes.

        Raises:
            RuntimeError: The caller has ended already.
        """
        run = self._run
        if run is None or caller.has_ended:
            raise _too_late(node, caller)
        if declared() is not self._declared:
            self._tell_saver(run)
        known = self._known_at(run.state.step)
        effects = caller.acting()
        callees = effects.callees_from(lambda: _Callees(run, caller, effects, known))
        future: TaskFuture[Any] = callees.call(node, arg, key)
        return future

    def _tell_saver(self, run: Run) -> None:
        """For tasks that the run itself has declared, or brought in."""
        self._declared = declared()
        if run.scope.place.saver is not None:
            tell_declared(run.scope.place.saver)

    def _known_at(self, step: int) -> dict[str, Known]:
        if step != self._step or self._known is None:
            self._step, self._known = step, {}
        return self._known


def _too_late(node: PlannedNode, caller: TaskScope) -> RuntimeError:
    return RuntimeError(
        f"task {node.name!r} was called after {caller.name!r}, on whose behalf the code runs, had ended: "
        "await what calls it before returning"
    )


class _Callees:
    """The tasks that one attempt at a task has called."""

    def __init__(self, run: Run, caller: TaskScope, effects: Effects, known: dict[str, Known]) -> None:
        self._run = run
        self._caller = caller
        self._effects = effects
        self._known = known
        """What was called in this superstep before."""
        self._numbers = count()
        self._numbers_by_key: defaultdict[str, count[int]] = defaultdict(count)
        self._futures: dict[int, TaskFuture[Any]] = {}
        """By the number of the call."""
        self._workers: set[asyncio.Task[None]] = set()
        self._at_work = 0
        """How many of them have begun, and not ended."""
        self._refusal: CallOrderError | None = None
        self._askers: dict[str, int] = {}
        """By the ids of open questions, the numbers of the calls that have asked them."""

    # from any thread

    def call(self, node: PlannedNode, arg: Any, key: str | None) -> TaskFuture[Any]:
        loop = self._run.scope.loop
        future: TaskFuture[Any] = TaskFuture(loop)
        number = next(self._numbers)
        name = str(number) if key is None else f"{key} {next(self._numbers_by_key[key])}"
        make = partial(called_task, node, arg, self._caller, (number, name))
        begin = partial(self._begin, number, make, future, copy_context())
        if running_loop() is loop:
            begin()
        else:
            loop.call_soon_threadsafe(begin)
            self._be_cancelled_with_this_thread()
        return future

    def _be_cancelled_with_this_thread(self) -> None:
        job = _threads.current_job.get()
        if job is not None and not job.has_ended:
            # in this order: whoever cancels the job looks here after having said so
            job.nested.add(self)
            if job.cancelled:
                self.request_cancel()

    def request_cancel(self) -> None:
        """Asks all of them to end, as the thread that has called them is to."""
        with suppress(RuntimeError):  # the loop is closed, and they are gone
            self._run.scope.loop.call_soon_threadsafe(self._break_off)

    def request_give_up(self) -> None:
        """Nothing is left to do: what gives up on the caller's synchronous code does so on theirs."""

    # on the loop

    def _begin(
        self, number: int, make: Callable[[RunState], Task], future: TaskFuture[Any], context: Context
    ) -> None:
        call = make(self._run.state)
        if self._caller.has_ended:
            future.set_exception(_too_late(call.node, self._caller))
            return
        self._futures[number] = future
        call.answers = self._caller.task.answers
        known = self._known.get(call.id)
        if known is None or not self._is_settled(known, call, future):
            future.work(lambda: self._start(call, future, context))

    def _is_settled(self, known: Known, call: Task, future: TaskFuture[Any]) -> bool:
        """Whether what is known of a call leaves nothing to be run; the future is told."""
        if known.name != call.name:
            self._refusal = CallOrderError(call.path[2], known.name, call.name, self._caller.name)
            future.set_exception(self._refusal)
            return True
        if known.has_returned:
            self._hand_back(known, future)
            return True
        call.answers = {**call.answers, **known.answers}
        answers = {**self._run.scope.resume, **call.answers}
        if not known.questions or any(question.id in answers for question in known.questions):
            return False
        self._ask(known.questions, future, call)
        return True

    def _hand_back(self, known: Known, future: TaskFuture[Any]) -> None:
        if known.positions:
            self._effects.stand(known.positions)
        future.set_result(known.result)

    def _ask(self, questions: Sequence[Interrupt], future: TaskFuture[Any], call: Task) -> None:
        is_drained = call in self._run.drained_tasks
        self._askers.update({question.id: call.path[2] for question in questions})
        self._effects.stop(questions, is_drained=is_drained)
        future.set_exception(Interrupted(questions, is_drained=is_drained))

    def _start(self, call: Task, future: TaskFuture[Any], context: Context) -> "asyncio.Task[None]":
        worker = self._run.scope.loop.create_task(self._carry(call, future), context=context)
        self._workers.add(worker)
        worker.add_done_callback(partial(self._leave, future))
        return worker

    def _leave(self, future: TaskFuture[Any], worker: "asyncio.Task[None]") -> None:
        self._workers.discard(worker)
        future.let_go()
        if not future.done():
            future.drop()  # cancelled before it began

    async def _carry(self, call: Task, future: TaskFuture[Any]) -> None:
        self._at_work += 1
        try:
            await self._in_turn(call)
        except asyncio.CancelledError:
            future.drop()
        else:
            self._deliver(call, future)

    async def _in_turn(self, call: Task) -> None:
        slots, caller = self._run.slots, self._caller.task
        try:
            if slots is not None:
                await slots.take(call, caller)
            await self._work(call)
        finally:
            self._at_work -= 1
            if slots is not None:
                slots.leave(call, None if self._at_work else caller)

    async def _work(self, call: Task) -> None:
        cache, emitter = self._cache_of(call), self._run.emitter
        if cache is not None:
            await cache.find(call)
            show_spared(self._run, call)
        if emitter is not None and not call.cached:
            emitter.called(call)
        try:
            if not call.cached and call.error is None:
                await self._keep_answers(call)
                await settle(self._run, call, Lane(give_ups=self._caller.give_ups, caller=self._caller))
                if cache is not None:
                    await cache.keep(call)
            await self._keep(call)
        except Exception as error:  # of the saver
            call.writes, call.error = None, error
        if emitter is not None:
            emitter.returned(call)
            await emitter.room()

    def _cache_of(self, call: Task) -> CallCache | None:
        """What the call is looked up in: not if it has asked before, as answers are no part of the key."""
        run = self._run
        if call.node.cache is None or call.id in self._known:
            return None
        if run.call_cache is None:
            run.call_cache = CallCache(run.scope.means.cache, run.plan)
        return run.call_cache

    async def _keep_answers(self, call: Task) -> None:
        """Stores answers that its callers, which had not come to ask for it, have not stored as theirs."""
        known, journal = self._known.get(call.id), self._run.journal
        if known is None or journal is None:
            return
        given = self._run.scope.resume
        asked = [question.id for question in known.questions]
        new = {each: given[each] for each in asked if each in given and each not in call.answers}
        if new:
            call.answers = {**call.answers, **new}
            journal.record_answers(call)
            await journal.flush()

    async def _keep(self, call: Task) -> None:
        """Keeps how a call has ended; under `"sync"`, before its caller knows."""
        journal = self._run.journal
        if journal is None:
            return
        if call.writes is None:
            keep_unfinished(journal, [call])
        else:
            journal.record(call)
        if journal.is_strict:
            await journal.flush()

    def _deliver(self, call: Task, future: TaskFuture[Any]) -> None:
        if call.writes is not None:
            self._known[call.id] = known = Known()
            for channel, value in call.writes:
                _learn(known, channel, value)
            self._hand_back(known, future)
        elif call.error is not None:
            note(call.error, f"in task {call.name!r}, called by {self._caller.name!r}")
            future.set_exception(call.error)
        else:
            self._known[call.id] = Known(call.name, questions=call.questions, answers=call.answers)
            self._ask(call.questions, future, call)
        call.let_go()

    # for the attempt, once its code has ended

    async def join(self) -> None:
        """Waits for their end; raises what nobody has been told of.

        Raises:
            CallOrderError: A call was not the one that was made in its place before, whatever came of that.
            Exception: The failure of a task that nobody has waited for; of several, that of the first.
        """
        await need_loop()
        while self._workers:
            await asyncio.wait(self._workers)
        self._end()
        if self._refusal is not None:
            raise self._refusal
        if self._effects.is_stopped:
            return  # what has failed will run again
        for _, future in sorted(self._futures.items()):
            if not future.is_seen and not future.cancelled():
                future.result()

    async def dismiss(self, error: BaseException) -> None:
        """Waits for their end, as the attempt has failed with `error`.

        They are cancelled, unless the attempt waits for answers, or failures do not stop others.
        """
        self._caller.has_ended = True
        if isinstance(error, GeneratorExit):
            return  # the loop is gone, and nothing may be awaited any more
        await need_loop()
        if not self._may_finish(error):
            self._break_off()
        try:
            while self._workers:
                await asyncio.wait(self._workers)
        except asyncio.CancelledError:
            self._break_off()
            for worker in tuple(self._workers):
                await until_done(worker)
            raise
        finally:
            self._end()

    def _end(self) -> None:
        """Refuses further calls, and lets go of the caller: nothing of the two is to wait for a collector.

        What is asked is asked in the order of the calls, whichever came to it first.
        """
        if self._askers:
            questions = self._effects.questions
            self._effects.questions = sorted(questions, key=lambda each: self._askers.get(each.id, -1))
        self._caller.has_ended = True
        self._effects.callees = None

    def _may_finish(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup) and error.split(Interrupted)[0] is not None:
            return True
        lets_finish = self._run.terms.on_error == "finish" and isinstance(error, Exception)
        return lets_finish or isinstance(error, Interrupted)

    def _break_off(self) -> None:
        for future in self._futures.values():
            future.cancel()
