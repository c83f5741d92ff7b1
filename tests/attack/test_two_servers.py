"""Two servers with separate folders on one PostgreSQL act as one, even if one is killed during a push."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, text

from tests.support.processes import running, signed_in
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import new_id, now
from tournee.kernel.log import Change, Head

ORGANISATION = demo_id("organisation/demo")
DEVICE = str(new_id())
SECRET = "x" * 32


@dataclass
class Server:
    """A server in its own process, with the token of its last sign-in."""

    url: str
    process: subprocess.Popen[str]
    client: httpx2.Client

    def pull(self, cursor: str | None = None) -> tuple[list[dict[str, Any]], str]:
        """Return all changes after the cursor, and the next one; the server must know the cursor."""
        changes: list[dict[str, Any]] = []
        more = True
        while more:
            asked = {"limit": "5000"} | ({"cursor": cursor} if cursor else {})
            answer = self.client.get("/sync/pull", params=asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert not page["resync"]
            changes += page["changes"]
            cursor, more = page["cursor"], page["more"]
        assert cursor is not None
        return changes, cursor

    def push(self, operations: list[dict[str, Any]]) -> Counter[str]:
        """Return how often each status was answered."""
        body = {"device": DEVICE, "app": "attack/1", "schema": 1, "operations": operations}
        answer = self.client.post("/sync/push", json=body)
        assert answer.status_code == 200, answer.text
        return Counter(outcome["status"] for outcome in answer.json()["outcomes"])

    def streamed(self, cursor: str) -> Iterator[list[dict[str, Any]]]:
        """Yield first nothing, once the stream is open, and then the changes of each event."""
        with self.client.stream("GET", "/sync/stream", params={"cursor": cursor}) as stream:
            for line in stream.iter_lines():
                if line == ": connected":
                    yield []
                if line.startswith("data: "):
                    page = json.loads(line.removeprefix("data: "))
                    assert not page["resync"]
                    yield page["changes"]


def creations(count: int, first: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "id": str(new_id()),
            "number": number,
            "command": "createCustomer",
            "input": {"id": str(new_id()), "name": f"Demo {number}"},
            "base": 1,
            "occurredAt": now().isoformat(),
        }
        for number in range(first, first + count)
    ]


@pytest.fixture
def servers(database_url: str, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite serves one process")
    with ExitStack() as stack:
        made = []
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            settings = {"TOURNEE_WORKERS": "1", "TOURNEE_DEMO": "1", "TOURNEE_SECRET_KEY": SECRET}
            _, url, process = stack.enter_context(running(folder, database_url, **settings))
            client = stack.enter_context(httpx2.Client(base_url=url, timeout=60))
            made.append(Server(url, process, client))
        yield made[0], made[1]


@pytest.mark.slow("Two servers start, and one is killed.")
async def test_two_servers_act_as_one_and_a_killed_one_loses_and_doubles_nothing(
    servers: tuple[Server, Server], database: Database
) -> None:
    one, other = servers
    keys = [server.client.get("/.well-known/jwks.json").json() for server in servers]
    assert keys[0] == keys[1]
    headers = signed_in(one.url)
    for server in servers:
        server.client.headers.update(headers)
    known, cursor = one.pull()
    assert known
    changes, cursor = other.pull(cursor)
    assert changes == []

    first = creations(1)
    events = other.streamed(cursor)
    assert next(events) == []
    assert one.push(first) == {"applied": 1}
    followed = next(changes for changes in events if changes)
    events.close()
    assert [change["id"] for change in followed] == [first[0]["input"]["id"]]

    pushed = creations(100, first=2)
    await kill_during(one, pushed, database)
    assert set(other.push(pushed)) <= {"applied", "duplicate"}
    assert other.push(pushed) == {"duplicate": len(pushed)}

    changes, _ = other.pull(cursor)
    expected = {operation["input"]["id"] for operation in first + pushed}
    assert Counter(change["id"] for change in changes) == Counter(expected)
    await every_operation_was_logged_once(database, first + pushed)


async def kill_during(server: Server, pushed: list[dict[str, Any]], database: Database) -> None:
    """Kill the server when it has written the push and waits for the head of the log."""
    with ThreadPoolExecutor(1) as pool:
        async with database.writing(ORGANISATION) as session, asyncio.timeout(60):
            await session.execute(select(Head.seq).with_for_update())
            lost = pool.submit(server.push, pushed)
            while not await somebody_waits(database):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.02)
            assert not lost.done()
            server.process.kill()
            with pytest.raises(httpx2.TransportError):
                await asyncio.to_thread(lost.result, 60)


async def somebody_waits(database: Database) -> bool:
    async with database.reading(ACROSS) as session:
        return bool(await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


async def every_operation_was_logged_once(database: Database, operations: list[dict[str, Any]]) -> None:
    logged = select(Change.operation_id, func.count()).where(Change.operation_id.is_not(None))
    async with database.reading(ORGANISATION) as session:
        rows = await session.execute(logged.group_by(Change.operation_id))
        found = dict(rows.all())
    ids = [UUID(one["id"]) for one in operations]
    assert {id: found.get(id) for id in ids} == dict.fromkeys(ids, 1)
