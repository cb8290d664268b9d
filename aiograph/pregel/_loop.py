"""The superstep loop, where the stages meet: plan, execute, apply, keep, show, until nothing is due.

Invariant: between two supersteps, the state, the newest checkpoint handed to the journal and what a
listener has been shown agree. A superstep that fails leaves the state as it was before it; the writes of
its finished tasks are kept beside the checkpoint, and those tasks do not run again.
"""

from collections.abc import Sequence
from typing import Any

from aiograph._context import require_task
from aiograph._interrupt import Interrupted
from aiograph.checkpoint.base import PendingWrite
from aiograph.constants import INTERRUPT
from aiograph.pregel._apply import ConflictingWrites, apply_finished, apply_writes
from aiograph.pregel._attempt import show_spared
from aiograph.pregel._cache import TaskCache
from aiograph.pregel._calls import CallDesk
from aiograph.pregel._emit import Emitter, asking
from aiograph.pregel._endings import drained, too_many_steps
from aiograph.pregel._execute import execute
from aiograph.pregel._journal import Journal
from aiograph.pregel._leaving import commands_in
from aiograph.pregel._notes import note
from aiograph.pregel._plan import Values, read_channels
from aiograph.pregel._run import Run
from aiograph.pregel._snapshot import restore_handlers, restore_questions, restore_writes
from aiograph.pregel._stages import Stages
from aiograph.pregel._stateful import positions_in
from aiograph.pregel._tasks import Task, due_nodes, due_sends, due_tasks
from aiograph.types import Command, RunnableConfig


async def drive(run: Run, took_input: bool, pending: Sequence[PendingWrite]) -> Any:
    """Runs supersteps until nothing is due, and returns the output.

    Args:
        run: The run; its state has taken in the input.
        took_input: Whether that is to be kept and shown; if not, the state is where the run goes on.
        pending: Writes of tasks that had finished before, of the superstep that comes first.

    However this ends, the journal is closed when it does: what was handed to it is stored.
    """
    stages = STAGES if run.meter is None else run.meter.around(STAGES)
    run.scope.desk = desk = CallDesk(run, pending)
    plan, state, tasks = run.plan, run.state, []
    try:
        if took_input:
            await _keep_input(run, stages)
        elif run.emitter is not None:
            run.emitter.values(state)
        while tasks := stages.plan(plan, state, run.last_step - state.step):
            if state.step > run.last_step:
                raise too_many_steps(run)
            if pending:
                await _restore(run, tasks, pending)
                pending = ()
            if run.emitter is not None and run.emitter.is_full:
                await stages.room(run.emitter)
            if _stops_before(run, tasks):
                break
            if run.cache is not None:
                await _look_up(run, run.cache, tasks)
            await stages.superstep(run, stages, tasks)
            _let_go(tasks)
            if run.is_stopped or (run.terms.stops.after and _stops_at(run, tasks, run.terms.stops.after)):
                break
    except GeneratorExit:
        raise  # the loop is gone: nothing can be written any more
    except BaseException as error:
        await _close_after(run, error)
        raise
    finally:
        desk.close()
        _let_go(tasks)
    if run.journal is not None:
        await stages.close(run)
    return _result(run)


def _let_go(tasks: Sequence[Task]) -> None:
    for task in tasks:
        task.let_go()


async def _close(run: Run) -> None:
    assert run.journal is not None
    await run.journal.close()


def _result(run: Run) -> Any:
    """The output; with the questions that have stopped the run, unless they are asked further out.

    Raises:
        Interrupted: The task around this run cannot finish either.
        GraphDrained: The run was asked to stop, and there is none around it.
    """
    is_nested = run.scope.outer is not None
    if run.commands:
        require_task("a nested run").acting().obey(run.commands)
        raise Interrupted(())
    if run.is_stopped and (run.scope.place.is_inner or (run.is_drained and is_nested)):
        effects = require_task("a nested run").acting()
        effects.stop(run.questions, is_drained=run.is_drained, passed=run.passed)
        raise Interrupted(run.questions)
    if run.is_drained:
        raise drained(run)
    values = run.state.values if run.reached is None else run.reached
    output = read_channels(values, run.terms.output)
    return asking(output, list(run.questions)) if run.questions else output


