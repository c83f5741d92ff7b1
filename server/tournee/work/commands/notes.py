"""Commands that record notes and time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import func, select

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Forbidden, Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.registry import Plain
from tournee.kernel.transaction import Transaction
from tournee.people.models import Technician
from tournee.work.facts import technician_of
from tournee.work.models import Appointment, Note, TimeEntry, TimeKind, WorkOrder
from tournee.work.permissions import WORK_PLAN, WORK_WRITE


@dataclass(frozen=True)
class AddNote:
    text: str
    work_order_id: UUID | None = None
    appointment_id: UUID | None = None
    internal: bool = False
    at: datetime | Unset = UNSET
    """When it was written, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(WORK_WRITE, offline=True, fact=True, plain=Plain.CREATE)
async def add_note(tx: Transaction, actor: Actor, do: AddNote) -> Note:
    """Add a note to a work order or an appointment."""
    await tx.find_optional(WorkOrder, do.work_order_id, "workOrderId")
    await tx.find_optional(Appointment, do.appointment_id, "appointmentId")
    values = {name: value for name, value in vars(do).items() if value is not UNSET and name != "at"}
    at = tx.current.occurred_at if do.at is UNSET else do.at
    return await tx.add(Note(**values, author_id=actor.id, occurred_at=at))


@dataclass(frozen=True)
class RecordTimeEntry:
    kind: TimeKind
    starts_at: datetime
    ends_at: datetime
    technician_id: UUID | None = None
    """Whose time it was; null for the technician who records it."""
    appointment_id: UUID | None = None
    work_order_id: UUID | None = None
    corrects_id: UUID | None = None
    note: Annotated[str | None, Limits(length=2000)] = None
    id: UUID | Unset = UNSET


@command(WORK_WRITE, offline=True, fact=True, plain=Plain.CREATE)
async def record_time_entry(tx: Transaction, actor: Actor, do: RecordTimeEntry) -> TimeEntry:
    """Record time spent. Another entry that names it corrects a mistake."""
    technician_id = await _whose_time(tx, actor, do.technician_id)
    await tx.find_optional(Appointment, do.appointment_id, "appointmentId")
    await tx.find_optional(WorkOrder, do.work_order_id, "workOrderId")
    corrected = await tx.find_optional(TimeEntry, do.corrects_id, "correctsId")
    if corrected is not None and corrected.technician_id != technician_id:
        raise Invalid("That entry belongs to another technician.", "correctsId")
    values = {name: value for name, value in vars(do).items() if value is not UNSET}
    values["technician_id"] = technician_id
    overlaps = await _overlaps(tx, technician_id, do)
    return await tx.add(TimeEntry(**values, overlaps=overlaps, account_id=actor.id))


async def _whose_time(tx: Transaction, actor: Actor, named: UUID | None) -> UUID:
    """Return the technician: the actor's own, or anybody for those who plan."""
    own = await technician_of(tx, actor)
    if own is not None and named in (own, None):
        return own
    if named is None:
        raise Invalid("Say whose time this is.", "technicianId")
    if not actor.may(WORK_PLAN):
        raise Forbidden("Only the technician who spent the time, or the office, may record it.")
    return (await tx.find_reference(Technician, named, "technicianId")).id


async def _overlaps(tx: Transaction, technician_id: UUID, do: RecordTimeEntry) -> bool:
    """Return whether another valid entry covers part of the same time."""
    corrected = select(TimeEntry.corrects_id).where(
        TimeEntry.technician_id == technician_id,
        TimeEntry.corrects_id.is_not(None),
    )
    found = await tx.session.scalar(
        select(func.count())
        .select_from(TimeEntry)
        .where(
            TimeEntry.technician_id == technician_id,
            TimeEntry.starts_at < do.ends_at,
            TimeEntry.ends_at > do.starts_at,
            TimeEntry.id.not_in(corrected),
            TimeEntry.id != do.corrects_id if do.corrects_id else TimeEntry.id.is_not(None),
        )
    )
    return bool(found)
