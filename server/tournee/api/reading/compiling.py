"""An operation, compiled field by field. `api/mapping.py` says what each field is.

graphql-core itself collects the fields and reads the arguments, so aliases, fragments, directives, defaults
and merging are the same here as in the executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_argument_values,
    get_named_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from sqlalchemy import Select, and_, inspect

from tournee.api.limits import fragments_of
from tournee.api.load import MOST_ROWS
from tournee.api.mapping import (
    Column,
    Computed,
    Listing,
    Person,
    Recorded,
    Single,
    ToMany,
    ToOne,
    source_of,
)
from tournee.api.reading import sql
from tournee.api.reading.blocks import Block, Tables
from tournee.api.reading.building import Code, dictionary
from tournee.api.reading.finishing import Part, completion, stand_in
from tournee.api.reading.lists import Lists
from tournee.api.reading.unknown import Doubt, bound
from tournee.api.scalars import parse_id
from tournee.kernel.actor import Actor
from tournee.kernel.log import Change

Details: TypeAlias = list[FieldDetails]


@dataclass
class Compiler:
    """Compiles one operation for actors like this one, and variables of one shape."""

    schema: GraphQLSchema
    document: DocumentNode
    operation: OperationDefinitionNode
    variables: VariableValues
    actor: Actor
    code: Code = field(default_factory=Code)
    statements: list[Select[Any]] = field(default_factory=list)
    # The fields that have resolvers.
    parts: list[Part] = field(default_factory=list)
    # How many rows the executor could count: where that is too many, it has to count them.
    most_rows: int = 0

    def __post_init__(self) -> None:
        self.tables = Tables(self.actor)
        self.numbers = count()
        self._fragments = {name: FragmentDetails(node) for name, node in fragments_of(self.document).items()}

    def compile(self) -> None:
        """Make the statements, and the function `answer` that takes the rows of each."""
        root = self.schema.query_type
        assert root is not None
        collected = collect_fields(self.schema, self._fragments, self.variables, root, self.operation)
        parts = {key: self._root(root, details) for key, details in collected.grouped_field_set.items()}
        self.code.function("answer", "found", f"return {dictionary(parts)}")

    def spend(self, rows: int) -> None:
        self.most_rows += rows
        if self.most_rows > MOST_ROWS:
            raise Doubt("more rows than an operation may read")

    # -- fields ----------------------------------------------------------------------------------

    def subfields(self, kind: GraphQLObjectType, details: Details) -> Mapping[str, Details]:
        """Return the fields selected, by response key."""
        found = collect_subfields(self.schema, self._fragments, self.variables, self.operation, kind, details)
        return found.grouped_field_set

    def arguments(self, definition: GraphQLField, details: Details) -> dict[str, Any]:
        return get_argument_values(definition, details[0].node, self.variables)

    def _root(self, kind: GraphQLObjectType, details: Details) -> str:
        name = details[0].node.name.value
        if name == "__typename":
            return repr(kind.name)
        definition = kind.fields.get(name)
        source = source_of(definition)
        if isinstance(source, Listing):
            return Lists(self).root(source.model, definition, details)
        if isinstance(source, Single):
            return self._single(source.model, definition, details)
        raise Doubt(f"{kind.name}.{name} is not mapped")

    def _single(self, model: type[Any], definition: GraphQLField, details: Details) -> str:
        """`customer(id:)`: the row, or null."""
        number = len(self.statements)
        block = Block(self.tables, self.code, model, "row", inside=False)
        id = bound(self.arguments(definition, details)["id"], parse_id, model.id.type)
        self.spend(1)
        made = self.row(block, block.entity, definition, details, 1)
        block.add("one", lambda: block.entity.id)
        condition = and_(self.tables.visible(model, block.entity), block.entity.id == id)
        self.statements.append(block.rows(condition, [], 1))
        self.code.function(f"single{number}", "row", f"return {made}")
        return f"single{number}(found[{number}][0]) if found[{number}] else None"

    def row(
        self, block: Block, entity: Any, definition: GraphQLField | None, details: Details, times: int
    ) -> str:
        """Return the source of the object that a row becomes; there are at most so many of them."""
        assert definition is not None
        kind = get_named_type(definition.type)
        if not is_object_type(kind):
            raise Doubt(f"{kind.name} is no object")
        made: dict[str, str] = {}
        later = []
        for key, one in self.subfields(kind, details).items():
            source = source_of(kind.fields.get(one[0].node.name.value))
            if isinstance(source, Computed):
                made[key] = "None"
                later.append(f"{key!r}, {self._part(block, entity, kind, one, source)}")
            else:
                made[key] = self._field(block, entity, kind, one, times)
        text = dictionary(made)
        for missing in later:
            text = f"later({text}, {missing})"
        return text

    def _part(
        self, block: Block, entity: Any, kind: GraphQLObjectType, details: Details, source: Computed
    ) -> str:
        """Return the source of a part's number and of its row."""
        definition = kind.fields[details[0].node.name.value]
        model = inspect(entity).mapper.class_
        complete = completion(definition.type, details, self.subfields)
        needs = source.needs
        self.parts.append(Part(kind, definition, details, None if needs else model, complete, source.batch))
        if needs:
            values = ", ".join(block.python(entity, name) for name in needs)
            row = f"{self.code.use(stand_in(model, needs))}({values})"
        else:
            row = block.add((id(entity), "id", sql.id_text), lambda: sql.id_text(entity.id))
        return f"{len(self.parts) - 1}, {row}"

    def _field(self, block: Block, entity: Any, kind: GraphQLObjectType, details: Details, times: int) -> str:
        name = details[0].node.name.value
        if name == "__typename":
            return repr(kind.name)
        definition = kind.fields[name]
        source = source_of(definition)
        if isinstance(source, Column):
            return block.value(entity, source.name, definition.type)
        if isinstance(source, Recorded):
            return block.value(block.recorded(entity, source.model), source.name, definition.type)
        if isinstance(source, Person) and source.model is Change:
            entity = block.recorded(entity, Change)
        if isinstance(source, Person):
            self._require_names_alone(source, definition, details)
        if isinstance(source, ToOne | Person):
            self.spend(times)
            target, there = block.join(entity, source)
            made = self.row(block, target, definition, details, times)
            return f"None if {there} is None else {made}"
        if isinstance(source, ToMany):
            return Lists(self).inside(block, entity, source, definition, details, times)
        raise Doubt(f"{kind.name}.{name} is not mapped")

    def _require_names_alone(self, source: Person, definition: GraphQLField, details: Details) -> None:
        """Leave more than a person's name to the executor, which looks at each person."""
        if self.actor.sees_all and self.actor.may(source.target.reads):
            return
        kind: Any = get_named_type(definition.type)
        named = {one[0].node.name.value for one in self.subfields(kind, details).values()}
        if named - {"id", "name", "__typename"}:
            raise Doubt("more than a person's name")
