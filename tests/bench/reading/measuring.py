"""GraphQL reads per second, in interleaved rounds: the read engine against what else could answer.

A page of visits by their start, each with its customer and asset, as a dispatcher, who sees all of them, and
as a technician, who sees some; a later page; three levels of lists; the dispatch board. All servers are
single processes. ROWS=10 takes ten times as many rows.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import insert, make_url, select

from tests.bench.figures import Figure
from tests.bench.load import Load, find_load
from tests.bench.organisation import BenchOrganisation
from tests.bench.pouchdb import Missing
from tests.bench.reading.filling import fill
from tests.bench.reading.postgraphile import postgraphile
from tests.bench.serving import ROOT, Served, handwritten, ours
from tests.support import migrate
from tests.support.postgres import create_database, libpq, postgres
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Base

ROUNDS, SECONDS = 4, 3.0
SIZES = (20, 100)

_VISITS = """query ($first: Int, $after: String) {
  appointments(first: $first, after: $after, orderBy: [{startsAt: ASC}]) {
    nodes { id status summary startsAt customer { name } asset { serialNumber } } %s
  }
}"""
_PAGES = _VISITS % "pageInfo { endCursor }"
_NESTED = """{ customers(first: 20) { nodes { id name assets(first: 5) { nodes {
  id name serialNumber appointments(first: 3) { nodes { id status startsAt } } } } } } }"""
# The condition is ours, too; without it no index would serve.
_THEIR_VISITS = """query ($first: Int, $organisation: UUID!) {
  allAppointments(first: $first, orderBy: [STARTS_AT_ASC], condition: {organisationId: $organisation}) {
    nodes { rowId status summary startsAt
      customerByOrganisationIdAndCustomerId { name } assetByOrganisationIdAndAssetId { serialNumber } }
  }
}"""
_THEIR_NESTED = """query ($organisation: UUID!) {
  allCustomers(first: 20, condition: {organisationId: $organisation}) { nodes { rowId name
  assetsByOrganisationIdAndCustomerId(first: 5) { nodes { rowId name serialNumber
    appointmentsByOrganisationIdAndAssetId(first: 3) { nodes { rowId status startsAt } } } } } } }"""
_BOARD = (ROOT / "schema" / "operations" / "dispatch_board.graphql").read_text("utf-8")


@dataclass(frozen=True)
class Target:
    """One request, repeated."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    @classmethod
    def graphql(
        cls,
        served: Served,
        query: str,
        headers: Mapping[str, str],
        variables: Mapping[str, Any] | None = None,
    ) -> Target:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        return cls(f"{served.url}/graphql", {**headers, "Content-Type": "application/json"}, body)

    def answer(self) -> Any:
        """Return the data, asked twice: the engine answers from the second time on."""
        for _ in range(2):
            method = "GET" if self.body is None else "POST"
            got = httpx2.request(method, self.url, headers=dict(self.headers), content=self.body, timeout=60)
        body = got.json()
        assert got.status_code == 200, body
        assert "errors" not in body, body
        return body["data"]


Targets = Mapping[str, Target]


@dataclass
class Servers:
    """The contenders. `peer` is PostGraphile, None where it cannot be had."""

    engine: Served
    executor: Served
    written: Served
    lite: Served
    lite_written: Served
    filled: BenchOrganisation
    peer: Served | None = None

    @property
    def office(self) -> Mapping[str, str]:
        return self.filled.bearer(self.filled.dispatcher)

    @property
    def field(self) -> Mapping[str, str]:
        return self.filled.bearer(self.filled.technician)


@asynccontextmanager
async def _servers(directory: Path) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        url = create_database(server, "bench")
        migrate.upgrade(url)
        database = Database(url)
        filled = await BenchOrganisation(database, directory, records=10, scopes=1).fill()
        await fill(database, filled)
        file = directory / "bench.db"
        await _copy(database, f"sqlite+aiosqlite:///{file}")
        await database.close()
        # Without the policies, which the peers need not obey.
        bare = make_url(url).set(username="postgres").render_as_string(hide_password=False)
        organisation = {"ORGANISATION": str(filled.id)}
        servers = Servers(
            stack.enter_context(ours(url, directory)),
            stack.enter_context(ours(url, directory, executor=True)),
            stack.enter_context(handwritten(directory, LIBPQ=libpq(bare), **organisation)),
            stack.enter_context(ours(f"sqlite:///{file}", directory)),
            stack.enter_context(handwritten(directory, SQLITE=str(file), **organisation)),
            filled,
        )
        try:
            place = str(make_url(url).query["host"])
            servers.peer = stack.enter_context(postgraphile(directory, place, "bench"))
        except Missing as missing:
            print(f"# PostGraphile is missing: {missing}", flush=True)
        yield servers


async def _copy(database: Database, url: str) -> None:
    """Copy all rows into a new database."""
    migrate.upgrade(url)
    copy = Database(url)
    async with database.reading(ACROSS) as rows, copy.writing(ACROSS) as session:
        for table in Base.metadata.sorted_tables:
            found = [dict(row) for row in (await rows.execute(select(table))).mappings()]
            for start in range(0, len(found), 1_000):
                await session.execute(insert(table), found[start : start + 1_000])
        await session.commit()
    await copy.analyse()
    await copy.close()


