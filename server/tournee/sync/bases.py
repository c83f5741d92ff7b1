"""The bases that a push names: which of them are of a history that the log lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.heads import Mark
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


async def lost_bases(
    session: AsyncSession, organisation_id: UUID, marks: Mapping[int, Mark], head: int
) -> set[int]:
    """The bases whose number another change has by now, or is still to get.

    A number that a restored backup leapt over is nobody's: such a base stands for the backup's last change.
    """
    if not marks:
        return set()
    named = {mark.seq for mark in marks.values()}
    own = Change.organisation_id == organisation_id
    rows = await session.execute(select(Change.seq, Change.recorded_at).where(own, Change.seq.in_(named)))
    there = {mark.seq: mark for mark in (Mark.of(seq, recorded_at) for seq, recorded_at in rows)}
    return {
        base
        for base, mark in marks.items()
        if (there[mark.seq] != mark if mark.seq in there else mark.seq > head)
    }
