"""The states of orders and appointments, which may follow which, and how appointments determine an
order's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NoReturn, TypeVar

from tournee.kernel.errors import TransitionNotAllowed
from tournee.kernel.state import Machine

StateT = TypeVar("StateT", bound=StrEnum)


class AppointmentStatus(StrEnum):
    """The stage of a visit."""

    NONE = "NONE"
    """Not planned yet."""
    SCHEDULED = "SCHEDULED"
    """Has a time; the technician has not been told."""
    DISPATCHED = "DISPATCHED"
    """Sent to the technician."""
    ACCEPTED = "ACCEPTED"
    """The technician will go."""
    EN_ROUTE = "EN_ROUTE"
    """The technician is on the way."""
    ON_SITE = "ON_SITE"
    """The technician has arrived."""
    IN_PROGRESS = "IN_PROGRESS"
    """Work has begun."""
    PAUSED = "PAUSED"
    """Work is interrupted."""
    COMPLETED = "COMPLETED"
    """The work is done."""
    PARTIALLY_COMPLETED = "PARTIALLY_COMPLETED"
    """The visit is over, and another one is needed."""
    CANNOT_COMPLETE = "CANNOT_COMPLETE"
    """The visit is over without the work being done."""
    CANCELED = "CANCELED"
    """The office called it off."""


class WorkOrderStatus(StrEnum):
    """The stage of an order. SCHEDULED, IN_PROGRESS and the final results follow from its appointments."""

    DRAFT = "DRAFT"
    """Being written; nothing is planned yet."""
    NEW = "NEW"
    """Ready to be planned."""
    SCHEDULED = "SCHEDULED"
    """At least one visit has a time."""
    IN_PROGRESS = "IN_PROGRESS"
    """A technician is under way or at work."""
    ON_HOLD = "ON_HOLD"
    """Waits for something, such as a part or an answer."""
    COMPLETED = "COMPLETED"
    """The work is done and can be checked and closed."""
    CANNOT_COMPLETE = "CANNOT_COMPLETE"
    """The visits are over, and the work could not be done."""
    CLOSED = "CLOSED"
    """Checked and finished. Edits need it to be reopened."""
    CANCELED = "CANCELED"
    """Called off."""


_A = AppointmentStatus
_W = WorkOrderStatus

PLANNED = frozenset({_A.SCHEDULED, _A.DISPATCHED, _A.ACCEPTED})
UNDER_WAY = frozenset({_A.EN_ROUTE, _A.ON_SITE, _A.IN_PROGRESS, _A.PAUSED})
FINISHED = frozenset({_A.COMPLETED, _A.PARTIALLY_COMPLETED, _A.CANNOT_COMPLETE})
OVER = FINISHED | {_A.CANCELED}

APPOINTMENT = Machine(
    {
        _A.NONE: (_A.SCHEDULED, _A.CANCELED),
        _A.SCHEDULED: (_A.NONE, _A.DISPATCHED, _A.CANCELED),
        _A.DISPATCHED: (
            _A.SCHEDULED,
            _A.ACCEPTED,
            _A.EN_ROUTE,
            _A.IN_PROGRESS,
            _A.CANNOT_COMPLETE,
            _A.CANCELED,
        ),
        _A.ACCEPTED: (_A.SCHEDULED, _A.EN_ROUTE, _A.IN_PROGRESS, _A.CANNOT_COMPLETE, _A.CANCELED),
        _A.EN_ROUTE: (_A.ACCEPTED, _A.ON_SITE, _A.IN_PROGRESS, _A.CANNOT_COMPLETE, _A.CANCELED),
        _A.ON_SITE: (_A.IN_PROGRESS, _A.CANNOT_COMPLETE),
        _A.IN_PROGRESS: (_A.PAUSED, *sorted(FINISHED)),
        _A.PAUSED: (_A.IN_PROGRESS, _A.PARTIALLY_COMPLETED, _A.CANNOT_COMPLETE),
    }
)

# The steps that people take; the order's appointments take the others. Releasing an ON_HOLD order gives it
# the status that its appointments imply.
WORK_ORDER = Machine(
    {
        _W.DRAFT: (_W.NEW, _W.CANCELED),
        _W.NEW: (_W.ON_HOLD, _W.CANCELED),
        _W.SCHEDULED: (_W.ON_HOLD, _W.CANCELED),
        _W.IN_PROGRESS: (_W.ON_HOLD, _W.CANCELED),
        _W.ON_HOLD: (
            _W.NEW,
            _W.SCHEDULED,
            _W.IN_PROGRESS,
            _W.COMPLETED,
            _W.CANNOT_COMPLETE,
            _W.CANCELED,
        ),
        _W.COMPLETED: (_W.CLOSED, _W.IN_PROGRESS),
        _W.CANNOT_COMPLETE: (_W.NEW, _W.CLOSED, _W.CANCELED),
    }
)

# An order in one of these statuses keeps it, whatever its appointments do.
SET_BY_HAND = frozenset({_W.DRAFT, _W.ON_HOLD, _W.CLOSED, _W.CANCELED})
# Nothing more comes of these orders.
ENDED = (_W.CLOSED, _W.CANCELED)


def refuse(machine: Machine[StateT], current: StateT, to: StateT) -> NoReturn:
    """Refuse a step that starts from the wrong status, even if the statuses themselves could follow."""
    options = ", ".join(machine.next(current)) or "nothing (it is final)"
    raise TransitionNotAllowed(
        f"{current} cannot become {to} by this step; it can become: {options}.", "status"
    )


def before_the_end(steps: Sequence[tuple[AppointmentStatus | None, AppointmentStatus]]) -> AppointmentStatus:
    """Return the status that a finished visit had before its end, if it can continue from there; `steps`
    are pairs of from and to.
    """
    for came_from, to in reversed(steps):
        if to in FINISHED:
            return came_from if came_from in UNDER_WAY else _A.IN_PROGRESS
    return _A.IN_PROGRESS


def roll_up(statuses: Collection[AppointmentStatus]) -> WorkOrderStatus:
    """Return the status of an order from its appointments. A partial visit requires another; a completed one
    ends the order.

    The rules are Microsoft's for bookings and work orders, including that a completed and a partial visit
    make a completed order.
    """
    found = set(statuses)
    open_visit = found & (PLANNED | {_A.NONE})
    if found & UNDER_WAY or (_A.COMPLETED in found and open_visit):
        return _W.IN_PROGRESS
    if found & PLANNED:
        return _W.SCHEDULED
    if _A.COMPLETED in found:
        return _W.COMPLETED
    if _A.CANNOT_COMPLETE in found and not found & {_A.NONE, _A.PARTIALLY_COMPLETED}:
        return _W.CANNOT_COMPLETE
    return _W.NEW
