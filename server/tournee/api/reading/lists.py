"""Lists: their rows, the cursors of these, and their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import GraphQLField, GraphQLObjectType, get_named_type, get_nullable_type
from sqlalchemy import ColumnElement, and_

from tournee.api.filters import where
from tournee.api.keyset import Term, cursor
from tournee.api.mapping import PagePart, ToMany, ToOne, source_of
from tournee.api.pages import Arguments, counted
from tournee.api.reading.blocks import Block
from tournee.api.reading.building import dictionary
from tournee.api.reading.unknown import Doubt
from tournee.api.relations import relations

if TYPE_CHECKING:
    from tournee.api.reading.compiling import Compiler, Details


class Lists:
    """Compiles the lists of an operation."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._code = compiler.code

    def root(self, model: type[Any], definition: GraphQLField, details: Details) -> str:
        """A list of all rows of a model: one statement, with the number of all rows beside each row."""
        number = len(self._compiler.statements)
        arguments = self._arguments(model, definition, details)
        block = self._chosen(model, arguments)
        page = _Page(self._compiler, block, definition, details, arguments, 1)
        total = "None"
        if page.counts is not None:
            total = block.add("total", lambda: self._number(page, model, arguments))
        block.add("one", lambda: block.entity.id)
        self._compiler.statements.append(
            block.ordered(arguments.clauses(block.entity, self._compiler.tables))
        )
        found = f"found[{number}]"
        if page.counts is None:
            return f"{page.function}({found}, None)"
        # Without a row there is no number beside it; after a cursor, there may still be rows before.
        none = (
            0 if arguments.after is None and arguments.before is None else self._code.use(_uncounted) + "()"
        )
        self._code.function(
            f"total{number}", "rows", "for row in rows:", f"    return {total}", f"return {none}"
        )
        return f"{page.function}({found}, total{number}({found}))"

    def _chosen(self, model: type[Any], arguments: Arguments) -> Block:
        """Choose the rows first: else PostgreSQL joins their relations to every row that it passes over."""
        tables = self._compiler.tables
        row = tables.alias(model)
        in_runs = self._compiler.actor.sees_all
        chosen = arguments.select(model, row, tables, tables.visible(model, row), in_runs=in_runs)
        return Block(tables, self._code, model, "row", inside=False, chosen=chosen)

    def inside(
        self,
        outer: Block,
        entity: Any,
        source: ToMany,
        definition: GraphQLField,
        details: Details,
        times: int,
    ) -> str:
        """A list of the rows that name a row: an array beside that row's columns."""
        child = source.child
        arguments = self._arguments(child, definition, details)
        block = Block(self._compiler.tables, self._code, child, "row", inside=True)
        page = _Page(self._compiler, block, definition, details, arguments, times)
        block.add("one", lambda: block.entity.id)
        named = getattr(block.entity, source.name) == entity.id
        condition = and_(
            self._compiler.tables.visible(child, block.entity),
            named,
            arguments.condition(child, block.entity, self._compiler.tables),
        )
        rows = block.rows(
            condition, arguments.clauses(block.entity, self._compiler.tables), arguments.limit + 1
        )
        found = outer.array(block.as_array(rows, entity))
        total = "None"
        if page.counts is not None:
            total = outer.add(object(), lambda: self._number(page, child, arguments, entity, source.name))
        return f"{page.function}({found}, {total})"

    def _arguments(self, model: type[Any], definition: GraphQLField, details: Details) -> Arguments:
        return Arguments.of(model, self._compiler.arguments(definition, details))

    def _number(
        self,
        page: _Page,
        model: type[Any],
        arguments: Arguments,
        outer: Any = None,
        column: str | None = None,
    ) -> Any:
        entity = self._compiler.tables.alias(model)
        named: list[ColumnElement[bool]] = [] if column is None else [getattr(entity, column) == outer.id]
        tables = self._compiler.tables
        condition = and_(
            tables.visible(model, entity), *named, where(model, entity, arguments.filter, tables)
        )
        outside = () if outer is None else (outer,)
        return counted(entity, condition, *outside, exact=bool(page.counts))


def _uncounted() -> int:
    raise Doubt("no row has the number of rows beside it")


