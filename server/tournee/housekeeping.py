"""Housekeeping: what a running server does by itself. It moves the windows of technicians' devices, deletes
expired data, and keeps the database's statistics current.

One process of all servers does it at a time. If it dies in the middle of a round, another continues where it
was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select

from tournee.auth.emails import complete_emails
from tournee.auth.failures import purge_failures
from tournee.auth.keys.store import purge_keys
from tournee.delivery.purging import purge_deliveries
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.engine.freezing import is_frozen
from tournee.engine.horizon import forget, raise_floor
from tournee.engine.indexing import complete_terms
from tournee.engine.leases import LeaseLost, Rounds
from tournee.kernel.command import COMMANDS_BY_NAME, Kernel
from tournee.kernel.entity import Organisation, now
from tournee.kernel.once import purge_keys_used
from tournee.people.jobs import move_windows
from tournee.settings import Settings
from tournee.sync.devices.surrender import rescue_stranded
from tournee.sync.push.receipts import purge_receipts
from tournee.sync.waiting.given_up import purge_given_up
from tournee.sync.waiting.reviving import revive_waiting
from tournee.work.jobs import settle_assignments

EVERY_SECONDS = 3600.0
# How often each process looks whether a round is due.
LOOK_SECONDS = 60.0


async def keep_house(kernel: Kernel, settings: Settings, closing: asyncio.Event) -> None:
    """Do a round every hour, unless another process does it, until the server closes."""
    rounds, warned = Rounds(kernel.database, "housekeeping", EVERY_SECONDS), False
    while not closing.is_set():
        with _logged():
            warned = warned or await _warn_of_power(kernel)
            await _take_turn(rounds, kernel, settings, closing)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), LOOK_SECONDS)


@contextlib.contextmanager
def _logged(**about: object) -> Iterator[None]:
    """Log an error and continue, so that the next step and the next round still happen."""
    try:
        yield
    except Exception:  # noqa: BLE001 - see above
        structlog.get_logger().exception("housekeeping_failed", **about)


async def _warn_of_power(kernel: Kernel) -> bool:
    """Warn once if row-level security does not apply to the server's role."""
    if await kernel.database.passes_policies():
        structlog.get_logger().warning(
            "row_security_passed", advice="Connect as a role that is not a superuser and has no BYPASSRLS."
        )
    return True


async def _take_turn(rounds: Rounds, kernel: Kernel, settings: Settings, closing: asyncio.Event) -> None:
    """Do a round if one is due and no other process is at it."""
    async with rounds.taken() as ours:
        if ours:
            with contextlib.suppress(LeaseLost):
                await _round(rounds, kernel, settings, closing)


async def _round(rounds: Rounds, kernel: Kernel, settings: Settings, closing: asyncio.Event) -> None:
    """Do what is left of a round, one organisation after another; stop between two of them if the server is
    closing.
    """
    left = select(Organisation.id).order_by(Organisation.id)
    if rounds.position is not None:
        left = left.where(Organisation.id > rounds.position)
    async with kernel.database.reading(ACROSS) as session:
        organisations = list(await session.scalars(left))
    for organisation_id in organisations:
        if closing.is_set():
            return
        with _logged(organisation=str(organisation_id)):
            await keep_organisation(kernel, settings, organisation_id)
        await rounds.done(organisation_id)
    await purge_keys(kernel.database)
    await purge_failures(kernel.database)
    await kernel.database.keep_counted()
    await rounds.finish()


async def keep_organisation(kernel: Kernel, settings: Settings, organisation_id: UUID) -> None:
    """Do one organisation's part of a round, unless it is frozen."""
    if await is_frozen(kernel.database, organisation_id):
        return
    await complete_emails(kernel.database, organisation_id)
    await complete_terms(kernel.database, organisation_id)
    await settle_assignments(kernel, organisation_id)
    await move_windows(kernel, organisation_id)
    await rescue_stranded(kernel, organisation_id)
    horizon, accepted_since, patience = (
        now() - timedelta(days=days)
        for days in (settings.horizon_days, settings.operations_days, settings.parked_days)
    )
    await forget_old(kernel.database, organisation_id, horizon, accepted_since)
    await purge_deliveries(kernel.database, organisation_id)
    await purge_keys_used(kernel.database, organisation_id)
    await revive_waiting(kernel, COMMANDS_BY_NAME, organisation_id, patience)


async def forget_old(
    database: Database, organisation_id: UUID, horizon: datetime, accepted_since: datetime
) -> None:
    """Delete what no cursor since the horizon and no operation that is still accepted can need.

    A fact that arrives late may name a record that its device saw when the operation was made.
    """
    await raise_floor(database, organisation_id, horizon)
    await forget(database, organisation_id, accepted_since)
    await purge_receipts(database, organisation_id, accepted_since)
    await purge_given_up(database, organisation_id, accepted_since)
