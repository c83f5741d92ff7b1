"""A technician's step, when the plan may have changed meanwhile.

What happened is never refused because of what the office decided while the device was away. The event is
kept, the appointment follows the facts, and one conflict for each visit asks a dispatcher.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.conflict import Conflict, ConflictKind, ConflictStatus, Resolution
from tournee.kernel.errors import NotFound
from tournee.kernel.head import was_lost
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import present, wire_value
from tournee.people.models import Technician
from tournee.work.crews import CrewMember, crews_of
from tournee.work.models import AcceptedAs, Appointment
from tournee.work.recording import Step, follow, moments_of, record_field_step
from tournee.work.states import APPOINTMENT, FINISHED, OVER, AppointmentStatus, refuse
from tournee.work.timing import Moment

_S = AppointmentStatus

# The progress of a visit, to find whether a colleague has already reached a status.
_PROGRESS = {
    _S.ACCEPTED: 1,
    _S.EN_ROUTE: 2,
    _S.ON_SITE: 3,
    _S.IN_PROGRESS: 4,
    _S.PAUSED: 4,
    **dict.fromkeys(FINISHED, 5),
}
# Answers to a plan. If that plan is gone they change nothing, and nobody has to decide.
_ANSWERS = frozenset({_S.ACCEPTED, _S.SCHEDULED})
_DECISIONS = (
    Resolution.KEEP_THEIRS,
    Resolution.TAKE_MINE,
    Resolution.REOPEN,
    Resolution.REASSIGN,
    Resolution.FOLLOW_UP,
    Resolution.ACKNOWLEDGED,
)
VISIT_ON_CANCELED_APPOINTMENT = ConflictKind(
    "VISIT_ON_CANCELED_APPOINTMENT", "The technician made a visit that had been called off.", *_DECISIONS
)
VISIT_ON_REASSIGNED_APPOINTMENT = ConflictKind(
    "VISIT_ON_REASSIGNED_APPOINTMENT",
    "The technician made a visit that another technician has now.",
    *_DECISIONS,
)
VISIT_OUT_OF_STEP = ConflictKind(
    "VISIT_OUT_OF_STEP", "The technician made a visit that the plan did not foresee then.", *_DECISIONS
)
_VISIT_KINDS = (
    VISIT_ON_CANCELED_APPOINTMENT,
    VISIT_ON_REASSIGNED_APPOINTMENT,
    VISIT_OUT_OF_STEP,
)


class Ruling(Enum):
    """What a step is: legal by the table of states, a repetition of a colleague's, or a bare fact."""

    STEP = "step"
    JOIN = "join"
    FACT = "fact"


async def technician_of(tx: Transaction, actor: Actor) -> UUID | None:
    """Return the technician who signs in with this account."""
    return await tx.session.scalar(
        select(Technician.id).where(
            Technician.account_id == actor.id,
            Technician.deleted.is_(False),
        )
    )


async def _whose(tx: Transaction, actor: Actor, crew: Sequence[CrewMember]) -> tuple[UUID | None, bool]:
    """Return whose step it is, and whether they are still assigned. The office reports for the lead."""
    for member in crew:
        if member.account_id == actor.id:
            return member.technician_id, True
    if actor.sees_all:
        return (crew[0].technician_id if crew else None), True
    return await technician_of(tx, actor), False


def _joins(
    status: _S, to: _S, own: UUID | None, crew: Sequence[CrewMember], history: Sequence[Moment]
) -> bool:
    """Return whether a colleague on the same visit took this step before: then it only counts for this
    technician.
    """
    reached = _PROGRESS.get(to, 0)
    if not reached or reached > _PROGRESS.get(status, 0) or (status in OVER and len(crew) < 2):
        return False
    steps = [moment for moment in history if moment.technician_id is not None]
    if not any(moment.technician_id != own and _PROGRESS.get(moment.to, 0) >= reached for moment in steps):
        return False
    mine = [moment.to for moment in steps if moment.technician_id == own]
    return not mine or (mine[-1] is not to and _PROGRESS.get(mine[-1], 0) <= reached)


def _judge(status: _S, to: _S, *, allowed: bool, assigned: bool, joins: bool, changed: bool) -> Ruling:
    if assigned and allowed:
        return Ruling.STEP
    if assigned and joins:
        return Ruling.JOIN
    if assigned and not changed:
        refuse(APPOINTMENT, status, to)
    return Ruling.FACT


