"""Distributes the tables of a PostgreSQL with Citus by organisation.

All that we ask of Citus itself is in this module. Which table goes where follows from the models: `placement`
says where its rows are, and foreign keys say which tables come first. All tables with an organisation are
colocated, so that every statement of one organisation goes to one node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

import tournee.catalogue  # noqa: F401 - brings in every domain, so that the metadata is complete
from tournee.engine.database import plain
from tournee.engine.engines import ACROSS, set_locally
from tournee.kernel.entity import Base, Organisation, Placement
from tournee.migrations import HAS_CITUS, LOCK, policy

# The first table, with which all others are colocated.
_ANCHOR: Final = Organisation.__tablename__

# The tables that Citus knows, with the column by which each is distributed, or nothing for a copy on every
# node. It may also know a table that is on the coordinator alone.
_DONE = """
SELECT relname, CASE WHEN partmethod = 'h' THEN column_to_column_name(logicalrelid, partkey) ELSE '' END
  FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
 WHERE relnamespace = current_schema()::regnamespace AND (partmethod = 'h' OR repmodel = 't')
"""
_FILLED = f"SELECT EXISTS (SELECT FROM {_ANCHOR})"  # noqa: S608 - our own name
_SETTING: Final = "citus.propagate_set_commands"


class NotDistributed(Exception):
    """The database cannot be distributed or served like this; the message says why in one line."""


@dataclass(frozen=True)
class Step:
    """A table to distribute. `column` has its organisation; None means a copy on every node."""

    table: str
    column: str | None

    def statements(self) -> Sequence[str]:
        """Return what distributes it, in one transaction.

        A policy with a SELECT, made before Citus was installed, is replaced. Citus copies rows to the nodes
        by COPY, which row-level security forbids as long as it also applies to the table's owner.
        """
        if self.column is None:
            distribute = f"SELECT create_reference_table('{self.table}')"
        else:
            beside = "none" if self.table == _ANCHOR else _ANCHOR
            given = f"'{self.table}', '{self.column}', colocate_with => '{beside}'"
            distribute = f"SELECT create_distributed_table({given})"
        condition = policy(self.column or "organisation_id", citus=True)
        return (
            f"ALTER POLICY organisation ON {self.table} USING ({condition})",
            f"ALTER TABLE {self.table} NO FORCE ROW LEVEL SECURITY",
            distribute,
            f"ALTER TABLE {self.table} FORCE ROW LEVEL SECURITY",
        )

    def clearing(self) -> str:
        """Return what removes the rows that the coordinator keeps beside those on the nodes. All tables that
        refer to this one must be distributed.
        """
        return f"SELECT truncate_local_data_after_distributing_table('{self.table}')"


def every_step() -> list[Step]:
    """Return all tables to distribute: first those on every node, then each after those it refers to."""
    models = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
    tables = [table.name for table in Base.metadata.sorted_tables if table.name != _ANCHOR]
    everywhere = [name for name in tables if models[name].placement is Placement.EVERYWHERE]
    own = [name for name in tables if models[name].placement is Placement.ORGANISATION]
    return [
        *(Step(name, None) for name in everywhere),
        Step(_ANCHOR, "id"),
        *(Step(name, "organisation_id") for name in own),
    ]


def plan(done: Mapping[str, str]) -> list[Step]:
    """Return the steps that are left, given the tables that Citus knows. Raises NotDistributed."""
    for step in every_step():
        if done.get(step.table, step.column or "") != (step.column or ""):
            raise NotDistributed(
                f"{step.table} is distributed by {done[step.table] or 'nothing'}, and should be by"
                f" {step.column or 'nothing'}: undo it with undistribute_table, then run this again."
            )
    return [step for step in every_step() if step.table not in done]


@dataclass(frozen=True)
class Outcome:
    """The steps that were or would be taken, and how many tables were distributed before."""

    steps: Sequence[Step]
    done: int


def distribute(url: str, *, dry_run: bool = False) -> Outcome:
    """Distribute all tables that are not, each in a transaction. No server may write meanwhile."""
    with _connected(url) as connection:
        if not _has_citus(connection):
            raise NotDistributed(
                "DATABASE_URL: this PostgreSQL does not have Citus: install it on all nodes, run"
                " CREATE EXTENSION citus in this database, and add the nodes with citus_add_node."
            )
        done = _done(connection)
        steps = plan(done)
        if not dry_run:
            _take(connection, steps, every_step() if steps else ())
        return Outcome(steps, len(done))


def distribute_new(url: str) -> Outcome:
    """Distribute the tables that migrations have added since, or all of a new database.

    A database that has organisations, and no distributed table, is left as it is: only `tournee distribute`
    moves their rows.
    """
    with _connected(url) as connection:
        done = _done(connection) if _has_citus(connection) else {}
        if not done and (not _has_citus(connection) or _one(connection, _FILLED)):
            return Outcome((), 0)
        steps = plan(done)
        _take(connection, steps, steps)
        return Outcome(steps, len(done))


def require_setting(url: str) -> None:
    """Raise NotDistributed unless Citus tells its nodes which organisation a transaction serves."""
    with _connected(url) as connection:
        if not _has_citus(connection) or not _done(connection):
            return
        now = _one(connection, f"SELECT current_setting('{_SETTING}', true)")
        if now != "local":
            role = sql.Identifier(connection.info.user).as_string(connection)
            raise NotDistributed(
                f"{_SETTING} is {now or 'not set'}: the nodes of Citus would hide every row. Run on the"
                f" coordinator: ALTER ROLE {role} SET {_SETTING} = 'local'"
            )


def _take(connection: psycopg.Connection[Any], steps: Sequence[Step], cleared: Sequence[Step]) -> None:
    for step in steps:
        with _alone(connection):
            # Another process may have done it meanwhile.
            if step.table not in _done(connection):
                for statement in step.statements():
                    connection.execute(statement.encode())
    for step in cleared:
        with _alone(connection):
            connection.execute(step.clearing().encode())


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    if not url.startswith("postgresql"):
        raise NotDistributed(
            "DATABASE_URL: SQLite keeps all rows in one file; only PostgreSQL distributes them."
        )
    # Behind a pooler, the session may already have prepared statements of the driver's names.
    with psycopg.connect(plain(url), autocommit=True, prepare_threshold=None) as connection:
        yield connection


@contextmanager
def _alone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Hold a transaction that sees every organisation, while nobody else migrates or distributes."""
    with connection.transaction():
        connection.execute(set_locally(ACROSS).encode())
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        yield


def _has_citus(connection: psycopg.Connection[Any]) -> bool:
    return bool(_one(connection, HAS_CITUS))


def _done(connection: psycopg.Connection[Any]) -> dict[str, str]:
    return {str(table): str(column) for table, column in connection.execute(_DONE)}


def _one(connection: psycopg.Connection[Any], question: str) -> Any:
    with connection.transaction():
        connection.execute(set_locally(ACROSS).encode())
        row = connection.execute(question.encode()).fetchone()
    return None if row is None else row[0]
