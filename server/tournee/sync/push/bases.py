"""The marks that a push names: which of them are of a history that the log lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.head import HeadNow, Mark
from tournee.kernel.log import Change

# A push has no more operations, each with one base.
_MOST = 1_000


def read_marks(body: Mapping[str, Any]) -> dict[int, Mark]:
    """The marks that came with the checkpoints which are bases now. What cannot be read was not said."""
    said = body.get("marks")
    if not isinstance(said, dict) or len(said) > _MOST:
        return {}
    read = {base: Mark.read(text) for base, text in said.items()}
    return {int(base): mark for base, mark in read.items() if mark is not None and _is_base(base)}


def _is_base(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 17


async def changes_at(session: AsyncSession, organisation_id: UUID, named: Collection[int]) -> dict[int, Mark]:
    """Return the mark of each change that the log has under one of these numbers."""
    if not named:
        return {}
    own = Change.organisation_id == organisation_id
    rows = await session.execute(select(Change.seq, Change.recorded_at).where(own, Change.seq.in_(named)))
    return {seq: Mark.of(seq, recorded_at) for seq, recorded_at in rows}


def lost_bases(marks: Mapping[int, Mark], there: Mapping[int, Mark], head: int) -> set[int]:
    """Return the bases whose number another change has by now, or is still to get.

    A number that a restored backup leapt over is nobody's: such a base stands for the backup's last change.
    """
    return {
        base
        for base, mark in marks.items()
        if (there[mark.seq] != mark if mark.seq in there else mark.seq > head)
    }


def is_lost(mark: Mark | None, there: Mapping[int, Mark], head: int) -> bool:
    """Return whether the log lacks what the mark names. Where it names no change, there is none to lack."""
    if mark is None:
        return False
    if mark.seq in there:
        return there[mark.seq] != mark
    return mark.seq > head or mark.recorded > 0


async def is_over(
    session: AsyncSession, organisation_id: UUID, head: HeadNow, epoch: UUID | None, mark: Mark | None
) -> bool:
    """Return whether the history that a device knows is lost: by its last answer's epoch, or by its mark."""
    there = await changes_at(session, organisation_id, [] if mark is None else [mark.seq])
    return epoch not in (None, head.epoch) or is_lost(mark, there, head.seq)
