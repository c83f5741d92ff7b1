"""The result of an edit: no change is overwritten silently, and a device never conflicts with itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tests.simulator.chronicle import Chronicle, Entry
from tests.simulator.device import Deed
from tests.simulator.violations import require
from tournee.catalogue import ENTITIES
from tournee.kernel.fields import Merge
from tournee.kernel.registry import registered
from tournee.people.commands import update_own_details
from tournee.people.models import Technician

# The edits that devices may record, each with the entity it changes.
_EDITED = {
    entry.update.name: entry
    for entry in map(registered, ENTITIES.values())
    if entry.update and entry.update.offline
}
_EDITED[update_own_details.name] = registered(Technician)
# The input field that names the record.
EDITS = {command: entry.key for command, entry in _EDITED.items()}
_POLICIES = {command: entry.policies for command, entry in _EDITED.items()}
# The stored value stays, and the other waits for a person's decision.
_STAY = {Merge.FIRST_WINS, Merge.REVIEW}


def check_edit(chronicle: Chronicle, deed: Deed, entries: list[Entry], later: Collection[Deed] = ()) -> None:
    """Check each field of an edit by its policy.

    `entries` are the edit's log entries, `later` its device's later deeds.
    """
    named = EDITS[deed.command]
    changed = {name: value for name, value in deed.input.items() if name != named}
    clashes = [entry for entry in entries if entry.entity == "Conflict"]
    # A dispatcher sees every edit of a closed order, whoever wrote the field before.
    clashes = [one for one in clashes if chronicle.value_at("kind", one) != "RECORD_ON_CLOSED_PARENT"]
    set_aside = _set_aside(chronicle, deed, clashes, later)
    clashes = [one for one in clashes if chronicle.value_at("kind", one) != "VALUE_SET_ASIDE"]
    if any(entry.after.get("kind") == "RECORD_DELETED_MEANWHILE" for entry in clashes):
        kept = any(changed.keys() <= entry.after.get("mine", {}).keys() for entry in clashes)
        require(kept, "an edit of a deleted record is kept for the office", entries)
        return
    # A conflict may join an open one without changing its text.
    mine = [chronicle.value_at("mine", entry) or {} for entry in clashes]
    disputed = {name for name, value in changed.items() if any(one.get(name) == value for one in mine)}
    after = next((entry.after for entry in entries if entry.id == deed.input[named]), {})
    for name in changed:
        last = _last(chronicle, deed.input[named], name, entries[0].seq)
        held = last.after[name] if last else None
        if name in set_aside or name in _said_since(chronicle, deed, later, entries[0].seq):
            _check_late(deed, name, held, after.get(name, held))
            continue
        if deed.seen is not None and deed.seen.get(name) == deed.input[name]:
            continue  # An unchanged value in the edit loses to any change.
        if _POLICIES[deed.command][name] is Merge.SET_UNION:
            _check_union(chronicle, deed, name, last, after.get(name, held))
        else:
            _check_field(chronicle, deed, name, last, name in disputed, after.get(name, held))


def _set_aside(chronicle: Chronicle, deed: Deed, clashes: list[Entry], later: Collection[Deed]) -> set[str]:
    """Return the fields that the inbox lists as needing no decision: their device has set them since."""
    kept = [one for one in clashes if chronicle.value_at("kind", one) == "VALUE_SET_ASIDE"]
    names = {name for one in kept for name in chronicle.value_at("mine", one)}
    record = EDITS[deed.command]
    edits = (one for one in later if one.command == deed.command and one.input[record] == deed.input[record])
    replaced = {name for one in edits for name in one.input}
    require(names <= replaced, "only values that the device has replaced are set aside", f"{names} of {deed}")
    return names


def _last(chronicle: Chronicle, id: str, name: str, before: int) -> Entry | None:
    """Return the last write of the field before this edit."""
    written = [e for e in chronicle.of_record[id] if e.seq < before and name in e.after]
    return written[-1] if written else None


def _said_since(chronicle: Chronicle, deed: Deed, later: Collection[Deed], before: int) -> set[str]:
    """Return the fields that later deeds wrote, left unchanged or put into the inbox before this edit."""
    said = [e for one in later for e in chronicle.of_operation[one.id] if e.seq < before]
    record = deed.input[EDITS[deed.command]]
    found = {name for e in said if e.id == record for name in e.after}
    for one in later:
        # An outcome is sent only once it is decided.
        decided = one.outcome is not None and one.outcome["status"] != "rejected"
        if decided and one.command in EDITS and one.input[EDITS[one.command]] == record:
            found |= one.input.keys() - {EDITS[one.command]}
    for entry in said:
        if entry.entity == "Conflict" and chronicle.value_at("recordId", entry) == record:
            held = (entry.before or {}).get("mine") or {}
            mine = entry.after.get("mine") or {}
            found |= {name for name in mine if held.get(name) != mine[name]}
    return found


def _check_late(deed: Deed, name: str, held: Any, result: Any) -> None:
    if _POLICIES[deed.command][name] is Merge.SET_UNION:
        added = set(deed.input[name]) - set((deed.seen or {}).get(name) or [])
        require(added | set(held) <= set(result), "a set has late additions", f"{result} of {deed}")
    else:
        require(result == held, "a device's latest work is not undone", f"{name}: {deed}")


def _overtaken(chronicle: Chronicle, deed: Deed, name: str, last: Entry | None) -> bool:
    """Return whether another account or device wrote the field since the device's view of it."""
    if deed.seen is None or last is None or last.device == deed.device:
        return False
    base = deed.base or 0
    before = chronicle.lost(base, deed.mark)
    if last.seq <= (base if before is None else before):
        return False  # The device knew it, and showed a later state of its own or one that is lost.
    return bool(last.after[name] != deed.seen.get(name))


def _check_union(chronicle: Chronicle, deed: Deed, name: str, last: Entry | None, united: Any) -> None:
    seen = set((deed.seen or {}).get(name) or [])
    theirs = (
        set(last.after[name]) - seen
        if last is not None and _overtaken(chronicle, deed, name, last)
        else set()
    )
    added = set(deed.input[name]) - seen
    require(added | theirs <= set(united), "a set has every addition", f"{united} of {deed}")


def _check_field(
    chronicle: Chronicle, deed: Deed, name: str, last: Entry | None, disputed: bool, result: Any
) -> None:
    mine, held = deed.input[name], last.after[name] if last else None
    lost = _overtaken(chronicle, deed, name, last) and held != mine
    require(disputed or not lost, "no change is overwritten silently", f"{name}, {held}: {deed}")
    # A base that is lost counts as 0.
    base = 0 if deed.mark in chronicle.lost_marks else deed.base or 0
    unseen = last is not None and last.device != deed.device and last.seq > base
    require(unseen or not disputed, "one's own earlier change is no conflict", f"{name} of {deed}")
    # A row from an unfinished pull is newer than the base, so the server opens a conflict.
    stays = _POLICIES[deed.command][name] in _STAY and (lost or (unseen and disputed))
    right = held if stays else mine
    require(result == right, "the policy of a field decides", f"{name} is {result}: {deed}")
