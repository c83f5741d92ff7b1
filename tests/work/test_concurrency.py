"""Several people at once, on PostgreSQL only: SQLite has one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from tests.support.world import Technician, World, at
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer
from tournee.kernel.transaction import Operation, Transaction
from tournee.work import recording
from tournee.work.models import Appointment, WorkOrder
from tournee.work.states import AppointmentStatus as A
from tournee.work.states import WorkOrderStatus as W


@pytest.fixture(autouse=True)
def _on_postgresql(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer")


async def two_visits_in_work(world: World) -> tuple[list[Technician], list[Appointment]]:
    order = await world.order()
    technicians = [await world.technician(), await world.technician()]
    visits = [await world.visit(technician, order=order) for technician in technicians]
    for technician, visit in zip(technicians, visits, strict=True):
        await world.house.run("startWork", technician.actor, appointmentId=visit.id, at=at(0))
    return technicians, visits


async def test_two_visits_that_end_at_once_complete_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both change their visit before either reads the other's; only the order's lock connects them."""
    technicians, visits = await two_visits_in_work(world)
    both = asyncio.Barrier(2)
    follow = recording.follow

    async def together(tx: Any, appointment: Appointment, before: A) -> None:
        await tx.session.flush()
        await both.wait()
        await follow(tx, appointment, before)

    monkeypatch.setattr("tournee.work.facts.follow", together)
    await asyncio.gather(
        *(
            world.house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(60))
            for technician, visit in zip(technicians, visits, strict=True)
        )
    )
    assert (await world.read(WorkOrder, visits[0].work_order_id)).status is W.COMPLETED


async def test_canceling_an_order_while_its_visits_move_leaves_a_consistent_plan(world: World) -> None:
    for _ in range(5):
        order = await world.order()
        technicians = [await world.technician(), await world.technician()]
        visits = [await world.visit(technician, order=order) for technician in technicians]
        await asyncio.gather(
            world.house.run("cancelWorkOrder", workOrderId=order.id, reason="Demo"),
            *(
                world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))
                for technician, visit in zip(technicians, visits, strict=True)
            ),
            return_exceptions=True,
        )
        assert (await world.read(WorkOrder, order.id)).status is W.CANCELED
        assert {(await world.read(Appointment, visit.id)).status for visit in visits} == {A.CANCELED}


async def test_orders_created_at_once_get_different_numbers(world: World) -> None:
    orders = await asyncio.gather(*(world.order() for _ in range(12)))
    numbers = sorted(int(order.number.removeprefix("WO-")) for order in orders)
    assert numbers == list(range(1001, 1013))


async def test_an_uncommitted_order_delays_no_other(world: World) -> None:
    """A large import or push creates its first order long before its commit."""
    house, create = world.house, COMMANDS["createWorkOrder"]
    async with house.writing() as session:
        tx = Transaction(house.database, session, house.actor("DISPATCHER"), house.kernel.rules)
        do = create.parse({"customerId": str(world.customer.id), "summary": "Demo leak"})
        early = await create.run(tx, do, Operation(create.name, at(0)))
        await tx.flush()
        elsewhere = await World(house).settle()
        other = await asyncio.wait_for(elsewhere.order(), 10)
        await tx.commit()
    assert (other.number, early.number) == ("WO-1001", "WO-1002")
    for order in (other, early):
        (change,) = await house.changes(order.id)
        assert orjson.loads(change.after or "")["number"] == order.number
        assert (await world.read(WorkOrder, order.id)).number == order.number


async def test_a_visit_assigned_by_two_dispatchers_at_once_has_one_lead_technician(world: World) -> None:
    visit = await world.visit(await world.technician())
    rivals = [await world.technician(), await world.technician()]
    await asyncio.gather(
        *(
            world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=rival.id)
            for rival in rivals
        )
    )
    from tournee.work.models import Assignment

    active = [row for row in await world.house.rows(Assignment, appointment_id=visit.id) if row.active]
    assert len(active) == 1
    assert active[0].lead


def retries(logs: Sequence[Mapping[str, Any]]) -> int:
    return sum(entry["event"] == "transaction_retried" for entry in logs)


async def test_many_reassignments_to_the_same_two_technicians_cause_no_deadlock(world: World) -> None:
    """Each assignment refers to a technician that another transaction has read."""
    technicians = [await world.technician(), await world.technician()]
    visits = [await world.visit(technicians[number % 2]) for number in range(6)]
    with capture_logs() as logs:
        for turn in range(3):
            await asyncio.gather(
                *(
                    world.house.run(
                        "reassignAppointment",
                        appointmentId=visit.id,
                        technicianId=technicians[(number + turn + 1) % 2].id,
                    )
                    for number, visit in enumerate(visits)
                )
            )
    assert retries(logs) == 0


async def test_two_orders_of_one_customer_do_not_wait_for_each_other(world: World) -> None:
    house, create = world.house, COMMANDS["createWorkOrder"]
    values = {"customerId": str(world.customer.id), "siteId": str(world.site.id), "summary": "Demo leak"}
    async with house.writing() as session:
        tx = Transaction(house.database, session, house.actor("DISPATCHER"), house.kernel.rules)
        await create.run(tx, create.parse(values), Operation(create.name, at(0)))
        await tx.flush()
        await asyncio.wait_for(world.order(), 5)
        await tx.commit()
    assert len(await world.house.rows(WorkOrder)) == 2


async def test_a_contact_is_not_deleted_while_an_uncommitted_order_names_it(world: World) -> None:
    house, create = world.house, COMMANDS["createWorkOrder"]
    contact = await house.run("createContact", customerId=world.customer.id, name="Demo Porter")
    values = {"customerId": str(world.customer.id), "contactId": str(contact.id), "summary": "Demo leak"}
    async with house.writing() as session:
        tx = Transaction(house.database, session, house.actor("DISPATCHER"), house.kernel.rules)
        await create.run(tx, create.parse(values), Operation(create.name, at(0)))
        deletion = asyncio.create_task(house.run("deleteContact", contactId=contact.id))
        done, _ = await asyncio.wait([deletion], timeout=0.3)
        await tx.commit()
    assert not done
    await deletion


async def test_a_row_first_read_as_a_reference_is_locked_before_it_changes(world: World) -> None:
    """A row read only as a reference does not block other references to it."""
    house = world.house
    async with house.writing() as session:
        tx = Transaction(house.database, session, house.actor("DISPATCHER"), house.kernel.rules)
        async with tx.running(Operation("createWorkOrder", at(0))):
            await tx.find_reference(Customer, world.customer.id)
            await asyncio.wait_for(world.order(), 5)
            await tx.find(Customer, world.customer.id)
            late = asyncio.create_task(world.order())
            done, _ = await asyncio.wait([late], timeout=0.3)
    assert not done
    await late
