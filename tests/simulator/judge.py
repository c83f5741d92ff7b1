"""Checks after every request and at the end that each promise was kept.

It knows what people did (`Deed`), the log (`Chronicle`) and who may see what (`sight`), and nothing of
how the server stores it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.simulator.chronicle import Chronicle
from tests.simulator.closing import close, receipts_of
from tests.simulator.crashes import TRAPS
from tests.simulator.cursors import Cursors
from tests.simulator.deeds import Deeds
from tests.simulator.device import KIND, Deed, Device, Document
from tests.simulator.followers import Follower
from tests.simulator.history import forget_history
from tests.simulator.inbox import check_decided, check_waiting, still_parked
from tests.simulator.leaving import check_surrendered
from tests.simulator.network import Answer, Request
from tests.simulator.reversals import check_reversals
from tests.simulator.sight import sight
from tests.simulator.stock import check_ledger
from tests.simulator.trace import Trace
from tests.simulator.violations import require
from tests.simulator.world import Company

_REFUSALS = {401, 403, 429, 503}


class Judge:
    """Checks the organisations of one simulation."""

    def __init__(self, companies: list[Company], trace: Trace) -> None:
        self.companies = companies
        self.trace = trace
        self.deeds = {company.mark: Deeds(company) for company in companies}
        self.counts: Counter[str] = Counter()
        self._cursors = Cursors()
        # The greatest seq that any organisation has used.
        self._highest: Counter[str] = Counter()

    def company_of(self, device: Device) -> Company:
        return next(company for company in self.companies if device in company.devices())

    def will_crash(self, company: Company, deed: Deed, times: int) -> None:
        deeds = self.deeds[company.mark]
        deeds.crashed.add(deed.id)
        deeds.bugs[deed.unit or deed.id] += times

    def restored(self) -> None:
        """Note that a complete backup was restored.

        Devices state their next number again, so requests on their way may overtake what they should await.
        """
        for company in self.companies:
            chronicle, head = company.chronicle, company.chronicle.head()
            require(head > self._highest[company.mark], "no number is used twice", head)
            chronicle.leaps[chronicle.seq] = head - chronicle.seq
            deeds = self.deeds[company.mark]
            deeds.waited |= {id for id, deed in deeds.all.items() if deed.outcome is None}

    def fell_back(self, leaps: dict[str, Counter[int]]) -> int:
        """Note that the database lost its newest history without a new epoch."""
        lost = self._lose(leaps)
        for company in self.companies:
            deeds, last = self.deeds[company.mark], company.chronicle.top
            deeds.fell_back = True
            given = [deed.mark for deed in deeds.all.values()]
            given += [mark for one in company.devices() for mark in one.marks()]
            gone = {mark: last for mark in given if mark is not None and int(mark.split(".")[0]) > last}
            company.chronicle.lost_marks = gone | company.chronicle.lost_marks
            self._cursors.lose(company, last)
        self.counts["replica takeovers"] += 1
        return lost

    def lost_history(self, leaps: dict[str, Counter[int]]) -> int:
        """Note that a backup without the newest history was restored; return how many deeds are lost."""
        lost = self._lose(leaps)
        for company in self.companies:
            self._cursors.lose_marks(company, company.chronicle.top)
        self.counts["incomplete backups restored"] += 1
        self.restored()
        return lost

    def _lose(self, leaps: dict[str, Counter[int]]) -> int:
        lost = 0
        for company in self.companies:
            self._highest[company.mark] = company.chronicle.top
            marks = company.chronicle.lost_marks
            company.chronicle = Chronicle(company.stage.eye, company.id)
            company.chronicle.leaps = Counter(leaps[company.mark])
            company.chronicle.lost_marks = marks
            company.chronicle.read()
            for device in company.devices():
                device.revoked = company.chronicle.rows["Device"][device.id]["status"] != "ENROLLED"
            deeds = self.deeds[company.mark]
            lost += forget_history(deeds, {*receipts_of(deeds)}, {*still_parked(deeds)})
        self.counts["deeds lost"] += lost
        return lost

    def did(self, company: Company, deeds: list[Deed]) -> None:
        self.deeds[company.mark].add(deeds)

    # -- after every request --------------------------------------------------------------------------

    def observe(self, request: Request, answer: Answer | None) -> None:
        """Check what the server wrote and answered to a request."""
        if request.path == "/sync/push":
            # Visibility before or after a batch may decide about the operations in it.
            deeds = self.deeds[self.company_of(request.about[0]).mark]
            deeds.note_hidden(request.about[0])
            self.read()
            deeds.note_hidden(request.about[0])
        self.read()
        if answer is None:
            return
        self._check_status(request, answer)
        if request.path.startswith("/sync/"):
            device = request.about[0]
            self._check_foreign(device, answer)
            if answer.status == 200 and request.scheme == "Surrender":
                require(device.revoked, "only a revoked device surrenders its work", device.name)
                check_surrendered(request.about[1], answer.body["outcomes"])
            elif answer.status == 200:
                check = self._check_push if request.path == "/sync/push" else self.check_page
                check(request, answer, self.company_of(device))
                require(
                    not device.revoked, "a revoked device gets nothing more", f"{device.name}: {request.path}"
                )

    def read(self) -> None:
        for company in self.companies:
            fresh = company.chronicle.read()
            self.deeds[company.mark].log(fresh)
            for entry in fresh:
                if entry.entity == "Device" and entry.after.get("status", "ENROLLED") != "ENROLLED":
                    for device in company.devices():
                        device.revoked = device.revoked or device.id == entry.id

    def _check_status(self, request: Request, answer: Answer) -> None:
        if answer.status == 503:
            require("retry-after" in answer.headers, "503 says when to come back", request.path)
        known = answer.status in (200, 204) or answer.status in _REFUSALS
        require(
            known,
            "every answer is 200, a refusal of the caller, or 503",
            f"{request.who} {request.path}: {answer.status} {answer.raw[:300]!r}",
        )
        if request.path == "/graphql" and answer.status == 200 and not TRAPS.met:
            require(
                "errors" not in answer.body, "a mutation is answered, not broken", answer.body.get("errors")
            )

    def _check_foreign(self, device: Device, answer: Answer) -> None:
        """Check that an answer contains no id or name of another organisation."""
        own = self.company_of(device)
        told = answer.raw
        # The inbox shows a refused operation as sent, including the ids in it.
        deeds = self.deeds[own.mark].all.values()
        asked = {str(value) for deed in deeds if deed.target == "nothing" for value in deed.input.values()}
        # The longest first, so that no id is found in pieces.
        for value in sorted(asked, key=len, reverse=True):
            told = told.replace(value.encode(), b"")
        for other in self.companies:
            if other is not own:
                require(
                    other.mark.encode() not in told,
                    "nothing of another organisation is sent",
                    answer.raw[:400],
                )

    def check_page(self, request: Request, answer: Answer, company: Company) -> None:
        page = answer.body
        self.counts["pages"] += 1
        self._cursors.check(request, page, company)
        seen = sight(company.chronicle.rows, request.about[0].account)
        for change in page["changes"]:
            held = seen.get(change["id"])
            if change.get("removed"):
                require(held is None, "only invisible rows are removed", change)
            else:
                require(
                    held is not None,
                    "no row is sent to an account that may not see it",
                    f"{request.who}: {change}",
                )
                told = {KIND: change["entity"], **change["record"]}
                require(told == held, "a row is sent in its present state", f"{told} is {held}")

    def _check_push(self, request: Request, answer: Answer, company: Company) -> None:
        device, batch = request.about
        outcomes, epoch = answer.body["outcomes"], request.body.get("epoch")
        is_over = epoch is not None and epoch != answer.body["epoch"]
        is_over = is_over or self._cursors.is_lost(company, request.body.get("mark"))
        self._cursors.answered(company, answer.body.get("mark"))
        require(
            answer.body.get("resync", False) == is_over,
            "a device learns of lost history exactly when it is lost",
            f"{request.body}: {answer.body}",
        )
        if is_over:
            require(not outcomes, "nothing is applied after lost history", outcomes)
            self.counts["lost history detected"] += 1
            return
        sent = [operation.get("id") for operation in request.body["operations"]]
        require(
            [o["id"] for o in outcomes] == sent,
            "every operation has its outcome, in the order sent",
            outcomes,
        )
        head = company.chronicle.top
        require(
            answer.body["checkpoint"] <= head,
            "a checkpoint is not ahead of the log",
            f"{answer.body['checkpoint']} > {head}",
        )
        seen = sight(company.chronicle.rows, device.account)
        for deed, outcome in zip(batch, (one for one in outcomes if one["id"]), strict=True):
            self.deeds[company.mark].decided(deed, outcome)
            self._check_record(outcome["record"], seen, company.chronicle, answer.body["checkpoint"])

    def _check_record(
        self, record: Document | None, seen: dict[str, Document], chronicle: Chronicle, checkpoint: int
    ) -> None:
        """Check that an outcome's record is as it was when the answer was made.

        Other devices' work that waited for this push may have changed it since.
        """
        if record is None:
            return
        held = seen.get(record["id"])
        if record.get("removed"):
            require(held is None, "an outcome says removed only for invisible records", record)
            return
        told = {name: value for name, value in record.items() if name != "entity"}
        require(
            held is not None and told in chronicle.states(record["id"], checkpoint),
            "an outcome has the record as its person saw it",
            f"{record} is {held}",
        )

    # -- after a completed pull -------------------------------------------------------------------------

    def compare(self, company: Company, device: Device | Follower) -> None:
        """Check that the copy equals what the account may see, row by row and field by field."""
        self.counts["copies compared"] += 1
        seen = sight(company.chronicle.rows, device.account)
        copy = device.rows() if isinstance(device, Device) else device.rows
        if copy == seen:
            return
        missing = [f"{seen[id][KIND]} {id}" for id in sorted(seen.keys() - copy.keys())]
        extra = [f"{copy[id][KIND]} {id}" for id in sorted(copy.keys() - seen.keys())]
        other = {
            id: _difference(copy[id], seen[id]) for id in copy.keys() & seen.keys() if copy[id] != seen[id]
        }
        require(
            False,
            "after a complete pull the copy equals what its person may see",
            f"{device.name} misses {missing}, has {extra} too much, has wrong {other}",
        )

    def check_waiting(self) -> None:
        for company in self.companies:
            check_waiting(self.deeds[company.mark])
            self.deeds[company.mark].is_overdue = True

    # -- when all is quiet ------------------------------------------------------------------------------

    def close(self) -> None:
        """Check the whole after everything has arrived and every device has pulled."""
        self.read()
        for company in self.companies:
            chronicle = company.chronicle
            require(
                chronicle.head() == chronicle.top, "the head is the last number of the log", chronicle.head()
            )
            folded = {name: rows for name, rows in chronicle.rows.items() if rows}
            tables = chronicle.tables()
            for name in folded.keys() | tables.keys():
                require(
                    tables.get(name) == folded.get(name),
                    "the log equals the tables",
                    f"{name}: {tables.get(name)} is {folded.get(name)}",
                )
            check_ledger(chronicle.rows)
            self.counts["movements reversed"] += check_reversals(chronicle.rows["StockMovement"])
            close(self.deeds[company.mark])
            self.counts += check_decided(self.deeds[company.mark])
            self._check_actors(company)

    def _check_actors(self, company: Company) -> None:
        ours = {person.account for person in company.everybody()} | {str(company.id)}
        for entry in company.chronicle.entries:
            require(entry.actor in ours, "nobody writes in another organisation", entry)


def _difference(one: Document, other: Document) -> dict[str, Any]:
    return {
        name: (one.get(name), other.get(name))
        for name in one.keys() | other.keys()
        if one.get(name) != other.get(name)
    }
