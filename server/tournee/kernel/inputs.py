"""Command inputs: frozen dataclasses, read strictly from JSON values.

Names are camelCase outside. A field whose default is UNSET may be absent, which is something
else than null. Lengths and ranges are those the database can hold.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import orjson
import pydantic
from pydantic import AfterValidator, AwareDatetime, ConfigDict, StringConstraints

from tournee.kernel.errors import Invalid
from tournee.kernel.fields import camel

InputT = TypeVar("InputT")


class Unset(enum.Enum):
    """The type of UNSET."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET


def _clean(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a NUL character is not allowed")
    return text


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999") from None


_DEEPEST = 50


def _plain(value: Any, depth: int = 0) -> Any:
    """Free JSON, as far as every place that keeps it can write it again."""
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply")
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(name): _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    return value


TEXT_LIMIT = 20_000
Integer = Annotated[int, pydantic.Field(ge=-(2**31), le=2**31 - 1)]
Real = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Time = Annotated[AwareDatetime, AfterValidator(_utc)]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of an input field, as `Annotated[str, Limits(length=40)]`."""

    length: int | None = None
    minimum: float | None = None
    maximum: float | None = None


def parse(kind: type[InputT], payload: Any) -> InputT:
    """An input dataclass from decoded JSON; raises Invalid naming the first field that is wrong."""
    try:
        model = _model(kind).model_validate_json(
            orjson.dumps(payload, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
        )
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or None
        raise Invalid(f"{path}: {first['msg']}" if path else first["msg"], path) from None
    except (TypeError, ValueError, orjson.JSONEncodeError):
        raise Invalid("The input holds characters that are not valid Unicode.") from None
    return typing.cast(InputT, _build(kind, model))


# Which dataclass a generated model stands for.
_SOURCES: dict[type[pydantic.BaseModel], type[Any]] = {}


_MODELS: dict[type[Any], type[pydantic.BaseModel]] = {}


def _model(kind: type[Any]) -> type[pydantic.BaseModel]:
    if kind in _MODELS:
        return _MODELS[kind]
    hints = typing.get_type_hints(kind, include_extras=True)
    definitions: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        definitions[field.name] = (_strict(hints[field.name]), ... if required else None)
    model: type[pydantic.BaseModel] = pydantic.create_model(
        kind.__name__,
        __config__=ConfigDict(
            extra="forbid",
            alias_generator=camel,
            strict=True,
            hide_input_in_errors=True,
            regex_engine="rust-regex",
        ),
        **definitions,
    )
    _MODELS[kind] = model
    _SOURCES[model] = kind
    return model


_SCALARS: dict[Any, Any] = {int: Integer, float: Real, datetime: Time}


def _strict(annotation: Any) -> Any:
    """The annotation with our own bounds on every scalar in it, and without Unset."""
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
        return _model(typing.cast(type[Any], annotation))
    return _bounded(annotation, Limits())


def _bounded(kind: Any, limits: Limits) -> Any:
    if get_origin(kind) in (typing.Union, types.UnionType):
        parts = [kind_ if kind_ is type(None) else _bounded(kind_, limits) for kind_ in get_args(kind)]
        return typing.Union[tuple(part for part in parts if part is not Unset)]  # noqa: UP007 - built at run time
    if kind is str:
        return Annotated[
            str, StringConstraints(max_length=limits.length or TEXT_LIMIT), AfterValidator(_clean)
        ]
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


def _build(kind: type[Any], model: pydantic.BaseModel) -> Any:
    values = {name: _value(getattr(model, name)) for name in model.model_fields_set}
    return kind(**values)


def _value(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        return _build(_SOURCES[type(value)], value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    return value
