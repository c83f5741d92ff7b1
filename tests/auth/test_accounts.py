"""Accounts and devices through their commands."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from tests.support.house import House
from tournee.auth import attempts, commands, failures
from tournee.auth.attempts import TooManyAttempts
from tournee.auth.commands import DevicesLimit
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.kernel.errors import (
    Blocked,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    TransitionNotAllowed,
)
from tournee.kernel.log import Member, Record


async def scopes_of(house: House, account_id: object) -> set[object]:
    async with house.reading() as session:
        found = await session.scalars(
            select(Member.scope).where(Member.account_id == account_id, Member.to_seq.is_(None))
        )
        return set(found)


async def test_an_email_is_unique_in_an_organisation_whatever_its_case(house: House, email: str) -> None:
    await house.run("createAccount", email=email, name="Demo", role="AUDITOR")
    second = await house.account("AUDITOR")
    again = f" {email.upper()} "
    for refused in (
        house.run("createAccount", email=again, name="Demo", role="AUDITOR"),
        house.run("updateAccount", accountId=second.id, email=again),
    ):
        with pytest.raises(Conflict) as refusal:
            await refused
        assert refusal.value.field == "email"
    other = await House(house.database).found()
    await other.run("createAccount", email=again, name="Demo", role="AUDITOR")


async def test_one_email_used_twice_at_once_makes_one_account(house: House, email: str) -> None:
    made = await asyncio.gather(
        *(house.run("createAccount", email=email, name="Demo", role="AUDITOR") for _ in range(3)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in made) == ["Account", "Conflict", "Conflict"]


@pytest.mark.parametrize("wrong", ["", "demo", "@demo.example", "a@", "a@b@c", "a b@demo.example"])
async def test_a_malformed_email_is_refused(house: House, wrong: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await house.run("createAccount", email=wrong, name="Demo", role="AUDITOR")
    assert refusal.value.field == "email"


async def test_a_short_password_is_refused(house: House, email: str) -> None:
    with pytest.raises(Invalid, match="8 characters"):
        await house.run("createAccount", email=email, name="Demo", role="AUDITOR", password="seven77")
    await house.run("createAccount", email=email, name="Demo", role="AUDITOR", password="eight888")


async def test_the_password_is_in_no_record_and_no_log(house: House, email: str) -> None:
    row = await house.run("createAccount", email=email, name="Demo", role="AUDITOR", password="secret word")
    assert row.password_hash.startswith("$argon2id$")
    async with house.reading() as session:
        stored = await session.scalar(select(Record.document).where(Record.id == row.id))
    (change,) = await house.changes(row.id)
    for text in (stored, change.after):
        assert "argon2" not in text
        assert "secret word" not in text


async def test_only_portal_accounts_belong_to_a_customer(house: House, email: str) -> None:
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


async def test_another_organisations_account_is_not_found(house: House) -> None:
    other = await House(house.database).found()
    theirs = await other.account("TECHNICIAN")
    with pytest.raises(NotFound):
        await house.run("disableAccount", accountId=theirs.id)


async def test_an_account_cannot_be_disabled_by_itself_or_twice(house: House) -> None:
    manager, technician = await house.account("MANAGER"), await house.account("TECHNICIAN")
    with pytest.raises(Blocked):
        await house.run("disableAccount", manager, accountId=manager.id)
    await house.run("disableAccount", manager, accountId=technician.id)
    with pytest.raises(TransitionNotAllowed):
        await house.run("disableAccount", manager, accountId=technician.id)


async def test_an_active_technician_holds_itself_and_the_catalogue(house: House) -> None:
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


async def test_changing_the_own_password_needs_the_present_one(house: House) -> None:
    technician = await house.account("TECHNICIAN", password="first password")
    with pytest.raises(Invalid) as refusal:
        await house.run("changePassword", technician, currentPassword="guess", newPassword="second password")
    assert refusal.value.field == "currentPassword"
    with pytest.raises(Invalid):
        await house.run("changePassword", technician, currentPassword="first password", newPassword="short")


async def test_enrolling_a_device_again_updates_only_its_version(
    house: House,
) -> None:
    technician = await house.account("TECHNICIAN")
    device = await house.run("enrolDevice", technician, id=uuid4(), name="Demo tablet", appVersion="1")
    again = await house.run("enrolDevice", technician, id=device.id, appVersion="2")
    assert (again.name, again.app_version, again.enrolled_at) == ("Demo tablet", "2", device.enrolled_at)


async def test_a_device_is_revoked_once_and_only_its_owner_confirms_the_wipe(house: House) -> None:
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


async def test_guesses_at_the_own_password_are_limited_even_in_parallel(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen token alone must not be enough."""
    technician = await house.account("TECHNICIAN", password="first password")
    colleague = await house.account("TECHNICIAN", password="first password")

    async def change(current: str, whose: Actor = technician) -> Any:
        return await house.run("changePassword", whose, currentPassword=current, newPassword="another word")

    made = await asyncio.gather(*(change("guess") for _ in range(15)), return_exceptions=True)
    told = Counter(one.code for one in made if isinstance(one, Refused))
    assert told == {"INVALID": 10, "TOO_MANY_ATTEMPTS": 5}
    with pytest.raises(TooManyAttempts) as refusal:
        await change("first password")
    assert refusal.value.details is not None
    assert 0 < refusal.value.details["retryAfter"] <= 301
    await change("first password", colleague)
    later = attempts.monotonic() + failures.WINDOW
    monkeypatch.setattr(attempts, "monotonic", lambda: later)
    monkeypatch.setattr(failures, "now", lambda: now() + timedelta(seconds=failures.WINDOW))
    await change("first password")


async def test_the_guesses_of_a_namesake_elsewhere_are_counted_separately(house: House) -> None:
    technician = await house.account("TECHNICIAN", password="first password")
    other = await House(house.database).found()
    namesake = await other.account("TECHNICIAN", id=technician.id, password="first password")
    for _ in range(11):
        with pytest.raises((Invalid, TooManyAttempts)):
            await other.run("changePassword", namesake, currentPassword="guess", newPassword="another word")
    words = {"currentPassword": "first password", "newPassword": "another word"}
    await house.run("changePassword", technician, **words)


async def test_an_account_at_its_device_limit_keeps_its_devices(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MOST_DEVICES", 3)
    monkeypatch.setattr(commands, "MOST_DEVICES_EVER", 5)
    technician, colleague = await house.account("TECHNICIAN"), await house.account("TECHNICIAN")

    async def enrol(id: UUID | None = None, who: Actor = technician) -> Any:
        return (await house.run("enrolDevice", who, id=id or uuid4(), name="Demo tablet")).id

    made = await asyncio.gather(*(enrol() for _ in range(6)), return_exceptions=True)
    devices = [one for one in made if not isinstance(one, BaseException)]
    assert (len(devices), sum(isinstance(one, DevicesLimit) for one in made)) == (3, 3)
    assert await enrol(devices[0]) == devices[0]
    await enrol(who=colleague)
    for device in devices[:2]:
        await house.run("revokeDevice", deviceId=device)
    for _ in range(2):
        await enrol()
    for device in devices[2:]:
        await house.run("confirmWipe", technician, deviceId=device)
    with pytest.raises(DevicesLimit):
        await enrol()
