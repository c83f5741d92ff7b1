"""The cost of hostile documents on a real server, and the time of `/healthz` meanwhile.

The documents are the known and random ones of tests/support/hostile.py, sent by a signed-in account. A
document counts with its shortest round, so that other work of the machine matters little. Refused
documents are measured apart from those within the limits.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
from graphql import get_introspection_query

from tests.bench.figures import Figure
from tests.bench.serving import Served, get, ours
from tests.support import migrate
from tests.support.hostile import Hostile, known, random_requests

ROUNDS, SEEDS = 2, range(40)
_LONGEST_ANSWER = 16_000
_BETWEEN_LOOKS = 0.01


def _documents() -> Iterator[Hostile]:
    yield from known()
    yield from random_requests(SEEDS)
    # The largest body and message allowed, and larger ones.
    yield Hostile("the largest body", "{me{id}}", {"v": [{}] * 340_000})
    yield Hostile("too large a body", "{me{id}}", {"v": [[]] * 2_500_000})
    yield Hostile("introspection", get_introspection_query())
    yield Hostile("introspection, as much as may be", _MOST_DESCRIBED)


_TYPE = "kind name description ofType{kind name description ofType{kind name description}}"
_MOST_DESCRIBED = (
    "{__schema{types{fields{"
    + " ".join(f"a{number}:name" for number in range(30))
    + f" args{{name description defaultValue type{{{_TYPE}}}}} type{{{_TYPE}}}}}"
    + f" inputFields{{name description defaultValue type{{{_TYPE}}}}}}}}}}}"
)


class _Worst:
    """The longest time of each kind of document, and of `/healthz`."""

    def __init__(self) -> None:
        self.refused: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.health = 0.0
        self.calm = 0.0

    def add(self, name: str, seconds: float, answer: httpx2.Response) -> None:
        body = answer.json()
        codes = {error["extensions"]["code"] for error in body.get("errors", ())}
        if "INTERNAL" in codes or answer.status_code >= 500:
            raise RuntimeError(f"{name}: {answer.text[:300]}")
        refused = not body.get("data")
        if refused and len(answer.content) > _LONGEST_ANSWER:
            raise RuntimeError(f"{name}: an answer of {len(answer.content)} bytes")
        times = self.refused if refused else self.answered
        times[name] = min(times.get(name, seconds), seconds)


async def _look(port: int, worst: _Worst) -> None:
    while True:
        started = time.perf_counter()
        await get(port, "/healthz")
        worst.health = max(worst.health, time.perf_counter() - started)
        await asyncio.sleep(_BETWEEN_LOOKS)


async def _send(port: int, worst: _Worst, bodies: list[tuple[str, bytes]]) -> None:
    base = f"http://127.0.0.1:{port}"
    form = {"grant_type": "password", "username": "manager@demo.example", "password": "demo"}
    async with httpx2.AsyncClient(base_url=base, timeout=60) as caller:
        token = (await caller.post("/auth/token", data=form)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        await caller.post("/graphql", content=b'{"query":"{me{id}}"}', headers=headers)
        watching = asyncio.create_task(_look(port, worst))
        for name, body in bodies:
            for turn in range(ROUNDS):
                # Another document each time, as the server caches those it has seen.
                different = body.replace(b'{"query": "', b'{"query": "' + b" " * (turn + 1), 1)
                started = time.perf_counter()
                answer = await caller.post("/graphql", content=different, headers=headers)
                worst.add(name, time.perf_counter() - started, answer)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _calm(served: Served, worst: _Worst) -> None:
    for _ in range(100):
        started = time.perf_counter()
        await get(served.port, "/healthz")
        worst.calm = max(worst.calm, time.perf_counter() - started)
        await asyncio.sleep(_BETWEEN_LOOKS)


async def hostile() -> list[Figure]:
    worst = _Worst()
    # Made beforehand, as this would delay the requests to `/healthz`.
    bodies = [(one.name, json.dumps(one.body).encode()) for one in _documents()]
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/tournee.db"
        migrate.upgrade(url)
        with ours(url, Path(directory), TOURNEE_DEMO="1") as served:
            await _calm(served, worst)
            await _send(served.port, worst, bodies)
    return [
        Figure("hostile_document_worst_ms", max(worst.refused.values()) * 1000, "ms"),
        Figure("hostile_healthz_worst_ms", worst.health * 1000, "ms"),
        Figure("hostile_healthz_calm_ms", worst.calm * 1000, "ms"),
        Figure("hostile_answered_worst_ms", max(worst.answered.values()) * 1000, "ms"),
    ]
