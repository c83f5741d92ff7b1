"""Decisions about a visit that the plan did not foresee."""

from __future__ import annotations

from typing import Any

from tournee.conflicts.deciding import ResolveConflict, Situation, against_record, perform
from tournee.kernel.command import Command
from tournee.kernel.errors import Invalid
from tournee.kernel.transaction import Transaction
from tournee.procedures.commands import reopen_checklist_run
from tournee.procedures.models import ChecklistRun
from tournee.work import crews
from tournee.work.commands import (
    assign_technician,
    cancel_appointment,
    reassign_appointment,
    recall_appointment,
    reopen_appointment,
    unschedule_appointment,
)
from tournee.work.guards import against_reopening_by
from tournee.work.models import Appointment
from tournee.work.states import APPOINTMENT, FINISHED, OVER, AppointmentStatus

_BACK: dict[AppointmentStatus, Command[Any, Any]] = {
    AppointmentStatus.CANCELED: cancel_appointment,
    AppointmentStatus.SCHEDULED: recall_appointment,
    AppointmentStatus.NONE: unschedule_appointment,
}


def _visit(situation: Situation) -> Appointment:
    assert isinstance(situation.row, Appointment)
    return situation.row


def against_the_plan(situation: Situation) -> list[str]:
    """Return why the plan cannot stand: the visit has gone beyond it."""
    if found := against_record(situation):
        return found
    visit, to = _visit(situation), AppointmentStatus(situation.conflict.theirs["status"])
    if visit.status is to or to not in _BACK or APPOINTMENT.can(visit.status, to):
        return []
    return [f"The visit is {visit.status}; it cannot become {to} any more."]


async def keep_the_plan(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    visit, theirs = _visit(situation), situation.conflict.theirs
    to = AppointmentStatus(theirs["status"])
    if visit.status is to or to not in _BACK:
        return
    reason = do.note or theirs.get("cancelReason") or "As planned."
    said = {"reason": reason} if to is AppointmentStatus.CANCELED else {}
    await perform(tx, _BACK[to], appointmentId=visit.id, **said)


async def keep_the_crew(_tx: Transaction, _situation: Situation, _do: ResolveConflict) -> None:
    """Keep the present crew; the visit that was made still counts."""


def against_giving_it_back(situation: Situation) -> list[str]:
    if found := against_record(situation):
        return found
    return (
        []
        if situation.conflict.mine.get("technicianId")
        else ["No technician of this organisation made this visit."]
    )


async def give_it_back(tx: Transaction, situation: Situation, _do: ResolveConflict) -> None:
    """Let whoever made the visit lead it again; a finished visit needs nobody."""
    visit = _visit(situation)
    if visit.status not in OVER:
        technician = situation.conflict.mine["technicianId"]
        await perform(tx, assign_technician, appointmentId=visit.id, technicianId=technician, lead=True)


def against_reassigning(situation: Situation) -> list[str]:
    if found := against_record(situation):
        return found
    return crews.against_reassigning(_visit(situation))


async def reassign(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    visit = _visit(situation)
    await perform(tx, reassign_appointment, appointmentId=visit.id, technicianId=do.technician_id)


def against_reopening(situation: Situation) -> list[str]:
    row = situation.row
    if found := against_record(situation):
        return found
    if isinstance(row, ChecklistRun):
        return row.against_reopening()
    if not isinstance(row, Appointment):
        return ["This cannot be reopened; follow it up instead."]
    reasons = [] if row.status in FINISHED else [f"The visit is {row.status}, not finished."]
    return reasons + against_reopening_by(situation.actor)


async def reopen(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    if not (do.note or "").strip():
        raise Invalid("Say why.", "note")
    if isinstance(situation.row, ChecklistRun):
        await perform(tx, reopen_checklist_run, runId=situation.row.id, reason=(do.note or "")[:1000])
    else:
        await perform(tx, reopen_appointment, appointmentId=_visit(situation).id, reason=do.note)
