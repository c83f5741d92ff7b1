"""Object types for values that are no rows: made from the dataclasses that hold them."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from tournee.api.connections import add_fields, object_type
from tournee.api.mapping import make_field
from tournee.api.scalars import describe, graphql_type, optional
from tournee.kernel.fields import camel
from tournee.kernel.sentences import sentences


@cache
def value_type(kind: type[Any], permission: str) -> Any:
    """The type of a frozen dataclass; `Annotated[int, "…"]` describes a field. An input's type shows what
    was stored of it.
    """
    made = object_type(kind.__name__.removesuffix("Input"), describe(kind), rows=kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    for one in dataclasses.fields(kind):
        hint, description = _described(hints[one.name])
        add_fields(
            made,
            make_field(
                camel(one.name),
                _annotation(hint, permission),
                permission,
                python_name=one.name,
                description=description or sentences(kind).get(one.name),
            ),
        )
    return made


def _described(hint: Any) -> tuple[Any, str | None]:
    if get_origin(hint) is not Annotated:
        return hint, None
    inner, *extras = get_args(hint)
    return inner, next((extra for extra in extras if isinstance(extra, str)), None)


def _annotation(hint: Any, permission: str) -> Any:
    hint, _ = _described(hint)
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return optional(_annotation(inner, permission))
    if get_origin(hint) is list:
        return list[_annotation(get_args(hint)[0], permission)]  # type: ignore[misc]
    return graphql_type(hint, lambda nested: value_type(nested, permission))
