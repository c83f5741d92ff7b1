"""Refresh tokens: rotation, theft, lost answers, revoked devices."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import update
from starlette.applications import Starlette

from tests.support.house import House
from tests.support.naming import watching
from tests.support.signing_in import PASSWORD, Form
from tournee.auth import sessions
from tournee.auth.models import RefreshToken
from tournee.auth.refresh_tokens import hashed, new_token, organisation_of
from tournee.auth.standings import Standings
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now


@pytest.fixture
def device() -> UUID:
    return uuid4()


@pytest.fixture
async def first(technician: Actor, email: str, sign_in: Form, device: UUID) -> httpx2.Response:
    return await sign_in(email, device=device)


async def test_a_refresh_token_gives_two_new_tokens(
    technician: Actor, device: UUID, first: httpx2.Response, renew: Form, whoami: Form
) -> None:
    second = await renew(first)
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first.json()["refresh_token"]
    who = (await whoami(second.json()["access_token"])).json()
    assert who == {"id": str(technician.id), "role": "TECHNICIAN", "device": str(device)}
    assert (await renew(second)).status_code == 200


async def test_reusing_a_token_after_its_successor_was_used_ends_the_family(
    first: httpx2.Response, renew: Form
) -> None:
    second = await renew(first)
    third = await renew(second)
    stolen = await renew(first)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await renew(third)).status_code == 400


async def test_a_renewal_whose_answer_was_lost_can_be_repeated(first: httpx2.Response, renew: Form) -> None:
    await renew(first)
    again = await renew(first)
    assert again.status_code == 200
    assert (await renew(again)).status_code == 200


async def test_using_a_replaced_successor_ends_the_family(first: httpx2.Response, renew: Form) -> None:
    lost = await renew(first)
    again = await renew(first)
    assert (await renew(lost)).status_code == 400
    assert (await renew(again)).status_code == 400


async def test_a_token_names_its_organisation(house: House, first: httpx2.Response) -> None:
    assert organisation_of(first.json()["refresh_token"]) == house.organisation_id


async def test_a_token_that_names_another_organisation_is_unknown(
    database: Database, house: House, first: httpx2.Response, token: Form
) -> None:
    other = await House(database).found()
    _, _, secret = first.json()["refresh_token"].partition(".")
    for id in (other.organisation_id, uuid4()):
        named = new_token(id).partition(".")[0]
        forged = await token(grant_type="refresh_token", refresh_token=f"{named}.{secret}")
        unknown = await token(grant_type="refresh_token", refresh_token="made up")
        assert (forged.status_code, forged.content) == (400, unknown.content)


@pytest.fixture
async def aged(house: House, technician: Actor, first: httpx2.Response) -> str:
    """Return a token as older servers made it, in place of the first."""
    return await age(house, technician)


async def age(house: House, technician: Actor) -> str:
    """Replace the account's one token by one as older servers made it, without the organisation."""
    old = secrets.token_urlsafe(32)
    assert organisation_of(old) is ACROSS
    async with house.writing() as session:
        own = RefreshToken.account_id == technician.id
        await session.execute(update(RefreshToken).where(own).values(hash=hashed(old)))
        await session.commit()
    return old


async def test_an_older_token_is_renewed_and_then_names_its_organisation(
    house: House, aged: str, token: Form, renew: Form, served_database: Database
) -> None:
    with watching(served_database):
        second = await token(grant_type="refresh_token", refresh_token=aged)
    assert organisation_of(second.json()["refresh_token"]) == house.organisation_id
    # The answer was lost: the same token comes again.
    again = await token(grant_type="refresh_token", refresh_token=aged)
    assert (await renew(again)).status_code == 200
    assert (await token(grant_type="refresh_token", refresh_token=aged)).status_code == 400
    assert (await renew(again)).status_code == 400


async def test_an_older_token_still_identifies_a_revoked_device(
    house: House, device: UUID, aged: str, token: Form, client: httpx2.AsyncClient
) -> None:
    await house.run("revokeDevice", deviceId=device)
    answer = await token(grant_type="refresh_token", refresh_token=aged)
    assert answer.json()["code"] == "DEVICE_REVOKED"
    assert (await client.post("/auth/wiped", data={"refresh_token": aged})).status_code == 204


