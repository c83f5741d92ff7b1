"""Queries that take too long, or that nobody waits for any more, are stopped in the database."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.ask import ask
from tests.support.house import House
from tests.support.serving import Door, door, served
from tournee.kernel.outages import is_timeout

ENDLESS = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
QUERY = "query Slow { customers { nodes { name } } }"
CREATE = 'mutation { createCustomer(input: {name: "Demo"}) { __typename } }'
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@asynccontextmanager
async def locked(house: House) -> AsyncIterator[psycopg.AsyncConnection]:
    """Hold a lock inside the block because of which nobody can read customers."""
    if house.database.is_sqlite:
        pytest.skip("SQLite has no such lock")
    async with await psycopg.AsyncConnection.connect(house.database.plain_url) as connection:
        await connection.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
        yield connection
        await connection.rollback()


async def waiting(connection: psycopg.AsyncConnection, count: int) -> None:
    """Wait until so many statements of this database wait for the lock."""
    async with asyncio.timeout(5):
        while await (await connection.execute(WAITING)).fetchone() != (count,):
            # A transaction sees the statistics of its first look.
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.02)


def hasty(house: House) -> Door:
    """Return an endpoint whose queries may take a fifth of a second."""
    house.kernel = dataclasses.replace(house.kernel, query_seconds=0.2)
    return door(house)


async def test_a_query_that_takes_too_long_is_stopped_with_a_code(house: House) -> None:
    both = "query Both { customers { nodes { id } } sites { nodes { customer { name } } } }"
    headers = {"authorization": "Bearer manager"}
    async with locked(house) as connection:
        transport = httpx2.ASGITransport(app=hasty(house))
        async with httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as client:
            for document in (QUERY, both) * 3:
                found = (await client.post("/graphql", json={"query": document})).json()
                assert {one["extensions"]["code"] for one in found["errors"]} == {"TIMEOUT"}, found
                assert found["data"] is None
            await connection.rollback()
            assert "errors" not in (await client.post("/graphql", json={"query": QUERY})).json()


async def test_sqlite_stops_a_statement_that_takes_too_long(house: House) -> None:
    if not house.database.is_sqlite:
        pytest.skip("PostgreSQL has its own timeout")
    async with house.database.reading(house.organisation_id, seconds=0.1) as session:
        with pytest.raises(DBAPIError) as stopped:
            await session.execute(ENDLESS)
    assert is_timeout(stopped.value)
    await asyncio.sleep(0.1)
    await house.run("createCustomer", name="Demo")


async def test_a_statement_that_nobody_waits_for_is_stopped(house: House) -> None:
    endless = ENDLESS if house.database.is_sqlite else text("SELECT pg_sleep(60)")
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), house.reading() as session:
                await session.execute(endless)
    assert await ask(house, "{ customers { totalCount } }") == {"customers": {"totalCount": 0}}


@asynccontextmanager
async def sent(address: str, document: str) -> AsyncIterator[None]:
    """Send a request inside the block, and leave without its answer."""
    host, _, path = address.partition("/")
    name, _, port = host.partition(":")
    body = orjson.dumps({"query": document})
    head = [f"POST /{path} HTTP/1.1", f"Host: {host}", "Authorization: Bearer manager"]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    _, writer = await asyncio.open_connection(name, int(port))
    writer.write("\r\n".join(head).encode() + body)
    yield
    writer.close()
    await writer.wait_closed()


async def test_a_query_is_cancelled_when_its_client_leaves(house: House) -> None:
    async with served(door(house)) as address, httpx2.AsyncClient() as client:
        # The first is answered by the executor, the others by the read engine.
        for _ in range(3):
            async with locked(house) as connection:
                async with sent(address, QUERY):
                    await waiting(connection, 1)
                await waiting(connection, 0)
            found = await client.post(
                f"http://{address}", json={"query": QUERY}, headers={"authorization": "Bearer manager"}
            )
            assert found.json() == {"data": {"customers": {"nodes": []}}}
    pool: Any = house.database.engine.pool
    assert pool.checkedout() == 0


async def test_a_mutation_is_carried_out_though_its_client_leaves(house: House) -> None:
    # The server ends only when it has answered everybody.
    async with served(door(house)) as address, locked(house) as connection:
        async with sent(address, CREATE):
            await waiting(connection, 1)
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        await waiting(connection, 1)
    assert await ask(house, "{ customers { totalCount } }") == {"customers": {"totalCount": 1}}
