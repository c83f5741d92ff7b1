"""How old a cursor may be, and what a new epoch does to every cursor."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text

from tests.support.backups import new_epochs
from tests.support.device import TestDevice, technicians_device, visit
from tests.support.house import House
from tests.support.migrate import connected
from tournee.engine.horizon import forget, raise_floor
from tournee.engine.tail import Tail
from tournee.kernel.conflict import RECORD_DELETED_MEANWHILE, Conflict
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Invalid, ResyncNeeded
from tournee.kernel.log import Edge, Head, Member, Record
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.position import read_position as decode
from tournee.sync.pull.position import write_position as encode


async def closed(house: House) -> tuple[int, int]:
    """Return the closed edges and ended memberships."""
    async with house.database.reading(house.organisation_id) as session:
        edges = select(func.count()).where(
            Edge.organisation_id == house.organisation_id, Edge.open.is_(False)
        )
        members = select(func.count()).where(
            Member.organisation_id == house.organisation_id, Member.to_seq.is_not(None)
        )
        return (await session.scalar(edges)) or 0, (await session.scalar(members)) or 0


async def test_a_cursor_before_the_horizon_resyncs_and_a_newer_one_continues(
    house: House, tail: Tail
) -> None:
    old, within = await technicians_device(house), TestDevice(house, "MANAGER", tail=tail)
    await old.pull()
    await house.run("createSkill", name="Lifts")
    horizon = now()
    await house.run("createSkill", name="Doors")
    await within.pull()
    floor = await raise_floor(house.database, house.organisation_id, horizon)
    assert old.cursor is not None
    assert old.cursor.seq < floor <= within.cursor.seq  # type: ignore[union-attr]
    with pytest.raises(ResyncNeeded):
        await old.feed.pull(old.actor, old.cursor)
    await house.run("createSkill", name="Boilers")
    assert len((await within.feed.pull(within.actor, within.cursor)).changes) == 1
    # The whole copy is pulled again.
    await old.pull()
    assert old.rows == await old.fresh()


async def test_the_floor_never_falls(house: House) -> None:
    await house.run("createSkill", name="Lifts")
    high = await raise_floor(house.database, house.organisation_id, now() + timedelta(hours=1))
    assert high > 0
    assert await raise_floor(house.database, house.organisation_id, now() - timedelta(days=9)) == high


async def test_closed_edges_and_memberships_are_purged_only_below_the_floor(house: House) -> None:
    device = await technicians_device(house)
    appointment, me = await visit(house, device)
    await device.pull()
    assert appointment in device.rows
    await house.run("unassignTechnician", appointmentId=appointment, technicianId=me)
    contact = await house.run(
        "createContact", customerId=(await house.run("createCustomer", name="X")).id, name="Y"
    )
    await house.run("deleteContact", contactId=contact.id)
    later = now() + timedelta(hours=1)
    before = await closed(house)
    assert min(before) > 0
    # Nothing is below the floor yet.
    assert await forget(house.database, house.organisation_id, later) == 0
    assert await closed(house) == before
    await device.pull()
    assert appointment not in device.rows
    await house.run("createSkill", name="Lifts")
    await raise_floor(house.database, house.organisation_id, later)
    assert await forget(house.database, house.organisation_id, later) == sum(before)
    assert await closed(house) == (0, 0)
    await device.pull()
    assert device.rows == await device.fresh()


OPEN_EDGES = """
INSERT INTO edge (organisation_id, scope, record_id, seq, open)
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)
SELECT organisation_id, scope, {id}, n, {is_open} FROM numbers
CROSS JOIN (SELECT organisation_id, scope FROM edge LIMIT 1) AS one
"""


async def test_closed_edges_are_found_among_many_open_ones_by_their_index(house: House) -> None:
    await house.run("createSkill", name="Lifts")
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if statement.startswith("DELETE FROM edge"):
            sent.append((statement, values))

    engine = house.database._writes.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await forget(house.database, house.organisation_id, now())
    finally:
        event.remove(engine, "before_cursor_execute", note)
    ((statement, values),) = sent
    own = (
        {"id": "lower(hex(randomblob(16)))", "is_open": "1"}
        if house.database.is_sqlite
        else {"id": "gen_random_uuid()", "is_open": "true"}
    )
    with connected(house.database.url) as connection:
        connection.execute(text(OPEN_EDGES.format(**own)))
        connection.execute(text("ANALYZE edge"))
        explain = "EXPLAIN QUERY PLAN" if house.database.is_sqlite else "EXPLAIN"
        plan = connection.exec_driver_sql(f"{explain} {statement}", values).all()
        connection.rollback()
    assert "ix_edge_closed" in str(plan)


async def document(house: House, id: UUID) -> str | None:
    async with house.reading() as session:
        return await session.scalar(select(Record.document).where(Record.id == id))


async def test_a_deleted_record_loses_its_document_only_below_the_floor(house: House) -> None:
    device, old = TestDevice(house, "MANAGER"), TestDevice(house, "MANAGER")
    kept = await house.run("createCustomer", name="Demo Bakery")
    of = {"customerId": kept.id}
    deleted = await house.run("createContact", name="Demo Porter", phone="first", **of)
    await old.pull()
    await house.run("deleteContact", contactId=deleted.id)
    later = now() + timedelta(hours=1)
    await forget(house.database, house.organisation_id, later)
    assert "Demo Porter" in (await document(house, deleted.id) or "")
    await house.run("createSkill", name="Lifts")
    await raise_floor(house.database, house.organisation_id, later)
    await forget(house.database, house.organisation_id, later)
    assert await document(house, deleted.id) == "{}"
    assert "Demo Bakery" in (await document(house, kept.id) or "")
    await device.pull()
    assert device.rows == await device.fresh()
    assert deleted.id not in device.rows
    # Its id stays taken, and a late edit still finds that it was deleted.
    with pytest.raises(Invalid):
        await house.run("createContact", id=deleted.id, name="Demo Cook", **of)
    outcome = await old.do("updateContact", contactId=deleted.id, phone="mine")
    assert outcome.status in ("merged", "superseded")
    (conflict,) = await house.rows(Conflict)
    assert (conflict.kind, conflict.mine) == (RECORD_DELETED_MEANWHILE, {"phone": "mine"})


async def test_after_a_restored_backup_every_cursor_resyncs_and_work_is_still_recognised(
    house: House, tail: Tail
) -> None:
    manager, known = TestDevice(house, "MANAGER", tail=tail), TestDevice(house, "MANAGER")
    operation = manager.operation("createCustomer", id=new_id(), name="Demo Bakery")
    assert [outcome.status for outcome in await manager.push(operation)] == ["applied"]
    await house.run("createCustomer", name="Demo Hotel")
    await manager.pull()
    await known.pull(limit=1, pages=1)
    assert known.cursor is not None
    assert known.cursor.snapshot
    assert await new_epochs(house.database) >= 1
    for device in (manager, known):
        with pytest.raises(ResyncNeeded):
            await device.feed.pull(device.actor, device.cursor)
    assert [outcome.status for outcome in await manager.push(operation)] == ["duplicate"]
    await manager.pull()
    assert manager.rows == await manager.fresh()


async def test_a_cursor_ahead_of_the_head_resyncs(house: House, tail: Tail) -> None:
    await house.run("createCustomer", name="Demo Bakery")
    async with house.database.reading(house.organisation_id) as session:
        own = select(Head.epoch, Head.seq).where(Head.organisation_id == house.organisation_id)
        epoch, seq = (await session.execute(own)).one()
    ahead = decode(encode(Cursor(epoch, seq + 1)))
    for device in (TestDevice(house, "MANAGER"), TestDevice(house, "MANAGER", tail=tail)):
        with pytest.raises(ResyncNeeded):
            await device.feed.pull(device.actor, ahead)


async def test_a_device_that_lost_its_cursor_after_the_first_page_ends_with_a_correct_copy(
    house: House,
) -> None:
    """It pulls without a cursor, so it must have dropped its copy: no removals are sent."""
    device = await technicians_device(house)
    appointment, me = await visit(house, device)
    await device.pull(limit=500, pages=1)
    assert appointment in device.rows
    await house.run("unassignTechnician", appointmentId=appointment, technicianId=me)
    device.cursor = None
    device.rows.clear()
    await device.pull(limit=2)
    assert appointment not in device.rows
    assert device.rows == await device.fresh()
