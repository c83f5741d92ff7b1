"""Device positions are buffered in memory within bounds, and only for known devices."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.auth.commands import DevicesLimit
from tournee.kernel.entity import new_id
from tournee.sync.devices import acknowledged
from tournee.sync.devices.acknowledged import Acknowledged
from tournee.sync.models import DeviceState


async def written(house: House) -> dict[UUID, int | None]:
    async with house.reading() as session:
        own = DeviceState.organisation_id == house.organisation_id
        rows = await session.execute(select(DeviceState.device_id, DeviceState.acknowledged_seq).where(own))
        return {row.device_id: row.acknowledged_seq for row in rows}


async def test_an_unknown_device_leaves_no_row(house: House) -> None:
    """Any account could name any number of UUIDs."""
    person, enrolled, pushed = await house.account("MANAGER"), new_id(), TestDevice(house, "MANAGER")
    await house.run("enrolDevice", person, id=enrolled)
    await pushed.do("createCustomer", name="Demo")
    noted = Acknowledged(house.database)
    for device in (enrolled, pushed.id, new_id()):
        noted.note(pushed.actor if device == pushed.id else person, device, 3)
    await noted.close()
    assert await written(house) == {enrolled: 3, pushed.id: 3}


async def test_namesakes_in_two_organisations_are_recorded_separately(house: House) -> None:
    other, device = await House(house.database).found(), new_id()
    noted = Acknowledged(house.database)
    for seq, of in enumerate((house, other), 1):
        person = await of.account("MANAGER")
        await of.run("enrolDevice", person, id=device)
        noted.note(person, device, seq)
    await noted.close()
    assert (await written(house), await written(other)) == ({device: 1}, {device: 2})


async def test_the_buffer_between_two_writes_is_bounded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledged, "_MOST_DEVICES", 2)
    noted, person = Acknowledged(house.database), house.actor()
    devices = [new_id() for _ in range(4)]
    for seq, device in enumerate([*devices, devices[0]]):
        noted.note(person, device, seq)
    assert [one["acknowledged_seq"] for one in noted._noted.values()] == [4, 1]
    await noted.close()


async def test_an_account_at_its_device_limit_still_pushes_from_known_devices(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tournee.sync.devices.locking.MOST_DEVICES_EVER", 2)
    devices = [TestDevice(house, "MANAGER") for _ in range(3)]
    for device in devices[:2]:
        await device.do("createCustomer", name="Demo")
    with pytest.raises(DevicesLimit):
        await devices[2].do("createCustomer", name="Demo")
    assert (await devices[0].do("createCustomer", name="Demo")).status == "applied"
    await TestDevice(house, "DISPATCHER").do("createCustomer", name="Demo")
