"""The mapping: what each GraphQL field stands for (a column, a relation or a list), kept with the field
itself.

The executor does not need it; whatever compiles an operation to SQL reads it from the schema.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from tournee.api.permissions import Requires


@dataclass(frozen=True)
class Column:
    """The value of a column."""

    model: type[Any]
    name: str


@dataclass(frozen=True)
class ToOne:
    """The row of `target` that the column `name` names; null if it is not visible."""

    model: type[Any]
    name: str
    target: type[Any]


@dataclass(frozen=True)
class Recorded:
    """A column of the row's `Record`, or of its last `Change`."""

    model: type[Any]
    name: str


@dataclass(frozen=True)
class Person:
    """The account that a column names, of the row or of its last `Change`. Everybody who sees the row may
    read the id and the name of the account.
    """

    model: type[Any]
    name: str
    target: type[Any]


@dataclass(frozen=True)
class ToMany:
    """A connection of the rows of `child` whose column `name` names this row."""

    child: type[Any]
    name: str


@dataclass(frozen=True)
class Listing:
    """A connection of all rows of a model."""

    model: type[Any]


@dataclass(frozen=True)
class Single:
    """The row of a model with the given id."""

    model: type[Any]


@dataclass(frozen=True)
class PagePart:
    """A part of a page, of one of its edges or of its `pageInfo`, by the field's name."""

    name: str


@dataclass(frozen=True)
class Computed:
    """A function of the row; `needs` names the columns it reads, None if it needs more than the row. `batch`
    returns the values of many rows at once.
    """

    needs: tuple[str, ...] | None
    batch: Callable[..., Awaitable[Sequence[Any]]] | None = None


SOURCE = "source"


def source_of(definition: GraphQLField | None) -> object:
    """Return what a field of the schema stands for; None if nothing is known about it."""
    own = None if definition is None else definition.extensions.get("strawberry-definition")
    return None if own is None else own.metadata.get(SOURCE)


def make_field(
    name: str,
    annotation: Any,
    permission: str,
    *,
    python_name: str | None = None,
    source: object = None,
    resolver: Callable[..., Any] | None = None,
    arguments: Sequence[StrawberryArgument] | None = None,
    description: str | None = None,
    is_subscription: bool = False,
    directives: Sequence[object] = (),
) -> StrawberryField:
    """Make a field with its permission and its mapping. Without a resolver it reads an attribute."""
    made = StrawberryField(
        python_name=python_name or name,
        graphql_name=name,
        type_annotation=None if annotation is None else StrawberryAnnotation(annotation),
        base_resolver=None if resolver is None else StrawberryResolver(resolver),
        description=description,
        directives=[Requires(scope=str(permission)), *directives],
        metadata={SOURCE: source},
        is_subscription=is_subscription,
    )
    if arguments is not None:
        made.arguments = list(arguments)
    return made


def argument(
    name: str, annotation: Any, description: str | None = None, *, default: object = UNSET
) -> StrawberryArgument:
    """Make an argument that resolvers receive under its GraphQL name."""
    return StrawberryArgument(
        python_name=name,
        graphql_name=name,
        type_annotation=StrawberryAnnotation(annotation),
        description=description,
        default=default,
    )
