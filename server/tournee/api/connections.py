"""Relay connections: the types around a page of rows, and the arguments that ask for one."""

from __future__ import annotations

from typing import Any

import strawberry
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from tournee.api.filters import filter_type, order_type
from tournee.api.mapping import PagePart, argument, make_field
from tournee.api.pages import DEFAULT_ROWS, MOST_COUNTED, MOST_ROWS, Page
from tournee.api.scalars import optional
from tournee.auth.permissions import ACCOUNT_SELF


def object_type(
    name: str, description: str | None, *bases: type[Any], rows: type[Any] | None = None
) -> type[Any]:
    """Make a type without fields; they are added once all types that they refer to exist.

    Resolvers return instances of `rows`, where the type must be told apart.
    """
    members = {} if rows is None else {"is_type_of": staticmethod(lambda row, _: isinstance(row, rows))}
    return strawberry.type(type(name, bases, members), name=name, description=description)


def add_fields(kind: Any, *fields: Any) -> None:
    """Add fields; one with an existing name replaces it, as with an interface's."""
    definition = kind.__strawberry_definition__
    names = {field.graphql_name for field in fields}
    definition.fields[:] = [one for one in definition.fields if one.graphql_name not in names]
    for field in fields:
        field.origin = field.origin or kind
        definition.fields.append(field)


def _of_page(name: str, attribute: str, annotation: Any, description: str) -> StrawberryField:
    return make_field(
        name,
        annotation,
        ACCOUNT_SELF,
        python_name=attribute,
        source=PagePart(name),
        description=description,
    )


def _page_info() -> type[Any]:
    kind = object_type("PageInfo", "Whether there are more pages, and the cursors for them.")
    add_fields(
        kind,
        _of_page("hasNextPage", "has_next_page", bool, "Whether rows follow after this page."),
        _of_page("hasPreviousPage", "has_previous_page", bool, "Whether rows stand before this page."),
        _of_page(
            "startCursor",
            "start_cursor",
            optional(str),
            "For `before`; null for no rows.",
        ),
        _of_page("endCursor", "end_cursor", optional(str), "For `after`; null for no rows."),
    )
    return kind


PAGE_INFO = _page_info()


async def _total_count(root: Page, exact: bool = False) -> int:
    return await root.count(exact)


def connection_type(node: type[Any], name: str, permission: str) -> type[Any]:
    """Make `CustomerConnection` and `CustomerEdge`."""
    edge = object_type(f"{name}Edge", "A row and its place in the list.")
    add_fields(
        edge,
        make_field(
            "cursor", str, permission, source=PagePart("cursor"), description="The row's place in the list."
        ),
        make_field("node", node, permission, source=PagePart("node"), description="The row."),
    )
    connection = object_type(f"{name}Connection", _CONNECTION)
    add_fields(
        connection,
        make_field(
            "edges",
            list[edge],  # type: ignore[valid-type]
            permission,
            source=PagePart("edges"),
            description="The rows of the page, each with its cursor.",
        ),
        make_field(
            "nodes",
            list[node],  # type: ignore[valid-type]
            permission,
            source=PagePart("nodes"),
            description="The rows of the page.",
        ),
        make_field(
            "pageInfo",
            PAGE_INFO,
            permission,
            python_name="page_info",
            source=PagePart("pageInfo"),
            description="Whether there are more pages, and how to ask for them.",
        ),
        make_field(
            "totalCount",
            int,
            permission,
            source=PagePart("totalCount"),
            resolver=_total_count,
            arguments=[argument("exact", bool, "Count all rows, however many there are.", default=False)],
            description=(
                "The number of rows that match the filter, on all pages together. Counting stops at"
                f" {MOST_COUNTED + 1}, which stands for more than {MOST_COUNTED}, unless `exact` is true."
            ),
        ),
    )
    return connection


_CONNECTION = (
    f"A page of a list: {DEFAULT_ROWS} rows, or as many as `first` or `last` says, up to {MOST_ROWS};"
    " in the order of their ids by default."
)


def list_arguments(model: Any) -> list[StrawberryArgument]:
    """Return the arguments of a list of this model's rows."""
    return [
        *page_arguments(),
        argument("last", optional(int), "How many rows to return, counted from the end."),
        argument("before", optional(str), "Return only rows before this cursor."),
        argument("filter", optional(filter_type(model)), "Return only rows that meet these conditions."),
        argument(
            "orderBy",
            optional(list[order_type(model)]),  # type: ignore[misc]
            "The order: by the first entry, then by the next where rows are equal.",
        ),
    ]


def page_arguments() -> list[StrawberryArgument]:
    """Return the arguments that every list has."""
    return [
        argument("first", optional(int), "How many rows to return, counted from the start."),
        argument("after", optional(str), "Return only rows after this cursor."),
    ]
