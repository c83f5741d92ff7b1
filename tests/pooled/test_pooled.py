"""Behind a pooler, each transaction runs on any of a few sessions, and leaves nothing in it.

A session's state has two sources: options at its start, which this pooler refuses, and statements, whose
traces the last test looks for after all others have run.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.pooled.pgbouncer import SESSIONS, UNSUITABLE, Served, console, sessions
from tournee import demo
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import new_id

CLIENTS = 8
PASSWORD = "long enough for a test"

MAPPING = """
system = "billing"
[[record]]
entity = "Customer"
key = "{No}"
[record.fields]
name = "Company"
"""


class Person:
    """A manager with a device."""

    def __init__(self, url: str, email: str, password: str = PASSWORD) -> None:
        self.email, self.password = email, password
        self.client = httpx2.AsyncClient(base_url=url, timeout=60)
        self.device = str(uuid4())
        self.number = 0
        self.cursor = ""

    async def sign_in(self) -> Person:
        form = {"grant_type": "password", "username": self.email, "password": self.password}
        form |= {"device": self.device, "device_name": "Demo"}
        answer = await self.client.post("/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        self.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return self

    async def ask(self, query: str, **variables: Any) -> Any:
        answer = await self.client.post("/graphql", json={"query": query, "variables": variables})
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    async def push(self, count: int) -> list[str]:
        """Create customers in one push; return the outcomes."""
        operations = []
        for _ in range(count):
            self.number += 1
            operations.append(
                {
                    "id": str(new_id()),
                    "number": self.number,
                    "command": "createCustomer",
                    "input": {"id": str(new_id()), "name": f"Demo {self.number}"},
                    "base": 0,
                    "occurredAt": "2026-11-23T09:12:00Z",
                }
            )
        body = {"device": self.device, "app": "pooled/1", "schema": 1, "operations": operations}
        answer = await self.client.post("/sync/push", json=body)
        assert answer.status_code == 200, answer.text
        return [outcome["status"] for outcome in answer.json()["outcomes"]]

    async def pull(self) -> dict[str, Any]:
        """Pull to the end; return the rows by their ids."""
        rows: dict[str, Any] = {}
        while True:
            answer = await self.client.get("/sync/pull", params={"cursor": self.cursor})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            rows |= {change["id"]: change for change in page["changes"]}
            self.cursor = page["cursor"]
            if not page["more"]:
                return rows


MANAGER = "manager@demo.example"
ENGAGE = """
mutation ($input: CreateAccountInput!) { createAccount(input: $input) { __typename } }
"""


@pytest_asyncio.fixture(scope="module")
async def people(server: Served) -> AsyncIterator[list[Person]]:
    """Return many people, signed in at the same time."""
    async with AsyncExitStack() as stack:
        first = Person(server.url, MANAGER, demo.PASSWORD)
        made = [Person(server.url, f"{n}@demo.example") for n in range(CLIENTS)]
        for person in (first, *made):
            await stack.enter_async_context(person.client)
        await first.sign_in()
        for person in made:
            account = {"email": person.email, "name": "Demo", "role": "MANAGER", "password": PASSWORD}
            assert (await first.ask(ENGAGE, input=account))["createAccount"]["__typename"] == "Account"
        yield list(await asyncio.gather(*(person.sign_in() for person in made)))


CREATE = """
mutation ($name: String!) {
  createCustomer(input: { name: $name }) { __typename ... on Customer { id name } }
}
"""


async def test_queries_and_mutations_answer(people: list[Person]) -> None:
    async def do(person: Person, n: int) -> None:
        made = (await person.ask(CREATE, name=f"Demo {n}"))["createCustomer"]
        query = "query ($id: ID!) { customer(id: $id) { name createdAt } }"
        found = (await person.ask(query, id=made["id"]))["customer"]
        assert found["name"] == f"Demo {n}"
        assert found["createdAt"].endswith("Z")

    await asyncio.gather(*(do(person, n) for n, person in enumerate(people)))


async def test_the_read_engine_answers(people: list[Person]) -> None:
    selection = "totalCount nodes { name createdAt sites { totalCount } }"
    query = f"query ($n: Int) {{ customers(first: $n) {{ {selection} }} }}"
    first = await people[0].ask(query, n=20)
    for _ in range(5):
        answers = await asyncio.gather(*(person.ask(query, n=20) for person in people))
        assert answers == [first] * CLIENTS
    numbers = (await people[0].client.get("/metrics")).text
    assert 'tournee_graphql_reads_total{lane="engine"}' in numbers
    assert "executor_failed" not in numbers


@pytest.mark.slow("Many devices push over two sessions.")
async def test_devices_push_and_pull_what_all_of_them_did(people: list[Person]) -> None:
    before = await people[0].pull()
    for _ in range(3):
        done = await asyncio.gather(*(person.push(5) for person in people))
        assert done == [["applied"] * 5] * CLIENTS
    news = set(await people[0].pull()) - set(before)
    assert len(news) == 3 * 5 * CLIENTS
    copies = await asyncio.gather(*(person.pull() for person in people[1:]))
    assert all(news <= set(copy) for copy in copies)


async def test_checksums_answer(people: list[Person]) -> None:
    await asyncio.gather(*(person.pull() for person in people))
    answers = await asyncio.gather(
        *(person.client.get("/sync/checksums", params={"cursor": person.cursor}) for person in people)
    )
    sums = [answer.json() for answer in answers]
    assert sums[0]["current"]
    assert sums[0]["entities"]["Customer"]["count"] > 0
    assert all(one["entities"] == sums[0]["entities"] for one in sums)


async def test_a_stream_delivers_what_another_process_changed(people: list[Person], server: Served) -> None:
    """One of two processes pushes, so some of these streams are at the other."""
    await asyncio.gather(*(person.pull() for person in people))
    ready = [asyncio.Event() for _ in people]

    async def listen(person: Person, event: asyncio.Event) -> str:
        given = {"cursor": person.cursor}
        async with person.client.stream("GET", "/sync/stream", params=given) as answer:
            assert answer.status_code == 200
            event.set()
            async for line in answer.aiter_lines():
                if "Heard over the pooler" in line:
                    return line
        raise AssertionError("the stream ended")

    async with asyncio.timeout(30):
        streams = [asyncio.create_task(listen(*one)) for one in zip(people, ready, strict=True)]
        await asyncio.gather(*(event.wait() for event in ready))
        other = await Person(server.url, MANAGER, demo.PASSWORD).sign_in()
        await other.ask(CREATE, name="Heard over the pooler")
        await asyncio.gather(*streams)
        await other.client.aclose()


@pytest.mark.slow("A program starts and imports every domain.")
async def test_an_import_writes_its_lines(people: list[Person], server: Served, tmp_path: Path) -> None:
    (tmp_path / "mapping.toml").write_text(MAPPING)
    (tmp_path / "file.csv").write_text("No,Company\n" + "".join(f"{n},Imported {n}\n" for n in range(30)))
    program = [sys.executable, "-c", "from tournee.cli import main; main()", "import", "file.csv"]
    program += ["--mapping", "mapping.toml", "--organisation", "Demo Service"]
    environment = {**os.environ, "DATABASE_URL": server.database_url, "TOURNEE_PREPARED_STATEMENTS": "0"}
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    query = '{ customers(filter: { name: { startsWith: "Imported" } }) { totalCount } }'
    assert (await people[0].ask(query))["customers"]["totalCount"] == 30


async def test_a_transaction_has_its_settings_whatever_the_database_says(server: Served) -> None:
    database = Database(server.database_url, prepares=False)
    try:
        for kind in (database.reading, database.writing):
            async with kind(ACROSS) as session:
                for name, value in UNSUITABLE.items():
                    assert await session.scalar(text(f"SHOW {name}")) != value
    finally:
        await database.close()


@pytest.mark.slow("A program starts and imports every domain.")
@pytest.mark.parametrize("ignored", ["", "options"])
def test_backups_refuse_a_pooler(server: Served, tmp_path: Path, ignored: str) -> None:
    """With its options ignored, a backup would find no row and succeed."""
    program = [sys.executable, "-c", "from tournee.cli import main; main()", "backup", "backup.zip"]
    environment = {**os.environ, "DATABASE_URL": server.database_url}
    with console(server.port) as pooler:
        pooler.execute(f"SET ignore_startup_parameters = '{ignored}'")
        done = subprocess.run(
            program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        pooler.execute("SET ignore_startup_parameters = ''")
    assert done.stderr.startswith("DATABASE_URL: backups need a connection to PostgreSQL itself")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_the_servers_many_connections_share_two_sessions(server: Served) -> None:
    with console(server.port) as connection:
        named = {column.name for column in connection.execute("SHOW CLIENTS").description or ()}
        assert "database" in named
        clients = connection.execute("SHOW CLIENTS").fetchall()
        servers = connection.execute("SHOW SERVERS").fetchall()
    name = server.database_url.rpartition("/")[2]
    assert len([row for row in clients if name in row]) > 2 * SESSIONS
    assert 1 <= len([row for row in servers if name in row]) <= SESSIONS


# PgBouncer sets these itself, to what each client began with.
TRACKED = {"application_name", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings"}

TRACES = {
    "settings": "SELECT name FROM pg_settings WHERE source = 'session'",
    "an organisation": "SELECT 1 WHERE current_setting('tournee.organisation', true) <> ''",
    "prepared statements": "SELECT statement FROM pg_prepared_statements WHERE name <> ''",
    "channels": "SELECT pg_listening_channels()",
    "cursors": "SELECT name FROM pg_cursors WHERE is_holdable",
    "locks": "SELECT classid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "tables": "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'",
}


def test_no_statement_leaves_anything_in_a_session(server: Served) -> None:
    for connection in sessions(server.database_url):
        for what, question in TRACES.items():
            found = {value for (value,) in connection.execute(question).fetchall()}
            assert not found - TRACKED, what


def test_nothing_failed_in_the_background(server: Served) -> None:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    bad = {"housekeeping_failed", "request_failed", "graphql_failed", "operation_crashed", "outage"}
    assert [line for line in lines if line["event"] in bad] == []
