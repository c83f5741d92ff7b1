"""What a technician leaves beside visits: a shift and an hour on each working day, an audit each month.

It is left by the real commands, for one technician: their first pull shows what a device carries of it.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select

from tests.bench.figures import Figure
from tests.bench.years.filling import Filled
from tests.bench.years.work import Technician
from tests.support.device import TestDevice
from tests.support.years import Past
from tournee.kernel.log import Record

OWN = ("Shift", "TimeEntry", "Absence", "Audit", "StockMovement", "StockCount")


async def own_rows(organisation: Filled, technician: Technician) -> list[Figure]:
    """Let a technician leave years of them, and count those that a first pull carries."""
    before = await _stored(organisation)
    past = await Past(organisation.house).of(technician.id, technician.actor)
    for days in range(organisation.sizes.days, 0, -1):
        if days % 7 < 5:
            await past.shift(days)
            await past.record(days)
        if days % 30 == 0:
            await past.audit(days)
            await past.absence(days)
            await past.stock(days)
    left = (await _stored(organisation)) - before
    device = TestDevice(organisation.house, actor=technician.actor)
    await device.pull()
    carried = Counter(row["entity"] for row in device.rows.values())
    here = sum(carried[name] for name in OWN)
    return [
        Figure("years_technician_rows_without_windows", len(device.rows) - here + left.total(), "rows"),
        Figure("years_technician_rows", len(device.rows), "rows"),
        Figure("years_technician_own_rows_without_windows", left.total(), "rows"),
        Figure("years_technician_own_rows", here, "rows"),
    ]


async def _stored(organisation: Filled) -> Counter[str]:
    async with organisation.house.reading() as session:
        counted = select(Record.entity, func.count()).where(Record.entity.in_(OWN)).group_by(Record.entity)
        return Counter(dict(iter(await session.execute(counted))))
