"""Migration 0022 moves what lay with a technician for ever into periods, and devices learn of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.support import migrate
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.migrate import connected
from tests.support.years import Past
from tournee.auth.models import Account
from tournee.catalogue import ENTITIES, MEMBERSHIPS
from tournee.engine.notes import scopes_of
from tournee.engine.tail import Tail
from tournee.kernel.log import Change, Edge, Head, Member

BEFORE = "0021"


async def left(house: House) -> Past:
    past = await Past(house).begin()
    for days in (2, 60, 400):
        await past.record(days)
        await past.shift(days)
        await past.absence(days)
        await past.stock(days)
        await past.audit(days)
        await past.audit(days, leadAuditorId=past.actor.id, technicianId=None)
    await past.audit(300, canceled=False)
    return past


async def scopes(house: House) -> tuple[set[Any], set[Any]]:
    """Return the open edges, and the memberships that are held."""
    async with house.reading() as session:
        edges = await session.execute(select(Edge.record_id, Edge.scope).where(Edge.open.is_(True)))
        members = await session.execute(
            select(Member.account_id, Member.scope).where(Member.to_seq.is_(None))
        )
        return {tuple(row) for row in edges}, {tuple(row) for row in members}


async def as_the_rules_say(house: House) -> tuple[set[Any], set[Any]]:
    edges = {
        (row.id, scope)
        for model in ENTITIES.values()
        for row in await house.rows(model)
        for scope in scopes_of(row)
    }
    async with house.reading() as session:
        everybody = await session.scalars(select(Account.id))
        return edges, set(await MEMBERSHIPS.held_by(session, everybody))


@pytest.mark.slow("It migrates down and up.")
async def test_devices_with_cursors_converge_when_records_move_into_periods(house: House, tail: Tail) -> None:
    past = await left(house)
    expected = await TestDevice(house, actor=past.actor).fresh()
    # One of the two is answered from what a server remembers that runs meanwhile.
    devices = [TestDevice(house, actor=past.actor, tail=own) for own in (tail, None)]
    office = TestDevice(house, "MANAGER", tail=tail)
    for device in devices:
        await device.pull()
    await office.pull()
    whole = dict(office.rows)
    migrate.downgrade(house.database.url, BEFORE)
    for device in devices:
        await device.pull(limit=7)
        assert len(device.rows) > len(expected) + 10
        assert device.rows == await device.fresh()
    migrate.upgrade(house.database.url)
    assert await scopes(house) == await as_the_rules_say(house)
    for device in (*devices, office):
        await device.pull(limit=7)
    assert [device.rows == expected for device in devices] == [True, True]
    assert office.rows == whole
    await past.record(1)
    for device in devices:
        await device.pull()
        assert device.rows == await device.fresh()


@pytest.mark.slow("It migrates down and up twice.")
async def test_moving_what_has_moved_changes_nothing(house: House) -> None:
    await left(house)
    migrate.downgrade(house.database.url, BEFORE)
    migrate.upgrade(house.database.url)
    with connected(house.database.url) as connection:
        own = Change.organisation_id == house.organisation_id
        numbers = list(connection.scalars(select(Change.seq).where(own).order_by(Change.seq)))
        assert numbers == list(range(1, len(numbers) + 1)), "The log has no gap."
        head = connection.scalar(select(Head.seq).where(Head.organisation_id == house.organisation_id))
        assert head == len(numbers)
        # As if the migration had been interrupted at its very end.
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{BEFORE}'")
    migrate.upgrade(house.database.url)
    assert await house.seq() == head
    assert await scopes(house) == await as_the_rules_say(house)