async def _close_after(run: Run, error: BaseException) -> None:
    if run.journal is None:
        return
    try:
        await run.journal.close()
    except Exception as lost:
        if lost is not error:
            note(error, f"in addition, the journal could not be closed: {lost!r}")


async def _keep_input(run: Run, stages: Stages) -> None:
    parent = _parent_to_show(run)
    if run.journal is not None:
        await stages.keep(run.journal, "input", (), leads=_is_handed_on(run, run.journal))
    _show_checkpoint(run, "input", parent)


def _is_handed_on(run: Run, journal: Journal) -> bool:
    """Whether the next superstep does nothing but hand the input to the state, and nobody sees it before."""
    plan, state = run.plan, run.state
    if plan.entry is None or not journal.takes_pairs:
        return False
    if journal.is_strict and run.emitter is not None and run.emitter.wants_checkpoints:
        return False
    return not due_sends(state) and due_nodes(plan, state) == [plan.entry.name]


async def _look_up(run: Run, cache: TaskCache, tasks: Sequence[Task]) -> None:
    """Spares tasks that are in the cache. Under a strict journal that is kept before it is shown."""
    hits = await cache.fill(tasks)
    for task in hits:
        show_spared(run, task)
    if hits and run.journal is not None and run.journal.is_strict and run.emitter is not None:
        for task in hits:
            run.journal.record(task)
        await run.journal.flush()


async def _restore(run: Run, tasks: Sequence[Task], pending: Sequence[PendingWrite]) -> None:
    """Gives tasks back what they had done, asked and been answered before a run was broken off.

    New answers are stored before anything happens because of them: nobody likes to be asked twice.
    """
    restore_writes(tasks, pending)
    run.is_left = bool(commands_in(tasks))
    restore_handlers(tasks, pending)
    answered = restore_questions(tasks, pending, run.scope.resume)
    if run.journal is not None:
        for task in answered:
            run.journal.record_answers(task)
        await run.journal.flush()  # a command that came as input is among what is stored now


def _stops_before(run: Run, tasks: Sequence[Task]) -> bool:
    """Whether a run ends before these tasks, as it was told to, or asked to meanwhile."""
    if run.terms.stops.before and _stops_at(run, tasks, run.terms.stops.before):
        return True
    control = run.scope.means.control
    if control is None or not control.drain_requested:
        return False
    run.is_stopped = run.is_drained = True
    return True


def _stops_at(run: Run, tasks: Sequence[Task], names: frozenset[str]) -> bool:
    """Whether a run stops before or after these tasks, and has not stopped here already."""
    if not any(_is_among(task, names) for task in tasks):
        return False
    passed = run.state.seen.get(INTERRUPT)
    if passed is not None and passed.items() >= run.state.versions.items():
        return False
    if run.journal is None and run.scope.place.is_inner:
        # nothing of the run is kept, so the task around it has to know that it has been here
        stop = f"stop:{run.state.origin.checkpoint_id()}:{tasks[0].step}:{run.state.step}"
        if stop in run.scope.resume:
            return False
        run.passed = frozenset((stop,))
    run.is_stopped = True
    if run.emitter is not None:
        run.emitter.interrupted((), run.state.values)
    return True


def _is_among(task: Task, names: frozenset[str]) -> bool:
    return task.name in names or ("*" in names and not task.node.is_hidden)


async def _superstep(run: Run, stages: Stages, tasks: Sequence[Task]) -> None:
    if run.emitter is not None:
        run.emitter.started(tasks)
    while await stages.execute(run, tasks):
        if run.is_left and (commands := commands_in(tasks)):
            return await _leave(run, tasks, commands)
        try:
            stages.apply(run.plan, run.state, tasks)
        except ConflictingWrites as conflict:
            outdated = await _outdated(run, tasks, conflict)
        else:
            run.state.step += 1
            if run.journal is not None or run.emitter is not None:
                await _conclude(run, stages, tasks)
            return
        await _forget(run, outdated)
    await _stop_to_ask(run, tasks)


async def _conclude(run: Run, stages: Stages, tasks: Sequence[Task]) -> None:
    parent = _parent_to_show(run)
    if run.journal is not None:
        await stages.keep(run.journal, "loop", tasks)
    if run.emitter is not None:
        stages.show(run, run.emitter, tasks, parent)


