"""When a query is read from the replica, and when from the primary: here one database opened twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from tests.support.house import House
from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.engine.replica import Replica
from tournee.kernel.log import Head
from tournee.kernel.outages import DatabaseAway


@dataclass
class Heard:
    """Notices as a test gives them."""

    connection: int = 1
    seqs: dict[UUID, int] = field(default_factory=dict)

    def newest(self, organisation_id: UUID) -> int:
        return self.seqs.get(organisation_id, 0)


@dataclass
class Place:
    house: House
    copy: Database
    replica: Replica
    heard: Heard

    async def is_read_from_copy(self) -> bool:
        async with self.replica.reading(self.house.organisation_id) as session:
            return self.holds_copy(session)

    def holds_copy(self, session: AsyncSession) -> bool:
        return session.get_bind().pool is self.copy.engine.pool  # type: ignore[union-attr]

    async def seq(self) -> int:
        async with self.house.kernel.database.reading(self.house.organisation_id) as session:
            return int((await session.scalars(select(Head.seq))).one())


@pytest_asyncio.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    house = await House(database).found()
    await house.run("createCustomer", name="Demo")
    copy, heads, heard = Database(database.url), Heads(database), Heard()
    yield Place(house, copy, Replica(database, copy, heads, heard), heard)
    await heads.close()
    await copy.close()


async def test_a_replica_is_read_if_it_shows_every_commit_heard_of(place: Place) -> None:
    assert await place.is_read_from_copy()
    place.heard.seqs[place.house.organisation_id] = await place.seq() + 1
    assert not await place.is_read_from_copy()
    await place.house.run("createCustomer", name="Demo")
    assert await place.is_read_from_copy()


async def test_no_replica_is_read_while_notices_do_not_arrive(place: Place) -> None:
    place.heard.connection = 0
    assert not await place.is_read_from_copy()
    # Nothing is known of what was committed in between, so the primary is asked anew.
    place.heard.connection = 2
    assert await place.is_read_from_copy()


async def test_a_replica_that_goes_away_is_left_out_for_a_while(place: Place) -> None:
    with pytest.raises(DatabaseAway):
        async with place.replica.reading(place.house.organisation_id):
            raise OperationalError("SELECT", None, psycopg.OperationalError("the connection is lost"))
    assert not await place.is_read_from_copy()


async def test_an_error_of_a_query_is_no_fault_of_the_replica(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        async with place.replica.reading(place.house.organisation_id):
            raise ZeroDivisionError
    assert await place.is_read_from_copy()
