"""Technicians, their skills, territories, hours and absences."""

from tests.sync.examples.example import Example, at, day, of

_ONE = {"technicianId": of("technician/1")}
_ABSENCE = {"absenceId": of("absence/1")}

EXAMPLES = {
    "createTerritory": Example(
        "MANAGER", {"name": "Demo East", "parentId": of("territory/all")}, reaches=True
    ),
    "updateTerritory": Example(
        "MANAGER", {"territoryId": of("territory/north"), "name": "Demo Far North"}, reaches=True
    ),
    "createSkill": Example("MANAGER", {"name": "Demo welding"}, reaches=True),
    "updateSkill": Example("MANAGER", {"skillId": of("skill/gas"), "description": "Demo."}, reaches=True),
    "createTechnicianSkill": Example(
        "MANAGER", {**_ONE, "skillId": of("skill/gas"), "validTo": day(100)}, reaches=True
    ),
    "updateTechnicianSkill": Example(
        "MANAGER", {"technicianSkillId": of("technician-skill/1/water"), "level": 1}, reaches=True
    ),
    "deleteTechnicianSkill": Example(
        "MANAGER", {"technicianSkillId": of("technician-skill/1/water")}, reaches=True
    ),
    "createTerritoryMembership": Example(
        "MANAGER", {**_ONE, "territoryId": of("territory/south"), "kind": "SECONDARY"}, reaches=True
    ),
    "updateTerritoryMembership": Example(
        "MANAGER",
        {"territoryMembershipId": of("territory-membership/1"), "territoryId": of("territory/south")},
        reaches=True,
    ),
    "deleteTerritoryMembership": Example(
        "MANAGER", {"territoryMembershipId": of("territory-membership/1")}, reaches=True
    ),
    "createShift": Example(
        "DISPATCHER", {**_ONE, "startsAt": at(days=30), "endsAt": at(days=30.2)}, reaches=True
    ),
    # It passes from one technician to another and leaves the first one's device.
    "updateShift": Example(
        "DISPATCHER",
        {
            "shiftId": of("shift/1/0"),
            "technicianId": of("technician/2"),
            "startsAt": at(days=40),
            "endsAt": at(days=40.2),
        },
        reaches=True,
    ),
    "deleteShift": Example("DISPATCHER", {"shiftId": of("shift/1/1")}, reaches=True),
    "createTechnician": Example(
        "MANAGER",
        {"id": of("technician/new"), "profileId": of("technician-profile/new"), "name": "Demo Four"},
        reaches=True,
    ),
    # The account loses what it held as this technician.
    "updateTechnician": Example("MANAGER", {**_ONE, "accountId": None, "phone": "1"}, reaches=True),
    "updateTechnicianProfile": Example(
        "MANAGER", {"technicianProfileId": of("technician-profile/1"), "efficiency": 1.5}, reaches=True
    ),
    # The window moves a month ahead, so today's visits leave the technician's device.
    "moveWindow": Example("DISPATCHER", {**_ONE, "windowFrom": at(days=30)}, reaches=True),
    "updateOwnDetails": Example("TECHNICIAN", {**_ONE, "phone": "+1 555 0199"}),
    "requestAbsence": Example(
        "TECHNICIAN",
        {**_ONE, "id": of("absence/new"), "startsAt": at(days=50), "endsAt": at(days=51), "kind": "TRAINING"},
    ),
    "cancelAbsence": Example("TECHNICIAN", _ABSENCE),
    "approveAbsence": Example("MANAGER", {**_ABSENCE, "note": "Demo: enjoy."}, reaches=True),
    "rejectAbsence": Example("MANAGER", {**_ABSENCE, "note": "Demo: all hands needed."}, reaches=True),
}
