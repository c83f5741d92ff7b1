"""What the office decided about operations that had no effect: done after all, or given up, and with
them what waited for a record that they were to make."""

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
    """What these entries of the log decide, by operation."""
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
    """The ids in its input, but for that of what it makes."""
    given = {name: value for name, value in deed.input.items() if name.endswith("Id")}
    return {value for value in given.values() if isinstance(value, str)}


def still_parked(deeds: Deeds) -> dict[str, tuple[str, str]]:
    """Why each operation waits that does, and for what."""
    waits = select(ParkedOperation.operation_id, ParkedOperation.reason, ParkedOperation.waits_for)
    waits = waits.where(ParkedOperation.organisation_id == deeds.company.id)
    with deeds.company.stage.eye.connect() as eye:
        return {str(id): (reason, str(waits_for)) for id, reason, waits_for in eye.execute(waits)}


def check_waiting(deeds: Deeds) -> None:
    """Housekeeping has been: nothing waits for a record that somebody gave up."""
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
    """What was retried took effect, what was dismissed did not; how many there were of each."""
    counts: Counter[str] = Counter()
    for deed in deeds.all.values():
        code = deed.outcome["code"] if deed.outcome is not None else None
        counts["given up with their parents"] += code == "PARENT_REFUSED"
        resolution = deeds.settled.get(deed.id)
        wrote = deeds.company.chronicle.of_operation[deed.id]
        if resolution == "RETRY":
            counts["retried"] += 1
            counts["children of what was retried"] += len(_children(deeds, deed))
            silent = deed.input.get("id") is not None and not wrote
            require(not silent, "what the office retried took effect", deed)
        elif resolution in _GIVEN_UP:
            counts["dismissed"] += 1
            require(not wrote, "what the office dismissed has no effect", wrote)
    return +counts


def _children(deeds: Deeds, parent: Deed) -> list[Deed]:
    """What named the record it makes and was accepted."""
    made = parent.input.get("id")
    accepted = (one for one in deeds.all.values() if one.outcome and one.outcome["status"] != "rejected")
    return [one for one in accepted if made is not None and made in named_records(one)]
