"""Push of 500-operation batches: the real server over HTTP against the raw limit and PouchDB Server.

A dispatcher's device pushes edits made on the train: 300 assets, 150 customers, and 50 new
contacts, each edit with the device's last seq. A technician's device does the same with 500 of
the assets it holds. PouchDB Server gets the same number of documents of the same size.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
from sqlalchemy import select

from tests.bench.figures import Figure
from tests.bench.pouchdb import Missing, pouchdb
from tests.bench.raw import RawPush, document
from tests.support import migrate
from tests.support.house import wire
from tests.support.postgres import create_database, postgres
from tests.support.processes import running
from tournee.auth.organisations import actor_of, found_organisation
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, MEMBERSHIPS
from tournee.engine.database import Database
from tournee.kernel.command import Kernel
from tournee.kernel.entity import new_id
from tournee.kernel.log import Head
from tournee.kernel.transaction import Operation, Transaction

OPERATIONS, ROUNDS = 500, 15
CUSTOMERS, ASSETS, VISITS = 1_500, 4_500, 200
PASSWORD = "long enough for a bench"

Round = Callable[[], Awaitable[float]]


class Device:
    """One person's device at the real endpoint. Bodies are built before the clock starts."""

    def __init__(self, client: httpx2.AsyncClient, email: str, base: int) -> None:
        self.client = client
        self.email = email
        self.id = uuid4()
        self.number = 0
        self.base = base
        self.headers: dict[str, str] = {}

    async def sign_in(self) -> Device:
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        form |= {"device": str(self.id), "device_name": "bench"}
        answer = (await self.client.post("/auth/token", data=form)).json()
        self.headers = {"Authorization": f"Bearer {answer['access_token']}"}
        return self

    def operation(self, command: str, **input: Any) -> dict[str, Any]:
        self.number += 1
        return {
            "id": str(new_id()),
            "number": self.number,
            "command": command,
            "input": {
                name: str(value) if isinstance(value, UUID) else value for name, value in input.items()
            },
            "base": self.base,
            "occurredAt": datetime.now(UTC).isoformat(),
        }

    async def push(self, operations: list[dict[str, Any]]) -> float:
        """Return the seconds from sending to the end of the answer."""
        body = orjson.dumps({"device": str(self.id), "app": "bench/1", "schema": 1, "operations": operations})
        started = time.perf_counter()
        response = await self.client.post("/sync/push", content=body, headers=self.headers)
        seconds = time.perf_counter() - started
        answer = response.json()
        wrong = [outcome for outcome in answer["outcomes"] if outcome["status"] != "applied"]
        assert not wrong, wrong[0]
        self.base = answer["checkpoint"]
        return seconds


