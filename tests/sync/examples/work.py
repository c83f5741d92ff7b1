"""Work orders, visits and the work recorded there."""

from tests.sync.examples.example import Example, Payload, Step, at, of

_VISIT = {"appointmentId": of("appointment/1")}
_ORDER = {"workOrderId": of("order/1")}
_ENDED_ORDER = {"workOrderId": of("order/7")}
_OFFICE = "DISPATCHER"


def _at(minutes: int) -> Payload:
    return {**_VISIT, "at": at(minutes=minutes), "latitude": 47.2, "longitude": -1.5}


_ON_THE_WAY: list[Step] = [("TECHNICIAN", "startTravel", _at(-60))]
_THERE: list[Step] = [*_ON_THE_WAY, ("TECHNICIAN", "arriveOnSite", _at(-50))]
_AT_WORK: list[Step] = [*_THERE, ("TECHNICIAN", "startWork", _at(-40))]
_NO_CHECKLIST: Step = (
    "TECHNICIAN",
    "dismissChecklistRun",
    {"runId": of("run/visit/1"), "reason": "Demo: not here."},
)

EXAMPLES = {
    # Orders
    "createWorkOrder": Example(
        "TECHNICIAN",
        {
            "id": of("order/new"),
            "customerId": of("customer/1"),
            "siteId": of("site/1"),
            "assetId": of("asset/1"),
            "summary": "Demo: door seal is worn",
        },
    ),
    "updateWorkOrder": Example("TECHNICIAN", {**_ORDER, "cause": "Demo cause", "resolution": "Demo repair"}),
    "holdWorkOrder": Example(_OFFICE, {**_ORDER, "reason": "Demo: part is missing."}, reaches=True),
    "releaseWorkOrder": Example(
        _OFFICE, _ORDER, before=[(_OFFICE, "holdWorkOrder", {**_ORDER, "reason": "Demo."})], reaches=True
    ),
    "cancelWorkOrder": Example(_OFFICE, {**_ORDER, "reason": "Demo: sold."}, reaches=True),
    "closeWorkOrder": Example(_OFFICE, _ENDED_ORDER, reaches=True),
    "reopenWorkOrder": Example(_OFFICE, {**_ENDED_ORDER, "reason": "Demo: drips again."}, reaches=True),
    # Planning
    "createAppointment": Example(
        _OFFICE,
        {**_ORDER, "id": of("appointment/new"), "startsAt": at(days=3), "endsAt": at(days=3, minutes=60)},
    ),
    "updateAppointment": Example(_OFFICE, {**_VISIT, "instructions": "Demo: back door."}, reaches=True),
    # Beyond the technician's window: it leaves their device.
    "scheduleAppointment": Example(
        _OFFICE, {**_VISIT, "startsAt": at(days=90), "endsAt": at(days=90, minutes=60)}, reaches=True
    ),
    "unscheduleAppointment": Example(_OFFICE, {"appointmentId": of("appointment/4")}, reaches=True),
    "dispatchAppointment": Example(_OFFICE, {"appointmentId": of("appointment/4")}, reaches=True),
    "recallAppointment": Example(_OFFICE, _VISIT, reaches=True),
    "cancelAppointment": Example(_OFFICE, {**_VISIT, "reason": "Demo: nobody there."}, reaches=True),
    "reopenAppointment": Example(
        "MANAGER", {"appointmentId": of("appointment/7"), "reason": "Demo: ended by mistake."}, reaches=True
    ),
    # Crew: each adds a visit with its records to a technician's device, or removes it
    "assignTechnician": Example(
        "MANAGER",
        {"appointmentId": of("appointment/6"), "technicianId": of("technician/1"), "force": True},
        reaches=True,
    ),
    "reassignAppointment": Example(
        "MANAGER", {**_VISIT, "technicianId": of("technician/2"), "force": True}, reaches=True
    ),
    "unassignTechnician": Example(_OFFICE, {**_VISIT, "technicianId": of("technician/1")}, reaches=True),
    # On the visit
    "acceptAppointment": Example("TECHNICIAN", _at(-70)),
    "rejectAppointment": Example(
        "TECHNICIAN", {**_VISIT, "at": at(minutes=-70), "reason": "Demo: on another job."}
    ),
    "startTravel": Example("TECHNICIAN", _at(-60)),
    "arriveOnSite": Example("TECHNICIAN", _at(-50), before=_ON_THE_WAY),
    "startWork": Example("TECHNICIAN", _at(-40), before=_THERE),
    "pauseWork": Example("TECHNICIAN", {**_at(-30), "reason": "Demo lunch"}, before=_AT_WORK),
    "resumeWork": Example("TECHNICIAN", _at(-20), before=[*_AT_WORK, ("TECHNICIAN", "pauseWork", _at(-30))]),
    "completeAppointment": Example(
        "TECHNICIAN", {**_at(-10), "note": "Demo: done."}, before=[*_AT_WORK, _NO_CHECKLIST]
    ),
    "cannotCompleteAppointment": Example(
        "TECHNICIAN", {**_at(-10), "reason": "Demo: wrong part."}, before=_AT_WORK
    ),
    # Recorded work
    "addNote": Example("TECHNICIAN", {**_VISIT, "id": of("note/new"), "text": "Demo: beware of the dog."}),
    "recordTimeEntry": Example(
        "TECHNICIAN",
        {
            **_VISIT,
            "id": of("time-entry/new"),
            "kind": "WORK",
            "startsAt": at(minutes=-40),
            "endsAt": at(minutes=-10),
        },
    ),
}
