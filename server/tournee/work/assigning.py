"""Assign technicians to an appointment and take them off. The caller has locked the appointment."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.transaction import Transaction
from tournee.work.models import Appointment, Assignment


async def assignments_of(tx: Transaction, appointment: Appointment) -> Sequence[Assignment]:
    """Return all assignments, including those that ended."""
    return await tx.all(
        select(Assignment).where(Assignment.appointment_id == appointment.id).order_by(Assignment.id)
    )


async def put_on(
    tx: Transaction, appointment: Appointment, technician_id: UUID, *, lead: bool, alone: bool = False
) -> Assignment:
    """Assign a technician, again if need be; `alone`, in place of all others. There is one lead: the first to
    come, until another leads.
    """
    assignments = await assignments_of(tx, appointment)
    colleagues = [a for a in assignments if a.active and a.technician_id != technician_id]
    if alone:
        for colleague in colleagues:
            colleague.active = colleague.lead = False
    lead = lead or not any(colleague.lead for colleague in colleagues)
    if lead:
        for colleague in colleagues:
            colleague.lead = False
    for assignment in assignments:
        if assignment.technician_id == technician_id:
            assignment.active = True
            assignment.lead = lead
            return assignment
    return await tx.add(
        Assignment(
            appointment_id=appointment.id,
            technician_id=technician_id,
            lead=lead,
            active=True,
            until=appointment.until,
        )
    )


async def take_off(tx: Transaction, appointment: Appointment, technician_id: UUID) -> list[Assignment]:
    """End an assignment, if there is one; the next technician leads. Return who remains."""
    remaining = []
    for assignment in await assignments_of(tx, appointment):
        if assignment.technician_id == technician_id:
            assignment.active = assignment.lead = False
        elif assignment.active:
            remaining.append(assignment)
    if remaining and not any(assignment.lead for assignment in remaining):
        remaining[0].lead = True
    return remaining
