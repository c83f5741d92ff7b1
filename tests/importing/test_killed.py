"""An import that is killed and restarted ends with the same records as an undisturbed one."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest

from tests.importing.running import ELEVATORS, SAMPLE, Importer
from tests.support.house import House

PROGRAM = """
import sys
from pathlib import Path
from tournee.importing.command import Options, import_file
url, organisation, file, mapping, report = sys.argv[1:]
options = Options(Path(file), Path(mapping), organisation, report=Path(report), batch=10)
sys.exit(import_file(url, options))
"""


async def start(importer: Importer) -> asyncio.subprocess.Process:
    house = importer.house
    report = importer.folder / "killed.jsonl"
    arguments = (house.database.url, str(house.organisation_id), SAMPLE, ELEVATORS, report)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *map(str, arguments), stdout=asyncio.subprocess.DEVNULL
    )


async def kill_after(importer: Importer, changes: int) -> int:
    """Start an import, kill it once its log has this many entries, and return their number."""
    process = await start(importer)
    while await importer.log_length() < changes and process.returncode is None:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.001)
    process.kill()
    await process.wait()
    return await importer.log_length()


@pytest.mark.slow("The sample is imported three times.")
@pytest.mark.prove_on("postgresql", "It imports for minutes, twice, with the same result on both databases.")
@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.prove("One more moment to kill the import."))]
)
async def test_a_killed_and_restarted_import_ends_like_an_undisturbed_one(
    importer: Importer, seed: int
) -> None:
    whole = Importer(await House(importer.house.database).found(), importer.folder)
    await whole.elevators()
    length = await whole.log_length()
    killed_at = await kill_after(importer, random.Random(seed).randrange(100, length - 400))
    assert 0 < killed_at < length, "The import should have been killed half-way."
    process = await start(importer)
    assert await process.wait() == 0
    assert await importer.documents() == await whole.documents()
    assert await importer.log_length() == length
    await importer.elevators()
    assert await importer.log_length() == length
