"""A fact recorded twice by a second tap happened once and causes no conflict."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.support.clashes import Clashes
from tests.support.house import House
from tests.support.world import World, at
from tournee.work.models import AppointmentEvent

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

STEPS = [("startTravel", 0), ("arriveOnSite", 10), ("startWork", 12), ("completeAppointment", 60)]


@pytest_asyncio.fixture
async def clashes(house: House) -> Clashes:
    return await Clashes(await World(house).settle()).begin()


def tap(clashes: Clashes, command: str, minutes: int, **more: Any) -> dict[str, Any]:
    return clashes.device.operation(command, appointmentId=clashes.visit.id, at=at(minutes), **more)


@pytest.mark.parametrize("together", [True, False], ids=["in one push", "in two"])
async def test_a_repeated_step_of_a_visit_is_one_fact(clashes: Clashes, together: bool) -> None:
    for command, minutes in STEPS:
        first, second = tap(clashes, command, minutes), tap(clashes, command, minutes + 1)
        told = await clashes.device.push(first, second) if together else [
            *await clashes.device.push(first), *await clashes.device.push(second)
        ]  # fmt: skip
        assert [(outcome.status, outcome.code, outcome.conflict) for outcome in told] == [
            ("applied", None, None)
        ] * 2
    assert len(await clashes.world.house.rows(AppointmentEvent, device_id=clashes.device.id)) == len(STEPS)
    assert await clashes.world.conflicts() == []
    (again,) = await clashes.device.push(second)
    assert (again.status, again.code) == ("duplicate", None)


async def test_a_repeated_step_with_other_values_is_refused(clashes: Clashes) -> None:
    for command, minutes in STEPS:
        await clashes.device.push(tap(clashes, command, minutes))
    other = tap(clashes, "completeAppointment", 61, outcome="PARTIAL")
    (outcome,) = await clashes.device.push(other)
    assert (outcome.status, outcome.code) == ("rejected", "TRANSITION_NOT_ALLOWED")


async def test_a_step_repeated_after_the_office_undid_it_is_not_a_repetition(clashes: Clashes) -> None:
    await clashes.device.push(tap(clashes, "startTravel", 0))
    await clashes.office("cancelAppointment", appointmentId=clashes.visit.id, reason="Demo")
    await clashes.device.pull()
    (outcome,) = await clashes.device.push(tap(clashes, "startTravel", 1))
    assert outcome.status == "rejected"


async def test_repeated_steps_of_assets_and_checklists_are_one_fact(clashes: Clashes) -> None:
    run = await clashes.checklist()
    for key, value in (("on", {"checked": True}), ("pressure", {"number": 2.0})):
        await clashes.device.do("answerChecklistItem", runId=run.id, itemKey=key, at=at(0), **value)
    asset = {"assetId": clashes.asset.id}
    told = [
        await clashes.device.do(command, **named)
        for command, named in (
            ("takeAssetOutOfService", asset),
            ("completeChecklistRun", {"runId": run.id, "at": at(1)}),
        )
        for _ in range(2)
    ]
    assert [(outcome.status, outcome.code) for outcome in told] == [("applied", None)] * 4
    assert await clashes.world.conflicts() == []
