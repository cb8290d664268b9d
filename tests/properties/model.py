"""A reference model of how graphs run: the rules of a superstep in plain Python, one after the other.

It knows nothing of loops, savers, versions or task ids. Where the engine and this page disagree, one of
them is wrong. The state has three keys: `log` adds up, `last` takes one writer a superstep, and what is
written to `news` can be read in the superstep after it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.properties.sketches import Boom, NodeSketch, Sketch, Step, Ticket, author, behave, choice


class Conflict(Exception):
    """Two writers of `last` in one superstep."""


class Asked(Exception):
    """A node has asked something that nobody has answered."""


@dataclass
class Question:
    text: str
    task: "Task"
    answer: str | None = None


@dataclass
class Task:
    node: NodeSketch
    seen: dict[str, Any]
    """The state as the node sees it, or a ticket."""
    answers: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    step: Step | None = None
    """What it has done; `None` until it has finished."""
    inner: "Model | None" = None
    is_kept: bool = False
    """Whether an earlier attempt at this superstep has done it."""

    @property
    def waits(self) -> bool:
        """Whether there is no sense in running it."""
        return self.step is not None or (
            bool(self.questions) and not any(each.answer for each in self.questions)
        )


def answering(task: Task) -> Callable[[str], str]:
    """What a node asks with: its questions are matched with the answers in the order they are asked."""
    answers = iter(task.answers)

    def ask(text: str) -> str:
        for answer in answers:
            return answer
        task.questions = [Question(text, task)]
        raise Asked

    return ask


class Model:
    """One graph, from its input on; `advance` runs it as far as it comes."""

    def __init__(
        self, sketch: Sketch, given: dict[str, Any], tries: Counter[str], tell: Callable[[Any], None]
    ) -> None:
        self.sketch = sketch
        self.values: dict[str, Any] = {"log": []}
        self.history: list[tuple[dict[str, Any], list[str]]] = [(self.view(), ["__start__"])]
        self.arrived: dict[tuple[str, ...], set[str]] = {starts: set() for starts, _ in sketch.joins}
        self.waiting: set[str] = set()
        """Deferred nodes that run when nothing else would."""
        self.due: set[str] = set()
        self.tickets: list[tuple[str, Ticket]] = []
        self.tasks: list[Task] | None = None
        self.given = given
        self.tries = tries
        self.tell = tell

    def view(self) -> dict[str, Any]:
        """What can be read of the state."""
        return {key: list(value) if key != "last" else value for key, value in self.values.items()}

    def advance(self) -> list[Question]:
        """Runs until nothing is due, something is asked, or something goes wrong.

        Raises:
            Boom: A node has failed for good; what its siblings have done is kept.
            Conflict: The superstep was taken back.
        """
        if len(self.history) == 1:
            self.follow([Step(self.given, self.sketch.entry)], [])
        else:
            self.tell(("values", self.view()))
        while tasks := self.tasks if self.tasks is not None else self.planned():
            self.tasks = tasks
            self.run_all(tasks)
            if questions := [each for task in tasks for each in task.questions]:
                self.show(tasks)
                self.tell(("asked", sorted(each.text for each in questions)))
                return questions
            self.tasks = None
            self.follow([self.done(task) for task in tasks], tasks)
        return []

    # -- a superstep

    def planned(self) -> list[Task]:
        """Who runs: nodes by name, then tickets in the order they were made."""
        nodes = self.sketch.by_name
        return [Task(nodes[name], self.view()) for name in sorted(self.due)] + [
            Task(nodes[name], ticket) for name, ticket in self.tickets
        ]

    def run_all(self, tasks: list[Task]) -> None:
        errors: list[Boom | Conflict] = []
        for task in tasks:
            task.is_kept = task.step is not None
            if not task.waits:
                try:
                    self.run(task)
                except (Boom, Conflict) as error:
                    errors.append(error)
        if errors:
            self.show(tasks)
            raise next((each for each in errors if isinstance(each, Conflict)), errors[0])

    def run(self, task: Task) -> None:
        task.answers += [each.answer for each in task.questions if each.answer and each.task is task]
        task.questions = []
        if task.node.inner is not None:
            return self.run_inner(task, task.node.inner)
        for left in reversed(range(task.node.attempts)):
            try:
                task.step = behave(task.node, task.seen, self.tries, answering(task))
            except Asked:
                return
            except Boom:
                if not left:
                    raise
            else:
                return

    def run_inner(self, task: Task, sketch: Sketch) -> None:
        task.inner = task.inner or Model(sketch, task.seen, self.tries, lambda _: None)
        task.questions = task.inner.advance()
        if not task.questions:
            task.step = Step(task.inner.view(), ())

    def done(self, task: Task) -> Step:
        """What a task did, and where its router sends it: a router sees what its node has written."""
        assert task.step is not None
        if not task.node.router:
            return task.step
        log = [*self.values["log"], *task.step.update["log"]]
        goto = choice(task.node, len(log), author(log))
        return Step(task.step.update, (*task.step.goto, *goto))

    # -- its end

    def follow(self, steps: list[Step], tasks: list[Task]) -> None:
        """Applies what all have written, all or nothing, and finds out what is due."""
        self.show(tasks)
        if sum("last" in step.update for step in steps) > 1:
            raise Conflict
        news = [each for step in steps for each in step.update.get("news", ())]
        self.values.pop("news", None)
        for step in steps:
            self.values["log"] = self.values["log"] + step.update.get("log", [])
            self.values.update({"last": step.update["last"]} if "last" in step.update else {})
        if news:
            self.values["news"] = news
        self.trigger(steps, tasks)
        self.history.append((self.view(), [task.node.name for task in self.planned()]))
        self.tell(("values", self.view()))

    def trigger(self, steps: list[Step], tasks: list[Task]) -> None:
        for starts, end in self.sketch.joins:
            if self.arrived[starts] == set(starts) and end in self.due:
                self.arrived[starts] = set()
        names = {name for step in steps for name in step.goto if isinstance(name, str)}
        self.tickets = [name for step in steps for name in step.goto if not isinstance(name, str)]
        ran = {task.node.name for task in tasks}
        names |= {end for start, end in self.sketch.edges if start in ran}
        for starts, end in self.sketch.joins:
            self.arrived[starts] |= ran & set(starts)
            if self.arrived[starts] == set(starts):
                names.add(end)
        deferred = {name for name in names if self.sketch.by_name[name].defer}
        self.waiting |= deferred
        self.due = names - deferred
        if not self.due and not self.tickets:
            self.due, self.waiting = self.waiting, set()

    def show(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.step is not None:
                self.tell(("updates", task.node.name, dict(task.step.update), task.is_kept))
