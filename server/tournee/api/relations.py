"""Conditions through relations: which relations a model has, and what a condition on related rows is in SQL.

Whatever is related counts only as far as the viewer may see it. A relation or a field that the viewer may
not read is refused, since a comparison would reveal its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, exists, select
from strawberry.types.field import StrawberryField

from tournee.api.errors import Rejected
from tournee.api.mapping import SOURCE, Person, ToMany, ToOne
from tournee.api.permissions import Requires
from tournee.kernel.actor import Actor
from tournee.kernel.fields import camel
from tournee.kernel.withheld import withheld


class Viewer(Protocol):
    """The actor of a statement: makes aliases of tables, and says which rows of them are visible."""

    @property
    def actor(self) -> Actor: ...

    def alias(self, model: Any) -> Any: ...

    def visible(self, model: type[Any], entity: Any) -> ColumnElement[bool]: ...


@dataclass(frozen=True)
class Relation:
    """A relation of a model, and the permission that its readers need."""

    source: ToOne | ToMany
    permission: str

    @property
    def target(self) -> type[Any]:
        return self.source.target if isinstance(self.source, ToOne) else self.source.child

    def named(self, entity: Any, target: Any) -> ColumnElement[bool]:
        """Return the condition for the rows of `target` that belong to a row of `entity`."""
        own = self.source.name
        same = (
            getattr(entity, own) == target.id
            if isinstance(self.source, ToOne)
            else getattr(target, own) == entity.id
        )
        return and_(target.organisation_id == entity.organisation_id, same)


# For each model its relations, by their names in GraphQL. `declare` fills it while the schema is made.
RELATIONS: dict[type[Any], dict[str, Relation]] = {}


def declare(model: type[Any], kind: Any) -> None:
    """Read the relations of a model from the fields of its GraphQL type."""
    for field in kind.__strawberry_definition__.fields:
        source = field.metadata.get(SOURCE)
        if isinstance(source, Person) and source.model is model:
            # Others may read a person's name, but compare nothing of an account.
            account = ToOne(model, source.name, source.target)
            RELATIONS.setdefault(model, {})[field.graphql_name] = Relation(account, source.target.reads)
        if isinstance(source, ToOne | ToMany):
            RELATIONS.setdefault(model, {})[field.graphql_name] = Relation(source, _permission(field))


def _permission(field: StrawberryField) -> str:
    return next(one.scope for one in field.directives if isinstance(one, Requires))


def relations(model: type[Any]) -> Mapping[str, Relation]:
    """Return the relations of a model, by their names in GraphQL."""
    return RELATIONS.get(model, {})


def require_readable(viewer: Viewer, model: type[Any], name: str) -> None:
    """Raise Rejected if the viewer may not read this field or relation of the model."""
    hidden = withheld(viewer.actor).get(model.__name__, frozenset())
    relation = relations(model).get(name)
    if relation is not None:
        column = camel(relation.source.name) if isinstance(relation.source, ToOne) else name
        if column in hidden or not viewer.actor.may(relation.permission):
            raise Rejected(f"You may not read {name}.")
    elif name in hidden:
        raise Rejected(f"You may not read {name}.")


def exists_related(
    viewer: Viewer, relation: Relation, entity: Any, target: Any, condition: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Return whether a row of `entity` has a visible related row, in the alias `target`, that meets the
    condition.
    """
    seen = viewer.visible(relation.target, target)
    return exists(select(1).where(relation.named(entity, target), seen, condition).correlate(entity))
