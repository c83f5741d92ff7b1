"""The example of README.md in this folder."""

from tests.support.device import TestDevice
from tests.support.house import House


async def test_a_customer_created_on_a_phone_reaches_the_office(house: House) -> None:
    phone, office = TestDevice(house, "MANAGER"), TestDevice(house, "DISPATCHER")
    (outcome,) = await phone.push(phone.operation("createCustomer", name="Demo Hotel"))
    assert outcome.status == "applied"
    await office.pull()
    names = [row["name"] for row in office.rows.values() if row["entity"] == "Customer"]
    assert names == ["Demo Hotel"]
