"""One history: writers in processes that are killed, pullers here, and the checks afterwards."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID

import psycopg
from sqlalchemy import make_url

from tests.simulator.chronicle import Chronicle
from tests.simulator.stage import eye_of
from tests.support.house import House
from tests.support.postgres import libpq
from tests.sync.history import writers
from tests.sync.history.broken import BROKEN
from tests.sync.history.checks import Broken, Log, of_copies, of_pages, of_receipts, of_the_log
from tests.sync.history.journal import Journal
from tests.sync.history.pullers import Puller, Server
from tests.sync.history.scene import Scene, set_up
from tests.sync.history.writers import PROCESSES, Plan
from tournee.engine.database import Database

_TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'tournee' AND xact_start IS NOT NULL
        ORDER BY random() LIMIT 1
    ) AS one
"""


@dataclass(frozen=True)
class Size:
    """How much each writer writes, and how often it is killed."""

    writes: int
    kills: int = 0
    # Seconds between terminations of a backend; 0 for none.
    terminations: float = 0


@dataclass
class Observed:
    """The result of one history."""

    broken: list[Broken] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def promises(self) -> set[str]:
        return {promise for promise, _ in self.broken}


async def observe(
    url: str, directory: Path, size: Size, broken: str | None = None, seed: int = 1
) -> Observed:
    dice = random.Random(f"history {seed}")
    database = Database(url)
    try:
        scene = await set_up(await House(database).found(), dice)
    finally:
        await database.close()
    plan = Plan(scene, directory, size.writes, broken)
    observed = Observed()
    with ExitStack() as stack:
        if broken is not None:
            stack.enter_context(BROKEN[broken].applied())
        async with _servers(url) as servers:
            pullers = list(_pullers(scene, servers, dice))
            await _play(plan, size, pullers, observed.counts, dice)
    journals = [Journal(directory / name) for name in plan.writers()]
    observed.broken = list(_judge(url, scene.organisation_id, pullers, journals, observed.counts))
    return observed


@asynccontextmanager
async def _servers(url: str) -> AsyncIterator[list[Server]]:
    servers = [Server(url, remembers=remembers) for remembers in (True, True, False)]
    try:
        yield servers
    finally:
        for server in servers:
            await server.close()


def _pullers(scene: Scene, servers: list[Server], dice: random.Random) -> Iterator[Puller]:
    for number, account in enumerate([scene.manager, *scene.accounts]):
        actor = scene.actor(account)
        of_it = random.Random(f"{dice.random()} {number}")
        yield Puller(f"{number} by and by", actor, servers, of_it)
        yield Puller(f"{number} slowly", actor, servers, of_it, sizes=(1, 2, 3), anew=0)
        yield Puller(f"{number} from nothing", actor, servers, of_it, sizes=(5, 20), anew=100)


async def _play(
    plan: Plan, size: Size, pullers: list[Puller], counts: Counter[str], dice: random.Random
) -> None:
    quiet = asyncio.Event()
    pulling = [asyncio.create_task(puller.pull_until(quiet)) for puller in pullers]
    ending = asyncio.create_task(_end_backends(plan.scene.url, size.terminations, counts))
    try:
        await asyncio.gather(
            *(_keep_writing(plan, number, size.kills, counts, dice) for number in range(PROCESSES))
        )
    finally:
        ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending
        quiet.set()
        await asyncio.gather(*pulling)
    for puller in pullers:
        await puller.pull()


async def _keep_writing(
    plan: Plan, number: int, kills: int, counts: Counter[str], dice: random.Random
) -> None:
    """Keep a writer process running; after a kill, the next one continues."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([writers.__name__])
    for turn in range(kills + 1):
        process = context.Process(target=writers.run, args=(plan, number, turn), daemon=True)
        process.start()
        if turn < kills:
            await _until_busy(plan, number, process)
        await asyncio.to_thread(process.join, dice.random() * 0.3 if turn < kills else None)
        if process.exitcode is None:
            process.kill()
            await asyncio.to_thread(process.join)
            counts["kills"] += 1
        elif process.exitcode == 0:
            return
        else:
            raise RuntimeError(f"A writer ended with {process.exitcode}.")


async def _until_busy(plan: Plan, number: int, process: BaseProcess) -> None:
    """Wait until it has begun to write or is done."""
    before = plan.written(number)
    while process.exitcode is None and plan.written(number) == before:  # noqa: ASYNC110 - another process writes
        await asyncio.sleep(0.02)


async def _end_backends(url: str, every: float, counts: Counter[str]) -> None:
    """Terminate a connection in the middle of a transaction now and then."""
    superuser = libpq(make_url(url).set(username="postgres").render_as_string(hide_password=False))
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        while every:
            await asyncio.sleep(every)
            ended = await connection.execute(_TERMINATE)
            counts["terminations"] += ended.rowcount


def _judge(
    url: str, organisation_id: UUID, pullers: list[Puller], journals: list[Journal], counts: Counter[str]
) -> Iterator[Broken]:
    eye = eye_of(url)
    try:
        whole = Chronicle(eye, organisation_id, dense=False)
        log = Log(whole.read())
        _count(counts, log, pullers, journals)
        yield from of_the_log(log, whole.head(), journals)
        yield from of_receipts(whole, log)
        for puller in pullers:
            yield from of_pages(log, puller)
        told = [one for journal in journals for one in journal.told()]
        yield from of_copies(Chronicle(eye, organisation_id, dense=False), pullers, told)
    finally:
        eye.dispose()


def _count(counts: Counter[str], log: Log, pullers: list[Puller], journals: list[Journal]) -> None:
    counts["changes"] = log.head
    counts["transactions heard of"] = sum(len(journal.told()) for journal in journals)
    counts["transactions with an unknown end"] = sum(journal.lost() for journal in journals)
    counts["pages"] = sum(len(chain) for puller in pullers for chain in puller.chains)
    counts["completed pulls"] = sum(len(puller.copies) for puller in pullers)
    counts["resyncs"] = sum(puller.resyncs for puller in pullers)
    counts["answers lost"] = sum(puller.lost for puller in pullers)
    counts["writers"] = len(journals)