async def take_step(
    tx: Transaction,
    actor: Actor,
    appointment: Appointment,
    step: Step,
    only_from: Collection[_S] = frozenset(_S),
) -> UUID | None:
    """Record a step of a visit; return whose step it was."""
    crew = (await crews_of(tx.session, [appointment]))[appointment.id]
    own, assigned = await _whose(tx, actor, crew)
    if not assigned and tx.current.base is None:
        raise NotFound("There is no such Appointment.", "appointmentId")
    history = await moments_of(tx, appointment)
    before = appointment.status
    joins = _joins(before, step.to, own, crew, history)
    allowed = before in only_from and APPOINTMENT.can(before, step.to)
    changed = "status" in await tx.changed_since_base(appointment)
    if not (changed or allowed or joins):
        base = tx.current.base
        changed = tx.current.base_unknown or await was_lost(tx.session, base)
    ruling = _judge(before, step.to, allowed=allowed, assigned=assigned, joins=joins, changed=changed)
    step = Step(**{**vars(step), "technician_id": own})
    if ruling is Ruling.STEP or (ruling is Ruling.FACT and _follows_fact(before, step.to)):
        appointment.status = step.to
    accepted_as = AcceptedAs.FACT if ruling is Ruling.FACT else AcceptedAs.NORMAL
    await record_field_step(tx, appointment, before, step, history, accepted_as)
    await follow(tx, appointment, before)
    if ruling is Ruling.FACT or any(moment.fact for moment in history):
        await _tell_dispatcher(tx, appointment, before, step, crew, ruling, assigned=assigned)
    return own


def _follows_fact(status: _S, to: _S) -> bool:
    return to not in _ANSWERS and status not in FINISHED


async def _tell_dispatcher(
    tx: Transaction,
    appointment: Appointment,
    before: _S,
    step: Step,
    crew: Sequence[CrewMember],
    ruling: Ruling,
    *,
    assigned: bool,
) -> None:
    """Add the visit's conflict, or bring the open one up to this step."""
    operation = tx.current
    mine = _mine(step, step.technician_id)
    open_conflicts = await _open_conflicts(tx, appointment)
    if ruling is Ruling.FACT:
        operation.merged = operation.kept = True
        if appointment.status is not step.to:
            operation.lost.append("status")
    if open_conflicts:
        _bring_up(tx, open_conflicts[0], appointment, mine)
    elif ruling is Ruling.FACT and step.to not in _ANSWERS:
        at_base = await tx.value_at_base(appointment, "status") or before
        await tx.conflict(
            _kind(before, assigned=assigned),
            appointment,
            base={"status": wire_value(at_base), "technicianId": mine["technicianId"]},
            mine=mine,
            theirs=_theirs(before, appointment, crew),
        )


async def tell_of_checklists(
    tx: Transaction, actor: Actor, appointment: Appointment, before: _S, step: Step, missed: Collection[UUID]
) -> None:
    """Let a dispatcher decide: the visit ended without checklists that its device did not know to be open."""
    crew = (await crews_of(tx.session, [appointment]))[appointment.id]
    own, _ = await _whose(tx, actor, crew)
    mine, runs = _mine(step, own), {"checklistRunIds": sorted(str(id) for id in missed)}
    for conflict in await _open_conflicts(tx, appointment):
        _bring_up(tx, conflict, appointment, mine)
        conflict.theirs = {**conflict.theirs, **runs}
        return
    await tx.conflict(
        VISIT_OUT_OF_STEP,
        appointment,
        base={"status": wire_value(before), "technicianId": mine["technicianId"]},
        mine=mine,
        theirs=_theirs(before, appointment, crew) | runs,
    )


async def _open_conflicts(tx: Transaction, appointment: Appointment) -> Sequence[Conflict]:
    return await tx.all(
        select(Conflict).where(
            Conflict.record_id == appointment.id,
            Conflict.actor_id == tx.actor.id,
            Conflict.status == ConflictStatus.OPEN,
            Conflict.kind.in_(_VISIT_KINDS),
        )
    )


def _mine(step: Step, technician_id: UUID | None) -> dict[str, Any]:
    mine = {"status": step.to, "at": step.at, "technicianId": technician_id}
    return {name: wire_value(value) for name, value in mine.items()}


def _theirs(before: _S, appointment: Appointment, crew: Sequence[CrewMember]) -> dict[str, Any]:
    return {
        "status": before.value,
        "technicianIds": [str(member.technician_id) for member in crew],
        "cancelReason": appointment.cancel_reason,
    }


def _bring_up(tx: Transaction, conflict: Conflict, appointment: Appointment, mine: dict[str, Any]) -> None:
    operation = tx.current
    conflict.mine = mine
    conflict.standing = present(appointment, mine.keys() | conflict.theirs.keys())
    conflict.involve(operation.id)
    conflict.command = operation.command
    conflict.operation_id = operation.id
    conflict.occurred_at = operation.occurred_at
    operation.merged = operation.kept = True
    operation.conflict = conflict


def _kind(before: _S, *, assigned: bool) -> ConflictKind:
    if before is _S.CANCELED:
        return VISIT_ON_CANCELED_APPOINTMENT
    if not assigned:
        return VISIT_ON_REASSIGNED_APPOINTMENT
    return VISIT_OUT_OF_STEP
