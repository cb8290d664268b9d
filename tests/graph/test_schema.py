"""Schemas: which channel each field becomes, what is refused, and how objects are made and read."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import pytest
import typing_extensions
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from aiograph.channels import (
    AnyValue,
    BaseChannel,
    BinaryOperatorAggregate,
    DeltaChannel,
    DictMerge,
    EphemeralValue,
    LastValue,
    NamedBarrierValue,
    SetUnion,
    Topic,
    UntrackedValue,
)
from aiograph.errors import GraphValidationError, InvalidUpdateError
from aiograph.graph._schema import FieldSpec, Schema, read_schema, types_in, values_of
from aiograph.managed import IsLastStep, IsLastStepManager, RemainingSteps, RemainingStepsManager
from tests.graph.schema_samples import Derived, HoldsUnresolvable, Point, Unresolvable

T = TypeVar("T")


def add(left: Any, right: Any) -> Any:
    return left + right


def described(spec: FieldSpec) -> tuple[Any, ...]:
    if isinstance(spec, BaseChannel):
        return type(spec), spec.typ, spec.key
    return (spec,)


def channel(schema: Schema, key: str) -> BaseChannel[Any, Any, Any]:
    spec = schema.fields[key]
    assert isinstance(spec, BaseChannel)
    return spec


class State(TypedDict):
    plain: int
    reduced: Annotated[list[str], operator.add]
    by_function: Annotated[int, "a note", add]
    by_class: Annotated[str, AnyValue]
    by_instance: Annotated[list[int], Topic(int, accumulate=True), "a note behind it"]
    documented: Annotated[str, "just a note"]
    remaining: RemainingSteps
    is_last: IsLastStep


class Qualified(TypedDict, total=False):
    needed: Required[int]
    optional: NotRequired[Annotated[int, add]]
    outside: Annotated[Required[int], add]
    both: Annotated[NotRequired[Annotated[list[int], Topic]], "a note"]
    fixed: typing_extensions.ReadOnly[Annotated[int, add]]
    steps: NotRequired[RemainingSteps]


@dataclass
class Data:
    plain: int
    reduced: Annotated[list[str], add] = field(default_factory=list)
    total: int = field(init=False, default=0)
    limit: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if self.plain < 0:
            raise ValueError("plain must not be negative")


class Model(BaseModel):
    plain: int
    reduced: Annotated[list[str], add] = []
    bounded: Annotated[int, add] = Field(default=1, gt=0)
    behind: Annotated[int, add, Field(lt=9)] = 2
    collected: Annotated[list[int], Topic(int)] = Field(default_factory=list)
    remaining: RemainingSteps = 0


# -- fields --------------------------------------------------------------------------------------------


def test_field_of_typed_dict_becomes_the_channel_it_asks_for() -> None:
    assert {key: described(spec) for key, spec in read_schema(State).fields.items()} == {
        "plain": (LastValue, int, "plain"),
        "reduced": (BinaryOperatorAggregate, list[str], "reduced"),
        "by_function": (BinaryOperatorAggregate, int, "by_function"),
        "by_class": (AnyValue, str, "by_class"),
        "by_instance": (Topic, int, "by_instance"),
        "documented": (LastValue, str, "documented"),
        "remaining": (RemainingStepsManager,),
        "is_last": (IsLastStepManager,),
    }


def test_qualifiers_are_taken_off_in_any_order() -> None:
    assert {key: described(spec)[:2] for key, spec in read_schema(Qualified).fields.items()} == {
        "needed": (LastValue, int),
        "optional": (BinaryOperatorAggregate, int),
        "outside": (BinaryOperatorAggregate, int),
        "both": (Topic, list[int]),
        "fixed": (BinaryOperatorAggregate, int),
        "steps": (RemainingStepsManager,),
    }


def test_typed_dict_of_typing_extensions_is_one_too() -> None:
    class Extended(typing_extensions.TypedDict):
        plain: int

    assert described(read_schema(Extended).fields["plain"]) == (LastValue, int, "plain")


def test_inherited_fields_and_annotations_as_strings_are_resolved() -> None:
    assert {key: described(spec)[:2] for key, spec in read_schema(Derived).fields.items()} == {
        "log": (BinaryOperatorAggregate, list[str]),
        "name": (LastValue, str),
        "extra": (LastValue, int),
    }
    assert described(read_schema(Point).fields["x"]) == (BinaryOperatorAggregate, int, "x")


def test_fields_of_dataclass_are_those_that_can_be_passed() -> None:
    assert {key: described(spec)[:2] for key, spec in read_schema(Data).fields.items()} == {
        "plain": (LastValue, int),
        "reduced": (BinaryOperatorAggregate, list[str]),
    }


def test_constraints_of_a_model_do_not_hide_its_reducers() -> None:
    assert {key: described(spec)[:2] for key, spec in read_schema(Model).fields.items()} == {
        "plain": (LastValue, int),
        "reduced": (BinaryOperatorAggregate, list[str]),
        "bounded": (BinaryOperatorAggregate, int),
        "behind": (BinaryOperatorAggregate, int),
        "collected": (Topic, int),
        "remaining": (RemainingStepsManager,),
    }


def test_model_with_a_later_reference_is_completed() -> None:
    class Holder(BaseModel):
        later: "Later"

    class Later(BaseModel):
        x: int

    with pytest.raises(GraphValidationError, match=r"cannot be resolved .*'Later' is not defined"):
        read_schema(Holder)
    Holder.model_rebuild(_types_namespace={"Later": Later})
    assert described(read_schema(Holder).fields["later"]) == (LastValue, Later, "later")


def test_generic_schemas_know_the_types_they_were_given() -> None:
    class Page(TypedDict, Generic[T]):
        items: Annotated[list[T], add]
        first: T
        maybe: T | None

    @dataclass
    class Box(Generic[T]):
        content: T

    fields = read_schema(Page[int]).fields
    assert [described(spec)[1] for spec in fields.values()] == [list[int], int, int | None]
    boxed = read_schema(Box[str])
    assert described(boxed.fields["content"])[1] is str
    assert boxed.build is not None
    assert boxed.build({"content": "x"}) == Box("x")


def test_annotated_instance_is_not_shared_between_schemas() -> None:
    shared = EphemeralValue(int)

    class One(TypedDict):
        a: Annotated[int, shared]
        b: Annotated[int, shared]

    fields = read_schema(One).fields
    assert (channel(read_schema(One), "a").key, channel(read_schema(One), "b").key) == ("a", "b")
    assert fields["a"] is not shared
    assert shared.key == ""


def test_delta_channel_learns_its_type_from_the_field() -> None:
    class Growing(TypedDict):
        log: Annotated[dict[str, int], DeltaChannel(lambda value, writes: value)]

    assert channel(read_schema(Growing), "log").typ == dict[str, int]


# -- a bare Annotated ----------------------------------------------------------------------------------

Alias = typing_extensions.TypeAliasType("Alias", Annotated[list[int], add])


@pytest.mark.parametrize(
    ("schema", "kind", "typ"),
    [
        (Annotated[list[str], operator.add], BinaryOperatorAggregate, list[str]),
        (Annotated[int, UntrackedValue], UntrackedValue, int),
        (Annotated[int, "a note"], LastValue, int),
        (Alias, BinaryOperatorAggregate, list[int]),
    ],
)
def test_bare_annotated_is_one_channel(schema: Any, kind: type, typ: Any) -> None:
    read = read_schema(schema)
    assert read.is_root
    assert read.build is None
    assert {key: described(spec) for key, spec in read.fields.items()} == {
        "__root__": (kind, typ, "__root__")
    }


def test_state_cannot_be_one_managed_value() -> None:
    with pytest.raises(GraphValidationError, match="is a managed value"):
        read_schema(RemainingSteps)


# -- inferred reducers ---------------------------------------------------------------------------------


class Collections(TypedDict):
    bare_list: list  # type: ignore[type-arg]  # a bare list is what is tested
    typed_list: list[str]
    typed_set: set[int]
    typed_dict: dict[str, int]
    maybe: list[int] | None
    explicit: Annotated[list[int], add]
    documented: Annotated[list[int], "a note"]
    frozen: tuple[int, ...]
    needed: NotRequired[list[int]]


def test_reducers_are_inferred_on_request() -> None:
    fields = read_schema(Collections, infer_reducers=True).fields
    assert {key: described(spec)[:2] for key, spec in fields.items()} == {
        "bare_list": (Topic, Any),
        "typed_list": (Topic, str),
        "typed_set": (SetUnion, set[int]),
        "typed_dict": (DictMerge, dict[str, int]),
        "maybe": (LastValue, list[int] | None),
        "explicit": (BinaryOperatorAggregate, list[int]),
        "documented": (LastValue, list[int]),
        "frozen": (LastValue, tuple[int, ...]),
        "needed": (Topic, int),
    }


def test_inferred_topic_keeps_everything() -> None:
    collected = channel(read_schema(Collections, infer_reducers=True), "typed_list").copy()
    collected.update(["a"])
    collected.update([["b", "c"]])
    assert collected.get() == ["a", "b", "c"]


def test_nothing_is_inferred_without_request() -> None:
    kinds = {type(channel(read_schema(Collections), key)) for key in ("bare_list", "typed_set", "typed_dict")}
    assert kinds == {LastValue}


# -- refused -------------------------------------------------------------------------------------------


class Plain:
    x: int


@pytest.mark.parametrize("schema", [int, list, dict[str, int], Plain, None, "State", Data(1), int | str])
def test_anything_else_is_no_schema(schema: Any) -> None:
    shown = schema.__qualname__ if isinstance(schema, type) else repr(schema)
    with pytest.raises(ValueError, match="cannot be a schema: use a TypedDict") as caught:
        read_schema(schema)
    assert str(caught.value).startswith(shown)


def three(a: int, b: int, c: int = 0) -> int:
    return a + b + c


def keyword_only(a: int, *, b: int) -> int:
    return a + b


@pytest.mark.parametrize(
    ("function", "name", "count"),
    [
        (three, "three", 3),
        (keyword_only, "keyword_only", 1),
        (lambda *values: values, "test_reducer_of_another_arity_is_refused", 0),
    ],
)
def test_reducer_of_another_arity_is_refused(function: Callable[..., Any], name: str, count: int) -> None:
    Odd: Any = TypedDict("Odd", {"total": Annotated[int, function]})
    with pytest.raises(GraphValidationError) as caught:
        read_schema(Odd)
    message = str(caught.value)
    assert message.startswith("schema 'Odd': the reducer ")
    assert f"of the key 'total' takes {count} positional parameters: a reducer takes two" in message
    assert name in message or "<lambda>" in message


@pytest.mark.parametrize(
    "function", [operator.add, operator.or_, max, add, partial(three, 1), lambda old, new, /, *, x=1: new]
)
def test_function_of_two_arguments_is_a_reducer(function: Callable[..., Any]) -> None:
    read = read_schema(Annotated[int, function])
    assert described(read.fields["__root__"])[0] is BinaryOperatorAggregate


@pytest.mark.parametrize("kind", [NamedBarrierValue, BinaryOperatorAggregate, DeltaChannel])
def test_channel_class_that_needs_more_than_a_type_is_refused(kind: Any) -> None:
    with pytest.raises(GraphValidationError, match=f"write {kind.__name__}"):
        read_schema(Annotated[list[str], kind])


@pytest.mark.parametrize(
    "key", ["__start__", "__root__", "__interrupt__", "branch:to:a", "branch:x", "join:a+b:c", "", "nul\0"]
)
def test_reserved_and_impossible_keys_are_refused(key: str) -> None:
    Odd: Any = TypedDict("Odd", {key: int})  # type: ignore[misc]  # made at run time
    with pytest.raises(GraphValidationError, match=re.escape(f"schema 'Odd': the key {key!r} ")):
        read_schema(Odd)


def test_managed_value_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(GraphValidationError) as caught:
        read_schema(State, allow_managed=False)
    assert caught.value.faults == (
        "schema 'State': 'remaining' is a managed value; it belongs in the state",
        "schema 'State': 'is_last' is a managed value; it belongs in the state",
    )


def test_unresolvable_annotation_is_named() -> None:
    with pytest.raises(GraphValidationError, match=r"'Unresolvable' .* \(name 'Decimal' is not defined\)"):
        read_schema(Unresolvable)


def test_all_faults_of_a_schema_are_found_at_once() -> None:
    Odd: Any = TypedDict("Odd", {"__end__": int, "a": Annotated[int, three], "b": Annotated[int, three]})
    with pytest.raises(GraphValidationError) as caught:
        read_schema(Odd)
    assert len(caught.value.faults) == 3


# -- making objects ------------------------------------------------------------------------------------


def built(schema: Any, values: dict[str, Any]) -> Any:
    build = read_schema(schema).build
    assert build is not None
    return build(values)


def test_dict_schemas_are_not_built() -> None:
    assert read_schema(State).build is None


@pytest.mark.parametrize(
    ("schema", "values", "expected"),
    [
        (Data, {"plain": 1, "reduced": ["a"]}, Data(1, ["a"])),
        (Data, {"plain": 1}, Data(1, [])),
        (Data, {"plain": 1, "of another schema": 2}, Data(1)),
        (Model, {"plain": 1, "bounded": 3}, Model(plain=1, bounded=3)),
        (Model, {"plain": "1"}, Model(plain=1)),
    ],
)
def test_missing_values_are_left_to_defaults(schema: Any, values: dict[str, Any], expected: Any) -> None:
    assert built(schema, values) == expected


def test_values_that_make_no_object_are_named_with_the_schema() -> None:
    with pytest.raises(InvalidUpdateError) as caught:
        built(Data, {"reduced": []})
    assert str(caught.value).startswith("'reduced', without 'plain' do not make an object of schema 'Data': ")
    assert isinstance(caught.value.__cause__, TypeError)


def test_what_validation_raises_is_the_cause() -> None:
    with pytest.raises(InvalidUpdateError, match="plain must not be negative") as caught:
        built(Data, {"plain": -1})
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(InvalidUpdateError, match=r"(?s)schema 'Model': .*bounded.*greater than 0"):
        built(Model, {"plain": 1, "bounded": 0})


def test_keys_of_a_model_are_field_names_whatever_their_aliases() -> None:
    class Aliased(BaseModel):
        first_name: str = Field(alias="firstName")
        last_name: str = Field(validation_alias=AliasChoices("last", "surname"))

    object_ = built(Aliased, {"first_name": "Ada", "last_name": "Lovelace"})
    assert (object_.first_name, object_.last_name) == ("Ada", "Lovelace")


# -- reading objects -----------------------------------------------------------------------------------

FIELDS = frozenset({"plain", "reduced", "bounded", "collected"})


def test_dataclass_brings_all_its_fields() -> None:
    assert values_of(Data(1), FIELDS) == {"plain": 1, "reduced": []}


def test_object_brings_only_what_is_asked_for() -> None:
    assert values_of(Data(1), {"plain"}) == {"plain": 1}


def test_model_brings_what_was_set_or_changed() -> None:
    model = Model(plain=1, bounded=1)
    assert values_of(model, FIELDS) == {"plain": 1, "bounded": 1}
    model.collected.append(3)
    assert values_of(model, FIELDS) == {"plain": 1, "bounded": 1, "collected": [3]}
    model.reduced = ["x"]
    assert values_of(model, FIELDS) == {"plain": 1, "bounded": 1, "collected": [3], "reduced": ["x"]}


def test_model_value_that_cannot_be_compared_is_brought() -> None:
    class Vague:
        def __eq__(self, other: object) -> bool:
            raise TypeError("which of the elements?")

        __hash__ = None  # type: ignore[assignment]  # objects with an equality of their own have none

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        plain: Vague = Field(default_factory=Vague)

    holder = Holder()
    assert values_of(holder, FIELDS) == {"plain": holder.plain}


def test_object_with_annotations_brings_its_attributes() -> None:
    class Base:
        plain: int

    class Loose(Base):
        reduced: list[str]
        other: int = 3

        def __init__(self) -> None:
            self.plain = 1

    assert values_of(Loose(), FIELDS) == {"plain": 1}


@pytest.mark.parametrize("obj", [3, "text", object(), [1], Point(1)])
def test_object_without_a_field_of_the_state_brings_nothing(obj: Any) -> None:
    assert values_of(obj, FIELDS) is None


# -- types ---------------------------------------------------------------------------------------------


class Color(Enum):
    RED = 1


class Empty(Enum):
    pass


class Pair(NamedTuple):
    left: "Leaf"
    right: int


@dataclass
class Leaf:
    color: Color


@dataclass
class Tree:
    children: list["Tree"]
    leaf: Leaf | None


class Note(BaseModel):
    pair: Pair
    marked: Annotated[Any, Topic(Tree)] = None


Identifier = NewType("Identifier", Leaf)
Bound = TypeVar("Bound", bound=Leaf)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Leaf, {Leaf, Color}),
        (list[Tree], {Tree, Leaf, Color}),
        (Note, {Note, Pair, Tree, Leaf, Color}),
        (Annotated[list[Leaf], add], {Leaf, Color}),
        (Annotated[list[Any], Topic(Color)], {Color}),
        (dict[str, Leaf | int], {Leaf, Color}),
        (Callable[[Leaf], None], {Leaf, Color}),
        (Literal[Color.RED, "x"], {Color}),
        (Identifier, {Leaf, Color}),
        (list[Bound], {Leaf, Color}),  # type: ignore[valid-type]  # unbound on purpose
        (typing_extensions.TypeAliasType("Later", list[Leaf]), {Leaf, Color}),
        (HoldsUnresolvable, {Point}),
        (State, set()),
        (Empty, set()),
        (Plain, set()),
        (Decimal, set()),
        ("Leaf", set()),
        (None, set()),
    ],
)
def test_types_that_storage_has_to_know(schema: Any, expected: set[type]) -> None:
    assert types_in(schema) == expected


def test_types_within_nested_dicts_are_found() -> None:
    class Inner(TypedDict):
        leaf: NotRequired[Annotated[Leaf, "a note"]]

    class Outer(TypedDict):
        inner: list[Inner]

    assert types_in(Outer) == {Leaf, Color}
