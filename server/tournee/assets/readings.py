"""How readings enter the ledger."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from tournee.assets.models import Asset, AssetStatus, Meter, MeterKind, Reading
from tournee.kernel.conflict import RECORD_ON_CLOSED_PARENT
from tournee.kernel.transaction import Transaction

_PLACE = {"siteId": "site_id", "customerId": "customer_id", "holderTechnicianId": "holder_technician_id"}


async def put_where_read(tx: Transaction, reading: Reading, meter: Meter) -> None:
    """Put the reading where its meter was for the person who read it: if the asset moved meanwhile, at
    its old place.
    """
    reading.put_where(meter)
    for name in _PLACE.keys() & await tx.changed_since_base(meter):
        before = await tx.value_at_base(meter, name)
        setattr(reading, _PLACE[name], None if before is None else UUID(before))


async def judge_neighbours(tx: Transaction, meter: Meter, readings: list[Reading]) -> None:
    """Judge anew whether these readings of a counter, and those after them, are plausible.

    Readings arrive in any order; whether one is marked depends only on the times they were taken.
    """
    if meter.kind is not MeterKind.COUNTER:
        return
    following = [await _next_to(tx, reading, later=True) for reading in readings]
    concerned = {reading.id: reading for reading in (*readings, *following) if reading is not None}
    for reading in concerned.values():
        previous = await _next_to(tx, reading, later=False)
        reading.implausible = previous is not None and previous.value > reading.value


async def _next_to(tx: Transaction, reading: Reading, later: bool) -> Reading | None:
    """Return the valid reading just before or after this one."""
    time = Reading.taken_at
    found = await tx.all(
        select(Reading)
        .where(
            Reading.meter_id == reading.meter_id,
            Reading.is_corrected.is_(False),
            time > reading.taken_at if later else time < reading.taken_at,
        )
        .order_by(time if later else time.desc(), Reading.id)
        .limit(1)
    )
    return found[0] if found else None


async def note_retired_meanwhile(tx: Transaction, reading: Reading) -> None:
    """Add a conflict for the office: work was done on an asset that was retired while the device was away."""
    if tx.current.base is None:
        return
    status = await tx.session.scalar(select(Asset.status).where(Asset.id == reading.asset_id))
    if status is not AssetStatus.RETIRED:
        return
    [asset] = await tx.all(select(Asset).where(Asset.id == reading.asset_id))
    if "status" in await tx.changed_since_base(asset):
        await tx.conflict(
            RECORD_ON_CLOSED_PARENT,
            asset,
            base={"status": await tx.value_at_base(asset, "status")},
            mine={"reading": str(reading.id), "value": reading.value},
            theirs={"status": asset.status.value},
        )
