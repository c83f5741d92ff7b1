"""Housekeeping runs for every organisation, and only while the server runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from tests.support.house import House
from tournee import housekeeping
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.command import Kernel
from tournee.kernel.entity import Organisation
from tournee.settings import Settings


class Rounds:
    """Replaces housekeeping by recording the organisation's id."""

    def __init__(self, database: Database, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kernel = House(database).kernel
        self.settings = Settings(database_url=database.url, directory=directory)
        self.closing = asyncio.Event()
        self.kept: list[UUID] = []
        self.breaks: set[UUID] = set()
        monkeypatch.setattr(housekeeping, "_keep", self._keep)
        self.closes_after = 0

    async def _keep(self, _kernel: Kernel, _settings: Settings, organisation_id: UUID) -> None:
        self.kept.append(organisation_id)
        if len(self.kept) == self.closes_after:
            self.closing.set()
        if organisation_id in self.breaks:
            raise ValueError("broken")

    async def run(self, closes_after: int) -> None:
        self.closes_after = closes_after
        await asyncio.wait_for(housekeeping.keep_house(self.kernel, self.settings, self.closing), 10)


@pytest.fixture
def rounds(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(database, tmp_path, monkeypatch)


async def test_a_stopping_server_finishes_only_the_current_organisation(
    rounds: Rounds, database: Database
) -> None:
    for _ in range(3):
        await House(database).found()
    await rounds.run(closes_after=2)
    assert len(rounds.kept) == 2


async def test_an_error_in_one_organisation_does_not_stop_the_others(
    rounds: Rounds, database: Database
) -> None:
    own = {(await House(database).found()).organisation_id for _ in range(3)}
    rounds.breaks = set(own)
    with capture_logs() as logs:
        await rounds.run(closes_after=await _count(database))
    assert own <= set(rounds.kept)
    failed = {entry["organisation"] for entry in logs if entry["event"] == "housekeeping_failed"}
    assert failed == {str(id) for id in own}


async def _count(database: Database) -> int:
    async with database.reading(ACROSS) as session:
        return await session.scalar(select(func.count()).select_from(Organisation)) or 0
