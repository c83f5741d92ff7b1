"""Input types. Their values reach resolvers as the mappings that the client sent, with scalars and enums
already read; absent fields stay absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.schema_directive import Location
from strawberry.schema_directives import OneOf
from strawberry.types.field import StrawberryField

from tournee.api.scalars import optional


@strawberry.schema_directive(locations=[Location.INPUT_OBJECT], name="oneOf", print_definition=False)
class _OneOf(OneOf):
    """GraphQL's own directive, which a schema does not define."""


def input_type(
    name: str,
    annotations: Mapping[str, Any],
    description: str | None,
    *,
    one_of: bool = False,
    recursive: bool = False,
    descriptions: Mapping[str, str | None] | None = None,
) -> Any:
    """Make an input type of these fields; a `recursive` one can be combined by `and`, `or` and `not`."""
    made: Any = strawberry.input(
        type(name, (), {}), name=name, description=description, directives=[_OneOf()] if one_of else []
    )
    definition = made.__strawberry_definition__
    definition.from_input = lambda _type, value, _context: value
    known = dict(annotations)
    if recursive:
        known |= {
            "and": optional(list[made]),
            "or": optional(list[made]),
            "not": optional(made),
        }
    add_inputs(made, known, descriptions or {})
    return made


def add_inputs(made: Any, annotations: Mapping[str, Any], descriptions: Mapping[str, str | None]) -> None:
    """Add the fields that an input type does not have yet."""
    own = made.__strawberry_definition__.fields
    present = {field.graphql_name for field in own}
    for wire, annotation in annotations.items():
        if wire not in present:
            own.append(
                StrawberryField(
                    python_name=wire,
                    graphql_name=wire,
                    type_annotation=StrawberryAnnotation(annotation),
                    description=descriptions.get(wire),
                    origin=made,
                )
            )
