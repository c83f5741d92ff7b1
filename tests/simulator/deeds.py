"""Compare what people did on devices with the results: nothing lost, doubled or dropped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.simulator.chronicle import Entry
from tests.simulator.crashes import TRAPS
from tests.simulator.device import Deed, Device, Document
from tests.simulator.edits import EDITS, check_edit
from tests.simulator.field import STEPS
from tests.simulator.history import follows_lost_history
from tests.simulator.inbox import decisions, named_records, still_parked
from tests.simulator.reversals import is_rightly_refused, is_taken_back
from tests.simulator.sight import sight
from tests.simulator.violations import require
from tests.simulator.world import Company
from tournee.auth.roles import Role, permissions_of
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.kernel.registry import registered

_ACCEPTED = {"applied", "merged", "superseded"}
_UNDONE = {"NEW", "IN_PROGRESS"}
MAKES = {entry.create.name: entry.name for entry in map(registered, ENTITIES.values()) if entry.create and entry.create.offline} | {
    "reverseStockMovement": "StockMovement", "usePart": "StockMovement", "transferStock": "StockMovement", "scrapPart": "StockMovement", "countStock": "StockCount",
}  # fmt: skip


class Deeds:
    """All deeds of an organisation's devices."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.all: dict[str, Deed] = {}
        # Each device's last deed in the log.
        self.numbers: dict[str, int] = {}
        # Deeds that hit a server bug or will, and how often each or its unit does.
        self.crashed: set[str] = set()
        self.bugs: Counter[str] = Counter()
        # Deeds that waited for a record; they come after it in the order.
        self.waited: set[str] = set()
        # Whether waiting operations are released without what they wait for.
        self.is_overdue = False
        # Whether the newest history was lost without a new epoch.
        self.fell_back = False
        self._made_by: dict[str, str] = {}
        # The office's decisions about deeds without effect.
        self.settled: dict[str, str] = {}

    def add(self, deeds: list[Deed]) -> None:
        for deed in deeds:
            self.all[deed.id] = deed
            if isinstance(deed.input.get("id"), str):
                self._made_by[deed.input["id"]] = deed.id

    # -- the log --------------------------------------------------------------------------------------

    def log(self, fresh: list[Entry]) -> None:
        """Check new entries: each deed once, by its author, in the order it was done."""
        self.settled |= decisions(self.company.chronicle, fresh)
        self._note_crashed()
        touched: dict[str, list[Entry]] = {}
        for entry in fresh:
            # A decision about a conflict has an operation too, without a device.
            if entry.operation is not None and entry.device is not None:
                touched.setdefault(entry.operation, []).append(entry)
        for operation, entries in touched.items():
            deed = self.all.get(operation)
            require(deed is not None, "every operation in the log was recorded on a device", entries[0])
            assert deed is not None
            require(
                len(self.company.chronicle.of_operation[operation]) == len(entries),
                "no operation is applied twice",
                deed,
            )
            seen = Counter(entry.id for entry in entries)
            require(max(seen.values()) == 1, "an operation changes a record once", entries)
            self._check_order(deed, entries[0])
            self._check_effect(deed, entries)

    def _is_late(self, deed: Deed) -> bool:
        """Return whether the deed, or the one that created its record, had to wait."""
        makers = (self.all.get(self._made_by.get(str(value), "")) for value in deed.input.values())
        return deed.id in self.crashed | self.waited | self.settled.keys() or any(
            maker is not None and maker is not deed and self._is_late(maker) for maker in makers
        )

    def _check_order(self, deed: Deed, entry: Entry) -> None:
        require(
            entry.device == deed.device and entry.actor == deed.account, "the log names who did it", entry
        )
        last = self.numbers.get(deed.device, 0)
        if not self._is_late(deed) and not any(self._stopped_before(deed)):
            require(
                deed.number > last,
                "the log keeps the order of a device's operations",
                f"{deed.number} after {last}: {deed}",
            )
            self.numbers[deed.device] = deed.number

    def _check_effect(self, deed: Deed, entries: list[Entry]) -> None:
        if deed.command in MAKES:
            made = [e for e in entries if e.entity == MAKES[deed.command] and e.before is None]
            # A part used before it was counted changes what the count adjusted.
            made = [e for e in made if e.after.get("countId") is None]
            require(
                len(made) == 1 and made[0].id == deed.input["id"], "what was recorded is there, once", deed
            )
            for name, value in deed.input.items():
                require(
                    _same(made[0].after.get(name, value), value),
                    "the recorded values equal the sent ones",
                    f"{name}: {made[0].after.get(name)} for {deed}",
                )
        if deed.command in STEPS:
            events = [e.after for e in entries if e.entity == "AppointmentEvent" and e.before is None]
            to = "PARTIALLY_COMPLETED" if deed.input.get("outcome") == "PARTIAL" else STEPS[deed.command][0]
            require(
                [e["toStatus"] for e in events] == [to],
                "a step of a visit is one event",
                f"{events} of {deed}",
            )
            require(_same(events[0]["occurredAt"], deed.input["at"]), "a step keeps its time", events[0])
        if any(e.entity == "Appointment" and e.after.get("status") == "COMPLETED" for e in entries):
            self._check_checklists(deed, entries)
        if deed.command in EDITS:
            own = (one for one in self.all.values() if one.device == deed.device)
            later = [one for one in own if one.number > deed.number]
            check_edit(self.company.chronicle, deed, entries, later)

    def _check_checklists(self, deed: Deed, entries: list[Entry]) -> None:
        runs = self.company.chronicle.rows["ChecklistRun"].values()
        missed = [
            run["id"]
            for run in runs
            if run["appointmentId"] == deed.target and run["required"] and run["status"] in _UNDONE
        ]
        asked = any(entry.entity == "Conflict" for entry in entries)
        require(asked or not missed, "a visit without its required checklist opens a conflict", deed)

    # -- the outcomes ---------------------------------------------------------------------------------

    def decided(self, deed: Deed, outcome: Document) -> None:
        """Check an outcome, received by the device or lost on its way."""
        status = outcome["status"]
        if status == "parked":
            if outcome["code"] == "INTERNAL":
                self.crashed.add(deed.id)
            elif "record" in outcome["message"] or "earlier operation" in outcome["message"]:
                self.waited.add(deed.id)
            require(deed.outcome is None, "a decided operation keeps its outcome", f"{outcome} of {deed}")
            return
        if deed.outcome is None:
            deed.outcome = outcome
            if status in _ACCEPTED | {"duplicate"}:
                self._check_accepted(deed, outcome)
            else:
                self._check_rejected(deed, outcome)
            return
        first = deed.outcome["status"]
        same = status == ("rejected" if first == "rejected" else "duplicate")
        require(
            same and outcome["code"] == deed.outcome["code"],
            "a decided operation keeps its outcome",
            f"{deed.outcome}, then {outcome}",
        )

    def note_hidden(self, device: Device) -> None:
        """Note, for a push that arrived, which undecided deeds may be decided with a record out of view."""
        seen = sight(self.company.chronicle.rows, device.account)
        for deed in self.all.values():
            if deed.device == device.id and deed.outcome is None:
                deed.hidden = deed.hidden or self._is_out_of_sight(deed, seen)

    def _is_out_of_sight(self, deed: Deed, seen: dict[str, Document]) -> bool:
        """Return whether any record that it names exists but is invisible."""
        named = {id for id in named_records(deed) if self.company.chronicle.of_record[id]}
        return not {deed.target, *named} <= seen.keys()

    def _check_accepted(self, deed: Deed, outcome: Document) -> None:
        entries = self.company.chronicle.of_operation[deed.id]
        if outcome["seq"] is not None:
            require(
                any(entry.seq == outcome["seq"] for entry in entries),
                "an accepted operation is in the log",
                outcome,
            )
        lossless = deed.command in MAKES or deed.command in STEPS
        # Two operations may send the same movement.
        there = bool(entries) or bool(self.company.chronicle.of_record[deed.input.get("id", "")])
        there = there or is_taken_back(self.company.chronicle, deed)
        require(there or not lossless, "an accepted operation is in the log", f"{outcome} of {deed}")

    def _check_rejected(self, deed: Deed, outcome: Document) -> None:
        require(
            not self.company.chronicle.of_operation[deed.id] or self.settled.get(deed.id) == "RETRY",
            "a rejected operation has no effect",
            f"{outcome} of {deed}",
        )
        require(outcome["code"] is not None, "a rejection says why", outcome)
        if deed.target == "nothing" or outcome["code"] == "UNIT_REFUSED":
            return
        if outcome["code"] in ("DISMISSED", "PARENT_REFUSED"):
            self._check_given_up(deed, outcome)
            return
        if self._is_orphan(deed) or self._lost_its_role(deed) or follows_lost_history(self, deed):
            return
        if deed.command == "reverseStockMovement" and is_rightly_refused(self.company.chronicle, deed):
            return
        if outcome["code"] == "FORBIDDEN":
            require(
                self._was_forbidden(deed), "what one's role allows is not forbidden", f"{outcome} of {deed}"
            )
            return
        if deed.binding:
            require(
                False,
                "field work is not refused because of the office's changes",
                f"{outcome} of {deed}",
            )
        require(deed.hidden, "an account that sees a record may change it", f"{outcome} of {deed}")

    def _check_given_up(self, deed: Deed, outcome: Document) -> None:
        """Check that the office dismissed the deed, or a record that it needs."""
        dismissed = self.settled.get(deed.id) in ("DISMISS", "KEEP_THEIRS")
        unit = [one for one in self.all.values() if deed.unit and one.unit == deed.unit]
        names = {id for one in (deed, *unit) for id in named_records(one)}
        missing = [id for id in names if not self.company.chronicle.of_record[id]]
        require(
            dismissed if outcome["code"] == "DISMISSED" else bool(missing),
            "only a dismissed operation or a dependent of one is given up",
            f"{outcome} of {deed}",
        )

    def _note_crashed(self) -> None:
        """Note crashed deeds, including unreported ones: a whole unit waits when one of its deeds does."""
        for id in TRAPS.times.keys() & self.all.keys():
            unit = self.all[id].unit
            self.crashed |= {id, *(one.id for one in self.all.values() if unit and one.unit == unit)}

    def _was_forbidden(self, deed: Deed) -> bool:
        role = self.company.chronicle.rows["Account"][deed.account]["role"]
        return COMMANDS[deed.command].permission not in permissions_of(Role(role))

    def _lost_its_role(self, deed: Deed) -> bool:
        """Return whether the person has changed role since, which changes what they see."""
        changes = self.company.chronicle.of_record[deed.account]
        return any(entry.seq > (deed.base or 0) and "role" in entry.after for entry in changes)

    def _is_orphan(self, deed: Deed) -> bool:
        """Return whether its record's creation was refused or it follows a deed that hit a server bug.

        While that deed is undecided, this one waits.
        """
        parked = still_parked(self).keys()
        stopped = [other.id for other in self._stopped_before(deed)]
        if stopped and (self.is_overdue or parked.isdisjoint(stopped)):
            return True
        for value in deed.input.values():
            maker = self.all.get(self._made_by.get(str(value), ""))
            if maker is not None and maker is not deed:
                refused = maker.outcome is not None and maker.outcome["status"] == "rejected"
                # Applied late, it may be about records that its author no longer sees.
                seen = sight(self.company.chronicle.rows, deed.account)
                undecided = maker.id in parked and not self.is_overdue
                stuck = maker.id in self.crashed and not undecided and str(value) not in seen
                if refused or stuck:
                    return True
        return False

    def _stopped_before(self, deed: Deed) -> Iterator[Deed]:
        """Return the deeds of its device, itself included, that hit a server bug on the same record."""
        for other in (self.all[id] for id in self.crashed):
            alike = deed.target in (other.target, self._visit(other.target))
            if alike and other.device == deed.device and other.number <= deed.number:
                yield other

    def _visit(self, target: str) -> str | None:
        """Return the visit of a checklist, which blocks the visit's completion until it is done."""
        run = self.company.chronicle.rows["ChecklistRun"].get(target)
        return run and run["appointmentId"]


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; times may be written in more than one way."""
    return one == other or (isinstance(one, str) and isinstance(other, str) and _time(one) == _time(other))


def _time(text: str) -> str:
    return text.replace("Z", "+00:00")
