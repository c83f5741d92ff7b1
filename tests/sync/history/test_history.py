"""The observations of many simultaneous writers and readers match one history: the log.

`HISTORY=300` lets each writer write that many transactions, and breaks the server in every way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.postgres import create_database, drop_database
from tests.sync.history.broken import BROKEN
from tests.sync.history.running import Size, observe

LONG = int(os.environ.get("HISTORY") or 0)
WRITES = LONG or 12
SHOWN = [*BROKEN] if LONG else [*BROKEN][:1]


@pytest.fixture
def postgresql(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """Return a separate database; SQLite has one writer at a time."""
    name = f"history_{uuid4().hex[:8]}"
    yield create_database(postgres_url, name, postgres_template)
    drop_database(postgres_url, name)


@pytest.mark.slow("Writers run in their own processes, which are killed.")
async def test_pulls_during_killed_concurrent_writes_match_the_log(postgresql: str, tmp_path: Path) -> None:
    size = Size(WRITES, kills=1 + WRITES // 20, terminations=0.2)
    observed = await observe(postgresql, tmp_path, size)
    assert not observed.broken, observed.broken[:5]
    assert observed.counts["resyncs"] == 0
    assert observed.counts["kills"]
    assert observed.counts["terminations"]
    assert observed.counts["completed pulls"] > 20


@pytest.mark.prove("It takes up to five histories until the bug shows.")
@pytest.mark.parametrize("what", SHOWN)
async def test_a_server_with_a_broken_order_is_detected(postgresql: str, tmp_path: Path, what: str) -> None:
    """This proves that the checks can fail; it may take more than one history."""
    found: set[str] = set()
    for seed in range(5):
        (journals := tmp_path / f"{seed}").mkdir()
        found = (await observe(postgresql, journals, Size(10), what, seed)).promises
        if "a complete pull is a prefix of the log" in found:
            return
    pytest.fail(f"A server with a broken order passed, except for {found}.")
