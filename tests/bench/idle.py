"""Requests per second of a pull without changes, compared with an endpoint that does nothing.

A technician with 400 scopes is signed in and has a current cursor; for the second figure the head has moved
by changes that they do not see, as it does all day in a real organisation.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from sqlalchemy import text

from tests.bench.bootstrap import our_server
from tests.bench.figures import Figure
from tests.bench.load import find_load
from tests.bench.organisation import BenchOrganisation
from tests.bench.serving import get, nothing
from tournee.engine.engines import ACROSS

ROUNDS, SECONDS = 5, 2.0

_OTHERS = "UPDATE head SET seq = seq + 100 WHERE organisation_id = :org"


async def _current_cursor(port: int, headers: dict[str, str]) -> str:
    cursor, more = "", True
    while more:
        _, body = await get(port, f"/sync/pull?limit=5000&cursor={cursor}", headers)
        page = json.loads(body)
        cursor, more = page["cursor"], page["more"]
    return str(cursor)


async def _move_head(filled: BenchOrganisation) -> None:
    async with filled.database.writing(ACROSS) as session:
        await session.execute(text(_OTHERS), {"org": filled.id})
        await session.commit()


async def idle() -> list[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        load = find_load(Path(directory))
        with nothing(Path(directory)) as noop:
            async with our_server() as (served, filled):
                port = served.port
                headers = filled.bearer(filled.technician)
                cursor = await _current_cursor(port, headers)
                pull = f"http://127.0.0.1:{port}/sync/pull?cursor={cursor}"
                rounds: list[tuple[float, float, float]] = []
                for turn in range(ROUNDS + 1):
                    current = await load.rate(pull, headers, SECONDS)
                    await _move_head(filled)
                    behind = await load.rate(pull, headers, SECONDS)
                    nothing_done = await load.rate(f"{noop.url}/nothing", {}, SECONDS)
                    cursor = await _current_cursor(port, headers)
                    pull = f"http://127.0.0.1:{port}/sync/pull?cursor={cursor}"
                    if turn:
                        rounds.append((current, behind, nothing_done))
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return [
        Figure("pull_idle_per_s", medians[0], "requests/s"),
        Figure("pull_idle_behind_per_s", medians[1], "requests/s"),
        Figure("noop_per_s", medians[2], "requests/s"),
        Figure("pull_idle_vs_noop_ratio", statistics.median(a / c for a, _, c in rounds), "ours/noop"),
        Figure("pull_idle_behind_vs_noop_ratio", statistics.median(b / c for _, b, c in rounds), "ours/noop"),
    ]