async def _rates(load: Load, targets: Targets) -> dict[str, list[float]]:
    """Return the requests per second of each target, in interleaved rounds."""
    rates: dict[str, list[float]] = {name: [] for name in targets}
    for turn in range(ROUNDS + 1):
        for name, target in targets.items():
            rate = await load.rate(target.url, target.headers, SECONDS, target.body)
            if turn:
                rates[name].append(rate)
    return rates


def _visits(servers: Servers, first: int) -> Targets:
    query, variables = _VISITS % "", {"first": first}
    targets = {
        "engine": Target.graphql(servers.engine, query, servers.office, variables),
        "executor": Target.graphql(servers.executor, query, servers.office, variables),
        "handwritten": Target(f"{servers.written.url}/visits?first={first}", {}),
        "technician": Target.graphql(servers.engine, query, servers.field, variables),
        "technician_executor": Target.graphql(servers.executor, query, servers.field, variables),
        "sqlite": Target.graphql(servers.lite, query, servers.office, variables),
        "sqlite_handwritten": Target(f"{servers.lite_written.url}/visits?first={first}", {}),
    }
    if servers.peer is not None:
        targets["postgraphile"] = Target.graphql(
            servers.peer, _THEIR_VISITS, {}, {**variables, "organisation": str(servers.filled.id)}
        )
    found = {
        name: target.answer()["appointments"]["nodes"]
        for name, target in targets.items()
        if name != "postgraphile"
    }
    assert {len(nodes) for nodes in found.values()} == {first}
    for one in ("executor", "handwritten", "sqlite", "sqlite_handwritten"):
        assert found[one] == found["engine"], (one, found[one][0], found["engine"][0])
    assert found["technician"] == found["technician_executor"]
    if "postgraphile" in targets:
        theirs = targets["postgraphile"].answer()["allAppointments"]["nodes"]
        assert [one["rowId"] for one in theirs] == [one["id"] for one in found["engine"]]
    return targets


def _pages(servers: Servers) -> Targets:
    page = Target.graphql(servers.engine, _PAGES, servers.office, {"first": 500}).answer()
    after = page["appointments"]["pageInfo"]["endCursor"]
    targets = {
        "first": Target.graphql(servers.engine, _PAGES, servers.office, {"first": 20}),
        "later": Target.graphql(servers.engine, _PAGES, servers.office, {"first": 20, "after": after}),
    }
    assert all(len(target.answer()["appointments"]["nodes"]) == 20 for target in targets.values())
    return targets


def _nested(servers: Servers) -> Targets:
    targets = {
        "engine": Target.graphql(servers.engine, _NESTED, servers.office),
        "executor": Target.graphql(servers.executor, _NESTED, servers.office),
    }
    assert targets["engine"].answer() == targets["executor"].answer()
    if servers.peer is not None:
        targets["postgraphile"] = Target.graphql(
            servers.peer, _THEIR_NESTED, {}, {"organisation": str(servers.filled.id)}
        )
        theirs = targets["postgraphile"].answer()["allCustomers"]["nodes"]
        ours_too = targets["engine"].answer()["customers"]["nodes"]
        assert [one["rowId"] for one in theirs] == [one["id"] for one in ours_too]
    return targets


def _board(servers: Servers) -> Targets:
    variables = {"filter": {"status": {"in": ["SCHEDULED", "DISPATCHED"]}}}
    targets = {
        "engine": Target.graphql(servers.engine, _BOARD, servers.office, variables),
        "executor": Target.graphql(servers.executor, _BOARD, servers.office, variables),
    }
    found = targets["engine"].answer()
    assert found == targets["executor"].answer()
    assert len(found["appointments"]["nodes"]) == 50
    return targets


def _ratio(rates: Mapping[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True))


# The targets of each benchmark, and its ratios.
_BENCHMARKS: Mapping[str, tuple[Callable[[Servers], Targets], Mapping[str, tuple[str, str]]]] = {
    **{
        f"read{first}": (
            lambda servers, first=first: _visits(servers, first),  # type: ignore[misc]
            {
                f"read{first}_vs_postgraphile_ratio": ("engine", "postgraphile"),
                f"read{first}_vs_executor_ratio": ("engine", "executor"),
                f"read{first}_vs_handwritten_ratio": ("engine", "handwritten"),
                f"read{first}_technician_ratio": ("technician", "engine"),
                f"read{first}_technician_vs_executor_ratio": ("technician", "technician_executor"),
                f"sqlite_read{first}_vs_handwritten_ratio": ("sqlite", "sqlite_handwritten"),
            },
        )
        for first in SIZES
    },
    "page": (_pages, {"read20_page_ratio": ("later", "first")}),
    "nested": (
        _nested,
        {
            "nested_vs_postgraphile_ratio": ("engine", "postgraphile"),
            "nested_vs_executor_ratio": ("engine", "executor"),
        },
    ),
    "board": (_board, {"board_vs_executor_ratio": ("engine", "executor")}),
}


async def reads() -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        load = replace(find_load(directory), connections=16)
        async with _servers(directory) as servers:
            for name, (targets_of, ratios) in _BENCHMARKS.items():
                rates = await _rates(load, targets_of(servers))
                figures += [
                    Figure(f"{name}_{one}_per_s", statistics.median(found), "requests/s")
                    for one, found in rates.items()
                ]
                figures += [
                    Figure(ratio, _ratio(rates, one, other), f"{one}/{other}")
                    for ratio, (one, other) in ratios.items()
                    if other in rates
                ]
    return figures
