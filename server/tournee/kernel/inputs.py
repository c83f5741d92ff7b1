"""Command inputs: frozen dataclasses, read strictly from JSON values.

Names are camelCase outside. A field whose default is UNSET may be absent, which differs from null. Lengths
and ranges are those that the database can hold.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Final, NotRequired, TypeVar, get_args, get_origin

import orjson
import pydantic
from pydantic import AfterValidator, ConfigDict, PlainValidator, StringConstraints, TypeAdapter
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from tournee.kernel.errors import FieldError, Invalid
from tournee.kernel.fields import camel
from tournee.kernel.times import read_date, read_time

InputT = TypeVar("InputT")


class Unset(enum.Enum):
    """The type of UNSET."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET


_NO_NUL = "a NUL character is not allowed"
# The same check as a pattern, because calling Python for each text takes longer than parsing it.
_WITHOUT_NUL = r"^[^\x00]*$"
_DEEPEST = 50


def _plain(value: Any) -> Any:
    """Check free JSON: it may contain only what every place that keeps it can store."""
    _check_plain(value, 0)
    return value


def _check_plain(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        _check_text("".join(value))
        for one in value.values():
            _check_plain(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check_plain(one, depth + 1)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError(_NO_NUL)


TEXT_LIMIT = 20_000
_CONFIG = ConfigDict(
    extra="forbid",
    alias_generator=camel,
    strict=True,
    hide_input_in_errors=True,
    regex_engine="rust-regex",
)
Integer = Annotated[int, pydantic.Field(ge=-(2**31), le=2**31 - 1)]
Real = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Time = Annotated[datetime, PlainValidator(read_time)]
Day = Annotated[date, PlainValidator(read_date)]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of an input field, as `Annotated[str, Limits(length=40)]`."""

    length: int | None = None
    minimum: float | None = None
    maximum: float | None = None


def parse(kind: type[InputT], payload: Any) -> InputT:
    """Read an input dataclass from decoded JSON; raises Invalid naming every wrong field."""
    made: InputT = _build(kind, _validated(_adapter(typing.cast(Any, kind)), payload))
    return made


def parse_many(kind: type[InputT], payloads: Sequence[Any]) -> list[InputT]:
    """Read many inputs of one kind, at a fraction of the cost of `parse`; raises Invalid if any of them is
    wrong.
    """
    many: Any = list[kind]  # type: ignore[valid-type]
    return [_build(kind, values) for values in _validated(_adapter(many), payloads)]


def parse_value(annotation: Any, value: Any) -> Any:
    """Read a value from JSON as an input field of this annotation does; raises Invalid."""
    return _validated(_value_adapter(annotation), value)


@cache
def _value_adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_strict(annotation), config=_CONFIG)


def _validated(adapter: TypeAdapter[Any], payload: Any) -> Any:
    try:
        return adapter.validate_json(orjson.dumps(payload, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    except pydantic.ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)
    except (TypeError, ValueError, orjson.JSONEncodeError):
        raise Invalid("The input holds characters that are not valid Unicode.") from None
    whole = [detail for detail in wrong if _is_whole(detail)]
    if whole:
        return _validated(adapter, _with_whole_numbers(payload, whole))
    raise _invalid(wrong)


# Beyond this, a double does not hold every whole number exactly.
_EXACT = 2**53


def _is_whole(detail: ErrorDetails) -> bool:
    """Return whether a double stands for a whole number, as some JSON writers send it: `5.0` is 5."""
    value = detail["input"]
    return (
        detail["type"] == "int_type"
        and isinstance(value, float)
        and value.is_integer()
        and abs(value) <= _EXACT
    )


def _with_whole_numbers(payload: Any, whole: Sequence[ErrorDetails]) -> Any:
    """Return a copy with whole numbers; what was sent is kept unchanged for the log."""
    changed = copy.deepcopy(payload)
    for detail in whole:
        *way, last = detail["loc"]
        holder = changed
        for part in way:
            holder = holder[part]
        holder[last] = int(detail["input"])
    return changed


_MOST_NAMED = 20
_LONGEST_NAME = 200


def _invalid(wrong: Sequence[ErrorDetails]) -> Invalid:
    """Name every wrong field once, as far as an answer has room."""
    messages = {".".join(map(str, one["loc"]))[:_LONGEST_NAME]: _message(one) for one in reversed(wrong)}
    named = list(reversed(messages.items()))[:_MOST_NAMED]
    text = "; ".join(f"{path}: {message}" if path else message for path, message in named)
    errors = [FieldError(path, Invalid.code, message) for path, message in named if path]
    return Invalid(text, errors[0].field if errors else None, errors=errors)


def _message(detail: ErrorDetails) -> str:
    return f"Value error, {_NO_NUL}" if detail["type"] == "string_pattern_mismatch" else detail["msg"]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Make the reader of a dataclass's fields, by name; absent fields stay absent."""
    shape: Any = list[_shape(get_args(kind)[0])] if get_origin(kind) is list else _shape(kind)  # type: ignore[misc]
    return TypeAdapter(shape)


# Typed dictionaries are made at run time, which the type checker cannot express.
_typed_dict: Any = TypedDict


@cache
def _shape(kind: Any) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    definitions: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        shape = _strict(hints[field.name])
        definitions[field.name] = shape if required else NotRequired[shape]
    made = _typed_dict(kind.__name__, definitions)
    made.__pydantic_config__ = _CONFIG
    return made


_SCALARS: dict[Any, Any] = {int: Integer, float: Real, datetime: Time, date: Day}


def _strict(annotation: Any) -> Any:
    """Return the annotation with our own bounds on every scalar in it, and without Unset."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        limits = next((extra for extra in extras if isinstance(extra, Limits)), Limits())
        return _bounded(inner, limits)
    if origin in (typing.Union, types.UnionType):
        parts = [_strict(part) for part in get_args(annotation) if part is not Unset]
        return typing.Union[tuple(parts)]  # noqa: UP007 - built at run time
    if origin is list:
        return Annotated[list[_strict(get_args(annotation)[0])], pydantic.Field(max_length=2000)]  # type: ignore[misc]
    if dataclasses.is_dataclass(annotation):
        return _shape(typing.cast(Any, annotation))
    return _bounded(annotation, Limits())


def _bounded(kind: Any, limits: Limits) -> Any:
    if get_origin(kind) in (typing.Union, types.UnionType):
        parts = [kind_ if kind_ is type(None) else _bounded(kind_, limits) for kind_ in get_args(kind)]
        return typing.Union[tuple(part for part in parts if part is not Unset)]  # noqa: UP007 - built at run time
    if kind is str:
        return Annotated[str, StringConstraints(max_length=limits.length or TEXT_LIMIT, pattern=_WITHOUT_NUL)]
    if kind is int and limits.maximum is not None:
        least = -(2**31) if limits.minimum is None else limits.minimum
        return Annotated[int, pydantic.Field(ge=least, le=limits.maximum)]
    if kind in (int, float):
        return Annotated[_SCALARS[kind], pydantic.Field(ge=limits.minimum, le=limits.maximum)]
    if get_origin(kind) is dict:
        return Annotated[kind, AfterValidator(_plain)]
    if get_origin(kind) is list or dataclasses.is_dataclass(kind):
        return _strict(kind)
    return _SCALARS.get(kind, kind)


def _build(kind: Any, values: dict[str, Any]) -> Any:
    for name, inner in _nested(kind):
        held = values.get(name)
        if isinstance(held, list):
            values[name] = [_build(inner, one) for one in held]
        elif held is not None:
            values[name] = _build(inner, held)
    defaults = _defaults(kind)
    if defaults is None:
        return kind(**values)
    made = object.__new__(kind)
    # Bypass the frozen class's __init__, which sets each field by a call and takes longer than parsing it.
    made.__dict__.update(defaults, **values)
    return made


@cache
def _nested(kind: Any) -> tuple[tuple[str, type[Any]], ...]:
    """Return the fields that hold other input dataclasses, or lists of them."""
    hints = typing.get_type_hints(kind)
    found = ((field.name, _dataclass_in(hints[field.name])) for field in dataclasses.fields(kind))
    return tuple((name, inner) for name, inner in found if inner is not None)


def _dataclass_in(annotation: Any) -> type[Any] | None:
    if dataclasses.is_dataclass(annotation):
        return typing.cast(type[Any], annotation)
    return next((inner for part in get_args(annotation) if (inner := _dataclass_in(part))), None)


@cache
def _defaults(kind: Any) -> Mapping[str, Any] | None:
    """Return the defaults of absent fields; None if the class has to compute them."""
    fields = dataclasses.fields(kind)
    if hasattr(kind, "__post_init__") or any(f.default_factory is not dataclasses.MISSING for f in fields):
        return None
    return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
