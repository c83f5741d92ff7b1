"""Required checklists at the end of a visit: those that the device knew to be open block it, others do
not.
"""

from __future__ import annotations

from collections.abc import Sequence

from tournee.kernel.errors import Blocked
from tournee.kernel.transaction import Transaction
from tournee.kernel.visibility import held_at
from tournee.procedures.models import ChecklistRun, RunStatus
from tournee.procedures.queries import open_required_runs
from tournee.work.guards import UNFINISHED_CHECKLIST
from tournee.work.models import Appointment

_OPEN = (RunStatus.NEW, RunStatus.IN_PROGRESS)


async def missed_checklists(tx: Transaction, appointment: Appointment) -> Sequence[ChecklistRun]:
    """Return open required checklists that the device did not know of: the office added or reopened them
    after its base, or assigned the visit only then. Raises Blocked if it knew of one.
    """
    runs = await open_required_runs(tx, appointment.id)
    await tx.clocks.load([run.id for run in runs if not tx.is_new(run)])
    for run in runs:
        if await _knew(tx, run):
            raise Blocked(UNFINISHED_CHECKLIST, "appointmentId")
    return runs


async def _knew(tx: Transaction, run: ChecklistRun) -> bool:
    base = tx.current.base
    if base is None or tx.is_new(run):
        return True
    made, device, _ = tx.clocks.made(run.id)
    if made > base:
        return bool(device == str(tx.current.device_id))
    if await tx.session.scalar(held_at(tx.actor, run.scopes(), base)) is None:
        return False
    return await tx.value_known(run, "status") in _OPEN
