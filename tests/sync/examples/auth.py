"""Accounts and devices."""

from tests.sync.examples.example import Example, Step, of
from tournee.demo import PASSWORD

_TECHNICIAN = {"accountId": of("account/technician")}
_ENROLLED: Step = ("TECHNICIAN", "enrolDevice", {"id": of("device/1"), "name": "Demo tablet"})

EXAMPLES = {
    "createAccount": Example(
        "MANAGER",
        {"id": of("account/new"), "email": "new@demo.example", "name": "Demo New", "role": "TECHNICIAN"},
    ),
    "updateAccount": Example("MANAGER", {**_TECHNICIAN, "language": "fr"}, reaches=True),
    "setPassword": Example("MANAGER", {**_TECHNICIAN, "password": "another demo"}, reaches=True),
    "changePassword": Example("TECHNICIAN", {"currentPassword": PASSWORD, "newPassword": "another demo"}),
    # A disabled account cannot pull; if it could, everything would be removed from its device.
    "disableAccount": Example("MANAGER", _TECHNICIAN, reaches=True),
    "enableAccount": Example(
        "MANAGER", _TECHNICIAN, before=[("MANAGER", "disableAccount", _TECHNICIAN)], reaches=True
    ),
    "enrolDevice": Example("TECHNICIAN", {"id": of("device/1"), "name": "Demo tablet"}),
    "revokeDevice": Example("MANAGER", {"deviceId": of("device/1")}, before=[_ENROLLED], reaches=True),
    "confirmWipe": Example("TECHNICIAN", {"deviceId": of("device/1")}, before=[_ENROLLED]),
    "signOut": Example("TECHNICIAN", {"everywhere": True}, unseen=True),
}
