"""A cursor's promises: it is valid for one role and epoch, back to the horizon, and never moves back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from tests.simulator.device import Document
from tests.simulator.network import Request
from tests.simulator.violations import require
from tournee.kernel.log import Head

if TYPE_CHECKING:
    from tests.simulator.world import Company


@dataclass(frozen=True)
class Given:
    """When and to whom a cursor was issued, and its position."""

    role: str
    epoch: UUID
    seq: int
    # The account, and the head of the log at that time.
    mark: str
    top: int


class Cursors:
    """All issued cursors."""

    def __init__(self) -> None:
        self._given: dict[str, Given] = {}
        self._lost: set[str] = set()
        # For each organisation, the marks in answers to pushes, and the marks lost since.
        self._marks: dict[str, set[str]] = defaultdict(set)
        self._lost_marks: dict[str, set[str]] = defaultdict(set)

    def lose(self, company: Company, last: int) -> None:
        """Invalidate the cursors issued beyond that number."""
        given = self._given.items()
        self._lost |= {text for text, one in given if one.mark == company.mark and one.top > last}
        self._lost |= company.chronicle.lost_marks.keys()
        self.lose_marks(company, last)

    def lose_marks(self, company: Company, last: int) -> None:
        marks = self._marks[company.mark]
        self._lost_marks[company.mark] |= {mark for mark in marks if int(mark.split(".")[0]) > last}

    def answered(self, company: Company, mark: str | None) -> None:
        """Note that a push was answered with this mark, whether or not its device received it."""
        if mark is not None:
            self._marks[company.mark].add(mark)

    def is_lost(self, company: Company, mark: str | None) -> bool:
        if mark is None or mark not in self._lost_marks[company.mark]:
            return False
        # A number without a change is lost once a later history has skipped it.
        seq, recorded = map(int, mark.split("."))
        return recorded > 0 or seq > company.chronicle.top

    def check(self, request: Request, page: Document, company: Company) -> None:
        """Check a page, or the answer that this cursor is invalid."""
        role = company.chronicle.rows["Account"][request.about[0].account]["role"]
        epoch, floor = _head(company)
        known = self._given.get(request.query.get("cursor", ""))
        holds = known is None or ((known.role, known.epoch) == (role, epoch) and known.seq >= floor)
        # This includes accepted work that its device's copy may lack.
        lost = {request.query.get("cursor"), request.query.get("mark")} & self._lost
        holds = holds and not (known is not None and lost)
        # A permanent stream receives from memory changes for which a cursor would be too old.
        listens = request.path == "/sync/stream" and not page["resync"]
        require(
            listens or page["resync"] != holds,
            "a new copy begins exactly when the cursor is invalid",
            page,
        )
        if page["resync"]:
            require(page["changes"] == [] and not page["more"], "a resync brings nothing", page)
            return
        changes = page["changes"]
        seq = changes[-1]["seq"] if page["checkpoint"] is None else page["checkpoint"]
        self._given[page["cursor"]] = Given(role, epoch, seq, company.mark, company.chronicle.top)
        require(
            len(changes) <= int(request.query["limit"]), "a page is no longer than asked for", len(changes)
        )
        if known is not None and "progress" not in page:
            seqs = [known.seq, *(change["seq"] for change in changes), seq]
            require(seqs == sorted(seqs), "the feed only moves forward", f"{known}: {seqs}")


def _head(company: Company) -> tuple[UUID, int]:
    with company.stage.eye.connect() as eye:
        found = select(Head.epoch, Head.floor).where(Head.organisation_id == company.id)
        epoch, floor = eye.execute(found).one()
        return epoch, floor
