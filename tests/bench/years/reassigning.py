"""How many visits dispatchers hand to other technicians in a second, and what others feel of it.

Eight clients reassign planned visits on a server of its own over HTTP, each its own visits one after the
other, while somebody edits a customer whom none of it concerns. The same at ten times the history, in turn:
today's work is as much in both.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
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

CLIENTS, PAUSE = 8, 0.05
# Rounds of each history in turn, and the seconds of one.
ROUNDS, SECONDS = 3, 3.0
TIMES = 10
# Receipts and memberships of all these years are kept, so that housekeeping does not delete them meanwhile.
_KEPT = {"TOURNEE_OPERATIONS_DAYS": "36500", "TOURNEE_HORIZON_DAYS": "36500"}

_REASSIGN = """mutation ($input: ReassignAppointmentInput!) { reassignAppointment(input: $input) {
  __typename ... on Appointment { id status } ... on Refusal { code message } } }"""
_UPDATE = """mutation ($input: UpdateCustomerInput!) { updateCustomer(input: $input) {
  __typename ... on Customer { id phone } ... on Refusal { code message } } }"""


@dataclass(frozen=True)
class Rates:
    """What one round on one history gave."""

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
        """Return what one round gives: the bystander alone first, then beside all clients."""
        alone, beside = Bystander(self._update, PAUSE), Bystander(self._update, PAUSE)
        await alone.alone(SECONDS / 2)
        async with beside.beside():
            started = time.perf_counter()
            count = await self._reassign_for(SECONDS)
            seconds = time.perf_counter() - started
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


@asynccontextmanager
async def _clients_of(server: str, name: str, sizes: Sizes) -> AsyncIterator[Clients]:
    """Fill a database, and start a server of its own on it."""
    with tempfile.TemporaryDirectory() as directory:
        async with filled(create_database(server, name), sizes) as organisation:
            settings = Settings(directory=Path(directory), access_token_seconds=86_400)
            tokens = Tokens(settings, KeyRing(organisation.database, settings))
            await tokens.ring.ready()
            headers = {"Authorization": f"Bearer {tokens.issue(organisation.dispatcher)}"}
            with ours(organisation.database.url, Path(directory), **_KEPT) as served:
                async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=60) as client:
                    yield Clients(client, organisation)
                await organisation.check_members(*organisation.technicians)


async def reassign() -> list[Figure]:
    quiet()
    years = years_asked(0.1)
    with postgres(durable=True) as server:
        async with (
            _clients_of(server, "small", Sizes.of(years)) as small,
            _clients_of(server, "large", Sizes.of(years * TIMES)) as large,
        ):
            # The first round, in which connections open and statements are prepared, does not count.
            rounds = [(await small.rates(), await large.rates()) for _ in range(ROUNDS + 1)][1:]
    return [
        *_figures("reassign", [once for once, _ in rounds]),
        *_figures("reassign_10x", [tenfold for _, tenfold in rounds]),
        Figure(
            "reassign_10x_ratio", _median(tenfold.per_s / once.per_s for once, tenfold in rounds), "10x/1x"
        ),
    ]


def _figures(name: str, rounds: list[Rates]) -> list[Figure]:
    return [
        Figure(f"{name}_per_s", _median(one.per_s for one in rounds), "1/s"),
        Figure(f"{name}_bystander_alone_ms", _median(one.alone_ms for one in rounds), "ms"),
        Figure(f"{name}_bystander_ms", _median(one.beside_ms for one in rounds), "ms"),
        Figure(
            f"{name}_bystander_ratio", _median(one.beside_ms / one.alone_ms for one in rounds), "beside/alone"
        ),
    ]


def _median(values: Iterable[float]) -> float:
    return statistics.median(list(values))
