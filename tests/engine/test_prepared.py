"""A prepared statement is completed and compiled once, and serves every organisation by itself."""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import select, union_all

from tests.support.house import House
from tournee.auth.roles import Role
from tournee.customers.models import Customer
from tournee.engine.database import Database
from tournee.engine.prepared import one_of, prepared

NAMED = select(Customer.name).where(one_of(Customer.id, "ids"))
TWICE = prepared(union_all(NAMED, NAMED))


async def _house(database: Database, *ids: UUID) -> House:
    house = await House(database).found()
    for id in ids:
        await house.run("createCustomer", Role.DISPATCHER, id=id, name=f"Demo {house.organisation_id}")
    return house


async def _names(house: House, *ids: UUID) -> list[str]:
    async with house.kernel.database.reading(house.organisation_id) as session:
        return [row.name for row in await session.execute(TWICE, {"ids": list(ids)})]


async def test_a_prepared_statement_shows_each_organisation_its_own_rows(database: Database) -> None:
    shared, own = uuid4(), uuid4()
    ours, theirs = await _house(database, shared, own), await _house(database, shared)
    for house, count in ((ours, 4), (theirs, 2), (ours, 4)):
        assert await _names(house, shared, own) == [f"Demo {house.organisation_id}"] * count
    assert await _names(ours, own) == [f"Demo {ours.organisation_id}"] * 2
    assert await _names(ours) == []
    assert len(await _names(ours, *(uuid4() for _ in range(40_000)), own)) == 2
