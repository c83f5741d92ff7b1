"""A few seeds in every run, on both databases; `make simulate` runs any number."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.simulator.running import theatre
from tests.simulator.seeds import CORPUS, FEW
from tests.simulator.simulation import simulate
from tests.simulator.stage import Stage, sqlite_url

# A seed takes twice as long there, and differences between the databases show early.
ON_POSTGRESQL = FEW[:2]
# One that meets everything common, and one with a restored backup, are enough for a quick run.
SHORT = (2, 49)
STORY = pytest.mark.prove("One more seed of the corpus.")
_STORIES: dict[int, tuple[str, list[str]]] = {}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with theatre(database_url) as opened:
        yield opened


@pytest.mark.slow("A seed runs hundreds of steps.")
@pytest.mark.prove_on("postgresql", "A seed takes twice as long there.")
@pytest.mark.parametrize("seed", [seed if seed in SHORT else pytest.param(seed, marks=STORY) for seed in FEW])
async def test_every_promise_is_kept(stage: Stage, seed: int) -> None:
    if not stage.database.is_sqlite and seed not in ON_POSTGRESQL:
        pytest.skip("On PostgreSQL two seeds are enough.")
    report = await simulate(stage, seed)
    assert report.violation is None, "\n".join([*report.lines[-30:], str(report.violation)])
    assert report.counts["pulls"]
    if stage.database.is_sqlite:
        _STORIES[seed] = report.hash, report.lines
    assert not [name for name in CORPUS.get(seed, []) if not report.counts[name]]


async def _told(seed: int) -> tuple[str, list[str]]:
    with sqlite_url() as url:
        async with theatre(url) as opened:
            report = await simulate(opened, seed)
            return report.hash, report.lines


@pytest.mark.slow("A seed runs hundreds of steps, twice.")
async def test_the_same_seed_gives_the_same_trace() -> None:
    # Once after other seeds, if the test above ran, and once in its own database.
    one, again = _STORIES.get(2) or await _told(2), await _told(2)
    assert one[1] == again[1]
    assert one[0] == again[0]
