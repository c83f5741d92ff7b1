"""A full disk or an unwritable database: the answers, and the recovery."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Connection, event

from tests.support.house import House
from tournee.app import create_app
from tournee.engine.database import Database
from tournee.kernel.entity import new_id
from tournee.settings import Settings

CREATE = 'mutation { createCustomer(input: {name: "Demo Bakery"}) { __typename } }'


class Server:
    """The whole server on one SQLite file, and a manager who sends requests."""

    def __init__(self, client: httpx2.AsyncClient, database: Database, headers: dict[str, str]) -> None:
        self.client = client
        self.database = database
        self.headers = headers

    async def create(self) -> str:
        """Return a mutation's result: a type, or the code of its error."""
        answer = await self.client.post("/graphql", json={"query": CREATE}, headers=self.headers)
        body = answer.json()
        if "errors" in body:
            extensions = body["errors"][0]["extensions"]
            assert extensions["retryAfter"] > 0
            return str(extensions["code"])
        return str(body["data"]["createCustomer"]["__typename"])

    async def push(self) -> tuple[int, str]:
        operation = {
            "id": str(new_id()),
            "number": 1,
            "command": "createCustomer",
            "input": {"name": "Demo Bakery " * 10},
            "occurredAt": "2026-11-23T09:12:00Z",
        }
        body = {"device": str(uuid4()), "app": "test/1", "schema": 1, "operations": [operation]}
        return outcome(await self.client.post("/sync/push", json=body, headers=self.headers))

    async def ready(self) -> tuple[int, str]:
        return outcome(await self.client.get("/readyz"))

    async def customers(self) -> int:
        query = {"query": "{ customers { totalCount } }"}
        answer = await self.client.post("/graphql", json=query, headers=self.headers)
        return int(answer.json()["data"]["customers"]["totalCount"])


def outcome(answer: httpx2.Response) -> tuple[int, str]:
    """Return the status and the error's code, and check that an error has Retry-After."""
    if answer.status_code == 200:
        return 200, ""
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code, answer.json()["error"]["code"]


@asynccontextmanager
async def serving(file: Path, keys: Path) -> AsyncIterator[Server]:
    app = create_app(Settings(database_url=f"sqlite:///{file}", directory=keys))
    async with app.router.lifespan_context(app):
        database: Database = app.state.kernel.database
        house = await House(database).found()
        manager = await house.account("MANAGER")
        headers = {"Authorization": f"Bearer {app.state.tokens.issue(manager)}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Server(client, database, headers)


@contextmanager
def said_to_each_connection(server: Server, pragma: str) -> Iterator[None]:
    """Execute a statement first on every connection on which a transaction begins."""

    def tell(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {pragma}")

    event.listen(server.database.engine.sync_engine, "begin", tell)
    yield
    event.remove(server.database.engine.sync_engine, "begin", tell)


async def test_a_full_file_has_its_own_code_and_makes_the_server_unready(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "tournee.db")
    async with serving(tmp_path / "tournee.db", tmp_path) as server:
        assert await server.ready() == (200, "")
        # Not one page more than the file has.
        with said_to_each_connection(server, "max_page_count=1"):
            codes = [await server.create() for _ in range(30)]
            assert codes[-1] == "STORAGE_FULL", codes
            assert await server.push() == (503, "STORAGE_FULL")
            assert await server.ready() == (503, "STORAGE_FULL")
            # Reads still work, and nothing is half done.
            assert await server.customers() == codes.count("Customer")
        with said_to_each_connection(server, "max_page_count=1000000"):
            assert await server.ready() == (200, "")
            assert await server.create() == "Customer"
            assert await server.push() == (200, "")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a few megabytes, if this machine allows it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], check=False, capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("mounting a file system is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_and_its_recovery_are_noticed(
    sqlite_template: Path, small_disk: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, small_disk / "tournee.db")
    async with serving(small_disk / "tournee.db", tmp_path) as server:
        assert await server.create() == "Customer"
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    break
        codes = [await server.create() for _ in range(40)]
        assert codes[-1] == "STORAGE_FULL", codes
        assert await server.push() == (503, "STORAGE_FULL")
        assert await server.ready() == (503, "STORAGE_FULL")
        assert await server.customers() == 1 + codes.count("Customer")
        ballast.unlink()
        assert await server.ready() == (200, "")
        assert await server.create() == "Customer"


async def test_a_read_only_database_has_its_own_code(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "tournee.db")
    async with serving(tmp_path / "tournee.db", tmp_path) as server:
        # Root may write whatever the file's mode says, so SQLite itself is made read-only.
        with said_to_each_connection(server, "query_only=1"):
            assert await server.create() == "STORAGE_READ_ONLY"
            assert await server.ready() == (503, "STORAGE_READ_ONLY")
        assert await server.ready() == (200, "")
        assert await server.create() == "Customer"
