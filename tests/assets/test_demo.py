"""The commands accept the demo data of people and assets."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import func, select

from tests.support.house import House, seen
from tournee.assets import demo as assets
from tournee.assets.models import Asset, Reading
from tournee.auth.roles import Role
from tournee.demo import ACCOUNTS
from tournee.kernel.demo import demo_id
from tournee.people import demo as people
from tournee.people.models import Absence, Shift

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

_ACCOUNTS = {"TECHNICIAN": "account/technician", "DISPATCHER": "account/dispatcher"}


@pytest.mark.slow("The whole demo of assets, through its commands.")
async def test_the_demo_data_passes_its_commands(house: House) -> None:
    for name, role, label in ACCOUNTS:
        email = f"{name}-{house.organisation_id}@demo.example"
        if role is not Role.CUSTOMER_PORTAL:
            await house.run(
                "createAccount", id=demo_id(f"account/{name}"), email=email, name=label, role=role
            )
    for number in range(1, 7):
        await house.run("createCustomer", id=demo_id(f"customer/{number}"), name=f"Demo {number}")
    for number in range(1, 9):
        customer = demo_id(f"customer/{1 + (number - 1) % 6}")
        await house.run("createSite", id=demo_id(f"site/{number}"), customerId=customer, name="Demo")
    for domain in (people, assets):
        for role, name, given in domain.operations(date(2026, 3, 4)):
            actor = house.actor(role, id=demo_id(_ACCOUNTS.get(role, "account/manager")))
            await house.run(name, actor, **given)
    async with house.reading() as session:
        for model, count in ((Asset, 18), (Shift, 30), (Absence, 2), (Reading, 38)):
            assert (
                await session.scalar(
                    select(func.count()).where(model.organisation_id == house.organisation_id)
                )
                == count
            )
    mine = await seen(house, Asset, house.actor("TECHNICIAN", id=demo_id("account/technician")))
    assert mine == {demo_id("vehicle/1"), demo_id("tool/1")}
