"""Which visits an empty device receives first."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.world import World
from tournee.kernel.entity import now
from tournee.work.today import urgent_scopes


@pytest.mark.prove_on("postgresql", "The same places on the other database.")
async def test_visits_from_a_day_ago_to_two_days_ahead_are_urgent_and_at_most_fifty(world: World) -> None:
    technician, order = await world.technician(), await world.order()

    async def planned(hours: float) -> UUID:
        starts = now() + timedelta(hours=hours)
        visit = await world.visit(
            technician, order=order, startsAt=starts, endsAt=starts + timedelta(hours=1)
        )
        return visit.id

    async def urgent() -> set[UUID]:
        async with world.house.database.reading(world.house.organisation_id) as session:
            return set(await urgent_scopes(session, technician.actor))

    expected = {-24.1: False, -23.9: True, 47.9: True, 48.1: False}
    visits = {hours: await planned(hours) for hours in expected}
    found = await urgent()
    assert {hours: visit in found for hours, visit in visits.items()} == expected
    many = {await planned(1) for _ in range(50)}
    assert len(await urgent() & {*many, *visits.values()}) == 50
