"""`Tool`: something that a model may have called; and `tool`, which makes one of a function."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol, overload

from aiograph import _threads, bridge
from aiograph.bridge import blocking
from aiograph.pregel._callable import settled
from aiograph.tools._arguments import faults_in, innermost, parameters_by, parameters_of
from aiograph.tools._docstring import Described, read_docstring
from aiograph.tools._errors import ToolInvocationError, ToolTimeoutError
from aiograph.tools._injected import ToolRuntime
from aiograph.tools._runtime import give_ups_here, runtime_by_hand
from aiograph.tools._spec import ToolSpec
from aiograph.types import RunnableConfig

ResponseFormat = Literal["content", "content_and_artifact"]

Keywords = Callable[[Mapping[str, Any], ToolRuntime[Any, Any]], dict[str, Any]]
"""Makes what a tool's function is called with, of what a model has given and what is injected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something that a model may have called. Made by `tool`, `as_tool` and `mcp_tools`."""

    spec: ToolSpec
    """What a model is told."""
    function: Callable[..., Any] | None = None
    """What is called; `None` for a tool that runs at the model's provider."""
    keywords: Keywords | None = None
    """Makes what it is called with; raises what `faults_in` knows for arguments that are wrong."""
    injected: frozenset[str] = frozenset()
    """Names of parameters that no model may give."""
    return_direct: bool = False
    """Whether an agent ends with what the tool returns."""
    response_format: ResponseFormat = "content"
    """`"content_and_artifact"`: the function returns a pair, of which the model is shown the first."""
    timeout: float | None = None
    """Seconds that a call may take."""

    @property
    def name(self) -> str:
        """By which models call it."""
        return self.spec.name

    @property
    def description(self) -> str:
        """What it is for."""
        return self.spec.description

    @property
    def is_called_here(self) -> bool:
        """Whether it is for us to call, and not for the model's provider."""
        return self.function is not None

    def bind(self, args: Mapping[str, Any], runtime: ToolRuntime[Any, Any]) -> Callable[[], Any]:
        """The function with all that it is to be called with.

        Args:
            args: What a model has given. What is injected is never taken from there.
            runtime: Where injected values come from.

        Raises:
            ToolInvocationError: The arguments are wrong.
        """
        assert self.function is not None
        assert self.keywords is not None
        try:
            keywords = self.keywords(args, runtime)
        except Exception as error:
            faults = faults_in(error, self.injected)
            if not faults:
                raise
            shown = {name: value for name, value in args.items() if name not in self.injected}
            raise ToolInvocationError(self.name, shown, faults) from error
        return functools.partial(self.function, **keywords)

    async def carry(self, work: Callable[[], Any]) -> Any:
        """Calls what `bind` has returned: on this loop, or a synchronous function on a thread.

        Raises:
            ToolTimeoutError: It has not ended in time. Synchronous code is given up on.
            Exception: Whatever the function raised.
        """
        if self.timeout is None:
            return await self._called(work, give_ups_here())
        give_up = _threads.GiveUp()
        timer = asyncio.get_running_loop().call_later(self.timeout, give_up.trigger)
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                result = await self._called(work, (*give_ups_here(), give_up))
        except Exception as error:
            if not limit.expired():
                raise
            raise ToolTimeoutError(self.name, self.timeout) from error
        finally:
            timer.cancel()
        if limit.expired():  # the tool has swallowed its cancellation
            raise ToolTimeoutError(self.name, self.timeout)
        return result

    async def _called(self, work: Callable[[], Any], give_ups: Sequence[_threads.GiveUp]) -> Any:
        if is_async(self.function):
            return await work()
        return await settled(await bridge.off_loop(work, give_ups=give_ups))

    async def ainvoke(
        self,
        input: Mapping[str, Any],
        config: RunnableConfig | None = None,
        *,
        runtime: ToolRuntime[Any, Any] | None = None,
    ) -> Any:
        """Calls the tool as a model would: arguments are checked, and made into what was annotated.

        Args:
            input: The arguments, by name.
            config: For tools that ask for it; inside a run, that of the task by default.
            runtime: Where injected values come from; inside a run, from the task by default.

        Returns:
            What the function returned.

        Raises:
            ToolInvocationError: The arguments are wrong.
            ToolTimeoutError: It has not ended in time.
        """
        work = self.bind(input, runtime or runtime_by_hand(config))
        return await self.carry(work)

    invoke = blocking(ainvoke)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function itself."""
        if self.function is None:
            raise TypeError(f"tool {self.name!r} runs at the model's provider and cannot be called here")
        return self.function(*args, **kwargs)


def is_async(function: Any) -> bool:
    """Whether what is called returns a coroutine."""
    if function is None:
        return False
    function = innermost(function)
    call = getattr(type(function), "__call__", None)  # noqa: B004  # the method itself is wanted
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


# -- of a function -------------------------------------------------------------------------------------


class ToolDecorator(Protocol):
    """Makes a tool of a function."""

    def __call__(self, func: Callable[..., Any], /) -> Tool: ...


@overload
def tool(func: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    name: str | None = None,
    /,
    *,
    description: str | None = None,
    args_schema: Any = None,
    return_direct: bool = False,
    parse_docstring: bool = True,
    response_format: ResponseFormat = "content",
    timeout: float | timedelta | None = None,
) -> ToolDecorator: ...


def tool(func: Any = None, /, **options: Any) -> Any:
    """Makes a tool of a function, synchronous or not: what models are told of it, and what it is called with.

    What the model may give follows from the signature: names, annotations, defaults. What the tool is for is
    the docstring, and what a parameter is for stands in its `Args:` section, or beside the annotation:
    `Annotated[int, "how many"]`. Arguments are checked before the function is called, and made into what is
    annotated: Pydantic models, dataclasses, enums, dates. Parameters annotated with `ToolRuntime`, `Runtime`,
    `RunnableConfig`, a `BaseStore`, or marked by `InjectedState`, `InjectedStore` and `InjectedToolCallId`
    are filled in; models do not see them and cannot give them.

    Args:
        func: The function, or a name for it; left out, a decorator is returned.
        **options: See below.

    Keyword Args:
        description: What the tool is for; the function's docstring by default.
        args_schema: What the model may give: a Pydantic model, or a JSON schema, of which only the required
            keys are looked at.
        return_direct: Whether an agent ends with what the tool returns.
        parse_docstring: Whether descriptions of parameters are taken out of the docstring.
        response_format: `"content_and_artifact"` if the function returns a pair, of which the model is shown
            the first.
        timeout: How long a call may take: seconds, or a `timedelta`.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
        TypeError: What is decorated is no function, or has a parameter that no JSON describes.
        ValueError: It has no name or no description, or the timeout is not above 0.

    Examples:
        >>> @tool
        ... def add(a: int, b: int = 1) -> int:
        ...     '''Adds two numbers.'''
        ...     return a + b
        >>> add.name, add.description, add.invoke({"a": "2"})
        ('add', 'Adds two numbers.', 3)
    """
    if func is None or isinstance(func, str):
        return lambda decorated: _tool_of(decorated, func, **options)
    return _tool_of(func, None, **options)


def _tool_of(
    func: Any,
    name: str | None = None,
    *,
    description: str | None = None,
    args_schema: Any = None,
    return_direct: bool = False,
    parse_docstring: bool = True,
    response_format: ResponseFormat = "content",
    timeout: float | timedelta | None = None,
) -> Tool:
    if not callable(func):
        raise TypeError(f"@tool makes a tool of a function, not of {func!r}")
    named = name or _name_of(innermost(func))
    doc = inspect.getdoc(innermost(func)) or ""
    described = read_docstring(doc) if parse_docstring else Described(doc, {})
    purpose = description or described.text
    if not purpose:
        raise ValueError(f"tool {named!r} has no description for models to choose it by: give it a docstring")
    parameters = parameters_of(func, named, described.parameters)
    if args_schema is not None:
        parameters = parameters_by(args_schema, parameters)
    return Tool(
        spec=ToolSpec(named, purpose, parameters.schema),
        function=func,
        keywords=parameters.keywords,
        injected=frozenset(parameters.injected),
        return_direct=return_direct,
        response_format=response_format,
        timeout=_seconds(timeout, named),
    )


def _name_of(func: Any) -> str:
    found = str(getattr(func, "__name__", type(func).__name__))
    if found == "<lambda>":
        raise ValueError(f"{func!r} has no name of its own: use tool('name')(...)")
    return found


def _seconds(timeout: float | timedelta | None, name: str) -> float | None:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds is not None and not seconds > 0:
        raise ValueError(f"the timeout of tool {name!r} must be above 0 seconds, not {seconds}")
    return seconds
