"""PostgreSQL repeats the border between organisations: a query that forgets it still finds nothing.

SQLite has no policies; there the predicate of `kernel/visibility.py` is the only border.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, insert, make_url, select, text
from sqlalchemy.exc import ProgrammingError

from tests.house import House
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Base, Organisation, new_id, now
from tournee.kernel.log import Head

TABLES = sorted(Base.metadata.tables.values(), key=lambda table: table.name)


@pytest.fixture
async def houses(database: Database) -> tuple[House, House]:
    if database.is_sqlite:
        pytest.skip("SQLite has no row-level security")
    ours, theirs = await House(database).found(), await House(database).found()
    for house in (ours, theirs):
        await house.run("createCustomer", name="Demo Bakery")
    return ours, theirs


async def count(house: House, table: Any) -> int:
    async with house.reading() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_every_table_has_the_policy_and_its_owner_is_held_to_it(database: Database) -> None:
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


async def test_the_tests_do_not_run_as_somebody_whom_policies_do_not_hold(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no row-level security")
    assert not await database.passes_policies()
    everything = make_url(database.url).set(username="postgres").render_as_string(hide_password=False)
    powerful = Database(everything)
    assert await powerful.passes_policies()
    await powerful.close()


async def test_a_query_without_any_condition_finds_only_the_own_rows(houses: tuple[House, House]) -> None:
    for house in houses:
        async with house.reading() as session:
            for table in TABLES:
                own = table.c.id if table.name == "organisation" else table.c.organisation_id
                found = set(await session.scalars(select(own)))
                assert found <= {house.organisation_id}, table.name
            assert set(await session.scalars(select(Organisation.id))) == {house.organisation_id}


async def test_a_row_of_another_organisation_cannot_be_written_moved_or_removed(
    houses: tuple[House, House],
) -> None:
    ours, theirs = houses
    foreign = {"organisation_id": theirs.organisation_id}
    async with ours.writing() as session:
        with pytest.raises(ProgrammingError, match="row-level security"):
            await session.execute(
                insert(Organisation.__table__).values(id=new_id(), name="Foreign", created_at=now())
            )
    async with ours.writing() as session:
        with pytest.raises(ProgrammingError, match="row-level security"):
            await session.execute(text("UPDATE customer SET organisation_id = :organisation_id"), foreign)
    async with ours.writing() as session:
        touched: Any = await session.execute(
            text("UPDATE head SET seq = seq + 1 WHERE organisation_id = :organisation_id"), foreign
        )
        removed: Any = await session.execute(
            text("DELETE FROM customer WHERE organisation_id = :organisation_id"), foreign
        )
        await session.commit()
    assert (touched.rowcount, removed.rowcount) == (0, 0)
    assert await count(theirs, Base.metadata.tables["customer"]) == 1


async def test_a_connection_that_nobody_told_an_organisation_sees_nothing(
    houses: tuple[House, House],
) -> None:
    database = houses[0].database
    async with database.connecting() as connection:
        for table in TABLES:
            assert await connection.scalar(select(func.count()).select_from(table)) == 0, table.name


async def test_the_organisation_does_not_outlive_its_transaction(houses: tuple[House, House]) -> None:
    """Connections are shared; many transactions of two organisations in turn see their own head only."""
    ours, theirs = houses
    for _ in range(12):
        for house in (ours, theirs):
            async with house.reading() as session:
                assert list(await session.scalars(select(Head.organisation_id))) == [house.organisation_id]
            async with house.writing() as session:
                assert list(await session.scalars(select(Head.organisation_id))) == [house.organisation_id]
                await session.commit()
                assert list(await session.scalars(select(Head.organisation_id))) == [house.organisation_id]