class Organisation:
    """The devices' organisation: customers with a site each, assets, and a technician's visits."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.manager = actor_of(new_id(), new_id(), Role.MANAGER)
        self.customers = [new_id() for _ in range(CUSTOMERS)]
        self.sites = [new_id() for _ in range(CUSTOMERS)]
        self.assets = [new_id() for _ in range(ASSETS)]
        self.head = 0

    @property
    def held(self) -> list[UUID]:
        """Return the assets at the sites that the technician visits."""
        return [id for n, id in enumerate(self.assets) if n % CUSTOMERS < VISITS]

    @property
    def others(self) -> list[UUID]:
        """Return the assets that only the office edits, so that no conflicts arise."""
        return [id for n, id in enumerate(self.assets) if n % CUSTOMERS >= VISITS]

    async def fill(self) -> Organisation:
        await found_organisation(self.kernel.database, self.manager.organisation_id, "bench")
        work = list(self._work())
        for start in range(0, len(work), 1000):
            await self.kernel.transact(self.manager, partial(self._do, work[start : start + 1000]))
        await self.kernel.database.analyse()
        async with self.kernel.database.reading(self.manager.organisation_id) as session:
            own = Head.organisation_id == self.manager.organisation_id
            self.head = await session.scalar(select(Head.seq).where(own)) or 0
        return self

    async def _do(self, work: list[tuple[str, dict[str, Any]]], tx: Transaction) -> None:
        await tx.ahead.reserve(values["id"] for _, values in work if "id" in values)
        for name, values in work:
            command = COMMANDS[name]
            operation = Operation(name, datetime.now(UTC))
            await command.run(tx, command.parse(wire(values)), operation)

    def _work(self) -> Iterator[tuple[str, dict[str, Any]]]:
        note, technician = "x" * 300, new_id()
        for role in (Role.DISPATCHER, Role.TECHNICIAN):
            account = {"id": new_id(), "email": _email(role), "name": "Demo", "role": role}
            yield "createAccount", account | {"password": PASSWORD}
        for n, id in enumerate(self.customers):
            yield "createCustomer", {"id": id, "name": f"Demo Hotel {n}", "notes": note}
            yield "createSite", {"id": self.sites[n], "customerId": id, "name": f"Demo House {n}"}
        for n, id in enumerate(self.assets):
            site = self.sites[n % CUSTOMERS]
            yield "createAsset", {"id": id, "siteId": site, "name": f"Demo Lift {n}", "notes": note}
        yield "createTechnician", {"id": technician, "name": "Demo", "accountId": account["id"]}
        for n in range(VISITS):
            yield from self._visit(n, technician)

    def _visit(self, n: int, technician: UUID) -> Iterator[tuple[str, dict[str, Any]]]:
        order, visit, starts = new_id(), new_id(), datetime.now(UTC) + timedelta(hours=n)
        of = {"customerId": self.customers[n], "siteId": self.sites[n], "summary": "Demo service"}
        yield "createWorkOrder", {"id": order, "kind": "MAINTENANCE", **of}
        times = {"startsAt": starts, "endsAt": starts + timedelta(hours=1)}
        yield "createAppointment", {"id": visit, "workOrderId": order, **times}
        yield "assignTechnician", {"appointmentId": visit, "technicianId": technician, "force": True}


def _email(role: Role) -> str:
    return f"{role.lower()}@demo.example"


def of_the_office(device: Device, own: Organisation) -> list[dict[str, Any]]:
    """Return the operations that a dispatcher recorded on the train."""
    new, said = device.operation, f"seen {device.number}"
    return [
        *(
            new("updateAsset", assetId=id, notes=f"{said} {'x' * 300}", model=said)
            for id in random.sample(own.others, 300)
        ),
        *(
            new("updateCustomer", customerId=id, phone=said, email="b@demo.example")
            for id in random.sample(own.customers, 150)
        ),
        *(
            new("createContact", id=new_id(), customerId=id, name="Demo Contact", phone=said)
            for id in random.sample(own.customers, 50)
        ),
    ]


def of_the_field(device: Device, own: Organisation) -> list[dict[str, Any]]:
    """Return the operations that a technician recorded at the assets of the visits."""
    said = f"seen {device.number}"
    return [
        device.operation("updateAsset", assetId=id, notes=f"{said} {'x' * 300}", model=said)
        for id in random.sample(own.held, OPERATIONS)
    ]


_JSON = {"Content-Type": "application/json"}


async def _bulk_docs(client: httpx2.AsyncClient, url: str) -> float:
    docs = [orjson.loads(document(new_id(), "1")) for _ in range(OPERATIONS)]
    body = orjson.dumps({"docs": [{"_id": fields.pop("id"), **fields} for fields in docs]})
    started = time.perf_counter()
    response = await client.post(f"{url}/_bulk_docs", content=body, headers=_JSON)
    seconds = time.perf_counter() - started
    assert response.status_code == 201
    assert all(outcome.get("ok") for outcome in response.json())
    return seconds


@asynccontextmanager
async def _served(server: str, directory: Path) -> AsyncIterator[tuple[Organisation, dict[Role, Device]]]:
    """Yield the server as `tournee run` starts it, in one process, on a filled durable PostgreSQL."""
    url = create_database(server, "push")
    migrate.upgrade(url)
    database = Database(url)
    own = await Organisation(Kernel(database, MEMBERSHIPS)).fill()
    await database.close()
    settings = {"TOURNEE_WORKERS": "1", "TOURNEE_DEMO": "0"}
    with running(directory, url, **settings) as (_, address, _process):
        async with httpx2.AsyncClient(base_url=address, timeout=60) as client:
            roles = (Role.DISPATCHER, Role.TECHNICIAN)
            yield own, {role: await Device(client, _email(role), own.head).sign_in() for role in roles}


async def push_rates() -> list[Figure]:
    """Measure each server's operations per second, and the median of the rounds' ratios."""
    async with AsyncExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        server = opened.enter_context(postgres(durable=True))
        raw = RawPush(create_database(server, "raw"))
        opened.callback(raw.close)
        raw.fill()
        own, devices = await opened.enter_async_context(_served(server, directory))
        office, field = devices[Role.DISPATCHER], devices[Role.TECHNICIAN]

        async def by_hand() -> float:
            started = time.perf_counter()
            raw.push(OPERATIONS)
            return time.perf_counter() - started

        contenders: dict[str, Round] = {
            "push": lambda: office.push(of_the_office(office, own)),
            "push_technician": lambda: field.push(of_the_field(field, own)),
            "push_raw": by_hand,
        }
        try:
            peer, node = opened.enter_context(pouchdb())
            client = await opened.enter_async_context(httpx2.AsyncClient(timeout=60))
            contenders["push_pouchdb"] = partial(_bulk_docs, client, peer)
            print(f"# PouchDB Server on node {node}")
        except Missing as missing:
            print(f"# PouchDB Server is missing: {missing}")
        return await _figures(contenders)


async def _figures(contenders: dict[str, Round]) -> list[Figure]:
    rounds = [{name: await contender() for name, contender in contenders.items()} for _ in range(ROUNDS + 2)]
    counted = rounds[2:]
    rates = [
        Figure(
            f"{name}_operations_per_s", statistics.median(OPERATIONS / one[name] for one in counted), "1/s"
        )
        for name in contenders
    ]
    ratios = [
        Figure(f"{name}_ratio", statistics.median(one[other] / one[ours] for one in counted), "ours/theirs")
        for name, ours, other in RATIOS
        if other in contenders
    ]
    return [*rates, *ratios]


RATIOS = (
    ("push_vs_raw", "push", "push_raw"),
    ("push_vs_pouchdb", "push", "push_pouchdb"),
    ("push_technician_vs_raw", "push_technician", "push_raw"),
)
