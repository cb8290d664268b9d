"""String conditions such as `"score > 0.5 and not done"`: read once, refused early, evaluated safely.

The whole text is checked when the graph is built, against a short list of what a condition may contain;
nothing else ever reaches the evaluator. What is left, arithmetic above all, has limits of its own, so that
a condition can neither run code nor use up time and memory. Evaluation is simpleeval's (the `expr` extra).

Allowed are literals, names of the state, `and`/`or`/`not`, comparisons, arithmetic, `x if y else z`,
indexes and slices, fields of dataclasses and Pydantic models, keys of mappings with a dot, list
comprehensions and generator expressions, and calls of the functions in `FUNCTIONS`.
"""

import ast
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

from aiograph.errors import ExpressionError, MissingExtraError
from aiograph.graph._records import field_names

_LONGEST = 4_096
"""Characters of a condition."""
_DEEPEST = 60
"""Levels of a condition's syntax tree."""
_MOST_BITS = 100_000
"""Size of an integer that a condition may compute."""
_MOST_DIGITS = 100
"""Digits that `round` may be asked for."""


def _total(numbers: Iterable[Any]) -> Any:
    # Without a start value that is a list, `sum` adds numbers only: lists of lists could grow without end.
    return sum(numbers)


def _rounded(number: Any, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > _MOST_DIGITS:
        raise OverflowError(f"round() to {digits} digits is out of range")
    return round(number, digits)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "len": len,
    "min": min,
    "max": max,
    "abs": abs,
    "any": any,
    "all": all,
    "sum": _total,
    "round": _rounded,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
}
"""What a condition may call."""

_KEYWORDS = frozenset({"default"})
"""Of `min` and `max`. Not `key`: it would call a function out of the state."""


def compile_condition(text: str, names: Collection[str] | None = None) -> "Condition":
    """Reads a string condition, or says what is wrong with it.

    Args:
        text: The condition.
        names: The names that the state has; `None` when that is not known.

    Raises:
        ExpressionError: The condition is malformed, uses what conditions may not use, or a name that
            the state does not have. The message shows the place.
        MissingExtraError: The `expr` extra is not installed.
    """
    _simpleeval()
    return Condition(text, _checked(text, names))


class Condition:
    """A string condition that was found to be in order; call it with the state as a mapping.

    May be called from any number of threads at once.
    """

    __slots__ = ("_idle", "_tree", "text")

    def __init__(self, text: str, tree: ast.expr) -> None:
        self.text = text
        self._tree = tree
        # An evaluator holds state while it works, so each call has one for itself; and it is dear to make,
        # so those that are done wait here for the next call.
        self._idle: deque[Any] = deque()

    def __call__(self, state: Mapping[str, Any]) -> Any:
        """The condition's value in this state.

        Raises:
            ExpressionError: It has none: a name without a value, a wrong type, a limit passed.
        """
        try:
            evaluator = self._idle.pop()
        except IndexError:
            evaluator = _evaluator()
        evaluator.names = state
        try:
            return evaluator.eval(self.text, previously_parsed=self._tree)
        except Exception as error:
            what = str(error) if isinstance(error, _NoValueError) else f"{type(error).__name__}: {error}"
            held = f"the state holds {_list(sorted(state)) or 'nothing'}"
            raise ExpressionError(f"the condition {self.text!r} has no result: {what}; {held}") from error
        finally:
            evaluator.names = {}
            self._idle.append(evaluator)

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


# -- reading -------------------------------------------------------------------------------------------

_OPERATORS = (
    *(ast.And, ast.Or, ast.Not),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.UAdd, ast.USub),
    *(ast.BitAnd, ast.BitOr, ast.BitXor, ast.Invert),
)
_PLAIN = (
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp),
    *(ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.Set, ast.Dict),
)
"""Expressions that are in order when their parts are."""

