"""Commands about work."""

from tournee.work.commands.crew import assign_technician, reassign_appointment, unassign_technician
from tournee.work.commands.notes import add_note, record_time_entry
from tournee.work.commands.orders import (
    cancel_work_order,
    close_work_order,
    create_work_order,
    hold_work_order,
    release_work_order,
    reopen_work_order,
    update_work_order,
)
from tournee.work.commands.planning import (
    cancel_appointment,
    create_appointment,
    dispatch_appointment,
    recall_appointment,
    reopen_appointment,
    schedule_appointment,
    unschedule_appointment,
    update_appointment,
)
from tournee.work.commands.visits import (
    accept_appointment,
    arrive_on_site,
    cannot_complete_appointment,
    complete_appointment,
    pause_work,
    reject_appointment,
    resume_work,
    start_travel,
    start_work,
)

__all__ = [
    "accept_appointment",
    "add_note",
    "arrive_on_site",
    "assign_technician",
    "cancel_appointment",
    "cancel_work_order",
    "cannot_complete_appointment",
    "close_work_order",
    "complete_appointment",
    "create_appointment",
    "create_work_order",
    "dispatch_appointment",
    "hold_work_order",
    "pause_work",
    "reassign_appointment",
    "recall_appointment",
    "record_time_entry",
    "reject_appointment",
    "release_work_order",
    "reopen_appointment",
    "reopen_work_order",
    "resume_work",
    "schedule_appointment",
    "start_travel",
    "start_work",
    "unassign_technician",
    "unschedule_appointment",
    "update_appointment",
    "update_work_order",
]