@pytest.mark.parametrize("old", [True, False])
async def test_of_tokens_used_at_once_one_line_goes_on(
    house: House, technician: Actor, first: httpx2.Response, old: bool, token: Form, renew: Form
) -> None:
    """Each renewal replaces the successor of the one before; the last successor works, the others end all."""
    used = await age(house, technician) if old else first.json()["refresh_token"]
    answers = await asyncio.gather(*(token(grant_type="refresh_token", refresh_token=used) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    unused = await house.rows(RefreshToken, used_at=None, revoked_at=None)
    (last,) = [one for one in answers if hashed(one.json()["refresh_token"]) in {row.hash for row in unused}]
    assert (await renew(last)).status_code == 200


async def test_ending_one_family_leaves_the_others(
    first: httpx2.Response, email: str, sign_in: Form, renew: Form
) -> None:
    other = await sign_in(email)
    second = await renew(first)
    await renew(second)
    await renew(first)
    assert (await renew(other)).status_code == 200


async def test_an_expired_refresh_token_is_refused(
    house: House, technician: Actor, first: httpx2.Response, renew: Form
) -> None:
    async with house.writing() as session:
        own = RefreshToken.account_id == technician.id
        await session.execute(update(RefreshToken).where(own).values(expires_at=now()))
        await session.commit()
    assert (await renew(first)).status_code == 400


async def test_a_revoked_device_receives_the_order_and_confirms_the_wipe(
    app: Starlette,
    house: House,
    device: UUID,
    email: str,
    first: httpx2.Response,
    renew: Form,
    sign_in: Form,
    whoami: Form,
    client: httpx2.AsyncClient,
) -> None:
    app.state.authenticator.believed_seconds = 0
    assert (await whoami(first.json()["access_token"])).status_code == 200
    await house.run("revokeDevice", deviceId=device)
    call = await whoami(first.json()["access_token"])
    assert (call.status_code, call.json()["error"]["code"]) == (403, "DEVICE_REVOKED")
    for answer in (await renew(first), await sign_in(email, device=device)):
        assert answer.status_code == 400
        assert (answer.json()["error"], answer.json()["code"]) == ("invalid_grant", "DEVICE_REVOKED")
    form = {"refresh_token": first.json()["refresh_token"]}
    assert (await client.post("/auth/wiped", data=form)).status_code == 204
    assert (await client.post("/auth/wiped", data={"refresh_token": "made up"})).status_code == 400
    assert [change.command for change in await house.changes(device)] == [
        "enrolDevice",
        "revokeDevice",
        "confirmWipe",
    ]


async def test_disabling_an_account_ends_its_sessions(
    app: Starlette, house: House, technician: Actor, first: httpx2.Response, renew: Form, whoami: Form
) -> None:
    app.state.authenticator.believed_seconds = 0
    assert (await whoami(first.json()["access_token"])).status_code == 200
    await house.run("disableAccount", accountId=technician.id)
    assert (await whoami(first.json()["access_token"])).status_code == 401
    assert (await renew(first)).status_code == 400
    await house.run("enableAccount", accountId=technician.id)
    assert (await renew(first)).status_code == 400
    assert (await whoami(first.json()["access_token"])).status_code == 401


async def test_an_accounts_standing_is_cached_for_seconds(
    app: Starlette, technician: Actor, first: httpx2.Response, whoami: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.state.authenticator.believed_seconds <= 5
    assert (await whoami(first.json()["access_token"])).status_code == 200
    monkeypatch.setattr(Standings, "now", lambda *_: pytest.fail("asked again"))
    assert (await whoami(first.json()["access_token"])).status_code == 200


async def test_signing_out_ends_this_session_or_all(
    house: House,
    device: UUID,
    technician: Actor,
    first: httpx2.Response,
    email: str,
    sign_in: Form,
    renew: Form,
) -> None:
    other, another = await sign_in(email), await sign_in(email, device=uuid4())
    here = house.actor("TECHNICIAN", id=technician.id, device_id=device)
    await house.run("signOut", here)
    assert (await renew(first)).status_code == 400
    assert (await renew(other)).status_code == 200
    await house.run("signOut", here, everywhere=True)
    assert (await renew(another)).status_code == 400


async def test_a_changed_password_ends_the_other_sessions(
    house: House,
    device: UUID,
    technician: Actor,
    first: httpx2.Response,
    email: str,
    sign_in: Form,
    renew: Form,
) -> None:
    other = await sign_in(email)
    here = house.actor("TECHNICIAN", id=technician.id, device_id=device)
    await house.run("changePassword", here, currentPassword=PASSWORD, newPassword="quite another")
    assert (await renew(other)).status_code == 400
    assert (await renew(first)).status_code == 200
    assert (await sign_in(email)).status_code == 400
    assert (await sign_in(email, "quite another")).status_code == 200


async def test_a_password_changed_in_a_browser_ends_every_browser_session(
    house: House, technician: Actor, email: str, sign_in: Form, renew: Form
) -> None:
    thief, owner = await sign_in(email), await sign_in(email)
    here = house.actor("TECHNICIAN", id=technician.id)
    await house.run("changePassword", here, currentPassword=PASSWORD, newPassword="quite another")
    assert (await renew(thief)).status_code == 400
    assert (await renew(owner)).status_code == 400


async def test_renewals_and_a_disabling_at_once_break_nothing(
    house: House, technician: Actor, first: httpx2.Response, renew: Form
) -> None:
    *answers, _ = await asyncio.gather(
        *(renew(first) for _ in range(8)), house.run("disableAccount", accountId=technician.id)
    )
    assert {answer.status_code for answer in answers} <= {200, 400}
    await house.run("enableAccount", accountId=technician.id)
    for answer in (first, *(answer for answer in answers if answer.status_code == 200)):
        assert (await renew(answer)).status_code == 400


async def test_only_a_revoked_device_receives_the_order_to_wipe(
    house: House, technician: Actor, first: httpx2.Response, renew: Form
) -> None:
    """After any other refusal an enrolled device keeps its copy and its outbox."""
    await house.run("disableAccount", accountId=technician.id)
    async with house.writing() as session:
        own = RefreshToken.account_id == technician.id
        await session.execute(update(RefreshToken).where(own).values(revoked_at=None))
        await session.commit()
    refused = await renew(first)
    assert (refused.status_code, refused.json().keys()) == (400, {"error", "error_description"})
    assert refused.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("device", [None, uuid4()])
@pytest.mark.parametrize("change", ["setPassword", "disableAccount"])
async def test_a_sign_in_is_refused_when_all_sessions_end_meanwhile(
    house: House,
    technician: Actor,
    email: str,
    sign_in: Form,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    device: UUID | None,
) -> None:
    compare = sessions.match

    async def slowly(*arguments: Any) -> Any:
        found = await compare(*arguments)
        words = {"password": "quite another"} if change == "setPassword" else {}
        await house.run(change, accountId=technician.id, **words)
        return found

    monkeypatch.setattr(sessions, "match", slowly)
    answer = await sign_in(email, **({} if device is None else {"device": device}))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert "refresh_token" not in answer.json()