_REFUSED: Mapping[type[ast.expr], str] = {
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "an f-string",
    ast.Await: "await",
    ast.Starred: "unpacking",
    ast.DictComp: "a dict comprehension",
    ast.SetComp: "a set comprehension",
}


def _checked(text: str, names: Collection[str] | None) -> ast.expr:
    tree = _parsed(text)
    _Checker(text, names).check(tree)
    return tree


def _parsed(text: str) -> ast.expr:
    source = text.strip()
    if not source:
        raise ExpressionError("a string condition must not be empty: write an expression over the state")
    if len(source) > _LONGEST:
        raise ExpressionError(
            f"a string condition of {len(source)} characters is too long (at most {_LONGEST}): "
            f"use a function in place of {source[:40]!r}..."
        )
    try:
        return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        place = _pointer(source, error.lineno or 1, (error.offset or 1) - 1)
        raise ExpressionError(f"the condition {source!r} is malformed: {error.msg}{place}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"the condition {source!r} cannot be read: {error}") from error


def _pointer(source: str, line: int, column: int) -> str:
    """The line in question and, below it, a mark at the column (in characters)."""
    lines = _lines(source)
    return f"\n    {lines[min(line, len(lines)) - 1]}\n    {' ' * column}^"


def _lines(source: str) -> list[str]:
    # `splitlines` would also split where the parser does not: at form feeds, for one.
    return re.split(r"\r\n|\r|\n", source)


class _Checker:
    """Walks over a condition and refuses whatever is not known to be harmless."""

    def __init__(self, text: str, names: Collection[str] | None) -> None:
        self._source = text.strip()
        self._names = names

    def check(self, node: ast.expr, bound: frozenset[str] = frozenset(), depth: int = 0) -> None:
        """Checks a node and what is in it; `bound` are the variables of comprehensions around it."""
        if depth > _DEEPEST:
            self._refuse(node, "it is nested too deeply")
        parts: Iterable[ast.expr]
        match node:
            case ast.Constant():
                return self._check_constant(node)
            case ast.Name():
                return self._check_name(node, bound)
            case ast.ListComp() | ast.GeneratorExp():
                return self._check_comprehension(node, bound, depth + 1)
            case ast.Call():
                parts = self._parts_of_call(node)
            case ast.Attribute():
                parts = self._parts_of_attribute(node)
            case _:
                parts = self._parts(node)
        for part in parts:
            self.check(part, bound, depth + 1)
        return None

    def _check_constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str | bytes | int | float | None):
            self._refuse(node, f"the literal {node.value!r} cannot be used")

    def _check_name(self, node: ast.Name, bound: frozenset[str]) -> None:
        if self._names is None or node.id in bound or node.id in self._names:
            return
        known = sorted(self._names)
        from difflib import get_close_matches

        close = get_close_matches(node.id, known, n=1)
        guess = f" (did you mean {close[0]!r}?)" if close else ""
        self._refuse(node, f"the state has no {node.id!r}{guess}, only {_list(known) or 'nothing'}")

    def _check_comprehension(
        self, node: ast.ListComp | ast.GeneratorExp, bound: frozenset[str], depth: int
    ) -> None:
        for clause in node.generators:
            if clause.is_async or not isinstance(clause.target, ast.Name):
                self._refuse(clause.target, "a comprehension may bind single names only")
            self.check(clause.iter, bound, depth)
            bound |= {clause.target.id}
            for condition in clause.ifs:
                self.check(condition, bound, depth)
        self.check(node.elt, bound, depth)

    def _parts_of_call(self, node: ast.Call) -> Iterator[ast.expr]:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            called = ast.unparse(node.func)
            self._refuse(node.func, f"{called!r} cannot be called, only {_list(FUNCTIONS)} can")
        for keyword in node.keywords:
            if keyword.arg not in _KEYWORDS:
                self._refuse(keyword.value, f"the argument {keyword.arg or '**'!r} cannot be used")
        yield from node.args
        yield from (keyword.value for keyword in node.keywords)

    def _parts_of_attribute(self, node: ast.Attribute) -> Iterator[ast.expr]:
        if node.attr.startswith("_"):
            self._refuse(node, f"the attribute {node.attr!r} cannot be used, as it is private")
        yield node.value

    def _parts(self, node: ast.expr) -> Iterator[ast.expr]:
        if not isinstance(node, _PLAIN):
            self._refuse(node, f"{_REFUSED.get(type(node), type(node).__name__)} cannot be used")
        if isinstance(node, ast.Dict) and None in node.keys:
            self._refuse(node, "unpacking cannot be used")
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                yield part
            elif not isinstance(part, (ast.expr_context, *_OPERATORS)):
                self._refuse(node, f"the operator {type(part).__name__} cannot be used")

    def _refuse(self, node: ast.expr, why: str) -> NoReturn:
        line = _lines(self._source)[node.lineno - 1]
        column = len(line.encode()[: node.col_offset].decode())  # the parser counts bytes
        place = _pointer(self._source, node.lineno, column)
        raise ExpressionError(f"the condition {self._source!r} cannot be used: {why}{place}")


