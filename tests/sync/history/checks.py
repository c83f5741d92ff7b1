"""Check that the observations are possible: the log, the writers, and each puller's pages.

Every check yields the broken promises, each with what was seen instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from tests.simulator.chronicle import Chronicle, Entry
from tests.simulator.device import KIND
from tests.simulator.sight import sight
from tests.sync.history.journal import Journal, Told
from tests.sync.history.pullers import Copy, Document, Puller, Step
from tournee.sync.models import Receipt

Broken = tuple[str, str]


@dataclass(frozen=True)
class State:
    """A record's state from a seq on; None while it is deleted."""

    seq: int
    document: Document | None


class Log:
    """The whole log, and each record's states."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = {entry.seq: entry for entry in entries}
        self.states: dict[str, list[State]] = {}
        self.head = max(self.entries, default=0)
        for entry in entries:
            states = self.states.setdefault(entry.id, [])
            held = next((state.document for state in reversed(states) if state.document), {})
            now = {KIND: entry.entity, **held, **entry.after}
            deleted = now.pop("deleted", bool(states) and states[-1].document is None)
            states.append(State(entry.seq, None if deleted else now))

    def stood(self, id: str, told: Document | None, since: int) -> int | None:
        """Return the first seq from which the record was in this state until after `since`."""
        states = self.states.get(id, [])
        ends = [*(state.seq for state in states[1:]), self.head + 1]
        for state, end in zip(states, ends, strict=False):
            if state.document == told and end > since:
                return state.seq
        return None


def of_the_log(log: Log, head: int, journals: Sequence[Journal]) -> Iterator[Broken]:
    if sorted(log.entries) != list(range(1, head + 1)):
        missing = [seq for seq in range(1, head + 1) if seq not in log.entries]
        yield "the log has no gap", f"of {head} changes there are {len(log.entries)}, not {missing[:20]}"
    for told in (one for journal in journals for one in journal.told()):
        for seq, id in told.changes.items():
            entry = log.entries.get(seq)
            if entry is None or entry.id != id:
                yield "every acknowledged change is in the log", f"{seq} {id}: {entry}"
    made = defaultdict[str, list[str]](list)
    for entry in log.entries.values():
        made[entry.operation or ""].append(entry.id)
    for operation, id in (item for journal in journals for item in journal.pushed().items()):
        if made[operation] != [id]:
            yield "each operation took effect once", f"{operation}: {made[operation]}, not {id}"


def of_receipts(chronicle: Chronicle, log: Log) -> Iterator[Broken]:
    with chronicle.eye.connect() as connection:
        mine = Receipt.organisation_id == chronicle.organisation_id
        rows = connection.execute(select(Receipt.operation_id, Receipt.seq).where(mine)).all()
    for operation, seq in rows:
        entry = log.entries.get(seq)
        if entry is None or entry.operation != str(operation):
            yield "a receipt and its effect are one transaction", f"{operation} at {seq}: {entry}"


def of_copies(chronicle: Chronicle, pullers: Iterable[Puller], told: Sequence[Told]) -> Iterator[Broken]:
    """Check that each copy after a complete pull equals its person's view of the log up to its checkpoint.

    The checkpoint must not split a transaction, and must include everything acknowledged before.
    """
    inside = {seq for one in told for seq in range(min(one.changes), max(one.changes))}
    acknowledged = _Acknowledged(told)
    taken = sorted(
        ((copy, puller) for puller in pullers for copy in puller.copies), key=lambda one: one[0].checkpoint
    )
    for copy, puller in taken:
        if copy.checkpoint in inside:
            yield "no pull shows half of a transaction", f"{puller.name} at {copy.checkpoint}"
        if copy.checkpoint < (least := acknowledged.by(copy.asked_at)):
            yield (
                "an acknowledged change is in every later pull",
                f"{puller.name}: {copy.checkpoint} < {least}",
            )
        chronicle.read(copy.checkpoint)
        yield from _compared(chronicle, puller, copy)


def _compared(chronicle: Chronicle, puller: Puller, copy: Copy) -> Iterator[Broken]:
    seen = sight(chronicle.rows, str(puller.actor.id))
    if copy.rows == seen:
        return
    missed = sorted(f"{seen[id][KIND]} {id}" for id in seen.keys() - copy.rows.keys())
    extra = sorted(f"{copy.rows[id][KIND]} {id}" for id in copy.rows.keys() - seen.keys())
    other = sorted(id for id in copy.rows.keys() & seen.keys() if copy.rows[id] != seen[id])
    what = f"{puller.name} at {copy.checkpoint} misses {missed[:5]}, has {extra[:5]}, has wrong {other[:5]}"
    yield "a complete pull is a prefix of the log", what


class _Acknowledged:
    """The greatest seq acknowledged to any writer by a given time."""

    def __init__(self, told: Iterable[Told]) -> None:
        ordered = sorted(told, key=lambda one: one.at)
        self._times = [one.at for one in ordered]
        self._seqs: list[int] = []
        for one in ordered:
            self._seqs.append(max([max(one.changes), *self._seqs[-1:]]))

    def by(self, at: float) -> int:
        place = bisect_right(self._times, at)
        return self._seqs[place - 1] if place else 0


def of_pages(log: Log, puller: Puller) -> Iterator[Broken]:
    for chain in puller.chains:
        for promise, seen in _of_chain(log, chain, sees_all=puller.actor.sees_all):
            yield promise, f"{puller.name}: {seen}"


def _of_chain(log: Log, chain: Sequence[Step], *, sees_all: bool) -> Iterator[Broken]:
    """Check that each page matches a moment of the log, never before that of the previous page."""
    moment, place, told_at = 0, (0, ""), dict[str, int]()
    for step in chain:
        yield from _of_cursor(step)
        later = _moment(log, step, max(moment, step.page.cursor.seq), sees_all=sees_all)
        if later is None:
            yield "a page shows one moment", f"{step} after {moment}"
        moment = later or moment
        for change in step.page.changes if step.before is not None and not step.before.snapshot else ():
            yield from _of_place(log, change, place, told_at, sees_all=sees_all)
            place = change.seq, str(change.id)
            told_at[place[1]] = change.seq


def _moment(log: Log, step: Step, since: int, *, sees_all: bool) -> int | None:
    """Return the first moment from `since` on at which every row was as in the page."""
    rows = [
        (
            str(change.id),
            None if change.document is None else {KIND: change.entity, **orjson.loads(change.document)},
        )
        for change in step.page.changes
        # The copies show when a technician ceased to see a row.
        if change.document is not None or sees_all
    ]
    while True:
        moment = since
        for id, told in rows:
            stood = log.stood(id, told, moment)
            if stood is None:
                return None
            moment = max(moment, stood)
        if moment == since:
            return moment
        since = moment


def _of_cursor(step: Step) -> Iterator[Broken]:
    before, after = step.before, step.page.cursor
    if before is None or before.snapshot:
        pinned = before is None or before.seq == after.seq
        if not pinned:
            yield "a snapshot stays pinned", f"{before} to {after}"
    elif (before.seq, before.id) > (after.seq, after.id):
        yield "the cursor never moves back", f"{before} to {after}"


def _of_place(
    log: Log, change: Any, place: tuple[int, str], told_at: dict[str, int], *, sees_all: bool
) -> Iterator[Broken]:
    id = str(change.id)
    if (change.seq, id) <= place:
        yield "changes come in order", f"{change} after {place}"
    if change.seq <= told_at.get(id, 0):
        yield "no change is sent twice", f"{change} after {told_at[id]}"
    if sees_all and log.entries[change.seq].id != id:
        yield "a change is sent at its own seq", f"{change}: {log.entries[change.seq]}"
