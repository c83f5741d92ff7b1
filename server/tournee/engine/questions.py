"""Questions: SELECTs that are compiled once, and then go to the driver as text and values.

SQLAlchemy's own way from a statement to rows takes longer than PostgreSQL needs to answer: it looks the
statement up, and makes results of the rows. A question skips both, but not the border: it names its
organisation by one parameter, which the session fills in, or it cannot be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Dialect, Select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import greenlet_spawn

from tournee.engine.border import OWN, BorderCrossed
from tournee.engine.engines import BEGIN_READING, ORGANISATION, serve_locally
from tournee.engine.statements import OrganisationSession

Processor = Callable[[Any], Any]


class Question:
    """A SELECT for one kind of database; `names` are the parameters that each execution gives.

    Its rows have values as the driver returns them. Raises BorderCrossed if it does not compare every table
    with `OWN`.
    """

    def __init__(self, statement: Select[Any], dialect: Dialect, names: Sequence[str]) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        if compiled.unbound or not compiled.bound_by <= {OWN.key}:
            raise BorderCrossed(f"A question names no organisation: {compiled.string}")
        given = {OWN.key, *names}
        state = compiled.construct_expanded_state(dict.fromkeys(given))
        processors = {**_processors(compiled, dialect), **state.processors}
        self.text = state.statement
        self._places: list[str] | None = state.positiontup and list(state.positiontup)
        self._given = [(name, processors.get(name)) for name in given if name in state.parameters]
        self._fixed = {
            name: _processed(processors.get(name), value)
            for name, value in state.parameters.items()
            if name not in given
        }

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Return the parameters as the driver takes them."""
        bound = dict(self._fixed)
        for name, process in self._given:
            bound[name] = _processed(process, values[name])
        return bound if self._places is None else [bound[name] for name in self._places]


def _processors(compiled: SQLCompiler, dialect: Dialect) -> dict[str, Processor | None]:
    """Return, for each parameter, how its type changes a value for the driver."""
    return {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect)
        for bind, name in compiled.bind_names.items()
    }


def _processed(process: Processor | None, value: Any) -> Any:
    return value if process is None else process(value)


async def ask(
    session: OrganisationSession, questions: Sequence[Question], values: Mapping[str, Any]
) -> list[Sequence[Any]]:
    """Return the rows of each question, all on the session's snapshot."""
    if not questions:
        return []
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    values = {**values, OWN.key: session.info[ORGANISATION]}
    try:
        return [await _rows(driver, one.text, one.parameters(values)) for one in questions]
    except (psycopg.OperationalError, asyncio.CancelledError) as error:
        # SQLAlchemy did not see it, and would give the connection to the next session.
        await connection.invalidate(error)
        raise


async def ask_in_one_message(
    engine: AsyncEngine,
    organisation_id: UUID,
    questions: Sequence[Question],
    values: Mapping[str, Any],
    seconds: float | None = None,
) -> list[Sequence[Any]]:
    """Return the rows of each question, all on one snapshot of PostgreSQL.

    BEGIN, the settings, the questions and COMMIT travel together and cost one round trip.
    """
    if not questions:
        return []
    values = {**values, OWN.key: organisation_id}
    connection = await engine.raw_connection()
    driver: Any = connection.driver_connection
    try:
        async with driver.pipeline():
            await driver.execute(BEGIN_READING)
            await driver.execute(serve_locally(seconds), (str(organisation_id),))
            cursors = [await driver.execute(one.text, one.parameters(values)) for one in questions]
            await driver.execute("COMMIT")
        return [await cursor.fetchall() for cursor in cursors]
    except BaseException as error:
        # Whatever it was, nobody knows how far the connection got.
        await greenlet_spawn(connection.invalidate, error)
        raise
    finally:
        await greenlet_spawn(connection.close)


async def _rows(driver: Any, text: str, parameters: Any) -> Sequence[Any]:
    if isinstance(driver, psycopg.AsyncConnection):
        cursor = await driver.execute(text, parameters)
        return await cursor.fetchall()
    found: Sequence[Any] = await driver.execute_fetchall(text, parameters)
    return found