# -- evaluating ----------------------------------------------------------------------------------------


class _NoValueError(LookupError):
    """What a condition asked for is not there."""


def _simpleeval() -> Any:
    try:
        return import_module("simpleeval")
    except ImportError as error:
        raise MissingExtraError("string conditions", "expr") from error


def _evaluator() -> Any:
    simpleeval = _simpleeval()
    defaults = simpleeval.DEFAULT_OPERATORS
    operators = {kind: defaults[kind] for kind in _OPERATORS if kind in defaults}
    operators |= {ast.Mult: _product, ast.Pow: _power, ast.Mod: _modulo}
    evaluator = simpleeval.EvalWithCompoundTypes(operators=operators, functions=dict(FUNCTIONS), names={})
    evaluator.nodes[ast.Name] = partial(_value_of_name, evaluator)
    evaluator.nodes[ast.Attribute] = partial(_value_of_attribute, evaluator)
    # By default every intermediate result is searched for modules and dangerous functions, to the bottom of
    # each list. Nothing here can call what a state holds, so this would only make long states slow.
    evaluator._check_disallowed_items = _accept
    return evaluator


def _accept(_: Any) -> None:
    """Takes any value."""


def _value_of_name(evaluator: Any, node: ast.Name) -> Any:
    try:
        return evaluator.names[node.id]
    except KeyError:
        raise _NoValueError(f"{node.id!r} has no value yet") from None


def _value_of_attribute(evaluator: Any, node: ast.Attribute) -> Any:
    """A key of a mapping or a field of a record; never a method, a property or anything else."""
    value = evaluator._eval(node.value)
    if isinstance(value, Mapping):
        if node.attr in value:
            return value[node.attr]
        raise _NoValueError(f"{ast.unparse(node.value)!r} has no key {node.attr!r}")
    if node.attr in field_names(type(value)):
        return getattr(value, node.attr)
    raise _NoValueError(
        f"{ast.unparse(node.value)!r} is of type {type(value).__name__} and has no field {node.attr!r}"
    )


def _product(left: Any, right: Any) -> Any:
    if hasattr(left, "__len__") or hasattr(right, "__len__"):
        raise TypeError("'*' multiplies numbers only")
    _limit(_bits(left) + _bits(right))
    return left * right


def _power(base: Any, exponent: Any) -> Any:
    if not isinstance(base, float) and not isinstance(exponent, float):
        _limit(_bits(base) * abs(exponent))
    return base**exponent


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes):
        raise TypeError("'%' divides numbers only")
    return left % right


def _bits(number: Any) -> int:
    return number.bit_length() if isinstance(number, int) else 64


def _limit(bits: int) -> None:
    if bits > _MOST_BITS:
        raise OverflowError("the number is too large")
