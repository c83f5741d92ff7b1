"""One e-mail in several organisations: which account signs in, and what a stranger can learn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from tests.support.house import House
from tests.support.signing_in import PASSWORD, Form
from tournee.auth import passwords

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

Same = Callable[..., Awaitable[House]]


@pytest_asyncio.fixture
async def elsewhere(house: House, email: str) -> Same:
    """Make another organisation with an account of the same e-mail."""

    async def add(password: str = PASSWORD) -> House:
        other = await House(house.database).found()
        await other.account("AUDITOR", email=email, password=password)
        return other

    return add


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the argon2 computations."""
    made: list[Any] = []
    real = passwords.hash_secret

    def hash_secret(*arguments: Any, **more: Any) -> bytes:
        made.append(more)
        return real(*arguments, **more)

    monkeypatch.setattr(passwords, "hash_secret", hash_secret)
    return made


def organisation(answer: httpx2.Response) -> str:
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return str(claims["org"])


async def test_a_password_that_matches_several_accounts_needs_the_organisation(
    house: House, email: str, sign_in: Form, elsewhere: Same
) -> None:
    await house.account("TECHNICIAN", email=email, password=PASSWORD)
    other, third = await elsewhere(), await elsewhere("another password")
    asked = await sign_in(email)
    assert (asked.status_code, asked.json()["error"]) == (400, "invalid_request")
    assert asked.json()["code"] == "ORGANISATION_NEEDED"
    named = {one["id"] for one in asked.json()["organisations"]}
    assert named == {str(house.organisation_id), str(other.organisation_id)}
    assert [one["name"] for one in asked.json()["organisations"]] == ["Test", "Test"]
    for where in (house, other):
        granted = await sign_in(email, organisation=where.organisation_id)
        assert (granted.status_code, organisation(granted)) == (200, str(where.organisation_id))
    assert organisation(await sign_in(email, "another password")) == str(third.organisation_id)


async def test_a_refusal_does_not_reveal_accounts_elsewhere(
    house: House, email: str, sign_in: Form, elsewhere: Same
) -> None:
    unknown = await sign_in(email, "guess")
    await house.account("TECHNICIAN", email=email, password=PASSWORD)
    other = await elsewhere()
    for answer in (
        await sign_in(email, "guess"),
        await sign_in(email, "guess", organisation=other.organisation_id),
        await sign_in(email, organisation=uuid4()),
    ):
        assert (answer.status_code, answer.content) == (400, unknown.content)
    wrong = await sign_in(email, organisation="no UUID")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_request")


async def test_a_sign_in_costs_one_hash_for_no_one_or_many_accounts(
    house: House, email: str, sign_in: Form, elsewhere: Same, counted: list[Any]
) -> None:
    await sign_in("nobody@demo.example")
    await house.account("TECHNICIAN", email=email, password=PASSWORD)
    others = [await elsewhere("another password"), await elsewhere(), await elsewhere()]
    counted.clear()
    for tried in ("guess", PASSWORD, "another password"):
        for where in ({}, {"organisation": others[0].organisation_id}, {"organisation": uuid4()}):
            await sign_in(email, tried, **where)
            await sign_in("nobody@demo.example", tried, **where)
    assert len(counted) == 18
    assert len({(more["time_cost"], more["memory_cost"], more["hash_len"]) for more in counted}) == 1


async def test_a_new_password_keeps_the_salt_of_its_email(
    house: House, email: str, sign_in: Form, elsewhere: Same, counted: list[Any]
) -> None:
    mine = await house.account("TECHNICIAN", email=email, password=PASSWORD)
    await elsewhere("another password")
    await house.run("setPassword", accountId=mine.id, password="a third password")
    words = {"currentPassword": "a third password", "newPassword": "a fourth password"}
    await house.run("changePassword", mine, **words)
    counted.clear()
    assert (await sign_in(email, "a fourth password")).status_code == 200
    assert len(counted) == 1


async def test_accounts_with_different_salts_cost_a_bounded_number_of_hashes(
    house: House, email: str, sign_in: Form, counted: list[Any]
) -> None:
    """This happens when the accounts' e-mails are changed to this one."""
    houses = [house, *[await House(house.database).found() for _ in range(5)]]
    for of in houses:
        account = await of.account("AUDITOR", email=f"{uuid4()}@demo.example", password=PASSWORD)
        await of.run("updateAccount", accountId=account.id, email=email)
    counted.clear()
    asked = await sign_in(email)
    assert len(counted) == passwords.MOST_SALTS
    assert len(asked.json()["organisations"]) == passwords.MOST_SALTS
    last = await sign_in(email, organisation=houses[-1].organisation_id)
    assert (last.status_code, organisation(last)) == (200, str(houses[-1].organisation_id))


async def test_knowing_one_password_wins_no_guesses_at_another(
    app: Starlette, house: House, email: str, sign_in: Form, elsewhere: Same
) -> None:
    """A manager elsewhere could give this e-mail any password and test whether it works here."""
    await house.account("TECHNICIAN", email=email, password="not to be guessed")
    other = await elsewhere()
    for _ in range(10):
        assert (await sign_in(email)).status_code == 200
    waiting = await sign_in(email, organisation=other.organisation_id)
    assert (waiting.status_code, waiting.json()["error"]) == (429, "slow_down")


async def test_a_sign_in_with_an_organisation_is_not_a_guess_at_the_others(
    house: House, email: str, sign_in: Form, elsewhere: Same
) -> None:
    await house.account("TECHNICIAN", email=email, password="not to be guessed")
    other = await elsewhere()
    for _ in range(12):
        assert (await sign_in(email, organisation=other.organisation_id)).status_code == 200
