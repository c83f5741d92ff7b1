"""A backup that lacks the newest history: what is lost, and what is promised all the same.

Deeds decided after the backup whose device has forgotten them are lost. Those that a device still has
are accepted, and their conflicts with the present state are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulator.chronicle import Chronicle
from tests.simulator.device import Deed
from tests.simulator.field import STEPS
from tests.simulator.inbox import decisions, named_records

if TYPE_CHECKING:
    from tests.simulator.deeds import Deeds


def forget_history(deeds: Deeds, receipts: set[str], parked: set[str]) -> int:
    """Shorten the log to the backup and return how many deeds are lost.

    `receipts` and `parked` are the backup's receipts and waiting operations.
    """
    chronicle = deeds.company.chronicle
    held = {deed.id for device in deeds.company.devices() for deed in device.kept()}
    for deed in deeds.all.values():
        # A deed without effect has no change in the log, so no later answer can mention it.
        changed = deed.outcome is None or deed.outcome["seq"] is not None
        if deed.id not in receipts:
            deed.undone = deed.undone or deed.outcome is not None
            deed.outcome, deed.surrendered = None, deed.surrendered and deed.id in parked
        deed.forgotten = deed.forgotten or deed.id not in held or not changed
    deeds.settled = decisions(chronicle, chronicle.entries)
    # Each device states its next number again.
    deeds.numbers.clear()
    deeds.waited |= deeds.all.keys()
    return sum(deed.forgotten and deed.id not in receipts | parked for deed in deeds.all.values())


def follows_lost_history(deeds: Deeds, deed: Deed) -> bool:
    """Return whether it depends on lost history: a record, its visibility or state, or an earlier deed."""
    chronicle = deeds.company.chronicle
    if not +chronicle.leaps and not deeds.fell_back:
        return False
    about = {deed.target or "", *named_records(deed)}
    if deed.undone and any(
        one.number > deed.number and chronicle.of_operation[one.id] for one in _alike(deeds, deed, about)
    ):
        # Resent after later deeds.
        return True
    last = chronicle.lost(deed.base or 0, deed.mark)
    if any(not chronicle.of_record[id] for id in about) or (last is not None and deed.hidden):
        return True
    if last is not None and deed.command in STEPS:
        return False
    gone = (one for one in _before(deeds, deed, about) if one.forgotten or one.undone)
    if any(not chronicle.of_operation[one.id] for one in gone):
        return True
    return last is not None and _stood_otherwise(chronicle, deed, last)


def _before(deeds: Deeds, deed: Deed, about: set[str]) -> list[Deed]:
    return [one for one in _alike(deeds, deed, about) if one.number < deed.number]


def _alike(deeds: Deeds, deed: Deed, about: set[str]) -> Iterator[Deed]:
    own = (one for one in deeds.all.values() if one.device == deed.device and one is not deed)
    return (one for one in own if {one.target or "", *named_records(one)} & about)


def _stood_otherwise(chronicle: Chronicle, deed: Deed, last: int) -> bool:
    then, seen = chronicle.stood(deed.target or "", last), deed.seen or {}
    return any(then.get(name) != seen[name] for name in seen.keys() & then.keys())
