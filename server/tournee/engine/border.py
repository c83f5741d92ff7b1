"""The border between organisations: no statement of a session crosses it, on either database.

To each statement on mapped classes the session adds `organisation_id = <its own>` for every class in it.
What this does not reach (a table by itself, SQL as text) must say so itself, or is refused with
`BorderCrossed`: a bug of ours, never the caller's fault. Whether a statement keeps to one organisation is
found out while it is compiled, so once for each distinct statement; each execution compares the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Join, TextClause, Uuid, bindparam, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import (
    AsBoolean,
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    False_,
    Grouping,
)

from tournee.engine.engines import ACROSS, ORGANISATION
from tournee.kernel.entity import Base, Organisation, OrganisationRow

_COLUMN: Final = "organisation_id"
# A session fills in this parameter of a statement that is made once for all organisations.
OWN: Final = bindparam(_COLUMN, type_=Uuid())
# SQLAlchemy's names for the values of an inserted column; a statement of many rows numbers them.
_INSERTED = re.compile(rf"{_COLUMN}(_m\d+)?")


class BorderCrossed(RuntimeError):
    """A statement did not keep to its session's organisation."""


@lru_cache(1_000)
def _own(organisation_id: UUID) -> LoaderCriteriaOption:
    """The option that adds the organisation: made once, since each takes longer than most statements."""
    return with_loader_criteria(
        OrganisationRow, lambda row: row.organisation_id == organisation_id, include_aliases=True
    )


def keep_within(state: ORMExecuteState) -> None:
    """Add the session's organisation to a statement, for every mapped class that it or a part of it names."""
    organisation_id = state.session.info.get(ORGANISATION)
    if isinstance(organisation_id, UUID) and (state.is_select or state.is_update or state.is_delete):
        state.statement = state.statement.options(_own(organisation_id))


class OwnText(TextClause):
    """SQL as text that keeps to the organisation it is given as `:organisation_id`."""

    inherit_cache = True

    def __init__(self, text: str) -> None:
        assert f":{_COLUMN}" in text
        super().__init__(text)


def watch(engine: AsyncEngine) -> None:
    """Refuse, on every connection of this engine, what would cross the border."""
    dialect = engine.dialect
    dialect.statement_compiler = type("Watching", (_Watching, dialect.statement_compiler), {})
    event.listen(engine.sync_engine, "before_cursor_execute", _refuse_crossing)


def _refuse_crossing(
    connection: Connection, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool
) -> None:
    own = connection.get_execution_options().get(ORGANISATION)
    if own is ACROSS:
        return
    compiled: Any = context.compiled
    watched = isinstance(compiled, _Watching)
    unbound = compiled.unbound if watched else _named_in(statement)
    if unbound:
        raise BorderCrossed(f"A statement on {', '.join(sorted(unbound))} names no organisation: {statement}")
    if watched and compiled.bound_by:
        for values in context.compiled_parameters:
            for name in compiled.bound_by:
                if values[name] != own:
                    raise BorderCrossed(f"A statement names another organisation: {statement}")


@lru_cache(1_000)
def _named_in(text: str) -> frozenset[str]:
    """The tables of organisations that SQL as text names."""
    return frozenset(_names(len(Base.metadata.tables)).findall(text.lower()))


@cache
def _names(_count: int) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(Base.metadata.tables)})\b")


# -- finding out while a statement is compiled ---------------------------------------------------


@dataclass
class _Block:
    """A SELECT, UPDATE or DELETE within a statement. Tables and aliases are known by their hashes, which
    what SQLAlchemy makes of them for its own ends have as well."""

    outer: _Block | None
    final: Any = None
    tables: dict[int, str] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)
    inner: list[_Block] = field(default_factory=list)

    def shows_nothing(self) -> bool:
        """Whether it is for somebody to whom nothing is visible."""
        where = None if self.final is None else self.final.whereclause
        return any(isinstance(one, False_) for one in _together(where))

    def equalities(self) -> Iterator[tuple[Any, Any, set[int] | None]]:
        """What must be equal in every row, or at least where it has a row of these tables."""
        yield from ((*pair, None) for pair in _equal(self.final.whereclause))
        for join in self.joins:
            if not join.full:
                only = set(_lies_in(join.right)) if join.isouter else None
                yield from ((*pair, only) for pair in _equal(join.onclause))

    def binds(self, table: int, seen: frozenset[int] = frozenset()) -> BindParameter[Any] | None:
        """The parameter to which the organisation of a table's rows is equal, maybe by way of another's."""
        if table not in self.tables:
            return None if self.outer is None else self.outer.binds(table, seen)
        for one, other, only in self.equalities():
            for this, that in ((one, other), (other, one)):
                if _organisation_of(this) != table or not (only is None or table in only):
                    continue
                if isinstance(that, BindParameter):
                    return that
                by_way_of = _organisation_of(that)
                if by_way_of is not None and by_way_of not in seen | {table}:
                    found = self.binds(by_way_of, seen | {table})
                    if found is not None:
                        return found
        return None


def _is_wrapped_truth(condition: Any) -> bool:
    return isinstance(condition, AsBoolean) and condition.operator is operators.is_true


