"""The reporting views: for each type of record a read-only view with a stable name, for tools that speak SQL.

They follow from the models. Migrations make them anew (migrations/env.py), so that they never stand in the
way of a table that changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Uuid, text

from tournee.catalogue import ENTITIES
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, fields
from tournee.kernel.log import Change
from tournee.kernel.registry import BY_TABLE

PREFIX = "reporting_"

# What people call a record by; the first that its type has.
_CALLED = ("name", "title", "number")

# A role sees the organisation that it is bound to. It may set `tournee.organisation` as it likes, because the
# tables' policies and this condition must both let a row through.
_BOUND = "(SELECT seen_organisation_id FROM database_role WHERE role = SESSION_USER::text)"

_THERE = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'view' AND name LIKE 'reporting!_%' ESCAPE '!'",
    "postgresql": (
        "SELECT viewname FROM pg_views"
        " WHERE schemaname = current_schema() AND viewname LIKE 'reporting!_%' ESCAPE '!'"
    ),
}
_READERS = "SELECT role FROM database_role JOIN pg_roles ON rolname = role ORDER BY role"


def views(kind: str) -> dict[str, str]:
    """Return the query of each view, by its name, for this kind of database."""
    found = {PREFIX + model.__tablename__: _of_entity(model, kind) for model in ENTITIES.values()}
    return {**found, f"{PREFIX}change": _of_log(kind)}


def columns(model: type[Entity]) -> list[str]:
    """Return the columns of a type's view."""
    return [name for name, _ in _selected(model, "postgresql")]


def refresh(connection: Connection) -> None:
    """Make the views as this version has them. Roles that could read the old ones can read the new ones."""
    drop(connection)
    kind = connection.dialect.name
    barrier = " WITH (security_barrier)" if kind == "postgresql" else ""
    for name, query in views(kind).items():
        connection.exec_driver_sql(f"CREATE VIEW {name}{barrier} AS {query}")
    if kind == "postgresql":
        for role in connection.scalars(text(_READERS)).all():
            grant(connection, role)


def drop(connection: Connection) -> None:
    """Drop the views that there are."""
    for name in connection.scalars(text(_THERE[connection.dialect.name])).all():
        connection.exec_driver_sql(f'DROP VIEW "{name}"')


def grant(connection: Connection, role: str) -> None:
    """Let a role of PostgreSQL read the views."""
    named = connection.dialect.identifier_preparer.quote_identifier(role)
    connection.exec_driver_sql(f"GRANT SELECT ON {', '.join(views('postgresql'))} TO {named}")


def _of_entity(model: type[Entity], kind: str) -> str:
    own = model.__tablename__
    selected = ", ".join(f"{value} AS {name}" for name, value in _selected(model, kind))
    joins = "".join(
        f" LEFT JOIN {one.references} AS {_alias(one)}"
        f" ON {_alias(one)}.organisation_id = {own}.organisation_id AND {_alias(one)}.id = {own}.{one.name}"
        for one, _ in _called(model)
    )
    where = f"NOT {own}.deleted{_only_bound(own, kind)}"
    return f"SELECT {selected} FROM {own}{joins} WHERE {where}"  # noqa: S608 - the models' own names


def _of_log(kind: str) -> str:
    table: Any = Change.__table__
    selected = ", ".join(f"{_value(one, 'change', kind)} AS {one.name}" for one in table.c)
    where = f"TRUE{_only_bound('change', kind)}"
    return f"SELECT {selected} FROM change WHERE {where}"  # noqa: S608 - the models' own names


def _only_bound(table: str, kind: str) -> str:
    return f" AND {table}.organisation_id = {_BOUND}" if kind == "postgresql" else ""


def _selected(model: type[Entity], kind: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each column: those of the type, and the names of what it refers to."""
    table: Any = model.__table__
    called = dict(_called(model))
    yield "organisation_id", _value(table.c.organisation_id, table.name, kind)
    for one in fields(model):
        yield one.name, _value(table.c[one.name], table.name, kind)
        if one in called:
            yield _name_column(one, called[one]), f"{_alias(one)}.{called[one]}"


def _called(model: type[Entity]) -> Iterator[tuple[Field, str]]:
    """Yield each reference with the column that names the record at its end, if it has one."""
    table: Any = model.__table__
    for one in fields(model):
        if one.references is not None:
            there: Any = BY_TABLE[one.references].__table__
            name = next((name for name in _CALLED if name in there.c), None)
            if name is not None and _name_column(one, name) not in table.c:
                yield one, name


def _name_column(reference: Field, called: str) -> str:
    """`customer_id` and `name` → `customer_name`."""
    return f"{reference.name.removesuffix('_id')}_{called}"


def _alias(reference: Field) -> str:
    return f"r_{reference.name}"


def _value(column: Any, table: str, kind: str) -> str:
    """Return the column's value; SQLite stores ids without hyphens."""
    value = f'{table}."{column.name}"'
    if kind != "sqlite" or not isinstance(column.type, Uuid):
        return value
    parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({value}, {start}, {length})" for start, length in parts)
