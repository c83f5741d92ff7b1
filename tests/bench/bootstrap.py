"""The first pull of 10,000 records, page by page, against RxDB Server answering from memory.

The same client asks both for pages of 5,000, our maximum, which suits RxDB Server best, and of 500, our
default, on one open connection; all records have the same size. RxDB Server checks no permissions and
stores nothing on disk; ours authenticates a technician with 400 scopes (and a dispatcher, who sees
everything) and reads from PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.bench.figures import Figure
from tests.bench.organisation import NAME, BenchOrganisation
from tests.bench.serving import Served, free_port, ours, stop, wait_for
from tests.support import migrate
from tests.support.postgres import create_database, postgres
from tournee.engine.database import Database

RECORDS, PAGES, ROUNDS = 10_000, (5_000, 500), 7
_PACKAGES = ("rxdb-server@15.22", "rxdb@15", "express@4", "cors@2")

# Returns the next page's target from a page's body, None after the last page.
Next = Callable[[bytes, int], str | None]


class Puller:
    """Pulls everything on one connection and measures the rows per second."""

    def __init__(self, port: int, first: str, following: Next, headers: Mapping[str, str], page: int) -> None:
        self.port = port
        self.first = f"{first}limit={page}"
        self.following = following
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.page = page

    async def rows_each_second(self) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        bodies = []
        target: str | None = self.first
        started = time.perf_counter()
        while target is not None:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: bench\r\n{self.headers}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert head.startswith(b"HTTP/1.1 200"), head
            assert length is not None, head
            bodies.append(await reader.readexactly(int(length[1])))
            target = self.following(bodies[-1], self.page)
        seconds = time.perf_counter() - started
        writer.close()
        ids = {id for body in bodies for id in re.findall(rb'"id":"([0-9a-f-]{36})","name"', body)}
        assert len(ids) == RECORDS, len(ids)
        return RECORDS / seconds


def _our_next(body: bytes, page: int) -> str | None:
    tail = json.loads(b"{" + body[body.rindex(b'"cursor":') :])
    return f"/sync/pull?limit={page}&cursor={tail['cursor']}" if tail["more"] else None


def _their_next(body: bytes, page: int) -> str | None:
    checkpoint = json.loads(b"{" + body[body.rindex(b'"checkpoint":') :])["checkpoint"]
    last = body.count(b'"_deleted"') < page
    return None if last else f"{_PULL}?lwt={checkpoint['lwt']}&id={quote(checkpoint['id'])}&limit={page}"


_PULL = "/records/0/pull"


@contextmanager
def rxdb_server(directory: Path) -> Iterator[int | None]:
    """Yield the peer's port, None if it cannot be installed; its licence keeps it out of the project."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        yield None
        return
    (directory / "package.json").write_text('{"private": true, "type": "module"}', "utf-8")
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *_PACKAGES]
    if subprocess.run(install, cwd=directory, capture_output=True, check=False).returncode:
        yield None
        return
    shutil.copy(Path(__file__).with_name("rxdb.mjs"), directory)
    port = free_port()
    arguments = [node, "rxdb.mjs", str(port), str(RECORDS), str(len(NAME))]
    environment = {**os.environ, "NODE_ENV": "production"}
    process = subprocess.Popen(arguments, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port
    finally:
        stop(process)


@asynccontextmanager
async def our_server(**sizes: int) -> AsyncIterator[tuple[Served, BenchOrganisation]]:
    """Yield our server on a durable PostgreSQL with one filled organisation."""
    with postgres(durable=True) as server, tempfile.TemporaryDirectory() as directory:
        url = create_database(server, "bench")
        migrate.upgrade(url)
        database = Database(url)
        filled = await BenchOrganisation(database, Path(directory), **sizes).fill()
        await database.analyse()
        with ours(url, Path(directory)) as served:
            yield served, filled
        await database.close()


async def bootstrap() -> list[Figure]:
    figures: list[Figure] = []
    async with our_server(records=RECORDS) as (served, filled):
        with tempfile.TemporaryDirectory() as directory, rxdb_server(Path(directory)) as peer:
            for page in PAGES:
                rounds = await _rounds(served.port, filled, peer, page)
                figures += _figures(rounds, "" if page == PAGES[0] else f"_{page}")
    return figures


async def _rounds(
    port: int, filled: BenchOrganisation, peer: int | None, page: int
) -> list[dict[str, float]]:
    pullers = {
        "technician": Puller(port, "/sync/pull?", _our_next, filled.bearer(filled.technician), page),
        "dispatcher": Puller(port, "/sync/pull?", _our_next, filled.bearer(filled.dispatcher), page),
    }
    if peer is not None:
        pullers["rxdb"] = Puller(peer, f"{_PULL}?lwt=0&id=&", _their_next, {}, page)
    rounds = []
    for turn in range(ROUNDS + 1):
        rates = {name: await puller.rows_each_second() for name, puller in pullers.items()}
        if turn:
            rounds.append(rates)
    return rounds


def _figures(rounds: list[dict[str, float]], pages: str) -> list[Figure]:
    def median(name: str) -> float:
        return statistics.median(rates.get(name, float("nan")) for rates in rounds)

    def ratio(name: str) -> float:
        return statistics.median(rates[name] / rates.get("rxdb", float("nan")) for rates in rounds)

    return [
        Figure(f"bootstrap{pages}_rows_per_s", median("technician"), "rows/s"),
        Figure(f"bootstrap{pages}_dispatcher_rows_per_s", median("dispatcher"), "rows/s"),
        Figure(f"bootstrap{pages}_rxdb_rows_per_s", median("rxdb"), "rows/s"),
        Figure(f"bootstrap{pages}_vs_rxdb_ratio", ratio("technician"), "ours/rxdb"),
        Figure(f"bootstrap{pages}_dispatcher_vs_rxdb_ratio", ratio("dispatcher"), "ours/rxdb"),
    ]
