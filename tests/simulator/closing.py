"""The final check of every operation when all is quiet."""

from __future__ import annotations

from sqlalchemy import select

from tests.simulator.crashes import TRAPS
from tests.simulator.deeds import MAKES, Deeds
from tests.simulator.device import Deed
from tests.simulator.inbox import still_parked
from tests.simulator.violations import require
from tournee.sync.models import Reason, Receipt


def close(deeds: Deeds) -> None:
    """Check that its device knows every operation's outcome, and the office too if it had no effect."""
    receipts, parked = receipts_of(deeds), still_parked(deeds)
    gone = {device.id for device in deeds.company.devices() if device.revoked}
    for deed in deeds.all.values():
        receipt = receipts.pop(deed.id, None)
        if deed.device in gone:
            if deed.surrendered and receipt is None:
                _check_visible(deeds, deed, "WORK_SURRENDERED")
            continue
        if deed.forgotten and receipt is None and deed.id not in parked:
            wrote = deeds.company.chronicle.of_operation[deed.id]
            require(not wrote, "an operation without a receipt has no effect", wrote)
            continue
        if deed.id in parked:
            reason, waits_for = parked[deed.id]
            stopped = waits_for if reason == Reason.FOLLOWS else deed.id
            require(
                stopped in parked
                and stopped not in deeds.settled
                and _crashes_twice(deeds, deeds.all[stopped]),
                "a waiting operation goes on once its predecessors arrived",
                f"{parked[deed.id]} {deed}",
            )
            _check_visible(deeds, deed, "OPERATION_QUARANTINED")
            continue
        require(receipt is not None, "every operation of a device has its receipt", deed)
        assert receipt is not None
        if deed.forgotten and deed.outcome is None:
            continue
        require(deed.outcome is not None, "every operation gets its outcome in the end", deed)
        assert deed.outcome is not None
        status = deed.outcome["status"]
        if receipt == "rejected":
            dismissed = deed.outcome["code"] == "DISMISSED"
            _check_visible(deeds, deed, f"OPERATION_{'QUARANTINED' if dismissed else 'REJECTED'}")
        require(
            status in (receipt, "duplicate"),
            "a receipt equals the answer",
            f"{receipt}: {deed.outcome}",
        )
    require(not receipts, "every receipt belongs to an operation", receipts)
    _check_units(deeds)


def _crashes_twice(deeds: Deeds, deed: Deed) -> bool:
    whole = deed.unit or deed.id
    members = [other.id for other in deeds.all.values() if whole in (other.unit, other.id)]
    met = sum(TRAPS.times[id] for id in members)
    return deeds.bugs[whole] > 1 or met > 1 or any(id in TRAPS.twice for id in members)


def _check_visible(deeds: Deeds, deed: Deed, kind: str) -> None:
    """Check that no operation vanishes silently."""
    conflicts = deeds.company.chronicle.rows["Conflict"].values()
    told = any(one["kind"] == kind and deed.id in str(one) for one in conflicts)
    require(told, "an operation without effect is in the inbox", f"{kind}: {deed}")


def receipts_of(deeds: Deeds) -> dict[str, str]:
    own = deeds.company.id
    with deeds.company.stage.eye.connect() as eye:
        found = eye.execute(
            select(Receipt.operation_id, Receipt.status).where(Receipt.organisation_id == own)
        )
        return {str(id): status for id, status in found}


def _check_units(deeds: Deeds) -> None:
    units: dict[str, list[Deed]] = {}
    for deed in deeds.all.values():
        if deed.unit is not None and deed.outcome is not None:
            units.setdefault(deed.unit, []).append(deed)
    for unit in units.values():
        refused = {deed.outcome["status"] == "rejected" for deed in unit if deed.outcome is not None}
        written = {
            bool(deeds.company.chronicle.of_operation[deed.id]) for deed in unit if deed.command in MAKES
        }
        require(len(refused) == 1 and len(written) <= 1, "a unit is applied as a whole or not at all", unit)
