"""PostgreSQL enforces the border between organisations too: a query that forgets it finds nothing.

`engine/border.py` stops such queries on both databases, so these tests go straight to the driver.
SQLite has no policies.
"""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.support.house import House
from tests.support.postgres import ask_driver
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Base, new_id

TABLES = sorted(Base.metadata.tables.values(), key=lambda table: table.name)


@pytest.fixture
async def houses(database: Database) -> tuple[House, House]:
    if database.is_sqlite:
        pytest.skip("SQLite has no row-level security")
    ours, theirs = await House(database).found(), await House(database).found()
    for house in (ours, theirs):
        await house.run("createCustomer", name="Demo Bakery")
    return ours, theirs


async def found(session: AsyncSession, statement: str) -> list[Any]:
    return [value for (value,) in await (await ask_driver(session, statement)).fetchall()]


async def test_every_table_has_a_policy_that_binds_its_owner_too(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no row-level security")
    async with database.reading(ACROSS) as session:
        protected = await session.scalars(
            text(
                "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid"
                " WHERE relrowsecurity AND relforcerowsecurity ORDER BY relname"
            )
        )
        assert set(protected) == {table.name for table in TABLES}


async def test_the_tests_run_as_a_role_bound_by_policies(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no row-level security")
    assert not await database.passes_policies()
    everything = make_url(database.url).set(username="postgres").render_as_string(hide_password=False)
    powerful = Database(everything)
    assert await powerful.passes_policies()
    await powerful.close()


async def test_a_query_without_a_condition_finds_only_the_own_organisations_rows(
    houses: tuple[House, House],
) -> None:
    for house in houses:
        async with house.reading() as session:
            for table in TABLES:
                own = "id" if table.name == "organisation" else "organisation_id"
                shown = own if own in table.c else "*"
                seen = set(await found(session, f"SELECT {shown} FROM {table.name}"))
                # A table without organisations shows an organisation nothing.
                assert seen <= ({house.organisation_id} if own in table.c else set()), table.name
            assert await found(session, "SELECT id FROM organisation") == [house.organisation_id]


async def test_another_organisations_row_cannot_be_written_moved_or_deleted(
    houses: tuple[House, House],
) -> None:
    ours, theirs = houses
    foreign = theirs.organisation_id
    async with ours.writing() as session:
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            await ask_driver(
                session,
                "INSERT INTO organisation (id, name, created_at) VALUES (%s, 'Foreign', now())",
                new_id(),
            )
    async with ours.writing() as session:
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            await ask_driver(session, "UPDATE customer SET organisation_id = %s", foreign)
    async with ours.writing() as session:
        touched = await ask_driver(
            session, "UPDATE head SET seq = seq + 1 WHERE organisation_id = %s", foreign
        )
        removed = await ask_driver(session, "DELETE FROM customer WHERE organisation_id = %s", foreign)
        await session.commit()
    assert (touched.rowcount, removed.rowcount) == (0, 0)
    async with theirs.reading() as session:
        assert await found(session, "SELECT count(*) FROM customer") == [1]


async def test_a_connection_without_an_organisation_sees_nothing(
    houses: tuple[House, House],
) -> None:
    async with houses[0].database.connecting() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for table in TABLES:
            (count,) = await (await driver.execute(f"SELECT count(*) FROM {table.name}")).fetchone()
            assert count == 0, table.name


async def test_the_organisation_ends_with_its_transaction(houses: tuple[House, House]) -> None:
    """Transactions of two organisations share connections and see only their own head."""
    ours, theirs = houses
    heads = "SELECT organisation_id FROM head"
    for _ in range(12):
        for house in (ours, theirs):
            async with house.reading() as session:
                assert await found(session, heads) == [house.organisation_id]
            async with house.writing() as session:
                assert await found(session, heads) == [house.organisation_id]
                await session.commit()
                assert await found(session, heads) == [house.organisation_id]
