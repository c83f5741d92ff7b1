"""GraphQL reads per second: the read engine, against the ordinary executor and a hand-written endpoint.

A page of visits by their start, each with its customer and asset, as a dispatcher, who sees all of them, and
as a technician, who sees some. All servers are single processes on the same PostgreSQL. ROWS=10 takes ten
times as many rows.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import make_url, text

from tests.bench.figures import Figure
from tests.bench.load import Load, find_load
from tests.bench.organisation import BenchOrganisation
from tests.bench.serving import Served, get, handwritten, ours
from tests.support import migrate
from tests.support.postgres import create_database, libpq, postgres
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS

TIMES = int(os.environ.get("ROWS", "1"))
CUSTOMERS, ASSETS, VISITS, HELD = 1_000 * TIMES, 5_000 * TIMES, 20_000 * TIMES, 300
ROUNDS, SECONDS = 4, 3.0
SIZES = (20, 100)

QUERY = (
    "{appointments(first: %d, orderBy: [{startsAt: ASC}])"
    "{nodes{id status summary startsAt customer{name} asset{serialNumber}}}}"
)
_FILL = """
CREATE TEMPORARY TABLE c ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id FROM generate_series(1, :customers) n;
CREATE TEMPORARY TABLE s ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id, 1 + n % :customers AS c FROM generate_series(1, :assets) n;
CREATE TEMPORARY TABLE v ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS work_order_id, 1 + n % :assets AS s
  FROM generate_series(1, :visits) n;
INSERT INTO customer (organisation_id, id, created_at, deleted, name, kind, status, tags)
  SELECT :org, id, now(), false, 'Demo Customer ' || n, 'ORGANISATION', 'ACTIVE', '[]' FROM c;
INSERT INTO asset (organisation_id, id, created_at, deleted, name, ownership, kind, status, criticality,
    specification, serial_number, customer_id)
  SELECT :org, s.id, now(), false, 'Demo Lift ' || s.n, 'CUSTOMER', 'EQUIPMENT', 'ACTIVE', 'MEDIUM', '{}',
    'SN-' || s.n, c.id FROM s JOIN c ON c.n = s.c;
INSERT INTO work_order (organisation_id, id, created_at, deleted, number, customer_id, summary, kind,
    priority, status, required_skill_ids, reported_by_id)
  SELECT :org, v.work_order_id, now(), false, 'WO-' || v.n, c.id, 'Demo order', 'OTHER', 'NORMAL', 'NEW',
    '[]', :account FROM v JOIN s ON s.n = v.s JOIN c ON c.n = s.c;
INSERT INTO appointment (organisation_id, id, created_at, deleted, work_order_id, customer_id, asset_id,
    summary, status, starts_at, ends_at, travel_minutes, work_minutes, break_minutes, lock_mode)
  SELECT :org, v.id, now(), false, v.work_order_id, c.id, s.id, 'Demo visit ' || v.n, 'SCHEDULED',
    timestamptz '2026-01-01Z' + v.n * interval '7 minutes',
    timestamptz '2026-01-02Z' + v.n * interval '7 minutes',
    0, 0, 0, 'OPTIMIZE' FROM v JOIN s ON s.n = v.s JOIN c ON c.n = s.c;
INSERT INTO edge (organisation_id, scope, record_id, seq, open) SELECT :org, id, id, 1, true FROM v;
INSERT INTO edge (organisation_id, scope, record_id, seq, open)
  SELECT :org, v.id, s.id, 1, true FROM v JOIN s ON s.n = v.s;
INSERT INTO edge (organisation_id, scope, record_id, seq, open)
  SELECT :org, v.id, c.id, 1, true FROM v JOIN s ON s.n = v.s JOIN c ON c.n = s.c;
INSERT INTO member (organisation_id, account_id, scope, from_seq)
  SELECT :org, :account, id, 0 FROM v WHERE n % (:visits / :held) = 7