class _Page:
    """Writes the function `(rows, total)` that makes a page: the object that a connection becomes."""

    # Whether the number of rows is wanted exactly; None if it is not wanted.
    counts: bool | None = None

    def __init__(
        self,
        compiler: Compiler,
        block: Block,
        definition: GraphQLField,
        details: Details,
        arguments: Arguments,
        times: int,
    ) -> None:
        self._compiler = compiler
        self._block = block
        self._arguments = arguments
        self._times = times * arguments.limit
        compiler.spend(times * (arguments.limit + 1))
        kind = get_named_type(definition.type)
        assert isinstance(kind, GraphQLObjectType)
        fields = compiler.subfields(kind, details)
        parts = {key: self._part(kind, one) for key, one in fields.items()}
        if self.counts is not None:
            compiler.spend(times)
        self.function = f"page{next(compiler.numbers)}"
        limit = arguments.limit
        shown = f"rows[{limit - 1}::-1]" if arguments.backwards else f"rows[:{limit}]"
        compiler.code.function(
            self.function,
            "rows, total",
            f"more = len(rows) > {limit}",
            f"rows = {shown if limit else '()'}",
            f"return {dictionary(parts)}",
        )

    def _part(self, kind: GraphQLObjectType, details: Details) -> str:
        name = _part_named(kind, details)
        definition = kind.fields.get(name)
        if name == "__typename":
            return repr(kind.name)
        if name == "totalCount":
            return self._total(definition, details)
        if name == "nodes":
            return f"[{self._row(definition, details)} for row in rows]"
        if name == "edges":
            return self._objects(definition, details, self._edge, " for row in rows")
        if name == "pageInfo":
            return self._objects(definition, details, self._info, "")
        raise Doubt(f"{kind.name}.{name} is not mapped")

    def _total(self, definition: Any, details: Details) -> str:
        exact = bool(self._compiler.arguments(definition, details)["exact"])
        if self.counts is not None and self.counts != exact:
            raise Doubt("two numbers of one list")
        self.counts = exact
        return "total"

    def _objects(self, definition: Any, details: Details, part: Any, each: str) -> str:
        kind: Any = get_named_type(definition.type)
        fields = self._compiler.subfields(kind, details)
        made = dictionary({key: part(kind, one) for key, one in fields.items()})
        return f"[{made}{each}]" if each else made

    def _edge(self, kind: GraphQLObjectType, details: Details) -> str:
        name = _part_named(kind, details)
        if name == "__typename":
            return repr(kind.name)
        if name == "cursor":
            return self._cursor()
        if name == "node":
            return self._row(kind.fields[name], details)
        raise Doubt(f"{kind.name}.{name} is not mapped")

    def _info(self, kind: GraphQLObjectType, details: Details) -> str:
        name = _part_named(kind, details)
        arguments = self._arguments
        back = arguments.backwards
        made = {
            "__typename": repr(kind.name),
            "hasNextPage": repr(arguments.before is not None) if back else "more",
            "hasPreviousPage": "more" if back else repr(arguments.after is not None),
            "startCursor": "0",
            "endCursor": "-1",
        }.get(name)
        if made is None:
            raise Doubt(f"{kind.name}.{name} is not mapped")
        if not name.endswith("Cursor"):
            return made
        return f"next(({self._cursor()} for row in rows[{made}:][:1]), None)"

    def _row(self, definition: Any, details: Details) -> str:
        return self._compiler.row(self._block, self._block.entity, definition, details, self._times)

    def _cursor(self) -> str:
        order = self._arguments.order
        values = [self._value(order.model, one) for one in order.terms]
        return f"{self._compiler.code.use(cursor)}({order.fingerprint!r}, ({', '.join(values)},))"

    def _value(self, model: type[Any], term: Term) -> str:
        """Return the source of a value that a cursor holds, of the row or of one related to it."""
        entity = self._block.entity
        for name in term.path:
            to = relations(model)[name].source
            assert isinstance(to, ToOne)
            model, (entity, _) = to.target, self._block.join(entity, to)
        node: Any = self._compiler.schema.type_map[model.__name__]
        kind = node.fields[term.field.wire].type
        if term.path:
            kind = get_nullable_type(kind)
        return self._block.value(entity, term.field.name, kind, sorts=True)


def _part_named(kind: GraphQLObjectType, details: Details) -> str:
    """Return the name of a field of a page, which its mapping says, too."""
    name = details[0].node.name.value
    source = source_of(kind.fields.get(name))
    if name != "__typename" and source != PagePart(name):
        raise Doubt(f"{kind.name}.{name} is not mapped")
    return name
