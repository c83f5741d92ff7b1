"""The kinds of conflict about operations that had no effect: refused, quarantined, or surrendered by a
revoked device.
"""

from tournee.auth.roles import Role
from tournee.kernel.conflict import ConflictKind, Resolution

WORK_SURRENDERED = ConflictKind(
    "WORK_SURRENDERED",
    "A revoked device sent its work.",
    Resolution.TAKE_MINE,
    Resolution.KEEP_THEIRS,
    decider=Role.MANAGER,
)
OPERATION_REJECTED = ConflictKind(
    "OPERATION_REJECTED",
    "An operation of a device was refused; `theirs` says why.",
    Resolution.RETRY,
    Resolution.DISMISS,
    decider=Role.DISPATCHER,
)
OPERATION_QUARANTINED = ConflictKind(
    "OPERATION_QUARANTINED",
    "An operation hit an error on our side twice.",
    Resolution.RETRY,
    Resolution.DISMISS,
    decider=Role.MANAGER,
)