"""


class Servers(NamedTuple):
    """The contenders: ours with the read engine and without it, and the hand-written endpoint."""

    engine: Served
    executor: Served
    written: Served


@asynccontextmanager
async def _servers(directory: Path) -> AsyncIterator[tuple[Servers, BenchOrganisation]]:
    with postgres(durable=True) as server:
        url = create_database(server, "bench")
        migrate.upgrade(url)
        database = Database(url)
        filled = await BenchOrganisation(database, directory, records=10, scopes=1).fill()
        sizes: dict[str, object] = {
            "org": filled.id, "account": filled.technician.id, "customers": CUSTOMERS, "assets": ASSETS,
            "visits": VISITS, "held": HELD,
        }  # fmt: skip
        async with database.writing(ACROSS) as session:
            for statement in _FILL.split(";\n"):
                named = {name: value for name, value in sizes.items() if f":{name}" in statement}
                await session.execute(text(statement), named)
            await session.commit()
        await database.analyse()
        # Without the policies, which the hand-written endpoint need not obey.
        bare = make_url(url).set(username="postgres").render_as_string(hide_password=False)
        with (
            ours(url, directory) as engine,
            ours(url, directory, executor=True) as executor,
            handwritten(directory, LIBPQ=libpq(bare), ORGANISATION=str(filled.id)) as written,
        ):
            yield Servers(engine, executor, written), filled
        await database.close()


async def _rates(load: Load, targets: Mapping[str, tuple[str, Mapping[str, str]]]) -> dict[str, list[float]]:
    """Return the requests per second of each target, in interleaved rounds."""
    rates: dict[str, list[float]] = {name: [] for name in targets}
    for turn in range(ROUNDS + 1):
        for name, (url, headers) in targets.items():
            rate = await load.rate(url, headers, SECONDS)
            if turn:
                rates[name].append(rate)
    return rates


async def _check(targets: Mapping[str, tuple[str, Mapping[str, str]]], first: int) -> None:
    """Raise AssertionError unless all answer alike."""
    found = {}
    for name, (url, headers) in targets.items():
        port, _, target = url.removeprefix("http://127.0.0.1:").partition("/")
        for _ in range(2):
            status, body = await get(int(port), f"/{target}", headers)
        assert status == 200, (name, body)
        found[name] = json.loads(body)["data"]["appointments"]["nodes"]
        assert len(found[name]) == first, (name, len(found[name]))
    for one, other in (("engine", "executor"), ("engine", "written"), ("technician", "technician_executor")):
        assert found[one] == found[other], (one, found[one][0], other, found[other][0])


async def reads() -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        load = replace(find_load(directory), connections=16)
        async with _servers(directory) as (servers, filled):
            office, field = filled.bearer(filled.dispatcher), filled.bearer(filled.technician)
            for first in SIZES:
                target = f"/graphql?query={quote(QUERY % first)}"
                targets = {
                    "engine": (servers.engine.url + target, office),
                    "executor": (servers.executor.url + target, office),
                    "written": (f"{servers.written.url}/visits?first={first}", {}),
                    "technician": (servers.engine.url + target, field),
                    "technician_executor": (servers.executor.url + target, field),
                }
                await _check(targets, first)
                figures += _figures(first, await _rates(load, targets))
    return figures


def _figures(first: int, rates: Mapping[str, list[float]]) -> list[Figure]:
    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True))

    name = f"read{first}"
    return [
        *(
            Figure(f"{name}_{one}_per_s", statistics.median(found), "requests/s")
            for one, found in rates.items()
        ),
        Figure(f"{name}_vs_executor_ratio", ratio("engine", "executor"), "engine/executor"),
        Figure(f"{name}_vs_handwritten_ratio", ratio("engine", "written"), "engine/handwritten"),
        Figure(f"{name}_technician_ratio", ratio("technician", "engine"), "technician/dispatcher"),
        Figure(
            f"{name}_technician_vs_executor_ratio",
            ratio("technician", "technician_executor"),
            "engine/executor",
        ),
    ]
