"""How many visits dispatchers hand to other technicians in a second, and what others feel of it.

Eight clients reassign planned visits on a server of its own over HTTP, each its own visits one after the
other, while somebody edits a customer whom none of it concerns. The same at ten times the history: today's
work is as much in both.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from tests.bench.figures import Figure
from tests.bench.serving import ours
from tests.bench.years.bystander import Bystander
from tests.bench.years.filling import Filled
from tests.bench.years.measuring import filled
from tests.bench.years.sizes import Sizes, quiet, years_asked
from tests.support.postgres import create_database, postgres
from tournee.auth.keys.ring import KeyRing
from tournee.auth.tokens import Tokens
from tournee.settings import Settings

CLIENTS, SECONDS, PAUSE = 8, 8.0, 0.05
TIMES = 10
# Receipts and memberships of all these years are kept, so that housekeeping does not delete them meanwhile.
_KEPT = {"TOURNEE_OPERATIONS_DAYS": "36500", "TOURNEE_HORIZON_DAYS": "36500"}

_REASSIGN = """mutation ($input: ReassignAppointmentInput!) { reassignAppointment(input: $input) {
  __typename ... on Appointment { id status } ... on Refusal { code message } } }"""
_UPDATE = """mutation ($input: UpdateCustomerInput!) { updateCustomer(input: $input) {
  __typename ... on Customer { id phone } ... on Refusal { code message } } }"""


@dataclass(frozen=True)
class Rates:
    """What one history gave."""

    per_s: float
    alone_ms: float
    beside_ms: float


class Clients:
    """Dispatchers at a server with this organisation."""

    def __init__(self, client: httpx2.AsyncClient, organisation: Filled) -> None:
        self.client = client
        self.organisation = organisation
        self.until = 0.0

    async def rates(self) -> Rates:
        alone, beside = Bystander(self._update, PAUSE), Bystander(self._update, PAUSE)
        # The first requests open connections and prepare statements.
        await self._reassign_for(1.0)
        await alone.alone(SECONDS / 2)
        async with beside.beside():
            started = time.perf_counter()
            count = await self._reassign_for(SECONDS)
            seconds = time.perf_counter() - started
        await self.organisation.check_members(*self.organisation.technicians)
        return Rates(count / seconds, alone.quantile(0.5) * 1000, beside.quantile(0.5) * 1000)

    async def _reassign_for(self, seconds: float) -> int:
        """Return how many visits all clients together reassigned."""
        self.until = time.perf_counter() + seconds
        return sum(await asyncio.gather(*(self._reassign(number) for number in range(CLIENTS))))

    async def _reassign(self, number: int) -> int:
        """Hand this client's visits to others, each to somebody who is chosen by chance."""
        chosen, count = random.Random(number), 0
        visits = self.organisation.planned[number::CLIENTS]
        while time.perf_counter() < self.until:
            visit, to = chosen.choice(visits).id, chosen.choice(self.organisation.technicians).id
            await self._do(_REASSIGN, "reassignAppointment", appointmentId=str(visit), technicianId=str(to))
            count += 1
        return count

    async def _update(self) -> None:
        customer: UUID = self.organisation.customers[-1]
        phone = f"+33 {time.monotonic_ns()}"
        await self._do(_UPDATE, "updateCustomer", customerId=str(customer), phone=phone)

    async def _do(self, document: str, field: str, **input: Any) -> None:
        body = {"query": document, "variables": {"input": input}}
        response = await self.client.post("/graphql", json=body)
        answer = response.json()
        if "errors" in answer or answer["data"][field]["__typename"] == "Refusal":
            raise RuntimeError(f"{field} was refused: {answer}")


async def _rates_of(organisation: Filled) -> Rates:
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(directory=Path(directory), access_token_seconds=86_400)
        tokens = Tokens(settings, KeyRing(organisation.database, settings))
        await tokens.ring.ready()
        headers = {"Authorization": f"Bearer {tokens.issue(organisation.dispatcher)}"}
        with ours(organisation.database.url, Path(directory), **_KEPT) as served:
            async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=60) as client:
                return await Clients(client, organisation).rates()


async def reassign() -> list[Figure]:
    """The small history first. One after the other, so that neither is in the other's way."""
    quiet()
    small = years_asked(0.1)
    with postgres(durable=True) as server:
        async with filled(create_database(server, "small"), Sizes.of(small)) as organisation:
            once = await _rates_of(organisation)
        async with filled(create_database(server, "large"), Sizes.of(small * TIMES)) as organisation:
            tenfold = await _rates_of(organisation)
    return [
        Figure("reassign_per_s", once.per_s, "1/s"),
        Figure("reassign_bystander_alone_ms", once.alone_ms, "ms"),
        Figure("reassign_bystander_ms", once.beside_ms, "ms"),
        Figure("reassign_bystander_ratio", once.beside_ms / once.alone_ms, "beside/alone"),
        Figure("reassign_10x_per_s", tenfold.per_s, "1/s"),
        Figure("reassign_10x_bystander_ms", tenfold.beside_ms, "ms"),
        Figure("reassign_10x_bystander_ratio", tenfold.beside_ms / tenfold.alone_ms, "beside/alone"),
        Figure("reassign_10x_ratio", tenfold.per_s / once.per_s, "10x/1x"),
    ]
