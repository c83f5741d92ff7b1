"""Accounts and devices through their commands."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select

from tests.house import House
from tournee.kernel.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.kernel.log import Member, Record


async def scopes_of(house: House, account_id: object) -> set[object]:
    async with house.reading() as session:
        found = await session.scalars(
            select(Member.scope).where(Member.account_id == account_id, Member.to_seq.is_(None))
        )
        return set(found)


async def test_an_email_is_one_account_on_the_whole_server_in_any_case(house: House, email: str) -> None:
    await house.run("createAccount", email=email, name="Demo", role="AUDITOR")
    other = await House(house.database).found()
    with pytest.raises(Conflict):
        await other.run("createAccount", email=f" {email.upper()} ", name="Demo", role="AUDITOR")


@pytest.mark.parametrize("wrong", ["", "demo", "@demo.example", "a@", "a@b@c", "a b@demo.example"])
async def test_an_email_looks_like_one(house: House, wrong: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await house.run("createAccount", email=wrong, name="Demo", role="AUDITOR")
    assert refusal.value.field == "email"


async def test_a_short_password_is_refused(house: House, email: str) -> None:
    with pytest.raises(Invalid, match="8 characters"):
        await house.run("createAccount", email=email, name="Demo", role="AUDITOR", password="seven77")


async def test_the_password_leaves_no_trace(house: House, email: str) -> None:
    row = await house.run("createAccount", email=email, name="Demo", role="AUDITOR", password="secret word")
    assert row.password_hash.startswith("$argon2id$")
    async with house.reading() as session:
        stored = await session.scalar(select(Record.document).where(Record.id == row.id))
    (change,) = await house.changes(row.id)
    for text in (stored, change.after):
        assert "argon2" not in text
        assert "secret word" not in text


async def test_a_portal_account_and_no_other_belongs_to_a_customer(house: House, email: str) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    with pytest.raises(Invalid):
        await house.run("createAccount", email=email, name="Demo", role="CUSTOMER_PORTAL")
    with pytest.raises(Invalid):
        await house.run("createAccount", email=email, name="Demo", role="AUDITOR", customerId=customer.id)
    await house.run("createAccount", email=email, name="Demo", role="CUSTOMER_PORTAL", customerId=customer.id)


async def test_only_a_manager_manages_accounts(house: House, email: str) -> None:
    for role in ("TECHNICIAN", "DISPATCHER", "AUDITOR", "REPORTING"):
        with pytest.raises(Forbidden):
            await house.run("createAccount", role, email=email, name="Demo", role="MANAGER")
        with pytest.raises(Forbidden):
            await house.run("revokeDevice", role, deviceId=uuid4())


async def test_an_account_of_another_organisation_is_not_there(house: House) -> None:
    other = await House(house.database).found()
    theirs = await other.account("TECHNICIAN")
    with pytest.raises(NotFound):
        await house.run("disableAccount", accountId=theirs.id)


async def test_nobody_disables_themselves_or_anyone_twice(house: House) -> None:
    manager, technician = await house.account("MANAGER"), await house.account("TECHNICIAN")
    with pytest.raises(Blocked):
        await house.run("disableAccount", manager, accountId=manager.id)
    await house.run("disableAccount", manager, accountId=technician.id)
    with pytest.raises(TransitionNotAllowed):
        await house.run("disableAccount", manager, accountId=technician.id)


async def test_who_does_not_see_all_holds_itself_and_the_catalogue_while_active(house: House) -> None:
    technician = await house.account("TECHNICIAN")
    own = {technician.id, house.organisation_id}
    assert await scopes_of(house, technician.id) == own
    await house.run("disableAccount", accountId=technician.id)
    assert await scopes_of(house, technician.id) == set()
    await house.run("enableAccount", accountId=technician.id)
    assert await scopes_of(house, technician.id) == own
    await house.run("updateAccount", accountId=technician.id, role="DISPATCHER")
    assert await scopes_of(house, technician.id) == set()


async def test_an_office_role_holds_no_scopes(house: House) -> None:
    dispatcher = await house.account("DISPATCHER")
    assert await scopes_of(house, dispatcher.id) == set()


async def test_only_who_knows_the_present_password_changes_it(house: House) -> None:
    technician = await house.account("TECHNICIAN", password="first password")
    with pytest.raises(Invalid) as refusal:
        await house.run("changePassword", technician, currentPassword="guess", newPassword="second password")
    assert refusal.value.field == "currentPassword"
    with pytest.raises(Invalid):
        await house.run("changePassword", technician, currentPassword="first password", newPassword="short")


async def test_a_device_is_revoked_once_and_wiped_by_its_owner_only(house: House) -> None:
    technician, other = await house.account("TECHNICIAN"), await house.account("TECHNICIAN")
    device = await house.run("enrolDevice", technician, id=uuid4(), name="Demo tablet")
    await house.run("revokeDevice", deviceId=device.id)
    with pytest.raises(TransitionNotAllowed):
        await house.run("revokeDevice", deviceId=device.id)
    with pytest.raises(Blocked):
        await house.run("enrolDevice", technician, id=device.id)
    with pytest.raises(NotFound):
        await house.run("confirmWipe", other, deviceId=device.id)
    assert (await house.run("confirmWipe", technician, deviceId=device.id)).status == "WIPED"
