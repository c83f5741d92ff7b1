"""The surrendered work of a revoked device."""

from tests.support.house import House
from tests.sync.examples.example import Example, Payload, Rows, Step, of
from tournee.auth.models import DeviceStatus
from tournee.auth.organisations import actor_of
from tournee.auth.revoked import KnownDevice
from tournee.auth.roles import Role
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import new_id, now
from tournee.sync.devices.surrender import surrender
from tournee.sync.push.request import PushRequest

_DEVICE = demo_id("device/1")
_BEFORE: list[Step] = [
    ("TECHNICIAN", "enrolDevice", {"id": str(_DEVICE), "name": "Demo tablet"}),
    ("MANAGER", "revokeDevice", {"deviceId": str(_DEVICE), "surrender": True}),
]


async def _hand_in(house: House) -> None:
    account = demo_id("account/technician")
    actor = actor_of(house.organisation_id, account, Role.TECHNICIAN, _DEVICE)
    note = {
        "id": str(new_id()),
        "number": 1,
        "command": "addNote",
        "input": {"appointmentId": of("appointment/1"), "id": of("note/new"), "text": "Demo: mind the step."},
        "occurredAt": now().isoformat(),
    }
    known = KnownDevice(_DEVICE, actor, DeviceStatus.REVOKED, True)
    await surrender(house.kernel, known, PushRequest(_DEVICE, [note]))


def _handed_in(rows: Rows) -> Payload:
    (conflict,) = [id for id, row in rows.items() if row.get("kind") == "WORK_SURRENDERED"]
    return {"conflictId": str(conflict), "note": "Demo"}


EXAMPLES = {
    "acceptSurrenderedWork": Example(
        "MANAGER", _handed_in, before=_BEFORE, prepare=_hand_in, reaches=True, carries_out="addNote"
    ),
    "dismissSurrenderedWork": Example("MANAGER", _handed_in, before=_BEFORE, prepare=_hand_in, reaches=True),
}
