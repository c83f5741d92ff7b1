"""Under overload pushes get through, and other requests get a time to retry."""

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx2
import psycopg
import psycopg.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from tests.support.house import House
from tests.support.refusals import refusal
from tests.support.serving import saturated
from tournee.auth.tokens import Verified
from tournee.engine.lanes import Lane, Overloaded
from tournee.kernel.actor import Actor
from tournee.kernel.outages import TooManyAtOnce
from tournee.web.middleware import RequestMiddleware

Bearer = Callable[[Actor], dict[str, str]]


def push_of(device: str) -> dict[str, object]:
    return {"device": device, "app": "test/1", "schema": 1, "operations": []}


async def test_pushes_get_through_while_pulls_are_saturated(
    app: Starlette, client: httpx2.AsyncClient, house: House, bearer: Bearer
) -> None:
    me = bearer(await house.account("TECHNICIAN"))
    lanes = app.state.lanes
    async with saturated(lanes.pulls, lanes.snapshots, lanes.queries):
        pull = await client.get("/sync/pull", headers=me)
        query = await client.post("/graphql", json={"query": "{ __typename }"}, headers=me)
        push = await client.post("/sync/push", json=push_of(str(uuid4())), headers=me)
    assert (refusal(pull), refusal(query)) == ((503, "OVERLOADED"), (503, "OVERLOADED"))
    assert push.status_code == 200
    assert 1 <= int(pull.headers["Retry-After"]) <= 30
    assert (await client.get("/sync/pull", headers=me)).status_code == 200


