"""Housekeeping runs for every organisation, in one process at a time, and only while the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from tests.support.house import House
from tournee import housekeeping
from tournee.engine import leases
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.command import Kernel
from tournee.kernel.entity import Organisation, now
from tournee.kernel.lease import Lease
from tournee.settings import Settings


class Rounds:
    """Replaces what is done for an organisation by recording its id, for several processes."""

    def __init__(self, database: Database, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.settings = Settings(database_url=database.url, directory=directory)
        self.closing = asyncio.Event()
        self.kept: list[UUID] = []
        self.breaks: set[UUID] = set()
        self.closes_after = 0
        self.takes_seconds = 0.0
        self.begun = asyncio.Event()
        self.hung = asyncio.Event()
        self.hangs_at: int | None = None
        monkeypatch.setattr(housekeeping, "keep_organisation", self._keep)
        monkeypatch.setattr(housekeeping, "LOOK_SECONDS", 0.02)

    async def _keep(self, _kernel: Kernel, _settings: Settings, organisation_id: UUID) -> None:
        self.begun.set()
        if len(self.kept) == self.hangs_at:
            self.hangs_at = None
            self.hung.set()
            await asyncio.Event().wait()
        await asyncio.sleep(self.takes_seconds)
        self.kept.append(organisation_id)
        if len(self.kept) == self.closes_after:
            self.closing.set()
        if organisation_id in self.breaks:
            raise ValueError("broken")

    def process(self) -> asyncio.Task[None]:
        """Start what a server process does."""
        kernel = House(self.database).kernel
        return asyncio.create_task(housekeeping.keep_house(kernel, self.settings, self.closing))

    async def run(self, closes_after: int, processes: int = 1) -> None:
        self.closes_after = closes_after
        async with asyncio.timeout(20):
            await asyncio.gather(*(self.process() for _ in range(processes)))


@pytest_asyncio.fixture
async def rounds(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    async with database.writing(ACROSS) as session:
        await session.execute(delete(Lease))
        await session.commit()
    return Rounds(database, tmp_path, monkeypatch)


@pytest_asyncio.fixture
async def organisations(rounds: Rounds, database: Database) -> list[UUID]:
    """Return all organisations of the database, of which there are several."""
    for _ in range(4):
        await House(database).found()
    return await every(database)


async def every(database: Database) -> list[UUID]:
    async with database.reading(ACROSS) as session:
        return list(await session.scalars(select(Organisation.id).order_by(Organisation.id)))


async def set_lease(database: Database, **values: Any) -> None:
    async with database.writing(ACROSS) as session:
        await session.execute(update(Lease).values(**values))
        await session.commit()


async def test_a_stopping_server_finishes_only_the_current_organisation(
    rounds: Rounds, organisations: list[UUID]
) -> None:
    await rounds.run(closes_after=2)
    assert rounds.kept == organisations[:2]


async def test_a_server_continues_the_round_of_one_that_stopped(
    rounds: Rounds, organisations: list[UUID]
) -> None:
    await rounds.run(closes_after=2)
    rounds.closing.clear()
    await rounds.run(closes_after=len(organisations))
    assert rounds.kept == organisations


async def test_an_error_in_one_organisation_does_not_stop_the_others(
    rounds: Rounds, organisations: list[UUID]
) -> None:
    rounds.breaks = set(organisations[-3:])
    with capture_logs() as logs:
        await rounds.run(closes_after=len(organisations))
    assert rounds.kept == organisations
    failed = {entry["organisation"] for entry in logs if entry["event"] == "housekeeping_failed"}
    assert failed == {str(id) for id in rounds.breaks}


async def test_one_of_several_processes_does_a_round_and_the_next_one_waits_its_hour(
    rounds: Rounds, organisations: list[UUID], database: Database
) -> None:
    rounds.takes_seconds = 0.05
    processes = [rounds.process() for _ in range(4)]
    async with asyncio.timeout(20):
        while len(rounds.kept) < len(organisations):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert rounds.kept == organisations
        await set_lease(database, next_at=now() - timedelta(seconds=1))
        rounds.closes_after = 2 * len(organisations)
        await asyncio.gather(*processes)
    assert rounds.kept == organisations * 2


async def test_another_process_continues_the_round_of_one_that_died(
    rounds: Rounds, organisations: list[UUID], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.hangs_at = 2
    # A process that was killed releases nothing.
    with monkeypatch.context() as patched:
        patched.setattr(leases.Rounds, "_set", _died_after(leases.Rounds._set, "position"))
        dead = rounds.process()
        await asyncio.wait_for(rounds.hung.wait(), 20)
        dead.cancel()
        await asyncio.wait([dead])
    assert rounds.kept == organisations[:2]
    other = rounds.process()
    await asyncio.sleep(0.3)
    assert rounds.kept == organisations[:2], "The lease has not ended yet."
    await set_lease(database, until=now() - timedelta(seconds=1))
    rounds.closes_after = len(organisations)
    await asyncio.wait_for(other, 20)
    assert rounds.kept == organisations


def _died_after(real: Callable[..., Any], kept: str) -> Callable[..., Any]:
    """Let only changes with this value through."""

    async def changed(rounds: leases.Rounds, **values: Any) -> bool:
        return bool(await real(rounds, **values)) if kept in values else True

    return changed


async def test_a_long_step_keeps_its_lease(
    rounds: Rounds, organisations: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HELD_SECONDS", 0.6)
    rounds.takes_seconds = 1.2
    await rounds.run(closes_after=2, processes=2)
    assert rounds.kept == organisations[:2]


async def test_a_process_that_lost_its_lease_stops(
    rounds: Rounds, organisations: list[UUID], database: Database
) -> None:
    rounds.takes_seconds = 0.3
    process = rounds.process()
    await asyncio.wait_for(rounds.begun.wait(), 20)
    await set_lease(database, holder=organisations[0], until=now() + timedelta(hours=1))
    await asyncio.sleep(0.8)
    rounds.closing.set()
    await asyncio.wait_for(process, 20)
    assert rounds.kept == organisations[:1]
