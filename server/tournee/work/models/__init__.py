"""Tables of work."""

from tournee.work.models.appointment import (
    AcceptedAs,
    Appointment,
    AppointmentEvent,
    Assignment,
    LockMode,
    Outcome,
)
from tournee.work.models.membership import MEMBERSHIP
from tournee.work.models.notes import Note, TimeEntry, TimeKind
from tournee.work.models.order import Priority, WorkOrder, WorkOrderCounter, WorkOrderKind

__all__ = [
    "MEMBERSHIP",
    "AcceptedAs",
    "Appointment",
    "AppointmentEvent",
    "Assignment",
    "LockMode",
    "Note",
    "Outcome",
    "Priority",
    "TimeEntry",
    "TimeKind",
    "WorkOrder",
    "WorkOrderCounter",
    "WorkOrderKind",
]