def _together(condition: Any) -> Iterator[Any]:
    """The conditions that hold wherever this one does."""
    if isinstance(condition, Grouping) or _is_wrapped_truth(condition):
        yield from _together(condition.element)
    elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for one in condition.clauses:
            yield from _together(one)
    else:
        yield condition


def _equal(condition: Any) -> Iterator[tuple[Any, Any]]:
    for one in _together(condition):
        if isinstance(one, BinaryExpression) and one.operator is operators.eq:
            yield one.left, one.right


def _lies_in(source: Any) -> Iterator[int]:
    if isinstance(source, Join):
        yield from _lies_in(source.left)
        yield from _lies_in(source.right)
    else:
        yield hash(source)


def _organisation_of(expression: Any) -> int | None:
    """The table or alias whose organisation this column is."""
    table = getattr(expression, "table", None)
    if table is None:
        return None
    name = getattr(getattr(table, "element", table), "name", None)
    column = "id" if name == Organisation.__tablename__ else _COLUMN
    return hash(table) if expression.name == column else None


class _Watching(SQLCompiler):
    """Notes of a statement by which parameters it keeps to an organisation, and where it does not."""

    bound_by: frozenset[str] = frozenset()
    unbound: frozenset[str] = frozenset()
    _block: _Block | None = None

    def visit_select(self, select_stmt: Any, *more: Any, **options: Any) -> Any:
        return self._within(super().visit_select, select_stmt, *more, **options)

    def visit_update(self, update_stmt: Any, *more: Any, **options: Any) -> Any:
        if _moves(update_stmt):
            self.unbound |= {update_stmt.table.name}
        return self._within(super().visit_update, update_stmt, *more, **options)

    def visit_delete(self, delete_stmt: Any, *more: Any, **options: Any) -> Any:
        return self._within(super().visit_delete, delete_stmt, *more, **options)

    def visit_insert(self, insert_stmt: Any, *more: Any, **options: Any) -> Any:
        text = self._within(super().visit_insert, insert_stmt, *more, **options)
        table = insert_stmt.table.name
        if insert_stmt.select is not None:
            given = _selected(insert_stmt)
            if isinstance(given, BindParameter):
                self.bound_by |= {self.bind_names[given]}
            elif _organisation_of(given) is None:
                self.unbound |= {table}
            return text
        named = re.compile("id") if table == Organisation.__tablename__ else _INSERTED
        given_as = {name for name in self.bind_names.values() if named.fullmatch(name)}
        self.bound_by |= given_as
        if not given_as:
            self.unbound |= {table}
        return text

    def visit_on_conflict_do_update(self, on_conflict: Any, **options: Any) -> Any:
        """A row that is there already is of the same organisation where its key says so."""
        key = {getattr(one, "name", one) for one in on_conflict.inferred_target_elements or ()}
        if _COLUMN not in key or _COLUMN in dict(on_conflict.update_values_to_set):
            self.unbound |= {self.current_executable.table.name}
        return super().visit_on_conflict_do_update(on_conflict, **options)  # type: ignore[misc]

    def visit_table(self, table: Any, *more: Any, **options: Any) -> Any:
        if options.get("asfrom") and table.name in Base.metadata.tables and self._block is not None:
            alias = options.get("enclosing_alias")
            known_as = alias if alias is not None and alias.element is table else table
            self._block.final = self.current_executable
            self._block.tables[hash(known_as)] = table.name
        return super().visit_table(table, *more, **options)  # type: ignore[no-untyped-call]

    def visit_join(self, join: Any, *more: Any, **options: Any) -> Any:
        assert self._block is not None
        self._block.joins.append(join)
        return super().visit_join(join, *more, **options)  # type: ignore[no-untyped-call]

    def visit_textclause(self, textclause: Any, *more: Any, **options: Any) -> Any:
        text = super().visit_textclause(textclause, *more, **options)  # type: ignore[no-untyped-call]
        if isinstance(textclause, OwnText):
            self.bound_by |= {_COLUMN}
        else:
            self.unbound |= _named_in(text)
        return text

    def _within(self, visit: Callable[..., str], *arguments: Any, **options: Any) -> str:
        outer = self._block
        self._block = block = _Block(outer)
        try:
            text = visit(*arguments, **options)
        finally:
            self._block = outer
        if outer is None:
            self._judge(block)
        else:
            outer.inner.append(block)
        return text

    def _judge(self, block: _Block) -> None:
        # SQLAlchemy leaves out the other conditions of a block that shows nothing.
        for table, name in () if block.shows_nothing() else block.tables.items():
            parameter = block.binds(table)
            if parameter is None:
                self.unbound |= {name}
            else:
                self.bound_by |= {self.bind_names[parameter]}
        for one in block.inner:
            self._judge(one)


def _moves(update: Any) -> bool:
    """Return whether an UPDATE sets the organisation itself."""
    return any(getattr(column, "key", column) == _COLUMN for column in update._values or ())  # noqa: SLF001


def _selected(insert: Any) -> Any:
    """What an INSERT from a SELECT puts in for the organisation."""
    if _COLUMN not in insert._select_names:  # noqa: SLF001
        return None
    return insert.select.selected_columns.values()[insert._select_names.index(_COLUMN)]  # noqa: SLF001
