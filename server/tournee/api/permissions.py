"""Which permission a field needs: printed in the schema, and enforced before anything runs."""

from __future__ import annotations

from typing import Any

import strawberry
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)
from strawberry.schema_directive import Location
from strawberry.types.field import StrawberryField

from tournee.api.errors import coded
from tournee.kernel.actor import lacks


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="requires",
    description="The permission that an access token needs for this field.",
)
class Requires:
    """The permission that an access token needs for this field."""

    scope: str


def permission_of(schema: GraphQLSchema, type_name: str, field_name: str) -> str | None:
    """Return the permission of a field, as the schema prints it; None for the schema's own, such as
    __typename.
    """
    fields = getattr(schema.type_map.get(type_name), "fields", {})
    definition = fields[field_name].extensions.get("strawberry-definition") if field_name in fields else None
    if not isinstance(definition, StrawberryField):
        return None
    return next((one.scope for one in definition.directives if isinstance(one, Requires)), None)


def forbidden(permission: str) -> GraphQLError:
    return coded(lacks(permission), "FORBIDDEN", scope=permission)


def only_permitted(next_: Any, root: Any, info: Any, **arguments: Any) -> Any:
    """Resolve a field that the actor may read; else there is an error in its place."""
    permission = permission_of(info.schema, info.parent_type.name, info.field_name)
    if permission is not None and not info.context.actor.may(permission):
        raise forbidden(permission)
    return next_(root, info, **arguments)


class _Collector:
    """Walks an operation, each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.seen: set[str] = set()
        self.permissions: set[str] = set()

    def walk(self, parent: str, selections: SelectionSetNode | None) -> None:
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                self._field(parent, node)
            elif isinstance(node, InlineFragmentNode):
                self.walk(
                    node.type_condition.name.value if node.type_condition else parent, node.selection_set
                )
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in self.seen:
                self.seen.add(node.name.value)
                fragment = self.fragments[node.name.value]
                self.walk(fragment.type_condition.name.value, fragment.selection_set)

    def _field(self, parent: str, node: FieldNode) -> None:
        name = node.name.value
        permission = permission_of(self.schema, parent, name)
        if permission is not None:
            self.permissions.add(permission)
        if node.selection_set is not None and not name.startswith("__"):
            definition = self.schema.type_map[parent].fields[name]  # type: ignore[attr-defined]
            self.walk(get_named_type(definition.type).name, node.selection_set)


def required_permissions(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, frozenset[str]]:
    """Return the permissions that each operation of a valid document needs, by its name."""
    found = {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            collector = _Collector(schema, document)
            root = schema.get_root_type(node.operation)
            collector.walk(root.name if root else "", node.selection_set)
            found[node.name.value if node.name else None] = frozenset(collector.permissions)
    return found