async def _leave(run: Run, tasks: Sequence[Task], commands: Sequence[Command[Any]]) -> None:
    """Ends the run with commands for graphs further out. They are kept, the superstep is not applied."""
    run.commands = commands
    run.positions = positions_in(tasks)
    await _stop_within(run, tasks)


async def _stop_to_ask(run: Run, tasks: Sequence[Task]) -> None:
    """Leaves the superstep as it is until there are answers; what its finished tasks wrote is kept."""
    run.questions = [question for task in tasks for question in task.questions]
    unfinished = [task.handler or task for task in tasks if task.writes is None]
    run.is_drained = all(task in run.drained_tasks for task in unfinished)
    await _stop_within(run, tasks)
    if run.journal is not None:
        run.journal.settle()  # a reducer may change the very value that it is given
    run.reached = _reached(run, tasks)
    if run.emitter is not None:
        run.emitter.interrupted(run.questions, run.reached)


def _reached(run: Run, tasks: Sequence[Task]) -> Values:
    """What a look at the thread would show; the run goes on from the state as it is."""
    ahead = run.state.aside()
    apply_finished(run.plan, ahead, tasks)
    return ahead.values


async def _stop_within(run: Run, tasks: Sequence[Task]) -> None:
    """Stops in the middle of a superstep; what its tasks have done and asked is kept, and shown."""
    run.is_stopped = True
    if run.journal is None:
        run.passed = frozenset().union(*(task.passed for task in tasks))
    else:
        for task in tasks:
            if task.passed:
                task.answers = {**task.answers, **dict.fromkeys(task.passed, True)}
                run.journal.record_answers(task)
            if task.questions:
                run.journal.record_questions(task)
            elif task.writes is not None and not task.recorded:
                run.journal.record(task)
    if run.emitter is None:
        return
    if run.journal is not None and run.journal.is_strict:
        await run.journal.flush()
    for task in tasks:
        run.emitter.finished(task)


async def _outdated(run: Run, tasks: Sequence[Task], conflict: ConflictingWrites) -> Sequence[Task]:
    """The tasks that have to run again before anything can be applied.

    Writes that are left from an earlier attempt may contradict others: if that attempt was broken off before
    they could be taken back, if a question was asked beside them, or if the graph has been changed since.

    Raises:
        InvalidUpdateError: There are none: it is what tasks have just written that contradicts itself.
    """
    outdated = [task for task in conflict.tasks if task.cached]
    if not outdated:
        await _keep_the_innocent(run, tasks, conflict)
        raise conflict.error from conflict.error.__cause__
    return outdated


async def _forget(run: Run, outdated: Sequence[Task]) -> None:
    if run.journal is not None:
        await run.journal.withdraw(outdated)
    for task in outdated:
        task.writes = task.handler = None
        task.cached = task.recorded = False


async def _keep_the_innocent(run: Run, tasks: Sequence[Task], conflict: ConflictingWrites) -> None:
    """Takes back the writes that contradict each other; the other tasks need not run again."""
    if run.journal is None:
        return
    try:
        for task in tasks:
            if not task.recorded and task not in conflict.tasks:
                run.journal.record(task)
        await run.journal.withdraw(conflict.tasks)
    except Exception as lost:
        conflict.error.add_note(f"in addition, the writes could not be taken back: {lost!r}")


def _parent_to_show(run: Run) -> RunnableConfig | None:
    """Names the newest checkpoint, if somebody will be shown whose parent that is."""
    if run.journal is None or run.emitter is None or not run.emitter.wants_checkpoints:
        return None
    return run.journal.parent_config


def _show_checkpoint(run: Run, source: str, parent: RunnableConfig | None) -> None:
    if run.journal is not None and run.emitter is not None and run.emitter.wants_checkpoints:
        run.emitter.checkpoint(run.state, run.journal.config, parent, run.journal.metadata(source))


def _show(run: Run, emitter: Emitter, tasks: Sequence[Task], parent: RunnableConfig | None) -> None:
    emitter.stepped(run.state, tasks)
    _show_checkpoint(run, "loop", parent)


STAGES = Stages(due_tasks, Emitter.room, _superstep, execute, apply_writes, Journal.commit, _show, _close)
