"""The simulator's rules of visibility, compared with pulls of the demo, which has a row of every entity.

A wrong rule that no seed exercises would otherwise go unnoticed.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from sqlalchemy import select

from tests.simulator.sight import Rows, sight
from tests.support.demo import demo_house
from tests.support.device import TestDevice
from tests.support.house import House, wire
from tournee.auth.roles import Role
from tournee.catalogue import ENTITIES
from tournee.kernel.values import document

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.DISPATCHER])
async def test_the_simulators_visibility_equals_a_pull_of_the_demo(house: House, role: Role) -> None:
    await demo_house(house)
    rows: Rows = defaultdict(dict)
    async with house.reading() as session:
        for name, model in ENTITIES.items():
            for row in await session.scalars(select(model).where(model.deleted.is_(False))):
                rows[name][str(row.id)] = wire(document(row))
    names = {id: name for name, of in rows.items() for id in of}
    device = TestDevice(house, actor=house.actor(role))
    await device.pull()
    held, seen = {str(id) for id in device.rows}, sight(rows, str(house.actor(role).id)).keys()
    assert {names[id] for id in seen - held} == set(), "visible, but not on the device"
    assert {names[id] for id in held - seen} == set(), "on the device, but not visible"
