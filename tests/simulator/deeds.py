"""What people did on devices, against what became of it: nothing lost, nothing twice, nothing silent."""

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
    """All deeds of a company's devices."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.all: dict[str, Deed] = {}
        # The last of each device in the log.
        self.numbers: dict[str, int] = {}
        # Those that hit a bug of ours, or are going to; how often each, or its unit, does.
        self.crashed: set[str] = set()
        self.bugs: Counter[str] = Counter()
        # What waited for a record: its place in the order is after that.
        self.waited: set[str] = set()
        # Whether what still waits goes on without what it waits for.
        self.is_overdue = False
        # Whether the newest was lost and the numbers went on as if nothing had happened.
        self.fell_back = False
        self._made_by: dict[str, str] = {}
        # What the office decided about those that had no effect.
        self.settled: dict[str, str] = {}

    def add(self, deeds: list[Deed]) -> None:
        for deed in deeds:
            self.all[deed.id] = deed
            if isinstance(deed.input.get("id"), str):
                self._made_by[deed.input["id"]] = deed.id

    # -- what was written -----------------------------------------------------------------------------

    def log(self, fresh: list[Entry]) -> None:
        """New entries: whose they are, each once, in the order they were done."""
        self.settled |= decisions(self.company.chronicle, fresh)
        self._note_crashed()
        touched: dict[str, list[Entry]] = {}
        for entry in fresh:
            # What the office decides about a conflict has an operation too, of no device.
            if entry.operation is not None and entry.device is not None:
                touched.setdefault(entry.operation, []).append(entry)
        for operation, entries in touched.items():
            deed = self.all.get(operation)
            require(deed is not None, "an operation in the log is one somebody did", entries[0])
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
        """Whether it had to wait, or what made the record it is about had to."""
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
                "a device's operations stand in the log in their order",
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
                    "what was recorded is what was said",
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
        require(asked or not missed, "a visit without a required checklist is put to the office", deed)

    # -- what was said --------------------------------------------------------------------------------

    def decided(self, deed: Deed, outcome: Document) -> None:
        """An outcome, told to the device or lost on its way."""
        status = outcome["status"]
        if status == "parked":
            if outcome["code"] == "INTERNAL":
                self.crashed.add(deed.id)
            elif "record" in outcome["message"] or "earlier operation" in outcome["message"]:
                self.waited.add(deed.id)
            require(deed.outcome is None, "what was decided stays decided", f"{outcome} of {deed}")
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
            "what was decided stays decided",
            f"{deed.outcome}, then {outcome}",
        )

    def note_hidden(self, device: Device) -> None:
        """A push has arrived: what is still undecided may have been decided in it, in what is seen now."""
        seen = sight(self.company.chronicle.rows, device.account)
        for deed in self.all.values():
            if deed.device == device.id and deed.outcome is None:
                deed.hidden = deed.hidden or self._is_out_of_sight(deed, seen)

    def _is_out_of_sight(self, deed: Deed, seen: dict[str, Document]) -> bool:
        """Whether any record it is about is there and hidden: a part names its order beside its place."""
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
        # The same movement may be told by two operations.
        there = bool(entries) or bool(self.company.chronicle.of_record[deed.input.get("id", "")])
        there = there or is_taken_back(self.company.chronicle, deed)
        require(there or not lossless, "an accepted operation is in the log", f"{outcome} of {deed}")

    def _check_rejected(self, deed: Deed, outcome: Document) -> None:
        require(
            not self.company.chronicle.of_operation[deed.id] or self.settled.get(deed.id) == "RETRY",
            "a rejected operation leaves nothing",
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
                "what was done in the field is not refused for what the office did",
                f"{outcome} of {deed}",
            )
        require(deed.hidden, "who may see a record may change it", f"{outcome} of {deed}")

    def _check_given_up(self, deed: Deed, outcome: Document) -> None:
        """By the office itself, or together with a record that will not come."""
        dismissed = self.settled.get(deed.id) in ("DISMISS", "KEEP_THEIRS")
        unit = [one for one in self.all.values() if deed.unit and one.unit == deed.unit]
        names = {id for one in (deed, *unit) for id in named_records(one)}
        missing = [id for id in names if not self.company.chronicle.of_record[id]]
        require(
            dismissed if outcome["code"] == "DISMISSED" else bool(missing),
            "only what was dismissed, or waits for what was, is given up",
            f"{outcome} of {deed}",
        )

    def _note_crashed(self) -> None:
        """Also those of which nobody was told: a whole unit waits where one of it does."""
        for id in TRAPS.times.keys() & self.all.keys():
            unit = self.all[id].unit
            self.crashed |= {id, *(one.id for one in self.all.values() if unit and one.unit == unit)}

    def _was_forbidden(self, deed: Deed) -> bool:
        role = self.company.chronicle.rows["Account"][deed.account]["role"]
        return COMMANDS[deed.command].permission not in permissions_of(Role(role))

    def _lost_its_role(self, deed: Deed) -> bool:
        """Whether the person has another role since: what one saw by a role goes with it."""
        changes = self.company.chronicle.of_record[deed.account]
        return any(entry.seq > (deed.base or 0) and "role" in entry.after for entry in changes)

    def _is_orphan(self, deed: Deed) -> bool:
        """Whether it is about something whose making was not accepted, or follows what hit a bug of ours; but
        as long as that is undecided, it waits."""
        parked = still_parked(self).keys()
        stopped = [other.id for other in self._stopped_before(deed)]
        if stopped and (self.is_overdue or parked.isdisjoint(stopped)):
            return True
        for value in deed.input.values():
            maker = self.all.get(self._made_by.get(str(value), ""))
            if maker is not None and maker is not deed:
                refused = maker.outcome is not None and maker.outcome["status"] == "rejected"
                # Done late, it may be for somebody who sees nothing of it any more.
                seen = sight(self.company.chronicle.rows, deed.account)
                undecided = maker.id in parked and not self.is_overdue
                stuck = maker.id in self.crashed and not undecided and str(value) not in seen
                if refused or stuck:
                    return True
        return False

    def _stopped_before(self, deed: Deed) -> Iterator[Deed]:
        """What hit a bug of ours on its device, itself included, and is about the same."""
        for other in (self.all[id] for id in self.crashed):
            alike = deed.target in (other.target, self._visit(other.target))
            if alike and other.device == deed.device and other.number <= deed.number:
                yield other

    def _visit(self, target: str) -> str | None:
        """Of a checklist, which stands in the way of the visit's end until it is done."""
        run = self.company.chronicle.rows["ChecklistRun"].get(target)
        return run and run["appointmentId"]


def _same(one: Any, other: Any) -> bool:
    """Equal as values; times may be written in more than one way."""
    return one == other or (isinstance(one, str) and isinstance(other, str) and _time(one) == _time(other))


def _time(text: str) -> str:
    return text.replace("Z", "+00:00")
