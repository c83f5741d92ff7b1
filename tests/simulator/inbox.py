"""The office's decisions about operations without effect: retried, or dismissed with their dependents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import select

from tests.simulator.chronicle import Chronicle, Entry
from tests.simulator.device import Deed
from tests.simulator.violations import require
from tournee.sync.models import ParkedOperation

if TYPE_CHECKING:
    from tests.simulator.deeds import Deeds

FAILED = ("OPERATION_QUARANTINED", "OPERATION_REJECTED")
_GIVEN_UP = ("DISMISS", "KEEP_THEIRS")


def decisions(chronicle: Chronicle, fresh: Iterable[Entry]) -> dict[str, str]:
    """Return the decisions in these log entries, by operation."""
    decided = [e.id for e in fresh if e.entity == "Conflict" and e.after.get("resolution") is not None]
    conflicts = [chronicle.rows["Conflict"][id] for id in decided]
    return {
        operation["id"]: one["resolution"]
        for one in conflicts
        if one["kind"] in (*FAILED, "WORK_SURRENDERED")
        for operation in one["mine"]["operations"]
        if "id" in operation
    }


def named_records(deed: Deed) -> set[str]:
    """Return the ids in its input, except that of the record it creates."""
    given = {name: value for name, value in deed.input.items() if name.endswith("Id")}
    return {value for value in given.values() if isinstance(value, str)}


def still_parked(deeds: Deeds) -> dict[str, tuple[str, str]]:
    """Return, for each waiting operation, its reason and what it waits for."""
    waits = select(ParkedOperation.operation_id, ParkedOperation.reason, ParkedOperation.waits_for)
    waits = waits.where(ParkedOperation.organisation_id == deeds.company.id)
    with deeds.company.stage.eye.connect() as eye:
        return {str(id): (reason, str(waits_for)) for id, reason, waits_for in eye.execute(waits)}


def check_waiting(deeds: Deeds) -> None:
    """Check after housekeeping that nothing waits for a dismissed record."""
    given_up = {
        deeds.all[id].input.get("id")
        for id, resolution in deeds.settled.items()
        if resolution in _GIVEN_UP and id in deeds.all
    }
    welcome = {device.id for device in deeds.company.devices() if not device.revoked}
    waits = select(ParkedOperation.operation_id, ParkedOperation.device_id, ParkedOperation.waits_for)
    waits = waits.where(ParkedOperation.organisation_id == deeds.company.id)
    with deeds.company.stage.eye.connect() as eye:
        for operation, device, record in eye.execute(waits):
            waits_in_vain = str(record) in given_up and str(device) in welcome
            require(
                not waits_in_vain, "nobody waits for a record that was given up", deeds.all[str(operation)]
            )


def check_decided(deeds: Deeds) -> Counter[str]:
    """Check that retried operations took effect and dismissed ones did not; return their counts."""
    counts: Counter[str] = Counter()
    for deed in deeds.all.values():
        code = deed.outcome["code"] if deed.outcome is not None else None
        counts["children refused"] += code == "PARENT_REFUSED"
        resolution = deeds.settled.get(deed.id)
        wrote = deeds.company.chronicle.of_operation[deed.id]
        if resolution == "RETRY":
            counts["retried"] += 1
            counts["children of retried operations"] += len(_children(deeds, deed))
            silent = deed.input.get("id") is not None and not wrote
            require(not silent, "a retried operation takes effect", deed)
        elif resolution in _GIVEN_UP:
            counts["dismissed"] += 1
            require(not wrote, "a dismissed operation has no effect", wrote)
    return +counts


def _children(deeds: Deeds, parent: Deed) -> list[Deed]:
    """Return the accepted operations that named the record it creates."""
    made = parent.input.get("id")
    accepted = (one for one in deeds.all.values() if one.outcome and one.outcome["status"] != "rejected")
    return [one for one in accepted if made is not None and made in named_records(one)]
