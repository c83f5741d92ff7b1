"""Existing records move into periods (0022) and learn until when they count (0026)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import select

from tests.support import migrate
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.migrate import connected
from tests.support.world import World
from tests.support.years import Past, received
from tournee.auth.models import Account
from tournee.catalogue import ENTITIES, MEMBERSHIPS
from tournee.engine.notes import scopes_of
from tournee.engine.tail import Tail
from tournee.kernel.entity import ALWAYS, now
from tournee.kernel.log import Change, Edge, Member, Record
from tournee.work.models import Assignment

_SCRIPTS = ScriptDirectory.from_config(migrate.configuration(""))


def carry_out(house: House, revision: str, *steps: str) -> None:
    """Carry out `downgrade` or `upgrade` of this revision alone: the code of today needs all others."""
    script = _SCRIPTS.get_revision(revision)
    assert script is not None
    for step in steps:
        with (
            connected(house.database.url) as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            getattr(script.module, step)()


async def left(house: House) -> Past:
    past = await Past(house).begin()
    for days in (400, 60, 2):
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


@pytest.mark.slow("It moves the records of years twice.")
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
    carry_out(house, "0022", "downgrade")
    for device in devices:
        await device.pull(limit=7)
        assert len(device.rows) > len(expected) + 10
        assert device.rows == await device.fresh()
    carry_out(house, "0022", "upgrade")
    assert await scopes(house) == await as_the_rules_say(house)
    for device in (*devices, office):
        await device.pull(limit=7)
    assert [device.rows == expected for device in devices] == [True, True]
    assert office.rows == whole
    await past.record(1)
    for device in devices:
        await device.pull()
        assert device.rows == await device.fresh()


@pytest.mark.slow("It moves the records of years three times.")
@pytest.mark.prove_on("postgresql", "It moves the records of years three times.")
async def test_moving_what_has_moved_changes_nothing(house: House) -> None:
    await left(house)
    carry_out(house, "0022", "downgrade", "upgrade")
    with connected(house.database.url) as connection:
        own = Change.organisation_id == house.organisation_id
        numbers = list(connection.scalars(select(Change.seq).where(own).order_by(Change.seq)))
        assert numbers == list(range(1, len(numbers) + 1)), "The log has no gap."
    head = await house.seq()
    assert head == len(numbers)
    # As if it had been interrupted at its very end.
    carry_out(house, "0022", "upgrade")
    assert await house.seq() == head
    assert await scopes(house) == await as_the_rules_say(house)


@pytest.mark.slow("It adds the column again.")
@pytest.mark.prove_on("postgresql", "It adds the column again on the other database.")
async def test_existing_records_count_as_long_as_new_ones(house: House) -> None:
    past = await left(house)
    world = await World(house).settle()
    technician = await world.technician()
    begins = now() - timedelta(days=500)
    with received(begins):
        open_one = await world.visit(technician, startsAt=begins, endsAt=begins + timedelta(hours=1))
        over = await world.visit(technician, startsAt=begins, endsAt=begins + timedelta(hours=1))
    with received(now() - timedelta(days=100)):
        for command in ("startWork", "completeAppointment"):
            await house.run(command, technician.actor, appointmentId=over.id, at=begins)
    planned = await past.shift(-20)

    async def until() -> dict[UUID, datetime]:
        async with house.reading() as session:
            return dict(iter(await session.execute(select(Record.id, Record.until))))

    before = await until()
    carry_out(house, "0026", "downgrade", "upgrade")
    after = await until()
    for model in ENTITIES.values():
        for row in await house.rows(model):
            assert abs(before[row.id] - after[row.id]) < timedelta(hours=1), (model, before[row.id])
    assigned = {row.appointment_id: after[row.id] for row in await house.rows(Assignment)}
    assert assigned[open_one.id] == after[open_one.id] == ALWAYS
    assert now() - timedelta(days=101) < assigned[over.id] == after[over.id] < now() - timedelta(days=99)
    assert after[planned] > now() + timedelta(days=19)
