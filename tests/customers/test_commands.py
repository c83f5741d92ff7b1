"""Customers through their commands."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.kernel.errors import Forbidden, Invalid, NotFound


async def test_a_plain_edit_changes_only_the_fields_it_names(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel", phone="1")
    changed = await house.run("updateCustomer", customerId=customer.id, phone="2")
    assert (changed.name, changed.phone) == ("Demo Hotel", "2")


async def test_another_organisations_customer_is_not_found(house: House) -> None:
    other = await House(house.database).found()
    foreign = await other.run("createCustomer", name="Theirs")
    answers = []
    for id in (foreign.id, uuid4()):
        with pytest.raises(NotFound) as refusal:
            await house.run("updateCustomer", customerId=id, phone="2")
        answers.append((refusal.value.code, refusal.value.message, refusal.value.field))
    assert answers[0] == answers[1]


async def test_a_customer_cannot_lie_below_its_own_branch(house: House) -> None:
    head = await house.run("createCustomer", name="Demo Group")
    branch = await house.run("createCustomer", name="Demo Branch", parentId=head.id)
    office = await house.run("createCustomer", name="Demo Office", parentId=branch.id)
    for id in (head.id, branch.id, office.id):
        with pytest.raises(Invalid, match="below itself") as refusal:
            await house.run("updateCustomer", customerId=head.id, parentId=id)
        assert refusal.value.field == "parentId"
    moved = await house.run("updateCustomer", customerId=office.id, parentId=head.id)
    assert moved.parent_id == head.id
    outcome = await TestDevice(house, "MANAGER").do("updateCustomer", customerId=head.id, parentId=office.id)
    assert (outcome.status, outcome.code, outcome.fields) == ("rejected", "INVALID", ["parentId"])


async def test_a_site_needs_both_coordinates_and_a_real_time_zone(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    with pytest.raises(Invalid, match="both latitude and longitude"):
        await house.run("createSite", customerId=customer.id, name="Harbour", latitude=1.5)
    with pytest.raises(Invalid, match="time zone"):
        await house.run("createSite", customerId=customer.id, name="Harbour", timeZone="Mars/Crater")
    with pytest.raises(Invalid, match="time zone"):
        await house.run("createSite", customerId=customer.id, name="Harbour", timeZone="localtime")


@pytest.mark.parametrize("blank", ["", " ", "\t\u2003"])
async def test_a_required_name_must_not_be_blank(house: House, blank: str) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    for command, field, fields in (
        ("createCustomer", "name", {}),
        ("updateCustomer", "name", {"customerId": customer.id}),
        ("createContact", "name", {"customerId": customer.id}),
        ("createSite", "name", {"customerId": customer.id}),
        ("createTechnician", "name", {}),
        ("createSkill", "name", {}),
        ("createQualityStandard", "title", {"code": "Demo"}),
    ):
        with pytest.raises(Invalid) as refusal:
            await house.run(command, **fields, **{field: blank})
        assert refusal.value.field == field
    found = await house.run("updateCustomer", customerId=customer.id, phone="1")
    assert found.name == "Demo Hotel"


async def test_a_technician_may_not_create_customers(house: House) -> None:
    with pytest.raises(Forbidden):
        await house.run("createCustomer", "TECHNICIAN", name="Demo Hotel")
