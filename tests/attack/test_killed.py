"""A server killed and restarted while devices push loses nothing and applies nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import select

from tournee.engine.database import Database
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import new_id, now
from tournee.kernel.log import Change, Head
from tournee.sync.models import ParkedOperation, Receipt

ORGANISATION = demo_id("organisation/demo")
DEVICES = 4
# Each worker of a server takes seconds to restart.
KILLS = {"sqlite": 4, "postgresql": 3}
_PROGRAM = "from tournee.cli import main; main()"


@dataclass
class Server:
    """`tournee run` with its workers in their own process group."""

    database_url: str
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def kind(self) -> str:
        return "sqlite" if self.database_url.startswith("sqlite") else "postgresql"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOURNEE_")},
            "DATABASE_URL": self.database_url,
            "TOURNEE_DEMO": "1",
            "TOURNEE_DEMO_SIZE": "small",
            "TOURNEE_DIRECTORY": str(self.directory),
            "TOURNEE_WORKERS": "1" if self.kind == "sqlite" else "2",
            "PORT": str(self.port),
        }
        with (self.directory / "server.log").open("ab") as log:
            self.process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, "-c", _PROGRAM, "run"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        async with httpx2.AsyncClient(base_url=self.address) as client, asyncio.timeout(60):
            while not await self._is_ready(client):
                assert self.process.poll() is None, (self.directory / "server.log").read_text()
                await asyncio.sleep(0.05)

    async def _is_ready(self, client: httpx2.AsyncClient) -> bool:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx2.TransportError:
            return False

    async def kill(self) -> None:
        """Kill the server and its workers without warning."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)
        self.process = None


@dataclass
class Field:
    """The answers that all devices have received so far."""

    acknowledged: int = 0
    lost: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest_asyncio.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[Server]:
    started = Server(database_url, tmp_path, free_port())
    await started.start()
    try:
        yield started
    finally:
        if started.process is not None:
            await started.kill()


def batches(device: UUID, count: int) -> list[dict[str, Any]]:
    """Yield pushes of three operations, each creating one row that can be counted."""
    made = []
    for place in range(count):
        inputs: list[tuple[str, dict[str, Any]]] = [
            ("createCustomer", {"name": f"Demo {device} {place}"}),
            ("addNote", {"workOrderId": str(demo_id("order/1")), "text": f"Demo note {place}"}),
            ("createAsset", {"siteId": str(demo_id("site/1")), "name": f"Demo pump {place}"}),
        ]
        operations = [
            {
                "id": str(new_id()),
                "number": 3 * place + offset + 1,
                "command": command,
                "input": {**input, "id": str(new_id())},
                "base": 1,
                "occurredAt": now().isoformat(),
            }
            for offset, (command, input) in enumerate(inputs)
        ]
        made.append({"device": str(device), "app": "attack/1", "schema": 1, "operations": operations})
    return made


async def work_off(client: httpx2.AsyncClient, pushes: list[dict[str, Any]], seen: Field) -> None:
    """Send one device's pushes in turn, each until it is answered."""
    for push in pushes:
        while True:
            try:
                answer = await client.post("/sync/push", json=push)
            except httpx2.TransportError:
                seen.lost += 1
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            seen.statuses.update(outcome["status"] for outcome in answer.json()["outcomes"])
            seen.acknowledged += 1
            break


async def kill_now_and_then(
    server: Server, seen: Field, chance: random.Random, kills: int, pushes: int
) -> None:
    for moment in sorted(chance.sample(range(10, pushes - 10), kills)):
        while seen.acknowledged < moment:  # noqa: ASYNC110 - the moment is between two answers
            await asyncio.sleep(0.001)
        await asyncio.sleep(chance.random() * 0.03)
        await server.kill()
        await server.start()


async def token(client: httpx2.AsyncClient) -> str:
    form = {"grant_type": "password", "username": "manager@demo.example", "password": "demo"}
    answer = await client.post("/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def pulled(client: httpx2.AsyncClient) -> Counter[str]:
    """Return how often a first pull delivers each row."""
    rows: Counter[str] = Counter()
    parameters: dict[str, Any] = {"limit": 5000}
    more = True
    while more:
        page = (await client.get("/sync/pull", params=parameters)).json()
        rows.update(change["id"] for change in page["changes"] if "record" in change)
        parameters["cursor"] = page["cursor"]
        more = page["more"]
    return rows


@pytest.mark.slow("A server starts, is killed and starts again.")
@pytest.mark.prove_on("postgresql", "Servers are started and killed repeatedly.")
@pytest.mark.parametrize(
    ("pushes", "most_kills"),
    [(60, 1), pytest.param(200, 4, marks=pytest.mark.prove("It kills a server four times."))],
)
async def test_every_operation_takes_effect_once_when_the_server_is_killed_at_any_moment(
    server: Server, database: Database, pushes: int, most_kills: int
) -> None:
    seen, kills = Field(), min(most_kills, KILLS[server.kind])
    async with httpx2.AsyncClient(base_url=server.address, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {await token(client)}"
        day = [batches(new_id(), pushes // DEVICES) for _ in range(DEVICES)]
        killer = asyncio.create_task(kill_now_and_then(server, seen, random.Random(17), kills, pushes))
        await asyncio.gather(killer, *(work_off(client, queue, seen) for queue in day))
        rows = await pulled(client)
    operations = [operation for queue in day for push in queue for operation in push["operations"]]
    assert seen.acknowledged == pushes
    assert seen.lost >= kills
    assert set(seen.statuses) <= {"applied", "duplicate", "merged"}
    assert {rows[operation["input"]["id"]] for operation in operations} == {1}
    await every_operation_left_one_trace(database, operations)


async def every_operation_left_one_trace(database: Database, operations: list[dict[str, Any]]) -> None:
    ids = {UUID(operation["id"]): UUID(operation["input"]["id"]) for operation in operations}
    async with database.reading(ORGANISATION) as session:
        log = (
            await session.execute(
                select(Change.seq, Change.operation_id, Change.id, Change.before)
                .where(Change.organisation_id == ORGANISATION)
                .order_by(Change.seq)
            )
        ).all()
        head = await session.scalar(select(Head.seq).where(Head.organisation_id == ORGANISATION))
        stored = (await session.execute(select(Receipt.operation_id, Receipt.status, Receipt.seq))).all()
        parked = (await session.scalars(select(ParkedOperation.operation_id))).all()
    assert [row.seq for row in log] == list(range(1, (head or 0) + 1))
    made = [row for row in log if row.operation_id in ids]
    assert Counter(row.operation_id for row in made) == Counter(list(ids))
    assert all(row.id == ids[row.operation_id] and row.before is None for row in made)
    receipts = [receipt for receipt in stored if receipt.operation_id in ids]
    assert Counter(receipt.operation_id for receipt in receipts) == Counter(list(ids))
    assert {receipt.status for receipt in receipts} == {"applied"}
    assert {receipt.operation_id: receipt.seq for receipt in receipts} == {
        row.operation_id: row.seq for row in made
    }
    assert not parked
