"""Refusals as data: what a mutation returns in place of a record."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import strawberry
from strawberry.scalars import JSON

from tournee.api.connections import add_fields, object_type
from tournee.api.mapping import make_field
from tournee.api.scalars import optional
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.errors import FieldError, Refused, refusal_codes


class Refusal(NamedTuple):
    """A refusal as a value, since GraphQL treats a returned exception as raised."""

    code: str
    message: str
    field: str | None
    errors: Sequence[FieldError] = ()
    details: Mapping[str, Any] | None = None
    current: Any = None

    @classmethod
    def of(cls, refused: Refused, current: Any = None) -> Refusal:
        return cls(refused.code, refused.message, refused.field, refused.errors, refused.details, current)


@cache
def refusal_codes_type() -> Any:
    """Make the enum of all refusal codes."""
    codes = refusal_codes()
    make: Any = enum.StrEnum
    made = make("RefusalCode", {code: code for code in codes})
    strawberry.enum(made, description="Why a command was refused; `schema/refusals.md` says what to do.")
    for value in made.__strawberry_definition__.values:
        value.description = codes[value.name]
    return made


def refusal_type(current: Any) -> Any:
    """Make `Refusal`, which shows an outdated record in the type `current`."""
    own, code = ACCOUNT_SELF, refusal_codes_type()
    wrong = object_type("FieldError", "One wrong field of an input.", rows=FieldError)
    add_fields(
        wrong,
        make_field("field", str, own, description="The field, or the path to it, such as `items.0.key`."),
        make_field("code", code, own, description="What is wrong with this field."),
        make_field("message", str, own, description="What is wrong with it, in English."),
    )
    kind = object_type(
        "Refusal", "Why a command was not carried out. Programs act on the code.", rows=Refusal
    )
    add_fields(
        kind,
        make_field("code", code, own, description="What kind of refusal it is."),
        make_field("message", str, own, description="What is wrong and what to do, in English."),
        make_field("field", optional(str), own, description="The first wrong field; null if no field is."),
        make_field("current", optional(current), own, description=_CURRENT),
        make_field("errors", list[wrong], own, description=_ERRORS),  # type: ignore[valid-type]
        make_field(
            "details", optional(JSON), own, description="Details for programs, in addition to the code."
        ),
    )
    return kind


_CURRENT = "The record as it is now, if its version is not the `expectedVersion`; null otherwise."
_ERRORS = "Every wrong field of the input; empty if no field is wrong."