async def test_a_push_without_a_place_in_line_is_refused_before_any_query(
    app: Starlette, client: httpx2.AsyncClient, house: House, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = bearer(await house.account("TECHNICIAN"))
    asked: list[str] = []
    looked_up = asyncio.Event()
    verify = app.state.authenticator.verify

    async def noting(token: str) -> Verified:
        asked.append(token)
        looked_up.set()
        return await verify(token)

    monkeypatch.setattr(app.state.authenticator, "verify", noting)
    lane = app.state.lanes.pushes
    async with saturated(lane):
        push = await client.post("/sync/push", json=push_of(str(uuid4())), headers=me)
    assert (push.status_code, push.json()["error"]["code"], asked) == (503, "OVERLOADED", [])
    assert 5 <= int(push.headers["Retry-After"]) <= 30
    async with AsyncExitStack() as stack:
        for _ in range(lane.running):
            await stack.enter_async_context(lane.turn(None))
        waiting = asyncio.create_task(client.post("/sync/push", json=push_of(str(uuid4())), headers=me))
        await looked_up.wait()
    assert (await waiting).status_code == 200


async def test_a_surrender_waits_in_line_too(app: Starlette, client: httpx2.AsyncClient) -> None:
    """Anybody may claim to be a revoked device, and each claim costs a query."""
    stranger = {"Authorization": "Surrender nothing"}
    told = []
    for lane in (app.state.lanes.renewals, app.state.lanes.pushes):
        async with saturated(lane):
            push = await client.post("/sync/push", json=push_of(str(uuid4())), headers=stranger)
            told.append(
                (push.status_code, push.json()["error"]["code"], int(push.headers["Retry-After"]) > 0)
            )
    assert told == [(503, "OVERLOADED", True)] * 2
    push = await client.post("/sync/push", json=push_of(str(uuid4())), headers=stranger)
    assert refusal(push) == (401, "UNAUTHENTICATED")


async def test_an_incremental_pull_gets_through_while_first_pulls_are_saturated(
    app: Starlette, client: httpx2.AsyncClient, house: House, bearer: Bearer
) -> None:
    me = bearer(await house.account("TECHNICIAN"))
    page = {"cursor": ""}
    more = True
    while more:
        page = (await client.get("/sync/pull", params={"cursor": page["cursor"]}, headers=me)).json()
        more = bool(page["more"])
    lanes = app.state.lanes
    async with saturated(lanes.snapshots):
        first = await client.get("/sync/pull", headers=me)
        next_ = await client.get("/sync/pull", params={"cursor": page["cursor"]}, headers=me)
    assert (refusal(first), next_.status_code) == ((503, "OVERLOADED"), 200)


async def test_commands_have_their_own_connections(house: House) -> None:
    """A command finds a connection however many read."""
    if house.database.is_sqlite:
        pytest.skip("SQLite has one writer, which never waits for readers.")
    async with AsyncExitStack() as stack:
        for _ in range(15):
            session = await stack.enter_async_context(house.database.reading(house.organisation_id))
            await session.execute(text("SELECT 1"))
        async with asyncio.timeout(5):
            await house.run("createCustomer", name="Demo Bakery")


async def test_one_account_cannot_take_all_turns() -> None:
    lane, greedy = Lane(running=4, waiting=4, each=2), (uuid4(), uuid4())
    async with lane.turn(greedy), lane.turn(greedy):
        with pytest.raises(Overloaded) as refused:
            await lane.turn(greedy).__aenter__()
        assert isinstance(refused.value, TooManyAtOnce)
        async with lane.turn((greedy[0], uuid4())), lane.turn((uuid4(), greedy[1])):
            pass
    async with lane.turn(greedy):
        pass


async def test_turns_are_given_in_order_and_none_is_lost() -> None:
    lane, done = Lane(running=1, waiting=3, each=9), []

    async def work(number: int) -> None:
        async with lane.turn(None):
            done.append(number)

    async with lane.turn(None):
        tasks = [asyncio.create_task(work(number)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await lane.acquire()
        tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [0, 2]
    async with lane.turn(None):
        pass


async def test_a_request_that_waits_in_line_too_long_gets_retry_after() -> None:
    lane = Lane(running=1, waiting=1, each=9, patience=0.0)
    async with lane.turn(None):
        with pytest.raises(Overloaded):
            await lane.acquire()
    async with lane.turn(None):
        pass


async def test_refused_requests_get_different_retry_after_times() -> None:
    lane = Lane(running=0, waiting=0, each=9, back_after=(2, 10))
    told = {lane.overloaded().retry_after for _ in range(300)}
    assert told == set(range(2, 11))


async def test_retry_after_grows_with_the_number_of_refused_requests() -> None:
    """They return about when it is their turn, not repeatedly in vain."""
    lane = Lane(running=1, waiting=1, each=9, back_after=(0, 0))
    async with lane.turn(None):
        first = asyncio.create_task(lane.acquire())
        await asyncio.sleep(0)
    second = asyncio.create_task(lane.acquire())
    await asyncio.gather(first, asyncio.sleep(0.1))
    lane.release()
    told = [lane.overloaded().retry_after for _ in range(100_000)]
    assert told[0] == 0 < told[20_000] < told[40_000] <= told[-1] == 300
    assert lane.overloaded(greedy=True).retry_after == 0
    await second


def of_sqlite(code: int) -> OperationalError:
    cause = sqlite3.OperationalError("as SQLite says it")
    cause.sqlite_errorcode = code
    return OperationalError("", {}, cause)


def of_postgresql(cause: type[psycopg.Error]) -> OperationalError:
    return OperationalError("", {}, cause("as PostgreSQL says it"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PoolTimeout("no connection"), "OVERLOADED"),
        (of_sqlite(sqlite3.SQLITE_BUSY), "OVERLOADED"),
        (of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), "OVERLOADED"),
        (of_sqlite(sqlite3.SQLITE_FULL), "STORAGE_FULL"),
        (of_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), "STORAGE_FULL"),
        (of_sqlite(sqlite3.SQLITE_READONLY_DBMOVED), "STORAGE_READ_ONLY"),
        (of_sqlite(sqlite3.SQLITE_CANTOPEN), "DATABASE_AWAY"),
        (OSError(errno.ENOSPC, "no space left"), "STORAGE_FULL"),
        (psycopg.OperationalError("connection refused"), "DATABASE_AWAY"),
        (of_postgresql(psycopg.errors.AdminShutdown), "DATABASE_AWAY"),
        (of_postgresql(psycopg.errors.CannotConnectNow), "DATABASE_AWAY"),
        (of_postgresql(psycopg.errors.ConnectionFailure), "DATABASE_AWAY"),
        (of_postgresql(psycopg.errors.TooManyConnections), "OVERLOADED"),
        (of_postgresql(psycopg.errors.DiskFull), "STORAGE_FULL"),
        (of_postgresql(psycopg.errors.QueryCanceled), "INTERNAL"),
        (of_sqlite(sqlite3.SQLITE_ERROR), "INTERNAL"),
        (psycopg.ProgrammingError("a bug"), "INTERNAL"),
    ],
)
async def test_a_database_outage_has_its_own_code(error: Exception, code: str) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    transport = httpx2.ASGITransport(RequestMiddleware(broken))
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as caller:
        answer = await caller.get("/sync/pull")
    assert answer.json()["error"]["code"] == code
    if code == "INTERNAL":
        assert answer.status_code == 500
    else:
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 2
