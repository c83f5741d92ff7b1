"""Decisions about what a revoked device surrendered."""

from __future__ import annotations

from tournee.auth.permissions import DEVICES_WRITE
from tournee.conflicts.deciding import ResolveConflict, Situation, perform
from tournee.kernel.actor import lacks
from tournee.kernel.transaction import Transaction
from tournee.sync.devices.surrendered import accept_surrendered_work, dismiss_surrendered_work


def against_accepting(situation: Situation) -> list[str]:
    return [] if situation.actor.may(DEVICES_WRITE) else [lacks(DEVICES_WRITE)]


async def accept(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    await perform(tx, accept_surrendered_work, conflictId=situation.conflict.id, note=do.note)


async def dismiss(tx: Transaction, situation: Situation, do: ResolveConflict) -> None:
    await perform(tx, dismiss_surrendered_work, conflictId=situation.conflict.id, note=do.note)
