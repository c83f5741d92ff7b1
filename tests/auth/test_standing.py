"""Changes of access take effect at once in the process that made them, elsewhere within moments."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.house import House
from tests.support.serving import served
from tests.support.signing_in import PASSWORD, Form
from tests.support.sockets import hear, say
from tournee.api import sockets
from tournee.auth import authenticate, standings
from tournee.auth.standings import Standing, Standings
from tournee.auth.tokens import TokenRefused
from tournee.catalogue import COMMANDS
from tournee.engine.database import Database
from tournee.engine.tail import Tail
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id

Bearer = Callable[[Actor], dict[str, str]]


@dataclass
class Office:
    """A manager who acts through this server process, so that it learns of changes at once."""

    client: httpx2.AsyncClient
    headers: dict[str, str]

    async def __call__(self, command: str, **input: Any) -> None:
        kind = command[0].upper() + command[1:]
        query = f"mutation($i:{kind}Input!){{{command}(input:$i){{__typename ...on Refusal{{code}}}}}}"
        body = {"query": query, "variables": {"i": {key: str(value) for key, value in input.items()}}}
        answer = (await self.client.post("/graphql", json=body, headers=self.headers)).json()
        assert "code" not in answer["data"][command], answer


@pytest_asyncio.fixture
async def office(client: httpx2.AsyncClient, house: House, bearer: Bearer) -> Office:
    return Office(client, bearer(await house.account("MANAGER")))


def refused(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_password_that_a_manager_sets_ends_access_tokens_at_once(
    office: Office, technician: Actor, email: str, sign_in: Form, whoami: Form
) -> None:
    token = (await sign_in(email, device=uuid4())).json()["access_token"]
    assert (await whoami(token)).status_code == 200
    await office("setPassword", accountId=technician.id, password="quite another")
    assert refused(await whoami(token)) == (401, "UNAUTHENTICATED")
    fresh = (await sign_in(email, "quite another")).json()["access_token"]
    assert (await whoami(fresh)).status_code == 200


async def test_a_reenabled_account_works_with_a_new_token_at_once(
    office: Office, technician: Actor, email: str, sign_in: Form, whoami: Form
) -> None:
    old = (await sign_in(email)).json()["access_token"]
    assert (await whoami(old)).status_code == 200
    await office("disableAccount", accountId=technician.id)
    assert refused(await whoami(old)) == (401, "UNAUTHENTICATED")
    await office("enableAccount", accountId=technician.id)
    fresh = (await sign_in(email)).json()["access_token"]
    assert (await whoami(fresh)).status_code == 200
    assert refused(await whoami(old)) == (401, "UNAUTHENTICATED")


async def test_a_refusal_is_never_cached(
    app: Starlette, house: House, technician: Actor, whoami: Form
) -> None:
    """Another process hears of a change a moment later, so it must not keep a refusal."""
    token = app.state.tokens.issue(technician)
    await house.run("disableAccount", accountId=technician.id)
    assert refused(await whoami(token)) == (401, "UNAUTHENTICATED")
    await house.run("enableAccount", accountId=technician.id)
    assert (await whoami(token)).status_code == 200


async def test_a_change_by_another_process_takes_effect(
    app: Starlette, house: House, technician: Actor, whoami: Form
) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite has one process.")
    app.state.authenticator.believed_seconds = 600.0
    token = app.state.tokens.issue(technician)
    async with asyncio.timeout(60):
        while house.organisation_id not in app.state.wake._newest:  # until it listens
            await house.run("createCustomer", name="Demo")
        assert (await whoami(token)).status_code == 200
        await house.run("disableAccount", accountId=technician.id)
        while (await whoami(token)).status_code == 200:  # noqa: ASYNC110 - the database notifies it
            await asyncio.sleep(0.01)


async def test_an_ended_session_ends_only_its_access_token(
    app: Starlette, house: House, technician: Actor, email: str, sign_in: Form, whoami: Form
) -> None:
    app.state.authenticator.believed_seconds = 0.0
    tokens = [(await sign_in(email)).json()["access_token"] for _ in range(2)]
    here = await app.state.authenticator.authenticate(tokens[0])
    await house.run("signOut", here)
    assert refused(await whoami(tokens[0])) == (401, "UNAUTHENTICATED")
    assert (await whoami(tokens[1])).status_code == 200


async def test_a_password_change_keeps_the_session_that_made_it(
    office: Office, technician: Actor, email: str, sign_in: Form, renew: Form, whoami: Form
) -> None:
    own, other = await sign_in(email), await sign_in(email)
    office.headers = {"Authorization": f"Bearer {own.json()['access_token']}"}
    await office("changePassword", currentPassword=PASSWORD, newPassword="quite another")
    assert (await whoami(own.json()["access_token"])).status_code == 200
    assert refused(await whoami(other.json()["access_token"])) == (401, "UNAUTHENTICATED")
    assert ((await renew(own)).status_code, (await renew(other)).status_code) == (200, 400)


async def test_a_reused_refresh_token_ends_the_access_tokens_too(
    app: Starlette, technician: Actor, email: str, sign_in: Form, renew: Form, whoami: Form
) -> None:
    app.state.authenticator.believed_seconds = 0.0
    first = await sign_in(email)
    second = await renew(first)
    third = await renew(second)
    assert (await whoami(third.json()["access_token"])).status_code == 200
    assert (await renew(first)).status_code == 400
    for answer in (first, second, third):
        assert refused(await whoami(answer.json()["access_token"])) == (401, "UNAUTHENTICATED")


@pytest_asyncio.fixture
async def socket_of(
    app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """Open a socket with a token and wait until it is connected."""
    monkeypatch.setattr(sockets, "CHECK_SECONDS", 0.02)
    async with served(app) as address:

        async def opened(token: str) -> Any:
            socket = await connect(f"ws://{address}", subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
            await say(socket, type="connection_init", payload={"Authorization": f"Bearer {token}"})
            assert (await hear(socket))["type"] == "connection_ack"
            return socket

        yield opened


async def test_a_password_that_a_manager_sets_closes_open_sockets(
    house: House,
    technician: Actor,
    email: str,
    sign_in: Form,
    socket_of: Callable[[str], Awaitable[Any]],
) -> None:
    socket = await socket_of((await sign_in(email)).json()["access_token"])
    await house.run("setPassword", accountId=technician.id, password="quite another")
    with pytest.raises(ConnectionClosed):
        await hear(socket)
    assert (socket.close_code, socket.close_reason) == (4401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("change", "code"),
    [("disableAccount", "UNAUTHENTICATED"), ("updateAccount", "TOKEN_EXPIRED")],
)
async def test_a_push_reads_its_accounts_present_standing(
    app: Starlette,
    house: House,
    technician: Actor,
    email: str,
    sign_in: Form,
    client: httpx2.AsyncClient,
    change: str,
    code: str,
) -> None:
    """A push reads it even while this process has a cached answer."""
    device = uuid4()
    token = (await sign_in(email, device=device)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"device": str(device), "schema": 1, "operations": []}
    assert (await client.post("/sync/push", json=body, headers=headers)).status_code == 200
    app.state.authenticator.believed_seconds = 60.0
    app.state.authenticator.ask_anew = lambda _organisation: None
    app.state.wake._ask_anew = None
    await house.run(change, accountId=technician.id, **({} if "disable" in change else {"role": "AUDITOR"}))
    assert refused(await client.post("/sync/push", json=body, headers=headers)) == (401, code)


# -- caches ----------------------------------------------------------------------------------------


async def test_the_caches_of_tokens_accounts_and_organisations_are_bounded(
    app: Starlette, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticate, "_MOST", 2)
    monkeypatch.setattr(authenticate, "_MOST_ORGANISATIONS", 2)
    known = app.state.authenticator
    for actor in [await house.account("AUDITOR") for _ in range(4)]:
        await known.authenticate(app.state.tokens.issue(actor))
        known.ask_anew(new_id())
    assert (len(known._verified), len(known._known), len(known._changed_at)) == (2, 2, 2)


async def test_namesakes_in_two_organisations_are_cached_separately(app: Starlette, house: House) -> None:
    """This holds even for tokens without a session, which would tell them apart."""
    known, other = app.state.authenticator, await House(house.database).found()
    mine, device = await house.account("AUDITOR"), new_id()
    theirs = await other.account("AUDITOR", id=mine.id)
    tokens = [app.state.tokens.issue(replace(actor, device_id=device)) for actor in (mine, theirs)]
    for of, actor in ((house, mine), (other, theirs)):
        await of.run("enrolDevice", actor, id=device)
    await other.run("disableAccount", accountId=theirs.id)
    for _ in range(2):
        assert (await known.authenticate(tokens[0])).organisation_id == house.organisation_id
        with pytest.raises(TokenRefused):
            await known.authenticate(tokens[1])
    mine_key, their_key = known._known
    assert (mine_key[0], their_key[0]) == (mine.key, theirs.key)


async def test_a_standing_read_before_a_change_is_not_used(app: Starlette, house: House) -> None:
    """The answer may arrive after the news of the change although it was read before it."""
    actor = await house.account("AUDITOR")
    known, token = app.state.authenticator, app.state.tokens.issue(actor)
    asked: list[UUID] = []
    now = known._standings.now

    async def late(who: Actor) -> Standing:
        asked.append(who.id)
        standing: Standing = await now(who)
        known.ask_anew(who.organisation_id)
        return standing

    known._standings = SimpleNamespace(now=late)
    for _ in range(3):
        await known.authenticate(token)
    assert len(asked) == 3


async def test_one_organisations_crowd_does_not_delay_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standings, "_AT_ONCE", 2)
    crowd, other = new_id(), new_id()
    answered: list[UUID] = []
    asking = Standings(database)

    async def read(organisation_id: UUID, actors: Any) -> list[Standing]:
        answered.append(organisation_id)
        return [Standing(None, time.monotonic(), None, 0) for _ in actors]

    monkeypatch.setattr(asking, "_read", read)

    def actor(organisation_id: UUID) -> Any:
        return SimpleNamespace(organisation_id=organisation_id)

    await asyncio.gather(*(asking.now(actor(crowd)) for _ in range(6)), asking.now(actor(other)))
    assert answered == [crowd, other, crowd, crowd]


async def test_streams_notice_the_end_of_a_session_without_a_change_in_the_log(
    app: Starlette, house: House, technician: Actor, email: str, sign_in: Form, renew: Form, tail: Tail
) -> None:
    known = app.state.authenticator

    async def go_on(answer: httpx2.Response) -> None:
        actor = known.tokens.verify(answer.json()["access_token"]).actor
        await known.require(actor, await tail.now(house.organisation_id))

    ended, stolen = await sign_in(email), await sign_in(email)
    used = await renew(await renew(stolen))
    for answer in (ended, used):
        await go_on(answer)
    sign_out = COMMANDS["signOut"]
    here = known.tokens.verify(ended.json()["access_token"]).actor
    await app.state.kernel.perform(here, sign_out, sign_out.parse({}))
    with pytest.raises(TokenRefused):
        await go_on(ended)
    await go_on(used)
    assert (await renew(stolen)).status_code == 400
    with pytest.raises(TokenRefused):
        await go_on(used)
