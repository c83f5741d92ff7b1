"""`tournee tail` is killed at any moment; the next run loses no entry and writes none twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.aging import logged
from tests.support.copies import copied
from tests.support.house import House
from tournee.tailing.formats import Format

# Kills itself before the n-th call of a function.
KILLED = """
import os, signal, sys
from tournee.tailing import entries, following
from tournee.tailing.formats import files, sqlite
entries.PORTION, following.MOST = 2, 5
module, name, calls = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
owner = {"files": files, "sqlite": sqlite, "following": following}[module]
real = getattr(owner, name)

def counted(*arguments):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

setattr(owner, name, counted)
from tournee.cli import main
main()
"""

PLAIN = "from tournee.cli import main; main()"

MORE = pytest.mark.prove("One more moment.")


async def grow(house: House, changes: int) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    for n in range(changes):
        await house.run("updateCustomer", customerId=customer.id, phone=f"{n}")


@pytest.mark.slow("Two processes for each of the moments.")
@pytest.mark.prove_on("postgresql", "The same moments on the other database.")
@pytest.mark.parametrize(
    ("kind", "module", "name", "call"),
    [
        (Format.JSONL, "files", "appear", 2),  # a file is written, and has no name
        pytest.param(Format.JSONL, "files", "line", 8, marks=MORE),  # in the middle of a file
        pytest.param(Format.JSONL, "following", "read_head", 3, marks=MORE),  # between two files
        pytest.param(Format.PARQUET, "files", "appear", 1, marks=MORE),
        pytest.param(Format.SQLITE, "sqlite", "plain", 80, marks=MORE),  # in a transaction
        pytest.param(Format.SQLITE, "following", "read_head", 2, marks=MORE),
    ],
)
async def test_a_second_run_completes_what_a_killed_one_began(
    house: House, tmp_path: Path, kind: Format, module: str, name: str, call: int
) -> None:
    await grow(house, 12)

    def run(call: int) -> int:
        ended = start(house, tmp_path, kind, "--once", program=[KILLED, module, name, str(call)])
        return ended.wait(60)

    assert run(call) == -signal.SIGKILL
    assert len(copied(tmp_path, kind)) < 13
    await grow(house, 3)
    assert run(0) == 0
    assert copied(tmp_path, kind) == await logged(house)


@pytest.mark.prove("A dozen processes, killed while the log grows.")
@pytest.mark.parametrize("kind", Format)
async def test_a_follower_that_is_killed_again_and_again_copies_everything_once(
    house: House, tmp_path: Path, kind: Format
) -> None:
    moments = random.Random(kind)
    for _ in range(6):
        process = start(house, tmp_path, kind, "--every", "0.1")
        until = time.monotonic() + moments.uniform(1.0, 4.0)
        while time.monotonic() < until:
            await grow(house, 10)
        process.kill()
        process.wait()
    process = start(house, tmp_path, kind, "--every", "0.1")
    async with asyncio.timeout(60):
        while len(copied(tmp_path, kind)) < await house.seq():  # noqa: ASYNC110 - files have no event
            await asyncio.sleep(0.2)
    process.terminate()
    assert process.wait(20) == 0
    assert copied(tmp_path, kind) == await logged(house)


def start(
    house: House, folder: Path, kind: Format, *more: str, program: Sequence[str] = (PLAIN,)
) -> subprocess.Popen[bytes]:
    """Start `tournee tail` in a process of its own."""
    options = ["tail", "--format", kind, "--out", str(folder), "--organisation", str(house.organisation_id)]
    environment = {**os.environ, "DATABASE_URL": house.database.url}
    return subprocess.Popen([sys.executable, "-c", *program, *options, *more], env=environment)
