"""Deriving a synchronous verb from an asynchronous one, with its name, parameters and documentation."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from aiograph.bridge._admit import Verb
from aiograph.bridge._call import Call, run
from aiograph.bridge._iterate import BlockingIterator

S = TypeVar("S", contravariant=True)
T = TypeVar("T")
R = TypeVar("R", covariant=True)
P = ParamSpec("P")


class SyncVerb(Protocol[P, R]):
    """A synchronous verb: the parameters of the asynchronous one, and `timeout=` in seconds.

    A parameter cannot be added to a `ParamSpec`: where `timeout=` is passed, type checkers look at
    nothing else.
    """

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, timeout: float | None, **kwargs: Any) -> R: ...


class SyncMethod(Protocol[S, P, R]):
    """A `SyncVerb` before it is bound to its object."""

    def __call__(self, this: S, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def __get__(self, obj: None, owner: Any = None, /) -> "SyncMethod[S, P, R]": ...
    @overload
    def __get__(self, obj: S, owner: Any = None, /) -> SyncVerb[P, R]: ...


def blocking(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
    *,
    begins_here: Callable[[S], bool] | None = None,
) -> SyncMethod[S, P, R]:
    """The synchronous twin of an asynchronous method.

    The method is looked up by name at each call, so a subclass that overrides it need not override
    the twin. Of an object whose `needs_no_loop` is true the work never waits, and is done on the spot.

    Args:
        method: The asynchronous method.
        begins_here: Says of an object whether the method, if that is not overridden, may begin on the thread
            that waits for it: it awaits `need_loop` before it uses a loop.
    """
    name = method.__name__

    def twin(self: Any, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        work = functools.partial(_verb_of(self, method, twin), *args, **kwargs)
        if getattr(self, "needs_no_loop", False):
            return at_once(work(), name)
        may_begin = begins_here is not None and getattr(type(self), name) is method and begins_here(self)
        return run(work, verb=name, timeout=timeout, begins_here=may_begin)

    return cast(SyncMethod[S, P, R], _with_timeout(_dress(twin, method, Verb(name))))


def at_once(work: Coroutine[Any, Any, T], who: str) -> T:
    """What a coroutine that never waits returns.

    Raises:
        RuntimeError: It waits; it is closed, and the message says who has promised that it would not.
    """
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    work.close()
    raise RuntimeError(f"{who} waits, although it was said that it never does")


def blocking_iter(
    method: Callable[Concatenate[S, P], AsyncIterator[T]],
) -> SyncMethod[S, P, BlockingIterator[T]]:
    """The synchronous twin of a method that returns an asynchronous iterator."""
    verb = Verb.iterated(method.__name__)

    def twin(self: Any, *args: Any, timeout: float | None = None, **kwargs: Any) -> BlockingIterator[Any]:
        work = functools.partial(_verb_of(self, method, twin), *args, **kwargs)
        return BlockingIterator(work, verb, timeout)

    return cast("SyncMethod[S, P, BlockingIterator[T]]", _with_timeout(_dress(twin, method, verb)))


def _verb_of(this: Any, method: Callable[..., Any], twin: Callable[..., Any]) -> Callable[..., Any]:
    """The asynchronous verb that a twin stands for: the one that its object has by that name.

    But a subclass that overrides the twin itself, and then asks for it by way of `super()`, means the
    verb of this very class: its own may have been made from its twin, and would only come back here.
    """
    if getattr(type(this), twin.__name__, twin) is twin:
        return cast("Callable[..., Any]", getattr(this, method.__name__))
    return functools.partial(method, this)


def blocking_cm(
    method: Callable[P, AbstractAsyncContextManager[T]],
) -> Callable[P, AbstractContextManager[T]]:
    """The synchronous twin of a function that returns an asynchronous context manager."""
    verb = Verb.entered(method.__name__)

    def twin(*args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[T]:
        return BlockingContext(functools.partial(method, *args, **kwargs), verb)

    return _dress(twin, method, verb)


class BlockingContext(AbstractContextManager[T]):
    """Enters and leaves an asynchronous context manager from synchronous code.

    Both happen in one task, which waits in between: what was entered is left even if that task is
    cancelled, as its loop is shut down or the node around it is cancelled.
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]], verb: Verb) -> None:
        self._make = make
        self._verb = verb
        self._call: Call[bool | None] | None = None
        self._value: T | None = None
        self._left: asyncio.Future[ExcInfo] | None = None

    def __enter__(self) -> T:
        call = self._call = Call(self._verb, self._hold, patient=False)
        try:
            call.wait()
        except KeyboardInterrupt:
            call.stop()
            raise
        if call.is_done:
            call.outcome()
        return cast(T, self._value)

    async def _hold(self, call: Call[bool | None]) -> bool | None:
        manager = self._make()
        self._value = await manager.__aenter__()
        self._left = call.loop.create_future()
        call.notify()
        try:
            details = await self._left
        except BaseException as error:
            await manager.__aexit__(type(error), error, error.__traceback__)
            raise
        return await manager.__aexit__(*details)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        call = self._call
        assert call is not None
        if call.is_inherited:
            return None  # it is the parent process that has to leave
        call.check()
        call.call_there(functools.partial(self._leave, (kind, error, trace)))
        call.finish()
        return call.outcome()

    def _leave(self, details: "ExcInfo") -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(details)


ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


F = TypeVar("F", bound=Callable[..., Any])


def _dress(twin: F, method: Callable[..., Any], verb: Verb) -> F:
    """Gives a twin the name, parameters and documentation that its method implies."""
    twin.__name__ = verb.twin
    twin.__qualname__ = method.__qualname__.removesuffix(verb.name) + verb.twin
    twin.__module__ = method.__module__
    twin.__doc__ = (
        f"Synchronous twin of `{verb.name}`, which see. Blocks the calling thread; "
        f"from a coroutine, use {verb.advice}.\n\n{inspect.cleandoc(method.__doc__ or '')}"
    )
    twin.__aiograph_twin_of__ = verb.name  # type: ignore[attr-defined]  # read by savers and by tests
    twin.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return twin


def _with_timeout(twin: F) -> F:
    signature = inspect.signature(twin)
    parameters = list(signature.parameters.values())
    ends_in_kwargs = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    timeout = inspect.Parameter(
        "timeout", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=float | None
    )
    parameters.insert(len(parameters) - ends_in_kwargs, timeout)
    twin.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return twin
