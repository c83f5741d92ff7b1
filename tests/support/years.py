"""What a technician leaves in years: shifts, time, absences, audits, stock. The server got it back then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from tests.support.house import House
from tournee.engine import publishing
from tournee.kernel import transaction
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.work.models import membership


@contextmanager
def received(at: datetime) -> Iterator[None]:
    """Let the server believe that it receives and records changes at this time."""
    with ExitStack() as patches:
        for module in (transaction, publishing, membership):
            patches.enter_context(patch.object(module, "now", lambda: at))
        yield


class Past:
    """A technician with a van, and what they left."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def begin(self) -> Past:
        row, actor = await self.house.technician()
        return await self.of(row.id, actor)

    async def of(self, technician_id: UUID, actor: Actor) -> Past:
        """Give this technician a van, and somebody who audits their work."""
        run = self.house.run
        self.technician_id, self.actor = technician_id, actor
        self.van = (
            await run("createStockLocation", name="Demo van", kind="VAN", technicianId=self.technician_id)
        ).id
        self.part = (await run("createPart", number=f"DEMO-{uuid4().hex[:8]}", name="Demo relay")).id
        self.lead: Actor = await self.house.account("AUDITOR")
        return self

    async def record(self, days: int, _as: Any = None, /, **more: Any) -> UUID:
        """Record an hour of time this many days ago, and return the entry's id."""
        begins = now() - timedelta(days=days)
        times = {"startsAt": begins, "endsAt": begins + timedelta(hours=1)}
        with received(begins + timedelta(hours=2)):
            entry = await self.house.run("recordTimeEntry", _as or self.actor, kind="WORK", **times, **more)
        id: UUID = entry.id
        return id

    async def shift(self, days: int) -> UUID:
        begins = now() - timedelta(days=days)
        times = {"startsAt": begins, "endsAt": begins + timedelta(hours=8)}
        id: UUID = (await self.house.run("createShift", technicianId=self.technician_id, **times)).id
        return id

    async def absence(self, days: int, lasting: int = 3, *, approved: bool = True) -> UUID:
        begins = now() - timedelta(days=days)
        times = {"startsAt": begins, "endsAt": begins + timedelta(days=lasting)}
        row = await self.house.run(
            "requestAbsence", self.actor, technicianId=self.technician_id, kind="VACATION", **times
        )
        if approved:
            await self.house.run("approveAbsence", absenceId=row.id)
        id: UUID = row.id
        return id

    async def stock(self, days: int) -> None:
        """Receive and count a part in the van, which adjusts nothing."""
        at = now() - timedelta(days=days)
        on = {"partId": self.part, "at": at}
        with received(at):
            await self.house.run("receiveStock", toLocationId=self.van, quantity=1000, **on)
            await self.house.run("countStock", locationId=self.van, counted=1000, **on)

    async def audit(self, days: int, *, canceled: bool = True, **more: Any) -> UUID:
        """Plan an audit of the technician's work, and call it off."""
        at = now() - timedelta(days=days)
        given = {"technicianId": self.technician_id, "leadAuditorId": self.lead.id, **more}
        audit = await self.house.run("createAudit", "AUDITOR", title="Demo", **given)
        await self.house.run("planAudit", "AUDITOR", auditId=audit.id, plannedFrom=at)
        if canceled:
            await self.house.run("cancelAudit", "AUDITOR", auditId=audit.id, reason="Demo")
        id: UUID = audit.id
        return id

    async def window(self, days: int) -> None:
        """Let the device carry what lies at most this many days back."""
        begins = now() - timedelta(days=days)
        await self.house.run(
            "moveWindow",
            technicianId=self.technician_id,
            windowFrom=begins,
            windowTo=now() + timedelta(days=29),
        )
