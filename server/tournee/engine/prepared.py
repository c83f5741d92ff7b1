"""Prepared statements: the organisation is added once, and then only the values change.

Otherwise SQLAlchemy adds it to each execution and computes a new cache key. For a statement that joins ten
tables, that takes longer than the database needs to answer.
"""

from __future__ import annotations

import typing
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Boolean, Executable, Result, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.sql.functions import FunctionElement

from tournee.engine.border import OWN
from tournee.engine.codec import Ids
from tournee.engine.engines import ORGANISATION
from tournee.kernel.entity import OrganisationRow

StatementT = TypeVar("StatementT", bound=Executable)

_OPTION = "tournee_prepared"


class one_of(FunctionElement[bool]):  # noqa: N801 - reads as a function of SQL
    """Whether a column is one of the ids in a parameter: one parameter, however many ids."""

    inherit_cache = True
    type = Boolean()

    def __init__(self, column: Any, name: str) -> None:
        super().__init__(column, bindparam(name, type_=Ids()))


@compiles(one_of)
def _any(element: one_of, compiler: Any, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(one_of, "sqlite")
def _among(element: one_of, compiler: Any, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - compiled SQL


def prepared(statement: StatementT) -> StatementT:
    """Return the statement so that a session completes and compiles it only once.

    It selects columns, not entities, and takes all its values as parameters. Keep what this returns; a
    statement made anew each time is compiled each time. It is executed without a flush before it.
    """
    within = with_loader_criteria(
        OrganisationRow,
        lambda row: row.organisation_id == OWN,
        include_aliases=True,
        track_closure_variables=False,
    )
    return statement.execution_options(**{_OPTION: statement.options(within)})


def execute_prepared(state: ORMExecuteState) -> Result[Any] | None:
    """Execute a prepared statement for the session's organisation; return None if it is another one."""
    found = state.execution_options.get(_OPTION)
    organisation_id = state.session.info.get(ORGANISATION)
    if found is None or not isinstance(organisation_id, UUID):
        return None
    values = {**typing.cast(dict[str, Any], state.parameters or {}), OWN.key: organisation_id}
    return state.session.connection().execute(found, values)
