"""Which decisions are legal for which kind of conflict: schema/sync.md, "Conflicts", has the same table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tournee.conflicts import editing, following_up, operations, surrendered, visits
from tournee.conflicts.deciding import (
    Situation,
    Way,
    against_deciding,
    against_deciding_by,
    against_record,
)
from tournee.kernel.conflict import ConflictKind, Resolution

_R = Resolution
_ACKNOWLEDGED = Way()
_REOPEN = Way(visits.reopen, visits.against_reopening, ("note",))
_REASSIGN = Way(visits.reassign, visits.against_reassigning, ("technicianId",))
_FOLLOW_UP = Way(following_up.follow_up, against_record)
_KEEP_THE_PLAN = Way(visits.keep_the_plan, visits.against_the_plan)
_VISIT = {
    _R.REOPEN: _REOPEN,
    _R.REASSIGN: _REASSIGN,
    _R.FOLLOW_UP: _FOLLOW_UP,
    _R.ACKNOWLEDGED: _ACKNOWLEDGED,
}
_OPERATION = {
    _R.RETRY: Way(operations.retry, operations.against_retrying),
    _R.DISMISS: Way(operations.dismiss),
}

LEGAL: dict[ConflictKind, dict[Resolution, Way]] = {
    ConflictKind.FIELD_CHANGED_BY_BOTH: {
        _R.KEEP_THEIRS: Way(editing.keep_theirs, editing.against_editing),
        _R.TAKE_MINE: Way(editing.take_mine, editing.against_editing),
        _R.MERGE_FIELDS: Way(editing.merge_fields, editing.against_editing, ("fields",)),
        _R.ACKNOWLEDGED: _ACKNOWLEDGED,
    },
    ConflictKind.STATE_CHANGED_BY_BOTH: {
        _R.KEEP_THEIRS: Way(),
        _R.TAKE_MINE: Way(editing.take_my_step, editing.against_step),
        _R.FOLLOW_UP: _FOLLOW_UP,
    },
    ConflictKind.RECORD_DELETED_MEANWHILE: {
        _R.KEEP_THEIRS: Way(editing.settle_deletion, editing.against_deletion(_R.KEEP_THEIRS)),
        _R.TAKE_MINE: Way(editing.settle_deletion, editing.against_deletion(_R.TAKE_MINE)),
    },
    ConflictKind.VISIT_ON_CANCELED_APPOINTMENT: {
        _R.KEEP_THEIRS: _KEEP_THE_PLAN,
        _R.TAKE_MINE: Way(),
        **_VISIT,
    },
    ConflictKind.VISIT_ON_REASSIGNED_APPOINTMENT: {
        _R.KEEP_THEIRS: Way(visits.keep_the_crew),
        _R.TAKE_MINE: Way(visits.give_it_back, visits.against_giving_it_back),
        **_VISIT,
    },
    ConflictKind.VISIT_OUT_OF_STEP: {
        _R.KEEP_THEIRS: _KEEP_THE_PLAN,
        _R.TAKE_MINE: Way(),
        **_VISIT,
    },
    ConflictKind.RECORD_ON_CLOSED_PARENT: {
        _R.REOPEN: _REOPEN,
        _R.FOLLOW_UP: _FOLLOW_UP,
        _R.ACKNOWLEDGED: _ACKNOWLEDGED,
    },
    ConflictKind.RECORD_ON_REASSIGNED_PARENT: {_R.ACKNOWLEDGED: _ACKNOWLEDGED},
    # Such a conflict is resolved when it is written.
    ConflictKind.VALUE_SET_ASIDE: {_R.ACKNOWLEDGED: _ACKNOWLEDGED},
    ConflictKind.OPERATION_REJECTED: _OPERATION,
    ConflictKind.OPERATION_QUARANTINED: _OPERATION,
    ConflictKind.WORK_SURRENDERED: {
        _R.TAKE_MINE: Way(surrendered.accept, surrendered.against_accepting),
        _R.KEEP_THEIRS: Way(surrendered.dismiss, surrendered.against_accepting),
    },
}


@dataclass(frozen=True)
class AvailableResolution:
    """A decision that is legal for this conflict."""

    resolution: Resolution
    allowed: Annotated[bool, "Whether nothing stands against it."]
    blocked_by: Annotated[list[str], "What stands against it, in sentences."]
    needs: Annotated[list[str], "The fields of the input that it cannot do without."]


def available_resolutions(situation: Situation) -> list[AvailableResolution]:
    """2. Every legal decision, and what stands against it now; none once it is decided."""
    if against_deciding(situation.conflict):
        return []
    always = against_deciding_by(situation.actor, situation.conflict)
    found = []
    for resolution, way in LEGAL[situation.conflict.kind].items():
        against = always + way.against(situation)
        found.append(AvailableResolution(resolution, not against, against, list(way.needs)))
    return found
