"""A sign-in finds the organisations of an e-mail in one table, which stays in step with the accounts."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import delete, select

from tests.support.house import House
from tests.support.signing_in import PASSWORD, Form
from tournee.auth import emails
from tournee.auth.emails import complete_emails
from tournee.auth.models import Account, SignInEmail
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Conflict


async def known(house: House) -> list[str]:
    """Return the e-mails that sign in to this organisation: those of its accounts, and no others."""
    async with house.reading() as session:
        accounts = set(await session.scalars(select(Account.email)))
        found = (await session.scalars(select(SignInEmail.email))).all()
    assert set(found) == accounts
    return sorted(found)


async def test_a_new_email_signs_in_and_the_old_one_no_more(
    house: House, technician: Actor, email: str, sign_in: Form
) -> None:
    assert email in await known(house)
    await house.run("updateAccount", accountId=technician.id, email="new-" + email)
    assert {"new-" + email} == {one for one in await known(house) if one.endswith(email)}
    assert (await sign_in("new-" + email)).status_code == 200
    assert (await sign_in(email)).status_code == 400


async def test_other_changes_leave_the_email(house: House, technician: Actor, email: str) -> None:
    await house.run("updateAccount", accountId=technician.id, name="Demo Zoé")
    await house.run("disableAccount", accountId=technician.id)
    assert email in await known(house)


async def test_a_refused_change_changes_nothing(house: House, technician: Actor, email: str) -> None:
    other = await house.account("TECHNICIAN", email="other-" + email)
    with pytest.raises(Conflict):
        await house.run("updateAccount", accountId=other.id, email=email)
    assert {email, "other-" + email} <= set(await known(house))


async def test_one_email_in_two_organisations_is_two_rows(
    house: House, database: Database, technician: Actor, email: str, sign_in: Form
) -> None:
    other = await House(database).found()
    second = await other.account("TECHNICIAN", email=email, password=PASSWORD)
    answer = await sign_in(email)
    assert answer.json()["code"] == "ORGANISATION_NEEDED"
    assert (await sign_in(email, organisation=other.organisation_id)).status_code == 200
    await other.run("updateAccount", accountId=second.id, email="moved-" + email)
    assert (await sign_in(email)).status_code == 200
    assert email in await known(house)


async def test_an_email_that_one_account_gives_to_another_meanwhile_stays_known(house: House) -> None:
    """The second waits for the first at the unique e-mail, so it writes last."""
    for _ in range(5):
        email = f"{uuid4()}@demo.example"
        first = await house.account("TECHNICIAN", email=email)
        moved, *_ = await asyncio.gather(
            house.run("updateAccount", accountId=first.id, email="left-" + email),
            house.run("createAccount", email=email, name="Demo", role="TECHNICIAN"),
            house.run("createAccount", email=email, name="Demo", role="TECHNICIAN"),
            return_exceptions=True,
        )
        assert not isinstance(moved, BaseException)
        assert "left-" + email in await known(house)


async def test_what_an_older_server_left_out_is_added(
    house: House, database: Database, email: str, sign_in: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emails, "CHUNK", 2)
    other = await House(database).found()
    for n in range(5):
        await house.account("TECHNICIAN", email=f"{n}-{email}", password=PASSWORD)
    async with house.writing() as session:
        await session.execute(delete(SignInEmail).execution_options(synchronize_session=False))
        await session.commit()
    assert (await sign_in("0-" + email)).status_code == 400
    assert await complete_emails(database, house.organisation_id) == 5
    assert await complete_emails(database, house.organisation_id) == 0
    assert await complete_emails(database, other.organisation_id) == 0
    assert len(await known(house)) == 5
    assert (await sign_in("0-" + email)).status_code == 200
