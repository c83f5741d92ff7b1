"""How the legal decisions of each kind of conflict are carried out.

schema/sync.md, "Conflicts", shows kinds and decisions in one table; a test compares the two.
"""

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
from tournee.kernel.conflict import (
    FIELD_CHANGED_BY_BOTH,
    RECORD_DELETED_MEANWHILE,
    STATE_CHANGED_BY_BOTH,
    ConflictKind,
    Resolution,
)
from tournee.sync.conflicts import WORK_SURRENDERED
from tournee.work.facts import (
    VISIT_ON_CANCELED_APPOINTMENT,
    VISIT_ON_REASSIGNED_APPOINTMENT,
    VISIT_OUT_OF_STEP,
)

_R = Resolution
# How a decision is carried out, unless the kind has a way of its own.
_USUAL: dict[Resolution, Way] = {
    _R.MERGE_FIELDS: Way(editing.merge_fields, editing.against_editing, ("fields",)),
    _R.REOPEN: Way(visits.reopen, visits.against_reopening, ("note",)),
    _R.REASSIGN: Way(visits.reassign, visits.against_reassigning, ("technicianId",)),
    _R.FOLLOW_UP: Way(following_up.follow_up, against_record),
    _R.RETRY: Way(operations.retry, operations.against_retrying),
    _R.DISMISS: Way(operations.dismiss),
    _R.ACKNOWLEDGED: Way(),
}
_KEEP_THE_PLAN = {_R.KEEP_THEIRS: Way(visits.keep_the_plan, visits.against_the_plan), _R.TAKE_MINE: Way()}
_OF: dict[ConflictKind, dict[Resolution, Way]] = {
    FIELD_CHANGED_BY_BOTH: {
        _R.KEEP_THEIRS: Way(editing.keep_theirs, editing.against_editing),
        _R.TAKE_MINE: Way(editing.take_mine, editing.against_editing),
    },
    STATE_CHANGED_BY_BOTH: {
        _R.KEEP_THEIRS: Way(),
        _R.TAKE_MINE: Way(editing.take_my_step, editing.against_step),
    },
    RECORD_DELETED_MEANWHILE: {
        _R.KEEP_THEIRS: Way(editing.settle_deletion, editing.against_deletion(_R.KEEP_THEIRS)),
        _R.TAKE_MINE: Way(editing.settle_deletion, editing.against_deletion(_R.TAKE_MINE)),
    },
    VISIT_ON_CANCELED_APPOINTMENT: _KEEP_THE_PLAN,
    VISIT_ON_REASSIGNED_APPOINTMENT: {
        _R.KEEP_THEIRS: Way(visits.keep_the_crew),
        _R.TAKE_MINE: Way(visits.give_it_back, visits.against_giving_it_back),
    },
    VISIT_OUT_OF_STEP: _KEEP_THE_PLAN,
    WORK_SURRENDERED: {
        _R.TAKE_MINE: Way(surrendered.accept, surrendered.against_accepting),
        _R.KEEP_THEIRS: Way(surrendered.dismiss, surrendered.against_accepting),
    },
}


def ways(kind: ConflictKind) -> dict[Resolution, Way]:
    """Return how each legal decision of this kind is carried out."""
    return {
        resolution: _OF.get(kind, {}).get(resolution) or _USUAL[resolution] for resolution in kind.resolutions
    }


def require_ways() -> None:
    """Raise unless every kind's decisions can be carried out; called once all are declared."""
    for kind in ConflictKind.all():
        ways(kind)


@dataclass(frozen=True)
class AvailableResolution:
    """A decision that is legal for this conflict."""

    resolution: Resolution
    """A decision that `resolveConflict` accepts."""
    allowed: Annotated[bool, "Whether nothing prevents it."]
    blocked_by: Annotated[list[str], "What prevents it, in sentences."]
    needs: Annotated[list[str], "The input fields that it requires."]


def available_resolutions(situation: Situation) -> list[AvailableResolution]:
    """2. Return every legal decision, and what prevents it now; none once the conflict is decided."""
    if against_deciding(situation.conflict):
        return []
    always = against_deciding_by(situation.actor, situation.conflict)
    found = []
    for resolution, way in ways(situation.conflict.kind).items():
        against = always + way.against(situation)
        found.append(AvailableResolution(resolution, not against, against, list(way.needs)))
    return found
