"""How long a commit holds its organisation's head, and how many commits there are in a second.

Writers of one organisation take turns at its head. So the time for which a commit holds it, from the
statement that locks it to the end of the commit, limits one organisation, however many servers it has. Eight
clients then edit customers over HTTP, of one organisation and of eight: what one worker can do. Housekeeping
visits one organisation after the other, so its time for each limits how many there can be.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2

from tests.bench.figures import Figure
from tests.bench.serving import ours
from tests.bench.years.sizes import quiet
from tests.support import migrate
from tests.support.house import House
from tests.support.postgres import create_database, postgres
from tournee.auth.keys.ring import KeyRing
from tournee.auth.tokens import Tokens
from tournee.engine import publishing
from tournee.engine.database import Database
from tournee.housekeeping import keep_organisation
from tournee.kernel.actor import Actor
from tournee.settings import Settings

CLIENTS, ROUNDS, SECONDS, COMMITS = 8, 3, 3.0, 200

_UPDATE = """mutation ($input: UpdateCustomerInput!) { updateCustomer(input: $input) {
  __typename ... on Customer { id } } }"""


class _Desk:
    """A dispatcher of an organisation, and the customer that they edit."""

    def __init__(self, database: Database) -> None:
        self.house = House(database)
        self.customers: list[str] = []

    async def open(self) -> _Desk:
        await self.house.found()
        self.dispatcher = await self.house.account("DISPATCHER")
        for _ in range(CLIENTS):
            made = await self.house.run("createCustomer", self.dispatcher, name="Demo")
            self.customers.append(str(made.id))
        return self

    async def edit(self) -> None:
        change = {"customerId": self.customers[0], "phone": f"+33 {time.monotonic_ns()}"}
        await self.house.run("updateCustomer", self.dispatcher, **change)


async def head() -> list[Figure]:
    quiet()
    with postgres(durable=True) as server, tempfile.TemporaryDirectory() as directory:
        url = create_database(server, "head")
        migrate.upgrade(url)
        database = Database(url)
        desks = [await _Desk(database).open() for _ in range(CLIENTS)]
        held = await _held(desks[0].edit)
        settings = Settings(directory=Path(directory), access_token_seconds=86_400)
        house = statistics.median([await _keeping(desk, settings) for desk in desks * ROUNDS])
        tokens = Tokens(settings, KeyRing(database, settings))
        await tokens.ring.ready()
        with ours(url, Path(directory)) as served:
            async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
                rounds = [await _rates(client, tokens, desks) for _ in range(ROUNDS + 1)][1:]
        await database.close()
    one, many = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    return [
        Figure("head_held_ms", held * 1000, "ms"),
        Figure("head_one_organisation_per_s", one, "commits/s"),
        Figure("head_eight_organisations_per_s", many, "commits/s"),
        Figure("head_housekeeping_ms", house * 1000, "ms/organisation"),
    ]


async def _held(commit: Callable[[], Awaitable[None]]) -> float:
    """Return the median of the seconds from locking the head to the end of the commit."""
    locked = 0.0
    take = publishing._take_head

    async def taking(*arguments: Any) -> int:
        nonlocal locked
        seq = await take(*arguments)
        locked = time.perf_counter()
        return seq

    times = []
    with patch.object(publishing, "_take_head", taking):
        for _ in range(COMMITS):
            await commit()
            times.append(time.perf_counter() - locked)
    return statistics.median(times)


async def _keeping(desk: _Desk, settings: Settings) -> float:
    """Return the seconds of a round of housekeeping in which there is little to do."""
    started = time.perf_counter()
    await keep_organisation(desk.house.kernel, settings, desk.house.organisation_id)
    return time.perf_counter() - started


async def _rates(client: httpx2.AsyncClient, tokens: Tokens, desks: list[_Desk]) -> tuple[float, float]:
    """Return the commits in a second of one organisation's clients, and of as many organisations'."""
    first = desks[0]
    alone = [(first.dispatcher, id) for id in first.customers]
    apart = [(desk.dispatcher, desk.customers[0]) for desk in desks]
    return await _rate(client, tokens, alone), await _rate(client, tokens, apart)


async def _rate(client: httpx2.AsyncClient, tokens: Tokens, who: list[tuple[Actor, str]]) -> float:
    until = time.perf_counter() + SECONDS

    async def edit(actor: Actor, customer: str) -> int:
        headers, count = {"Authorization": f"Bearer {tokens.issue(actor)}"}, 0
        while time.perf_counter() < until:
            change = {"customerId": customer, "phone": f"+33 {time.monotonic_ns()}"}
            body = {"query": _UPDATE, "variables": {"input": change}}
            answer = (await client.post("/graphql", json=body, headers=headers)).json()
            if answer.get("data", {}).get("updateCustomer", {}).get("__typename") != "Customer":
                raise RuntimeError(f"an edit was refused: {answer}")
            count += 1
        return count

    return sum(await asyncio.gather(*(edit(*one) for one in who))) / SECONDS
