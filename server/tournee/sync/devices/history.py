"""Whether the log still has the history that a device knows, judging by its epoch and by the marks that
it sends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.archived import Range, archived_with
from tournee.kernel.head import Mark
from tournee.kernel.log import Change
from tournee.sync.push.request import PushRequest

# Clocks of several servers differ by less.
_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class History:
    """What is lost of the history that a device knows: all of it, or that of some bases."""

    is_lost: bool
    lost_bases: frozenset[int]


async def history_of(session: AsyncSession, request: PushRequest, epoch: UUID, head: int) -> History:
    """Compare what the device knows with the log, which stands at `head` in this `epoch`."""
    marks = [mark for mark in (request.mark, *request.marks.values()) if mark is not None]
    there = await _changes_at(session, {mark.seq for mark in marks})
    there |= await _archived_among(session, [mark for mark in marks if mark.seq not in there])
    is_over = request.epoch not in (None, epoch) or is_lost(request.mark, there, head)
    return History(is_over, frozenset(lost_bases(request.marks, there, head)))


async def _changes_at(session: AsyncSession, named: Collection[int]) -> dict[int, Mark]:
    """Return the mark of each change that the log has under one of these numbers."""
    if not named:
        return {}
    rows = await session.execute(select(Change.seq, Change.recorded_at).where(Change.seq.in_(named)))
    return {seq: Mark.of(seq, recorded_at) for seq, recorded_at in rows}


async def _archived_among(session: AsyncSession, marks: Collection[Mark]) -> dict[int, Mark]:
    """Return those of these marks whose changes are in the archive, judging by when they were recorded."""
    ranges = await archived_with(session, {mark.seq for mark in marks})
    return {mark.seq: mark for mark in marks if _is_of(mark, ranges.get(mark.seq))}


def _is_of(mark: Mark, archived: Range | None) -> bool:
    if archived is None:
        return False
    since, until = archived.recorded_from - _SKEW, archived.recorded_until + _SKEW
    return Mark.of(mark.seq, since) <= mark <= Mark.of(mark.seq, until)


def lost_bases(marks: Mapping[int, Mark], there: Mapping[int, Mark], head: int) -> set[int]:
    """Return the bases whose number has another change by now, or does not exist yet.

    A restored backup leaps over numbers. A base among those stands for the backup's last change.
    """
    return {
        base
        for base, mark in marks.items()
        if (there[mark.seq] != mark if mark.seq in there else mark.seq > head)
    }


def is_lost(mark: Mark | None, there: Mapping[int, Mark], head: int) -> bool:
    """Return whether the log lacks the change that the mark names. A mark of a number without a change
    loses nothing.
    """
    if mark is None:
        return False
    if mark.seq in there:
        return there[mark.seq] != mark
    return mark.seq > head or mark.recorded > 0
